"""Tables of images: CSV with a column for each pixel, CSV or Parquet of paths and labels, Parquet with pictures in it.

Tables are read in parts of BATCH_ROWS: one of a million rows takes no more memory than its images.
"""

import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset.arrays import as_bytes, is_square
from mnist_digits.dataset.mnist import Split, check_classes, upright
from mnist_digits.dataset.pictures import Found, LabelledPicture, joined
from mnist_digits.errors import DataError

BATCH_ROWS = 5_000
"""Rows that are in memory as text, or as objects, at once."""

LABEL_NAMES = ("label", "labels", "class", "digit", "target", "y", "truth")
PATH_NAMES = ("path", "file", "file_name", "filename", "image", "img", "picture")
GROUP_NAMES = ("writer", "group", "person", "source")
"""Usual names of the columns of labels, of paths or pictures, and of writers."""

DELIMITERS = ",;\t|"


class Csv:
    """A CSV file, whose first rows tell what it holds: pixels, paths and labels, or neither."""

    def __init__(self, path: Path) -> None:
        """Look at the first rows. Raises DataError for a file that is no table."""
        self.path = path
        with self._opened() as file:
            lines = [line for line in itertools.islice(file, 2) if line.strip()]
        if not lines:
            raise DataError(f"{path}: empty, expected a table with a row for each image")
        self.delimiter = max(DELIMITERS, key=lines[0].count)
        first, *others = list(csv.reader(lines, delimiter=self.delimiter))
        self.header = None if all(map(_is_number, first)) else [name.strip() for name in first]
        self.columns = len(first)
        self.sample = first if self.header is None else (others[0] if others else [])

    def _opened(self) -> IO[str]:
        try:
            return self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}; expected a table that can be read") from None

    @property
    def holds_pixels(self) -> bool:
        """Whether each row holds a label and the pixels of a square image."""
        return is_square(self.columns - 1) and all(map(_is_number, self.sample))

    @property
    def has_no_labels(self) -> bool:
        """Whether each row holds the pixels of a square image and no label, as Kaggle's test.csv."""
        return is_square(self.columns) and all(map(_is_number, self.sample))

    def images(self, found: Found) -> Split:
        """The images and labels of a table of pixels. Raises DataError for a row that is neither."""
        parts, place, factor, count = [], None, 0.0, 0
        for rows in self._numbers():
            if place is None:
                place = self._label_column(rows)
                factor = _factor(np.delete(rows, place, axis=1))
            labels, pixels = rows[:, place], np.delete(rows, place, axis=1) * factor
            wrong = (pixels.min(1) < 0) | (pixels.max(1) > 255) | (labels != np.floor(labels))
            if wrong.any():
                row = count + int(wrong.argmax()) + 1
                raise DataError(f"{self.path}: row {row:,} has no whole label and pixels from 0 to 255; mend the table")
            check_classes(self.path, labels.astype(int))
            side = math.isqrt(pixels.shape[1])
            images = np.rint(pixels).astype(np.uint8).reshape(-1, side, side)
            parts.append(as_bytes(upright(images, self.path), labels.astype(np.uint8), self.path.name, found))
            count += len(rows)
        found.what = f"{count:,} images in a table of {self.columns - 1} pixels each"
        return joined(parts)

    def _numbers(self) -> Iterator[NDArray[np.float32]]:
        """The rows as numbers, float32 (up to BATCH_ROWS, columns)."""
        with self._opened() as file:
            lines = (line for line in itertools.islice(file, int(self.header is not None), None) if line.strip())
            for number in itertools.count():
                batch = list(itertools.islice(lines, BATCH_ROWS))
                if not batch:
                    return
                try:
                    yield np.loadtxt(batch, np.float32, delimiter=self.delimiter, ndmin=2, comments=None)
                except ValueError as error:
                    about = f"rows from {number * BATCH_ROWS + 1:,} on: {' '.join(str(error).split())}"
                    raise DataError(f"{self.path}: {about}; expected {self.columns} numbers in each row") from None

    def _label_column(self, rows: NDArray[np.float32]) -> int:
        """The label's column: the one that is named so, or the first, or the last where only that can be."""
        named = [place for place, name in enumerate(self.header or []) if name.lower() in LABEL_NAMES]
        if named:
            return named[0]
        first, last = rows[:, 0], rows[:, -1]
        first_can, last_can = (bool((one <= 9).all() and len(np.unique(one)) > 1) for one in (first, last))
        return -1 if last_can and not first_can else 0

    def pictures(self) -> Iterator[LabelledPicture]:
        """The pictures of a table of paths and labels; paths are relative to its folder."""
        places = self._places()
        with self._opened() as file:
            rows = csv.reader(file, delimiter=self.delimiter)
            for number, row in enumerate(itertools.islice(rows, int(self.header is not None), None), 1):
                if any(row):
                    where = f"{self.path}: row {number:,}"
                    if len(row) < self.columns:
                        raise DataError(f"{where}: {len(row)} columns, expected {self.columns}; mend the table")
                    path, label, group = (row[place] if place is not None else "" for place in places)
                    yield _picture(self.path, where, path, label, group)

    def _places(self) -> tuple[int, int, int | None]:
        """The columns of paths, labels and writers, by their names, else by what is in the first row."""
        names = [name.lower() for name in self.header or []]
        path, label, group = (
            next((names.index(name) for name in usual if name in names), None)
            for usual in (PATH_NAMES, LABEL_NAMES, GROUP_NAMES)
        )
        if path is None:
            path = _only(place for place, value in enumerate(self.sample) if _looks_like_picture(value))
        if label is None:
            label = _only(p for p, value in enumerate(self.sample) if p not in (path, group) and _is_number(value))
        if path is None or label is None:
            columns = ", ".join(self.header or []) or f"{self.columns} columns without names"
            raise DataError(
                f"{self.path}: has {columns}; expected a label and 784 pixels in each row, or columns called path and "
                "label: rename them"
            )
        return path, label, group


