"""The pictures of a folder that is labelled: what the reader says of each, what people say, and whose turn it is."""

import logging
import shlex
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset.labelling import DELETED, SKIPPED, Answer, Journal
from mnist_digits.dataset.labelling.digits import cut_out
from mnist_digits.dataset.labelling.journal import Box, Word
from mnist_digits.errors import DataError, printable
from mnist_digits.recognition import Reader, find_pictures, read_pages
from mnist_digits.recognition.reading_process import as_jpeg
from mnist_digits.recognition.visualise import as_png

SAME_BOX = 0.5
"""Share of the area of two boxes that they have in common from which on they are of the same digit."""

SMALL_SIDE_PX = 256
"""A picture up to this size is sent without loss."""

Turn = Literal["open", "skipped", "done"]
"""Which picture is asked for: one with digits that nobody has labelled, or that were skipped, or the last labelled."""

# A bug is logged even where nobody has configured logging.
logger = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Piece:
    """A digit, or what the reader takes for one."""

    box: Box | None
    """None for a picture of one digit as a whole."""
    read: int | None
    confidence: float
    label: int | Word | None = None
    """As of an Answer; None while nobody has said anything."""

    @property
    def is_open(self) -> bool:
        """Whether nobody has said anything of it."""
        return self.label is None


@dataclass(frozen=True)
class Sheet:
    """A picture, or one page of a document."""

    number: int
    file: str
    page: int
    size: tuple[int, int]
    """Width and height in pixels."""
    turns: int
    """Quarter turns to the left that set it upright."""
    read: tuple[Piece, ...]
    """What the reader found."""
    pieces: tuple[Piece, ...]
    """The same with what people have said."""

    def doubt(self, of_skipped: bool) -> float | None:
        """The lowest confidence of what is open, or skipped; None when there is none."""
        wanted = [one for one in self.pieces if (one.label == SKIPPED if of_skipped else one.is_open)]
        return min((one.confidence if one.read is not None else 0.0 for one in wanted), default=None)

    def to_json(self) -> dict[str, Any]:
        """As JSON types; `digits` are its pieces."""
        pieces = [
            {"box": one.box, "digit": one.read, "confidence": round(one.confidence, 6), "label": one.label}
            for one in self.pieces
        ]
        return {"number": self.number, "file": self.file, "page": self.page, "size": self.size, "digits": pieces}


class Desk:
    """All pictures of a folder and the folders below it. A thread reads them ahead; methods may be called by any."""

    def __init__(self, folder: Path, reader: Reader) -> None:
        """Raises DataError when the folder has no pictures, or its labels cannot be read."""
        self._folder, self._reader = folder, reader
        self._files = [str(Path(path).relative_to(folder)) for path in _pictures(folder)]
        self._journal = Journal(folder)
        self._lock = threading.Lock()
        self._said: dict[tuple[str, int], dict[Box | None, Answer]] = {}
        """The answers about each file and page; that of which somebody has spoken last comes last."""
        self._sheets: list[Sheet] = []
        self._places: dict[tuple[str, int], int] = {}
        self._unreadable: list[str] = []
        self._counts = Counter[str]()
        self._files_read = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._read_all, daemon=True, name="label")
        self._take_news()

    def start(self) -> None:
        """Begin to read the pictures."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the picture that is being read."""
        self._ends.set()
        # What still reads while Python ends would abort it.
        self._thread.join()

    @property
    def all_read(self) -> bool:
        """Whether all pictures have been read."""
        return self._files_read == len(self._files)

    def state(self) -> dict[str, Any]:
        """How far the work is: see `labelling.router`."""
        with self._lock:
            self._take_news()
            return {
                "folder": shlex.quote(printable(self._folder)),
                "pictures": len(self._files),
                "read": self._files_read,
                "digits": self._counts["digits"],
                "labelled": self._counts["labelled"],
                "skipped": self._counts["skipped"],
                "unreadable": list(self._unreadable),
            }

    def next(self, besides: set[int], turn: Turn) -> Sheet | None:
        """The sheet to be labelled now, the most doubtful one first; None when there is none among those read."""
        with self._lock:
            self._take_news()
            if turn == "done":
                places = (self._places.get(where) for where, said in reversed(self._said.items()) if said)
                return next((self._sheets[n] for n in places if n is not None and n not in besides), None)
            doubts = ((sheet.doubt(turn == "skipped"), sheet) for sheet in self._sheets if sheet.number not in besides)
            open_ = [(doubt, sheet.number) for doubt, sheet in doubts if doubt is not None]
            return self._sheets[min(open_)[1]] if open_ else None

    def picture(self, number: int) -> tuple[bytes, str]:
        """The picture of a sheet as a file that browsers show, and its kind. Raises DataError as `read_pages`."""
        pixels = self._pixels(self._sheet(number))
        if max(pixels.shape[:2]) <= SMALL_SIDE_PX:
            return as_png(pixels), "image/png"
        return as_jpeg(pixels), "image/jpeg"

    def read_box(self, number: int, box: Box) -> Piece:
        """What the classifier says of a box that somebody has drawn."""
        sheet = self._sheet(number)
        found = self._reader.classifier.classify(cut_out(self._pixels(sheet), box, sheet.turns))
        return Piece(box, found.digit, found.confidence)

    def answer(self, number: int, piece: Piece) -> None:
        """Keep what somebody says; it is on the disk when this returns. Raises DataError as `Journal.add`."""
        sheet = self._sheet(number)
        read = piece.read, round(piece.confidence, 6)
        with self._lock:
            self._journal.add(Answer(sheet.file, sheet.page, piece.box, piece.label, *read, sheet.turns))
            self._take_news()

    def _sheet(self, number: int) -> Sheet:
        if not 0 <= number < len(self._sheets):
            raise DataError(f"picture {number}: there is none; load the page anew")
        return self._sheets[number]

    def _pixels(self, sheet: Sheet) -> NDArray[np.uint8]:
        for page, pixels in enumerate(read_pages(self._folder / sheet.file), 1):
            if page == sheet.page:
                return pixels
        raise DataError(f"{sheet.file}: has no page {sheet.page} any more; load the page anew")

    def _read_all(self) -> None:
        for file in self._files:
            if self._ends.is_set():
                return
            try:
                for sheet in self._read(file):
                    with self._lock:
                        self._add(sheet)
            except (DataError, MemoryError, cv2.error) as error:
                self._unreadable.append(str(error) or f"{file}: takes too much memory")
            except Exception:
                # The others are still worth reading.
                logger.exception("%s: a bug", printable(file))
                self._unreadable.append(f"{printable(file)}: a bug; the log has more")
            self._files_read += 1

    def _read(self, file: str) -> Iterator[Sheet]:
        for page, pixels in enumerate(read_pages(self._folder / file), 1):
            turns, pieces = _read_pixels(self._reader, pixels)
            size = pixels.shape[1], pixels.shape[0]
            yield Sheet(-1, file, page, size, turns, pieces, ())

    def _add(self, sheet: Sheet) -> None:
        number = len(self._sheets)
        self._sheets.append(replace(sheet, number=number))
        self._places[sheet.file, sheet.page] = number
        self._update(number)

    def _take_news(self) -> None:
        """Enter what has been said since, here or by another process."""
        for answer in self._journal.news():
            where = answer.file, answer.page
            said = self._said[where] = self._said.pop(where, {})
            said.pop(answer.box, None)
            if answer.label is not None:
                said[answer.box] = answer
            number = self._places.get(where)
            if number is not None:
                self._update(number)

    def _update(self, number: int) -> None:
        """Bring a sheet's pieces, and the counts, up to date."""
        sheet = self._sheets[number]
        pieces = _with_answers(sheet.read, self._said.get((sheet.file, sheet.page), {}))
        self._counts.subtract(_count(sheet.pieces))
        self._counts.update(_count(pieces))
        self._sheets[number] = replace(sheet, pieces=pieces)


