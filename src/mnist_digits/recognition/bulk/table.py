"""Pictures → rows of a table: what was read in each, or why nothing was."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import cv2
import pyarrow
from pyarrow.fs import FileSystem

from mnist_digits.errors import DataError
from mnist_digits.recognition.classifier import BATCH_IMAGES, Classifier
from mnist_digits.recognition.preprocessing.image_io import MAX_PICTURE_BYTES, Picture, read_picture
from mnist_digits.recognition.preprocessing.ink import find_ink
from mnist_digits.recognition.preprocessing.mnist_format import Normalised, normalise
from mnist_digits.recognition.reader import Reader
from mnist_digits.recognition.results import Box, Page, Prediction

Mode = Literal["read", "predict"]
"""Rows of digits on a page, or the one digit in a picture."""

AHEAD = 16
"""Pictures that are fetched from elsewhere while others are read."""

_BOX = pyarrow.struct([pyarrow.field(name, pyarrow.int32(), nullable=False) for name in ("x", "y", "width", "height")])
_DIGIT = pyarrow.struct(
    [
        pyarrow.field("digit", pyarrow.int8(), nullable=False),
        pyarrow.field("confidence", pyarrow.float32(), nullable=False),
        pyarrow.field("line", pyarrow.int32(), nullable=False),
        pyarrow.field("box", _BOX, nullable=False),
    ]
)
_PATH = pyarrow.field("path", pyarrow.string(), nullable=False)
_WHY_NOT = [pyarrow.field("reason", pyarrow.string()), pyarrow.field("error", pyarrow.string())]

SCHEMAS: dict[Mode, pyarrow.Schema] = {
    "predict": pyarrow.schema(
        [
            _PATH,
            pyarrow.field("digit", pyarrow.int8()),
            pyarrow.field("confidence", pyarrow.float32()),
            pyarrow.field("box", _BOX),
            *_WHY_NOT,
        ]
    ),
    "read": pyarrow.schema(
        [
            _PATH,
            pyarrow.field("text", pyarrow.string()),
            pyarrow.field("confidence", pyarrow.float32()),
            pyarrow.field("digits", pyarrow.list_(pyarrow.field("element", _DIGIT, nullable=False))),
            *_WHY_NOT,
        ]
    ),
}
"""What a row holds. `path` is absolute, `reason` as in `digits predict --json` and `digits read --json`, `error` null
unless the file could not be read, and then all but these three is null.

predict: digit 0 to 9 or null, confidence 0 to 1 of the likeliest digit, box of the ink in pixels of the picture as
displayed. read: text, with a line feed between rows of writing and a space between words; confidence of the least sure
digit, null where there is none; digits with the number of their row in text, from 0, and their box.
"""


Found = TypeVar("Found")
Fetch = Callable[[], Picture]
"""Gives a picture, or raises why there is none."""


class Stopped(Exception):  # noqa: N818 - no error
    """Whoever asked for rows wants no more of them."""


class PictureReader:
    """Reads pictures into tables, warm from the first on. One for each process."""

    def __init__(self, mode: Mode, model: Path) -> None:
        """Load a model. Raises DataError as `Classifier` does."""
        # Processes share the cores better than threads within each of them.
        cv2.setNumThreads(1)
        self._mode: Mode = mode
        self._reader, self._classifier = Reader(model), Classifier(model)

    def read(self, paths: Sequence[str], going: Callable[[], bool] = lambda: True) -> pyarrow.Table:
        """A row for each path, in their order, after SCHEMAS of the mode.

        going: asked before each picture; raises Stopped when it says no.
        """
        pictures = _fetched(paths, going)
        rows = self._predicted(pictures) if self._mode == "predict" else self._read(pictures)
        named = [{"path": path, **row} for path, row in zip(paths, rows, strict=True)]
        return pyarrow.Table.from_pylist(named, SCHEMAS[self._mode])

    def _read(self, pictures: Iterator[Fetch]) -> Iterator[dict[str, Any]]:
        for fetch in pictures:
            page = _or_error(self._reader.read, fetch)
            yield _unreadable(page) if isinstance(page, str) else _page_row(page)

    def _predicted(self, pictures: Iterator[Fetch]) -> Iterator[dict[str, Any]]:
        while found := [_or_error(_normalised, fetch) for fetch in islice(pictures, BATCH_IMAGES)]:
            blobs = [one for one in found if not isinstance(one, str)]
            predictions = iter(self._classifier.classify_normalised(blobs))
            for one in found:
                yield _unreadable(one) if isinstance(one, str) else _prediction_row(next(predictions))


def _fetched(paths: Sequence[str], going: Callable[[], bool]) -> Iterator[Fetch]:
    """A way to each picture; those that come over a network are on their way before they are asked for."""
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting: deque[Fetch] = deque()
        for path in paths:
            if not going():
                raise Stopped
            waiting.append(pool.submit(_download, path).result if "://" in path else partial(str, path))
            if len(waiting) == AHEAD:
                yield waiting.popleft()
        yield from waiting


def _download(address: str) -> bytes:
    """The content behind an address such as s3://bucket/7.png."""
    scheme, rest = address.split("://", 1)
    host, _, name = rest.partition("/")
    system, root = _file_system(f"{scheme}://{host}/")
    with system.open_input_stream(f"{root.rstrip('/')}/{name}") as stream:
        return stream.read(MAX_PICTURE_BYTES)


@cache
def _file_system(start: str) -> tuple[FileSystem, str]:
    """What serves the addresses that begin so, and the name by which it calls that beginning."""
    return FileSystem.from_uri(start)


def _normalised(picture: Picture) -> Normalised:
    return normalise(find_ink(read_picture(picture)))


def _or_error(read: Callable[[Picture], Found], fetch: Fetch) -> Found | str:
    """What was found in a picture, or in one line why nothing was: one of a million must not end the work."""
    try:
        return read(fetch())
    except DataError as error:
        return str(error)
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())


def _unreadable(error: str) -> dict[str, Any]:
    return {"reason": "unreadable", "error": error}


def _prediction_row(prediction: Prediction) -> dict[str, Any]:
    box = _box(prediction.box) if prediction.box[2] else None
    return {
        "digit": prediction.digit,
        "confidence": prediction.confidence,
        "box": box,
        "reason": prediction.reason,
    }


def _page_row(page: Page) -> dict[str, Any]:
    digits = [
        {"digit": digit.digit, "confidence": digit.confidence, "line": number, "box": _box(digit.box)}
        for number, line in enumerate(page.lines)
        for digit in line.digits
    ]
    least = min((digit.confidence for line in page.lines for digit in line.digits), default=None)
    return {"text": page.text, "confidence": least, "digits": digits, "reason": page.reason}


def _box(box: Box) -> dict[str, int]:
    return dict(zip(("x", "y", "width", "height"), box, strict=True))