def parquet_pictures(path: Path) -> Iterator[LabelledPicture]:
    """The pictures of a Parquet file: in it, as Hugging Face stores them, or named by their paths."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = {name.lower(): name for name in file.schema_arrow.names}
            image, label, group = (
                next((names[name] for name in usual if name in names), None)
                for usual in (PATH_NAMES, LABEL_NAMES, GROUP_NAMES)
            )
            if image is None or label is None:
                names_there = ", ".join(file.schema_arrow.names)
                raise DataError(
                    f"{path}: has the columns {names_there}; expected image or path, and label: rename them"
                )
            columns = [name for name in (image, label, group) if name]
            for number, row in enumerate(_rows(file, columns), 1):
                where = f"{path}: row {number:,}"
                yield _picture(path, where, row[image], row[label], row[group] if group else "")
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: not a Parquet file that can be read ({reason}); write it again") from error


def _rows(file: Any, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(batch_size=BATCH_ROWS // 5, columns=columns):
        yield from batch.to_pylist()


def _picture(table: Path, where: str, picture: Any, label: Any, group: Any) -> LabelledPicture:
    """A row of a table. picture: a path, bytes, or an object with either. Raises DataError for another label."""
    if isinstance(picture, dict):
        picture = picture.get("bytes") or picture.get("path")
    if not isinstance(picture, str | bytes) or not picture:
        raise DataError(f"{where}: no picture, expected its path or its content; leave the row out")
    try:
        number = float(label)
    except (TypeError, ValueError):
        number = -1
    if number not in range(10):
        raise DataError(f"{where}: label {str(label)[:20]!r}, expected 0 to 9; mend or leave out the row")
    if isinstance(picture, bytes):
        return LabelledPicture(picture, int(number), where, str(group or ""))
    path = table.parent / picture
    return LabelledPicture(path, int(number), str(path), str(group or ""))


def _only(places: Iterator[int]) -> int | None:
    found = list(places)
    return found[0] if len(found) == 1 else None


def _looks_like_picture(value: str) -> bool:
    from mnist_digits.recognition.preprocessing.image_io import PICTURE_SUFFIXES

    return value.lower().endswith(PICTURE_SUFFIXES)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _factor(rows: NDArray[np.float32]) -> float:
    """What makes the pixels of the first rows 0 to 255: they may be fractions, or scikit-learn's 0 to 16."""
    highest = float(np.quantile(rows.max(1), 0.5))
    if highest <= 1:
        return 255.0
    return 255 / 16 if highest <= 16 and rows.shape[1] == 64 else 1.0