def _pictures(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with pictures")
    paths = list(find_pictures(str(folder), recursive=True, skip_unreadable=False))
    if not paths:
        raise DataError(f"{folder}: a folder without pictures; name another")
    return paths


def _read_pixels(reader: Reader, pixels: NDArray[np.uint8]) -> tuple[int, tuple[Piece, ...]]:
    """Quarter turns that set a picture upright, and its digits; one of one digit has it as a whole."""
    one = reader.classifier.classify(pixels)
    if one.digit is None:
        reading = reader.follow(pixels)
        digits = reading.to_page().digits
        if len(digits) > 1:
            pieces = (Piece(digit.box, digit.digit, digit.confidence) for digit in digits)
            return reading.placement.quarter_turns, tuple(pieces)
    return 0, (Piece(None, one.digit, one.confidence if one.digit is not None else 0.0),)


def _with_answers(read: tuple[Piece, ...], said: dict[Box | None, Answer]) -> tuple[Piece, ...]:
    """What the reader found and what people say: their boxes take the place of its own about the same digit."""
    pieces, rest = [], dict(said)
    whole = said.get(None)
    is_whole = whole is not None and whole.label != DELETED
    for piece in read:
        answer = rest.pop(piece.box, None)
        if answer is not None:
            pieces += [] if answer.label == DELETED else [replace(piece, label=answer.label)]
        elif piece.box is None:
            # A picture in which somebody has drawn boxes is not one of one digit.
            pieces += [] if any(said) else [piece]
        elif not is_whole and not any(box and overlap(piece.box, box) > SAME_BOX for box in said):
            pieces.append(piece)
    drawn = (Piece(box, one.read, one.confidence, one.label) for box, one in rest.items() if one.label != DELETED)
    return (*pieces, *drawn)


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of the areas of two boxes."""
    sides = [
        max(0, min(a + length_a, b + length_b) - max(a, b))
        for a, length_a, b, length_b in zip(first[:2], first[2:], second[:2], second[2:], strict=True)
    ]
    common = sides[0] * sides[1]
    return common / max(1, first[2] * first[3] + second[2] * second[3] - common)


def _count(pieces: tuple[Piece, ...]) -> dict[str, int]:
    skipped = sum(one.label == SKIPPED for one in pieces)
    open_ = sum(one.is_open for one in pieces)
    return {"digits": len(pieces), "skipped": skipped, "labelled": len(pieces) - skipped - open_}
