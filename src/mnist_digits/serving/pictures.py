"""How pictures are read: small ones in threads, large ones in processes of their own, which can be ended."""

import functools
import hashlib
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import LifoQueue
from typing import Any

from starlette.exceptions import HTTPException

from mnist_digits.errors import DataError
from mnist_digits.recognition import Reader
from mnist_digits.recognition.preprocessing.image_io import (
    LIGHT_BYTES,
    LIGHT_PAGE_PIXELS,
    LIGHT_PIXELS,
    is_light,
    pixels_to_decode,
)
from mnist_digits.recognition.reading_process import JOBS, ProcessDiedError, ReadingProcess
from mnist_digits.serving.metrics import FOLDER_VARIABLE
from mnist_digits.serving.settings import Settings
from mnist_digits.serving.workers import Workers, busy

REFUSED_FILE = "refused"
"""Name of the file, in the folder that all worker processes share, with the checksums of refused pictures."""

MAX_REFUSED = 256
"""Number of places for refused pictures; the checksum of a newer one takes that of an older one."""


MAX_INLINE_BYTES = 16_384
"""Size of a file up to which a picture may be classified on the event loop."""

MAX_INLINE_PIXELS, MAX_SHARED_INLINE_PIXELS = 100_000, 4_096
"""Pixels up to which it is: such as take no longer than a thread takes to be woken where there are several threads, a
millisecond where there is but one, which would only take turns with the loop."""


class Refused:
    """The pictures that have ended a reading process: a table of SHA-256 checksums that worker processes share."""

    def __init__(self, file: Path | None = None) -> None:
        """file: where the table is; None for one of this process alone."""
        size = MAX_REFUSED * hashlib.sha256().digest_size
        if file is None:
            self._table = mmap.mmap(-1, size)
            return
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as opened:
            opened.truncate(size)
            self._table = mmap.mmap(opened.fileno(), size)

    def __contains__(self, checksum: bytes) -> bool:
        return self._table[self._place(checksum)] == checksum

    def add(self, checksum: bytes) -> None:
        """Refuse this picture from now on."""
        self._table[self._place(checksum)] = checksum

    def _place(self, checksum: bytes) -> slice:
        start = int.from_bytes(checksum[:4], "big") % MAX_REFUSED * len(checksum)
        return slice(start, start + len(checksum))


class Pictures:
    """Reads pictures: small ones in the worker's threads, large ones in processes that wait for each other."""

    def __init__(self, reader: Reader, workers: Workers, settings: Settings) -> None:
        """workers: threads for small pictures."""
        self._reader, self._workers, self._seconds = reader, workers, settings.answer_seconds
        # Where there are more threads, they let more cores work on larger pictures.
        self._most_inline = MAX_INLINE_PIXELS if settings.threads == 1 else MAX_SHARED_INLINE_PIXELS
        self._large = Workers(settings.processes, settings.most_large_waiting, settings.answer_seconds)
        self._processes = [ReadingProcess(reader) for _ in range(settings.processes)]
        self._idle: LifoQueue[ReadingProcess] = LifoQueue()
        for process in self._processes:
            self._idle.put(process)

    async def do(self, job: str, content: bytes, **options: Any) -> dict[str, Any]:
        """The JSON that one of JOBS makes of a picture's bytes.

        Raises DataError when the picture cannot be read, HTTPException 500 when that ended the process, 503 when it
        takes too long or too many wait.
        """
        if job == "predict" and len(content) <= MAX_INLINE_BYTES and pixels_to_decode(content) <= self._most_inline:
            return JOBS[job](self._reader, content, **options)
        result = await self._workers.do(self._do_if_light, job, content, options)
        if result is None:
            result = await self._large.do(self._do_large, job, content, options, time.monotonic() + self._seconds)
        return result

    def close(self) -> None:
        """End the processes. As `Workers.close`."""
        self._large.close()
        for process in self._processes:
            process.close()

    def _do_if_light(self, job: str, content: bytes, options: dict[str, Any]) -> dict[str, Any] | None:
        pixels = LIGHT_PIXELS if job == "predict" else LIGHT_PAGE_PIXELS
        return JOBS[job](self._reader, content, **options) if is_light(content, pixels) else None

    def _do_large(self, job: str, content: bytes, options: dict[str, Any], deadline: float) -> dict[str, Any]:
        checksum = hashlib.sha256(content).digest()
        if checksum in self._refused:
            raise DataError("picture: has ended the process that read it before, expected another; it is not read")
        with self._process() as process:
            try:
                return process.ask(job, content, options, deadline - time.monotonic())
            except ProcessDiedError as error:
                if not error.by_picture:
                    raise busy(str(error)) from None
                self._refused.add(checksum)
                raise HTTPException(500, f"{error}, expected a result; this picture is not read again") from None

    @contextmanager
    def _process(self) -> Iterator[ReadingProcess]:
        process = self._idle.get()
        try:
            yield process
        finally:
            self._idle.put(process)

    @functools.cached_property
    def _refused(self) -> Refused:
        folder = os.environ.get(FOLDER_VARIABLE)
        return Refused(Path(folder) / REFUSED_FILE if folder else None)


def need_light(content: bytes) -> bytes:
    """The same bytes. Raises DataError when they are a large picture."""
    if not is_light(content):
        raise DataError(f"drawing: large, expected at most {LIGHT_PIXELS:,} pixels and {LIGHT_BYTES:,} bytes")
    return content
