"""A full disk, simulated by files that cannot grow beyond a limit; and how much memory was taken."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Make every write beyond this size of a file fail, in this process and in those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def peak_bytes(reset: bool = False) -> int:
    """The most memory that this process has had at once, since it was last asked to forget it."""
    if not Path("/proc/self/clear_refs").exists():
        return 0  # only Linux tells
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
