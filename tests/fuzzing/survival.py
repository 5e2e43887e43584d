"""Whether a hostile file is survived, with a result or a DigitsError in bounded time and memory; others are kept."""

import faulthandler
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.limits import peak_bytes
from mnist_digits.errors import DigitsError

CASES = Path(__file__).parent / "cases"
"""Files that once were not survived. Each is tried in every run of the tests."""

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Number of files that each test makes up; 0 for the few of `make test`."""

SECONDS = 20.0
"""Processor time for one file, on a machine of any speed."""

MEMORY_BYTES = 1_000_000_000
"""Memory for one file: what pictures of this size, models and data sets of a few images are promised."""

HANGING_SECONDS = 120
"""Time after which a process that is stuck in a file is ended, where files are kept."""


def examples(few: int) -> int:
    """Number of files to make up, of which `make test` makes only so few."""
    return EXAMPLES or few


@contextmanager
def survived(kind: str, suffix: str, content: bytes) -> Iterator[None]:
    """Let the block use the file; raise AssertionError when it takes too long or too much memory.

    A DigitsError is an answer, if it is one line. In `make fuzz`, what is not survived is left in CASES, by the name of
    the error, and what ended or hung the whole process by the name "died"; Hypothesis tries the smallest one last.
    """
    died = CASES / f"{kind}-died-{os.getpid()}{suffix}"
    if EXAMPLES:
        died.write_bytes(content)
        faulthandler.dump_traceback_later(HANGING_SECONDS, exit=True)
    before, began = peak_bytes(reset=True), time.process_time()
    try:
        try:
            yield
        except DigitsError as error:
            assert "\n" not in str(error)
            assert str(error).isprintable()
        seconds, memory = time.process_time() - began, peak_bytes() - before
        assert seconds <= SECONDS, f"{seconds:.1f} s"
        assert memory <= MEMORY_BYTES, f"{memory:,} bytes"
    except Exception as error:
        if EXAMPLES:
            (CASES / f"{kind}-{type(error).__name__}{suffix}").write_bytes(content)
        raise
    finally:
        if EXAMPLES:
            faulthandler.cancel_dump_traceback_later()
            died.unlink()


def cases(kind: str) -> list[Path]:
    """The files of a kind that are kept."""
    return sorted(CASES.glob(f"{kind}-*"))
