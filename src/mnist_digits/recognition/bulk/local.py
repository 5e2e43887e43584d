"""Files of an output by a process for each core of this machine."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import ClassVar

from mnist_digits.errors import DataError
from mnist_digits.recognition.bulk.output import Output
from mnist_digits.recognition.bulk.table import PictureReader

OnProgress = Callable[[int], None]
"""Called with the number of rows that are there."""

CONTINUE = "what is finished is kept, and the same command continues"


def read_here(output: Output, workers: int, on_progress: OnProgress = lambda done: None) -> None:
    """Read what is missing, with so many processes.

    The processes import the main module: a script calls this below `if __name__ == "__main__":`.
    Raises DataError when a file cannot be written or a process dies; KeyboardInterrupt ends the work within a picture.
    """
    context = get_context("spawn")
    stopping = context.Event()
    with ProcessPoolExecutor(workers, context, _Process.start, (output.folder, stopping)) as pool:
        try:
            done = output.done()
            for number in _work_through(pool, output, 2 * workers):
                done += output.rows(number)
                on_progress(done)
        except BrokenProcessPool:
            raise DataError(
                f"{output.folder}: a process died, perhaps for want of memory; {CONTINUE}: try fewer --workers"
            ) from None
        except DataError as error:
            raise DataError(f"{error}; {CONTINUE}") from error
        finally:
            stopping.set()
            pool.shutdown(cancel_futures=True)


def _work_through(pool: ProcessPoolExecutor, output: Output, ahead: int) -> Iterator[int]:
    """Has every missing file written; the number of each when it is. No more than so many wait for their turn."""
    waiting: dict[Future[None], int] = {}
    for number in output.missing():
        with _deaf_to_interrupts():
            waiting[pool.submit(_Process.write, number)] = number
        if len(waiting) == ahead:
            yield from _completed(waiting)
    while waiting:
        yield from _completed(waiting)


def _completed(waiting: dict[Future[None], int]) -> Iterator[int]:
    """Takes out what has been written, which is one at least. Raises what went wrong in a process."""
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        future.result()
        yield waiting.pop(future)


class _Process:
    """What each process has."""

    output: ClassVar[Output]
    reader: ClassVar[PictureReader]
    stopping: ClassVar[Event]

    @classmethod
    def start(cls, folder: Path, stopping: Event) -> None:
        threading.Thread(target=_die_with_parent, daemon=True).start()
        cls.output, cls.stopping = Output.open(folder), stopping
        cls.reader = PictureReader(cls.output.settings.mode, cls.output.model)

    @classmethod
    def write(cls, number: int) -> None:
        table = cls.reader.read(cls.output.paths(number), lambda: not cls.stopping.is_set())
        cls.output.write(number, table)


def _die_with_parent() -> None:
    """A pool's processes would wait for work for ever when the one that has it is killed."""
    parent = parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started meanwhile never hear of Ctrl-C; this one does afterwards, and tells them to stop."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
