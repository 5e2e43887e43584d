"""Folders, patterns, Parquet files and pictures → the paths of all pictures, one by one, however many there are."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.dataset

from mnist_digits.errors import DataError
from mnist_digits.recognition.preprocessing.image_io import find_pictures

PATH_COLUMN = "path"
"""Name of the column of a Parquet file of paths."""

PATHS_PER_BATCH = 10_000
"""Number of paths of a Parquet file that are in memory at once."""


def list_pictures(names: list[str], recursive: bool = False) -> Iterator[str]:
    """Absolute paths of pictures, as they are found; a picture that is named twice comes twice.

    names: folders, whose pictures are found by `find_pictures`, in no order; patterns such as
    `scans/**/*.png`; Parquet files (or folders of them) with a column `path` of files and of addresses such as
    s3://bucket/7.png; pictures. recursive: also the pictures in folders below a folder.
    Raises DataError for a name that stands for no picture, and for a folder that cannot be listed.
    """
    for name in names:
        count = 0
        for count, path in enumerate(_pictures(name, recursive), 1):  # noqa: B007
            yield absolute(path)
        if not count:
            raise DataError(_nothing(name, recursive))


def absolute(path: str) -> str:
    """The absolute path; an address such as s3://bucket/7.png as it is."""
    return path if "://" in path else os.path.abspath(path)  # noqa: PTH100 - a Path would lose a link's `..`


def holds_paths(name: str) -> bool:
    """Whether a name is of a Parquet file of paths, or a folder of such files."""
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
    """The paths in a Parquet file. Raises DataError when it is damaged, or lacks the column or a path."""
    try:
        table = pyarrow.dataset.dataset(name, format="parquet")
        kind = table.schema.field(PATH_COLUMN).type
        if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
            raise DataError(f"{name}: its column {PATH_COLUMN} has {kind}, expected strings, a path in each row")
        for batch in table.to_batches(
            columns=[PATH_COLUMN], batch_size=PATHS_PER_BATCH, batch_readahead=1, fragment_readahead=1
        ):
            paths = batch.column(0)
            if paths.null_count:
                raise DataError(f"{name}: {paths.null_count} rows without a path, expected one in each; leave them out")
            yield from paths.to_pylist()
    except KeyError:
        columns = ", ".join(table.schema.names)
        raise DataError(f"{name}: has the columns {columns}, expected one called {PATH_COLUMN}; rename it") from None
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{name}: not a Parquet file that can be read ({reason}); write it again") from error


def _nothing(name: str, recursive: bool) -> str:
    """The error text for a name that stands for no picture."""
    if holds_paths(name):
        return f"{name}: no rows, expected a path in each; write it again"
    if Path(name).is_dir():
        further = "" if recursive else ", or look further down with --recursive"
        return f"{name}: a folder without pictures; name another{further}"
    if glob.has_magic(name):
        return f"{name}: nothing fits this pattern; expected pictures such as scans/*.png"
    return f"{name}: no such file or folder; expected pictures, a folder of them, a pattern or a Parquet file of paths"
