"""The folder of Parquet files that the rows are written to, its list of pictures, and which files are finished."""

import hashlib
import io
import logging
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow
import pyarrow.parquet

from mnist_digits import __version__
from mnist_digits.errors import DataError, printable
from mnist_digits.files import atomic_folder, atomic_write, read_json, write_json
from mnist_digits.recognition.bulk.listing import absolute, holds_paths
from mnist_digits.recognition.bulk.table import Mode
from mnist_digits.recognition.classifier import CLASSIFIER_PATH

logger = logging.getLogger(__name__)

PICTURES_PER_FILE: dict[Mode, int] = {"predict": 1000, "read": 100}
"""A few seconds' work: what a crash costs each process."""

_LIST = pyarrow.schema([pyarrow.field("path", pyarrow.string(), nullable=False)])


@dataclass(frozen=True)
class Settings:
    """Everything that decides what the rows are: two calls with equal settings are about the same output."""

    mode: Mode
    inputs: tuple[str, ...]
    """The names that were given, as absolute paths; for a Parquet file of paths also its size."""
    recursive: bool
    pictures_per_file: int
    model: str
    """SHA-256 of the model's file."""
    version: str = __version__
    """Of this program: another one may read differently."""

    @classmethod
    def of(
        cls, mode: Mode, names: list[str], recursive: bool, pictures_per_file: int | None, model: Path | None
    ) -> "Settings":
        """The settings of a call; model: None for the shipped one. Raises DataError when there is no such file."""
        path = model or CLASSIFIER_PATH
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; expected a model: `digits train` writes model.onnx") from None
        inputs = tuple(_described(name) for name in names)
        return cls(mode, inputs, recursive, pictures_per_file or PICTURES_PER_FILE[mode], digest)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Settings":
        """The settings of which `asdict` has made plain values."""
        return cls(**{**content, "inputs": tuple(content["inputs"])})


@dataclass(frozen=True)
class Summary:
    """The contents of a finished output."""

    pictures: int
    unreadable: int
    """Number of pictures whose row has an error."""


