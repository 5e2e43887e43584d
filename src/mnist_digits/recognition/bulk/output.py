"""The folder that the rows go to: which pictures, read how, and which of its files are there already."""

import hashlib
import io
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow
import pyarrow.parquet

from mnist_digits import __version__
from mnist_digits.errors import DataError
from mnist_digits.files import atomic_folder, atomic_write, read_json, write_json
from mnist_digits.recognition.bulk.listing import absolute, holds_paths
from mnist_digits.recognition.bulk.table import Mode
from mnist_digits.recognition.classifier import CLASSIFIER_PATH

PICTURES_PER_FILE: dict[Mode, int] = {"predict": 1000, "read": 100}
"""A few seconds' work, which is what a crash costs each process."""

_LIST = pyarrow.schema([pyarrow.field("path", pyarrow.string(), nullable=False)])


@dataclass(frozen=True)
class Settings:
    """All that decides what the rows are: two calls with the same are about the same output."""

    mode: Mode
    inputs: tuple[str, ...]
    """What was named, from the root on; of a Parquet file of paths also its size."""
    recursive: bool
    pictures_per_file: int
    model: str
    """SHA-256 of the model's file."""
    version: str = __version__
    """Of this program, which may read otherwise in the next."""

    @classmethod
    def of(
        cls, mode: Mode, names: list[str], recursive: bool, pictures_per_file: int | None, model: Path | None
    ) -> "Settings":
        """The settings for a call. Raises DataError when there is no such model."""
        path = model or CLASSIFIER_PATH
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; expected a model: `digits train` writes model.onnx") from None
        inputs = tuple(_described(name) for name in names)
        return cls(mode, inputs, recursive, pictures_per_file or PICTURES_PER_FILE[mode], digest)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Settings":
        """The settings that `asdict` made plain values of."""
        return cls(**{**content, "inputs": tuple(content["inputs"])})


@dataclass(frozen=True)
class Summary:
    """What a finished output holds."""

    pictures: int
    unreadable: int
    """Of these, the ones whose row has an error."""


@dataclass(frozen=True)
class Output:
    """A folder that pyarrow, pandas, DuckDB and Spark take for one table: they pass over names that begin with _."""

    folder: Path
    settings: Settings
    pictures: int
    """How many rows it will have."""

    @property
    def model(self) -> Path:
        """A copy of the model, so that what is continued is read as it was begun, on every machine."""
        return self.folder / "_model.onnx"

    @property
    def files(self) -> int:
        """How many files it will have."""
        return -(-self.pictures // self.settings.pictures_per_file)

    @classmethod
    def create(cls, folder: Path, settings: Settings, paths: Iterable[str], model: Path | None) -> "Output":
        """A new output, with the list of its pictures; instead of an old one, if there is one.

        Raises DataError when `folder` is something else, or cannot be written.
        """
        _check_replaceable(folder)
        with atomic_folder(folder) as temporary:
            pictures = _write_list(temporary / "_paths.parquet", paths, settings.pictures_per_file)
            shutil.copyfile(model or CLASSIFIER_PATH, temporary / "_model.onnx")
            write_json(temporary / "_manifest.json", {"pictures": pictures, "settings": asdict(settings)})
            if folder.exists():
                shutil.rmtree(folder)
        return cls(folder, settings, pictures)

    @classmethod
    def open(cls, folder: Path) -> "Output":
        """The output that was begun in a folder. Raises DataError when there is none."""
        manifest = read_json(folder / "_manifest.json")
        return cls(folder, Settings.from_json(manifest["settings"]), manifest["pictures"])

    @classmethod
    def resume(cls, folder: Path, settings: Settings) -> "Output | None":
        """The same for a call with these settings; None when nothing was begun.

        Raises DataError when there is something else, or what was begun with other settings.
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
        return output

    def missing(self) -> Iterator[int]:
        """The numbers of the files that are not there yet, each asked for when its turn comes."""
        return (number for number in range(self.files) if not self.path(number).exists())

    def path(self, number: int) -> Path:
        """One of its files."""
        return self.folder / f"part-{number:06d}.parquet"

    def paths(self, number: int) -> list[str]:
        """Of the pictures whose rows belong into a file, in their order."""
        with pyarrow.parquet.ParquetFile(self.folder / "_paths.parquet") as file:
            return cast(list[str], file.read_row_group(number).column(0).to_pylist())

    def write(self, number: int, table: pyarrow.Table) -> None:
        """One of its files, whole or not at all. Raises DataError as `whole` does."""
        # Through memory: the errors of Python's own files say what is wrong in a word.
        content = io.BytesIO()
        pyarrow.parquet.write_table(table, content, compression="zstd")
        with atomic_write(self.path(number)) as temporary:
            temporary.write_bytes(content.getbuffer())

    def rows(self, number: int) -> int:
        """How many rows belong into a file."""
        size = self.settings.pictures_per_file
        return min(size, self.pictures - number * size)

    def done(self) -> int:
        """How many rows are there."""
        there = (int(path.stem.removeprefix("part-")) for path in self.folder.glob("part-*.parquet"))
        return sum(map(self.rows, there))

    def summary(self) -> Summary:
        """What the finished output holds, by its files' own account. Raises DataError when a row is missing."""
        rows = unreadable = 0
        for number in range(self.files):
            count, errors = _counts(self.path(number))
            rows, unreadable = rows + count, unreadable + errors
        if rows != self.pictures:
            raise DataError(f"{self.folder}: {rows:,} rows, expected {self.pictures:,}; read anew with --overwrite")
        return Summary(rows, unreadable)

    def remove_leftovers(self) -> None:
        """Remove what killed processes were writing when they died: see `whole`."""
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
    """Raise DataError where there is something that no call has written."""
    if folder.is_dir() and (_is_output(folder) or not any(folder.iterdir())):
        return
    if folder.exists():
        raise DataError(f"{folder}: exists, and is no output of `digits read`; name another --output")


def _write_list(path: Path, paths: Iterable[str], group: int) -> int:
    """The number of paths, after they have been written, a group of rows for each file of the output."""
    count = 0
    with pyarrow.parquet.ParquetWriter(path, _LIST, compression="zstd") as writer:
        remaining = iter(paths)
        while some := list(islice(remaining, group)):
            # A name may have any bytes; what is not UTF-8 becomes a row that says that there is no such file.
            printable = [one.encode("utf-8", "backslashreplace").decode() for one in some]
            writer.write_table(pyarrow.table([printable], schema=_LIST), row_group_size=group)
            count += len(some)
    return count


def _counts(path: Path) -> tuple[int, int]:
    """Rows of a file, and those of them with an error, from its footer."""
    try:
        footer = pyarrow.parquet.read_metadata(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: damaged ({error}); delete it, and the same command writes it again") from error
    column = footer.schema.names.index("error")
    nulls = sum(footer.row_group(group).column(column).statistics.null_count for group in range(footer.num_row_groups))
    return footer.num_rows, footer.num_rows - nulls
