"""Pictures → rows of a table: what was read in each, or the error why nothing was."""

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

from mnist_digits.errors import DataError, printable
from mnist_digits.recognition.classifier import BATCH_IMAGES
from mnist_digits.recognition.preprocessing.image_io import MAX_PICTURE_BYTES, Picture, read_picture
from mnist_digits.recognition.preprocessing.mnist_format import Normalised
from mnist_digits.recognition.preprocessing.single_digit import prepare_digit
from mnist_digits.recognition.reader import Reader
from mnist_digits.recognition.results import Box, Digit, Page, Prediction

Mode = Literal["read", "predict"]
"""All digits of a page, or the one digit in a picture."""

DOWNLOADS_AHEAD = 16
"""Pictures that are downloaded while others are read."""


def _required(name: str, kind: pyarrow.DataType) -> pyarrow.Field:
    return pyarrow.field(name, kind, nullable=False)


_CONFIDENCE = ("confidence", pyarrow.float32())
_BOX = pyarrow.struct([_required(name, pyarrow.int32()) for name in ("x", "y", "width", "height")])
_DIGIT = pyarrow.struct(
    [
        _required("digit", pyarrow.int8()),
        _required(*_CONFIDENCE),
        _required("line", pyarrow.int32()),
        _required("box", _BOX),
        _required("page", pyarrow.int32()),
    ]
)
_DIGITS = pyarrow.list_(_required("element", _DIGIT))
_PATH = _required("path", pyarrow.string())
_WHY_NOT = (("reason", pyarrow.string()), ("error", pyarrow.string()))

SCHEMAS: dict[Mode, pyarrow.Schema] = {
    "predict": pyarrow.schema([_PATH, ("digit", pyarrow.int8()), _CONFIDENCE, ("box", _BOX), *_WHY_NOT]),
    "read": pyarrow.schema(
        [_PATH, ("text", pyarrow.string()), _CONFIDENCE, ("digits", _DIGITS), *_WHY_NOT, ("doubtful", pyarrow.bool_())]
    ),
}
"""The columns of a row. `path` is absolute; `reason` as in `digits predict --json` and `digits read --json`; `error` is
null unless the file could not be read, in which case all but these three are null.

predict: digit 0 to 9 or null; confidence 0 to 1 of the likeliest digit; box of the ink in pixels of the picture as
displayed. read: text, with a line feed between lines and a space between words; confidence of the least confident
digit, null where there is none; digits with the number of their line on the page, from 0, their box, and the number of
their page, from 1; doubtful as in JSON. Of a document of several pages, text has a form feed between them, reason is
null where one of them has digits, and doubtful true where one of them is.
"""

Result = TypeVar("Result")
Fetch = Callable[[], Picture]
"""Returns a picture, or raises the error why it cannot be had."""


class StoppedError(Exception):
    """Reading was stopped by its caller."""


class PictureReader:
    """Reads pictures into tables. One for each process."""

    def __init__(self, mode: Mode, model: Path) -> None:
        """Load a model. Raises DataError as `Classifier` does."""
        # The processes share the cores already: threads within each of them would only compete.
        cv2.setNumThreads(1)
        self._mode: Mode = mode
        self._reader = Reader(model)

    def read(self, paths: Sequence[str], going: Callable[[], bool] = lambda: True) -> pyarrow.Table:
        """A row for each path, in their order, after SCHEMAS of the mode.

        going: called before each picture; raises StoppedError when it returns False.
        """
        pictures = _fetched(paths, going)
        rows = self._prediction_rows(pictures) if self._mode == "predict" else self._page_rows(pictures)
        named = [{"path": path, **row} for path, row in zip(paths, rows, strict=True)]
        return pyarrow.Table.from_pylist(named, SCHEMAS[self._mode])

    def _page_rows(self, pictures: Iterator[Fetch]) -> Iterator[dict[str, Any]]:
        for fetch in pictures:
            pages = _result_or_error(lambda picture: list(self._reader.read_pages(picture)), fetch)
            yield _unreadable(pages) if isinstance(pages, str) else _page_row(pages)

    def _prediction_rows(self, pictures: Iterator[Fetch]) -> Iterator[dict[str, Any]]:
        while found := [_result_or_error(_normalised, fetch) for fetch in islice(pictures, BATCH_IMAGES)]:
            inputs = [one for one in found if not isinstance(one, str)]
            predictions = iter(self._reader.classifier.classify_normalised(inputs))
            for one in found:
                yield _unreadable(one) if isinstance(one, str) else _prediction_row(next(predictions))


def _fetched(paths: Sequence[str], going: Callable[[], bool]) -> Iterator[Fetch]:
    """A function for each path that returns its picture; downloads begin before they are asked for."""
    with ThreadPoolExecutor(DOWNLOADS_AHEAD) as pool:
        waiting: deque[Fetch] = deque()
        for path in paths:
            if not going():
                raise StoppedError
            waiting.append(pool.submit(_download, path).result if "://" in path else partial(str, path))
            if len(waiting) == DOWNLOADS_AHEAD:
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
    """Pyarrow's file system for addresses that begin so, and its own name for that beginning."""
    return FileSystem.from_uri(start)


def _normalised(picture: Picture) -> Normalised:
    return prepare_digit(read_picture(picture))


def _result_or_error(read: Callable[[Picture], Result], fetch: Fetch) -> Result | str:
    """The result for a picture, or its error in one line: one of a million pictures must not end the work."""
    try:
        return read(fetch())
    except DataError as error:
        return str(error)
    except Exception as error:
        return printable(" ".join(f"{type(error).__name__}: {error}".split()))


def _unreadable(error: str) -> dict[str, Any]:
    return {"reason": "unreadable", "error": error}


def _prediction_row(prediction: Prediction) -> dict[str, Any]:
    return {
        "digit": prediction.digit,
        "confidence": prediction.confidence,
        "box": _box(prediction.box) if prediction.box[2] else None,
        "reason": prediction.reason,
    }


def _page_row(pages: Sequence[Page]) -> dict[str, Any]:
    digits = [
        _digit_row(digit, number, page)
        for page in pages
        for number, line in enumerate(page.lines)
        for digit in line.digits
    ]
    return {
        "text": "\f".join(page.text for page in pages),
        "confidence": min((digit["confidence"] for digit in digits), default=None),
        "digits": digits,
        "reason": None if digits else pages[0].reason,
        "doubtful": any(page.doubtful for page in pages),
    }


def _digit_row(digit: Digit, line: int, page: Page) -> dict[str, Any]:
    box = _box(digit.box)
    return {"digit": digit.digit, "confidence": digit.confidence, "line": line, "box": box, "page": page.number}


def _box(box: Box) -> dict[str, int]:
    return dict(zip(("x", "y", "width", "height"), box, strict=True))