@dataclass(frozen=True)
class Output:
    """A folder that pyarrow, pandas, DuckDB and Spark read as one table: they ignore names that begin with _."""

    folder: Path
    settings: Settings
    pictures: int
    """Number of rows when it is finished."""

    @property
    def model(self) -> Path:
        """A copy of the model, so that every machine, and whoever continues, reads with the same one."""
        return self.folder / "_model.onnx"

    @property
    def files(self) -> int:
        """Number of Parquet files when it is finished."""
        return -(-self.pictures // self.settings.pictures_per_file)

    @classmethod
    def create(cls, folder: Path, settings: Settings, paths: Iterable[str], model: Path | None) -> "Output":
        """A new output, with the list of its pictures; it replaces an old one.

        Raises DataError when `folder` exists and is no output, or cannot be written.
        """
        _check_replaceable(folder)
        with atomic_folder(folder) as temporary:
            pictures = _write_list(temporary / "_paths.parquet", paths, settings.pictures_per_file)
            shutil.copyfile(model or CLASSIFIER_PATH, temporary / "_model.onnx")
            write_json(temporary / "_manifest.json", {"pictures": pictures, "settings": asdict(settings)})
            if folder.exists():
                shutil.rmtree(folder)
        logger.info("began %s for %d pictures", printable(folder), pictures)
        return cls(folder, settings, pictures)

    @classmethod
    def open(cls, folder: Path) -> "Output":
        """The output in a folder. Raises DataError when there is none."""
        manifest = read_json(folder / "_manifest.json")
        return cls(folder, Settings.from_json(manifest["settings"]), manifest["pictures"])

    @classmethod
    def resume(cls, folder: Path, settings: Settings) -> "Output | None":
        """The output in a folder, to be continued with these settings; None when there is none.

        Raises DataError when the folder is something else, or the output has other settings.
        """
        if not _is_output(folder):
            _check_replaceable(folder)
            return None
        output = cls.open(folder)
        other = [name for name, value in asdict(settings).items() if value != getattr(output.settings, name)]
        if other:
            raise DataError(
                f"{folder}: begun with other {' and '.join(other).replace('_', ' ')}; "
                "name another --output, or replace this one with --overwrite"
            )
        output.remove_leftovers()
        logger.info("continuing %s", printable(folder))
        return output

    def missing(self) -> Iterator[int]:
        """The numbers of the files that do not exist, checked one by one."""
        return (number for number in range(self.files) if not self.path(number).exists())

    def path(self, number: int) -> Path:
        """The Parquet file of this number."""
        return self.folder / f"part-{number:06d}.parquet"

    def paths(self, number: int) -> list[str]:
        """Paths of the pictures whose rows belong into a file, in order."""
        with pyarrow.parquet.ParquetFile(self.folder / "_paths.parquet") as file:
            return cast(list[str], file.read_row_group(number).column(0).to_pylist())

    def write(self, number: int, table: pyarrow.Table) -> None:
        """Write one of its files, atomically. Raises DataError when it cannot be written."""
        # Through memory, because the errors of Python's own files are clearer than pyarrow's.
        content = io.BytesIO()
        pyarrow.parquet.write_table(table, content, compression="zstd")
        with atomic_write(self.path(number)) as temporary:
            temporary.write_bytes(content.getbuffer())

    def rows(self, number: int) -> int:
        """Number of rows that belong into a file."""
        size = self.settings.pictures_per_file
        return min(size, self.pictures - number * size)

    def done(self) -> int:
        """Number of rows in the files that exist."""
        there = (int(path.stem.removeprefix("part-")) for path in self.folder.glob("part-*.parquet"))
        return sum(map(self.rows, there))

    def summary(self) -> Summary:
        """Counts from the footers of the finished files. Raises DataError when a row is missing."""
        rows = unreadable = 0
        for number in range(self.files):
            count, errors = _counts(self.path(number))
            rows, unreadable = rows + count, unreadable + errors
        if rows != self.pictures:
            raise DataError(f"{self.folder}: {rows:,} rows, expected {self.pictures:,}; read anew with --overwrite")
        return Summary(rows, unreadable)

    def remove_leftovers(self) -> None:
        """Remove the temporary files of `atomic_write` that killed processes have left."""
        for path in self.folder.glob(".*-part-*.parquet"):
            path.unlink(missing_ok=True)


def _described(name: str) -> str:
    path = Path(name)
    if holds_paths(name) and path.is_file():
        return f"{absolute(name)} ({path.stat().st_size:,} bytes)"
    return absolute(name)


def _is_output(folder: Path) -> bool:
    return (folder / "_manifest.json").is_file()


def _check_replaceable(folder: Path) -> None:
    """Raise DataError when the folder is neither empty nor an output."""
    if folder.is_dir() and (_is_output(folder) or not any(folder.iterdir())):
        return
    if folder.exists():
        raise DataError(f"{folder}: exists, and is no output of `digits read`; name another --output")


def _write_list(path: Path, paths: Iterable[str], group: int) -> int:
    """Write the list of paths, a row group for each file of the output. Returns their number."""
    count = 0
    with pyarrow.parquet.ParquetWriter(path, _LIST, compression="zstd") as writer:
        remaining = iter(paths)
        while some := list(islice(remaining, group)):
            # File names may have any bytes; one that is not UTF-8 is escaped, and its row has the error "no such file".
            utf8 = [one.encode("utf-8", "backslashreplace").decode() for one in some]
            writer.write_table(pyarrow.table([utf8], schema=_LIST), row_group_size=group)
            count += len(some)
    return count


def _counts(path: Path) -> tuple[int, int]:
    """Number of rows of a file, and of those with an error, from its footer."""
    try:
        footer = pyarrow.parquet.read_metadata(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: damaged ({error}); delete it, and the same command writes it again") from error
    column = footer.schema.names.index("error")
    nulls = sum(footer.row_group(group).column(column).statistics.null_count for group in range(footer.num_row_groups))
    return footer.num_rows, footer.num_rows - nulls
