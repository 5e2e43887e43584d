"""labels.jsonl: what stands in the pictures of a folder, a line of JSON for each answer, on the disk before it counts.

Lines are only appended, so that neither a crash nor a full disk harms an answer that was given before; of several
answers about the same ink the last one stands. Any number of processes may add to it at the same time.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from mnist_digits.errors import DataError

JOURNAL = "labels.jsonl"
"""Name of the file, in the folder of the pictures."""

Word = Literal["no digit", "skipped", "deleted"]

NO_DIGIT: Word = "no digit"
SKIPPED: Word = "skipped"
DELETED: Word = "deleted"
"""Labels beside 0 to 9: the ink is no digit; it shall be asked about later; the box is wrong."""

MAX_LINE_BYTES = 20_000
"""Size of a line; the longest names of files have four thousand characters."""

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the picture as displayed."""

Key = tuple[str, int, Box | None]


@dataclass(frozen=True)
class Answer:
    """What somebody said about a picture, or about a box in it."""

    file: str
    """The picture's path within the folder, with slashes."""
    page: int
    """Of a file of several pages, from 1."""
    box: Box | None
    """None for a picture of one digit as a whole."""
    label: int | Word | None
    """0 to 9, or one of NO_DIGIT, SKIPPED and DELETED; None takes an earlier answer back."""
    read: int | None = None
    """What the model had read, None for no digit."""
    confidence: float = 0.0
    """The model's, 0 to 1."""
    turns: int = 0
    """Quarter turns to the left that set the page upright."""

    @property
    def key(self) -> Key:
        """What the answer is about: a later answer with the same key takes its place."""
        return self.file, self.page, self.box

    def to_line(self) -> bytes:
        """As a line of JSON, with the time."""
        return json.dumps({"time": round(time.time(), 3), **asdict(self)}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Answer":
        """Raises ValueError for a line that is none."""
        content = json.loads(line)
        try:
            label, box = content["label"], content["box"]
            answer = cls(
                str(content["file"]),
                int(content["page"]),
                _as_box(box),
                label,
                content.get("read"),
                float(content.get("confidence", 0)),
                int(content.get("turns", 0)),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{error}") from None
        if label is not None and label not in (NO_DIGIT, SKIPPED, DELETED) and not is_digit(label):
            raise ValueError(f"label {str(label)[:20]!r}")
        return answer


def is_digit(label: object) -> bool:
    """Whether a label is one of 0 to 9."""
    return type(label) is int and 0 <= label <= 9


def _as_box(values: list[int] | None) -> Box | None:
    if values is None:
        return None
    x, y, width, height = map(int, values)
    return x, y, width, height


class Journal:
    """The answers about one folder. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        """folder: of the pictures; nothing is written before the first answer."""
        self.path = folder / JOURNAL
        self._standing: dict[Key, Answer] = {}
        self._unseen: list[Answer] = []
        self._read_bytes = 0
        self._read_lines = 0

    def standing(self) -> list[Answer]:
        """The answers that stand, also those that others have added meanwhile, the newest last.

        Raises DataError when the file cannot be read, or a line of it is no answer.
        """
        self._refresh()
        return list(self._standing.values())

    def news(self) -> list[Answer]:
        """The answers that have been added, by whomever, since this was last called. Raises as `standing`."""
        self._refresh()
        news, self._unseen = self._unseen, []
        return news

    def add(self, answer: Answer, allow: Callable[[list[Answer]], None] | None = None) -> None:
        """Add an answer; when this returns, it is on the disk.

        allow: called, while no other process can add, with the answers that stand; it may raise an error, and nothing
        is added. Raises DataError when the file cannot be written, for want of space or permission; then it is as it
        was.
        """
        line = answer.to_line()
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"{self.path}: an answer of {len(line):,} bytes, expected a shorter name of a file")
        is_new = not self.path.exists()
        with self._opened("ab+", exclusive=True) as file:
            end = _cut_off_torn_line(file)
            if allow:
                self._take(file)
                allow(list(self._standing.values()))
            try:
                _write(file, line)
            except OSError:
                with suppress(OSError):
                    file.truncate(end)
                raise
            if is_new:
                _sync_folder(self.path.parent)

    def _refresh(self) -> None:
        if self.path.exists():
            with self._opened("rb", exclusive=False) as file:
                self._take(file)

    def _take(self, file: IO[bytes]) -> None:
        """Enter the complete lines after those that have been read."""
        if file.seek(0, os.SEEK_END) < self._read_bytes:
            # Somebody has put another file in its place.
            self._standing, self._read_bytes, self._read_lines = {}, 0, 0
        file.seek(self._read_bytes)
        for line in file.read().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            try:
                answer = Answer.from_line(line)
            except ValueError as error:
                raise DataError(
                    f"{self.path}: line {self._read_lines + 1} is no answer ({error}); mend or remove the line"
                ) from None
            self._read_bytes += len(line)
            self._read_lines += 1
            self._unseen.append(answer)
            # The newest comes last.
            self._standing.pop(answer.key, None)
            if answer.label is not None:
                self._standing[answer.key] = answer

    @contextmanager
    def _opened(self, mode: str, exclusive: bool) -> Iterator[IO[bytes]]:
        """The file, which no other process writes meanwhile. Raises DataError when it cannot be opened or written."""
        try:
            # Unbuffered: what could not be written would be tried once more when it is closed.
            with self.path.open(mode, buffering=0) as file:
                _lock(file, exclusive)
                yield file
        except OSError as error:
            raise DataError(
                f"{self.path}: {error.strerror or error}; nothing was lost: make room, or copy the folder to a place "
                "that can be written"
            ) from error


def _lock(file: IO[bytes], exclusive: bool) -> None:
    """Until the file is closed. Windows has no such locks."""
    with suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)


def _write(file: IO[bytes], line: bytes) -> None:
    """Write all of it, to the disk."""
    while line:
        # Where there is room for a part of it, only the next call fails.
        line = line[file.write(line) :]
    os.fsync(file.fileno())


def _cut_off_torn_line(file: IO[bytes]) -> int:
    """Remove what a process that died wrote of its last line, and return the size of the file."""
    end = file.seek(0, os.SEEK_END)
    start = max(0, end - MAX_LINE_BYTES)
    file.seek(start)
    tail = file.read()
    whole = start + tail.rfind(b"\n") + 1
    if whole < end:
        file.truncate(whole)
    return whole


def _sync_folder(folder: Path) -> None:
    """Have a new file's name on the disk, too, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
