"""What was named → the paths of its pictures, one by one, however many there are."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.dataset

from mnist_digits.errors import DataError
from mnist_digits.recognition.preprocessing.image_io import find_pictures

COLUMN = "path"
"""Where a Parquet file of paths has them."""

BATCH = 10_000
"""Paths of a Parquet file that are in memory at once."""


def list_pictures(names: list[str], recursive: bool = False) -> Iterator[str]:
    """The pictures' absolute paths, as they are found, each as often as it is named.

    names: folders, of which the pictures are taken as `find_pictures` does, but in no order; patterns such as
    `scans/**/*.png`; Parquet files (or folders of them) with a column `path` of files and of addresses such as
    s3://bucket/7.png; pictures. recursive: also what lies in the folders below a folder.
    Raises DataError for a name behind which there is no picture, and where a folder cannot be looked into.
    """
    for name in names:
        count = 0
        for count, path in enumerate(_pictures(name, recursive), 1):  # noqa: B007
            yield absolute(path)
        if not count:
            raise DataError(_nothing(name, recursive))


def absolute(path: str) -> str:
    """The path from the root on; an address such as s3://bucket/7.png as it is."""
    return path if "://" in path else os.path.abspath(path)  # noqa: PTH100 - a Path would lose a link's `..`


def holds_paths(name: str) -> bool:
    """Whether a name is that of a Parquet file, or a folder of them, with paths."""
    return name.lower().rstrip("/\\").endswith(".parquet")


def _pictures(name: str, recursive: bool) -> Iterator[str]:
    if holds_paths(name):
        return _listed(name)
    if Path(name).is_dir():
        return find_pictures(name, recursive, in_order=False, skip_unreadable=False)
    if Path(name).exists():
        return iter([name])
    return (path for path in glob.iglob(name, recursive=True) if Path(path).is_file())  # noqa: PTH207 - Path has none from the root


def _listed(name: str) -> Iterator[str]:
    """The paths in a Parquet file. Raises DataError when it is none, has no such column, or a row without a path."""
    try:
        table = pyarrow.dataset.dataset(name, format="parquet")
        kind = table.schema.field(COLUMN).type
        if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
            raise DataError(f"{name}: its column {COLUMN} has {kind}, expected strings, a path in each row")
        for batch in table.to_batches(columns=[COLUMN], batch_size=BATCH, batch_readahead=1, fragment_readahead=1):
            paths = batch.column(0)
            if paths.null_count:
                raise DataError(f"{name}: {paths.null_count} rows without a path, expected one in each; leave them out")
            yield from paths.to_pylist()
    except KeyError:
        columns = ", ".join(table.schema.names)
        raise DataError(f"{name}: has the columns {columns}, expected one called {COLUMN}; rename it") from None
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{name}: not a Parquet file that can be read ({reason}); write it again") from error


def _nothing(name: str, recursive: bool) -> str:
    """What is wrong with a name behind which there is no picture."""
    if holds_paths(name):
        return f"{name}: no rows, expected a path in each; write it again"
    if Path(name).is_dir():
        further = "" if recursive else ", or look further down with --recursive"
        return f"{name}: a folder without pictures; name another{further}"
    if glob.has_magic(name):
        return f"{name}: nothing fits this pattern; expected pictures such as scans/*.png"
    return f"{name}: no such file or folder; expected pictures, a folder of them, a pattern or a Parquet file of paths"
