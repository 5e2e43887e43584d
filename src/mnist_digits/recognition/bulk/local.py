"""Writing the files of an output by several processes of this machine."""

import logging
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

from mnist_digits.errors import DataError, printable
from mnist_digits.recognition.bulk.output import Output
from mnist_digits.recognition.bulk.table import PictureReader

logger = logging.getLogger(__name__)

OnProgress = Callable[[int], None]
"""Called with the number of rows that are written so far."""

CONTINUE = "what is finished is kept, and the same command continues"


def read_here(output: Output, workers: int, on_progress: OnProgress = lambda done: None) -> None:
    """Write the missing files of an output. workers: number of processes.

    The processes import the main module: a script calls this below `if __name__ == "__main__":`.
    Raises DataError when a file cannot be written or a process dies; KeyboardInterrupt ends the work within a picture.
    """
    context = get_context("spawn")
    # The first of these starts a process of Python's that keeps track of them.
    with _interrupts_blocked():
        stopping = context.Event()
        pool = ProcessPoolExecutor(workers, context, _Worker.start, (output.folder, stopping))
    with pool:
        try:
            done = output.done()
            logger.info(
                "%s: %d of %d rows are written; %d processes", printable(output.folder), done, output.pictures, workers
            )
            for number in _written(pool, output, 2 * workers):
                done += output.rows(number)
                logger.debug("%s: wrote file %d, %d rows in all", printable(output.folder), number, done)
                on_progress(done)
        except BrokenProcessPool:
            logger.warning("%s: a process died", printable(output.folder))
            raise DataError(
                f"{output.folder}: a process died, perhaps for want of memory; {CONTINUE}: try fewer --workers"
            ) from None
        except DataError as error:
            raise DataError(f"{error}; {CONTINUE}") from error
        finally:
            stopping.set()
            pool.shutdown(cancel_futures=True)


def _written(pool: ProcessPoolExecutor, output: Output, most_waiting: int) -> Iterator[int]:
    """Have every missing file written; the number of each when it is. most_waiting: files that are handed out ahead."""
    waiting: dict[Future[None], int] = {}
    for number in output.missing():
        with _interrupts_blocked():
            waiting[pool.submit(_Worker.write, number)] = number
        if len(waiting) == most_waiting:
            yield from _completed(waiting)
    while waiting:
        yield from _completed(waiting)


def _completed(waiting: dict[Future[None], int]) -> Iterator[int]:
    """Wait for at least one file, and remove what is written. Raises what a process has raised."""
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        future.result()
        yield waiting.pop(future)


class _Worker:
    """The state of each process."""

    output: ClassVar[Output]
    reader: ClassVar[PictureReader]
    stopping: ClassVar[Event]

    @classmethod
    def start(cls, folder: Path, stopping: Event) -> None:
        threading.Thread(target=_exit_with_parent, daemon=True).start()
        cls.output, cls.stopping = Output.open(folder), stopping
        cls.reader = PictureReader(cls.output.settings.mode, cls.output.model)

    @classmethod
    def write(cls, number: int) -> None:
        table = cls.reader.read(cls.output.paths(number), lambda: not cls.stopping.is_set())
        cls.output.write(number, table)


def _exit_with_parent() -> None:
    """End this process when its parent is killed: a pool's processes would wait for work for ever."""
    parent = parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT and SIGHUP, so that processes started meanwhile ignore what a terminal sends to all of them.

    This one gets it afterwards, and stops them.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
