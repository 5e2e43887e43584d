"""Settings of the service: who may use it, and how much one client may ask of it."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Access and limits of the service. Each worker process applies the limits for itself."""

    token: str | None = None
    """Bearer token for every guarded route (`middleware.GUARDED_PREFIXES`); None disables authentication."""
    host_names: frozenset[str] | None = None
    """Accepted names in the header Host, in lower case and without port; None accepts any."""
    playground: bool = False
    """Whether networks may be trained from the page; needs the extra `train`."""
    runs: Path | None = None
    """Folder in which visitors may keep what they have trained, as runs; None keeps none."""
    access_log: bool = False
    """Whether the logger `mnist_digits.access` is told of every request, as a line of JSON."""
    threads: int = os.cpu_count() or 1
    """Number of threads, each of which handles one picture at a time."""
    most_large_waiting: int = 8
    """Maximum number of large pictures that wait for one of `processes`; further ones are answered with 503."""
    most_waiting: int = 128
    """Maximum number of requests that wait for a thread; further ones are answered with 503."""
    most_bytes: int = 20_000_000
    """Maximum size of a request's body; a phone's photo has about 5 MB."""
    most_held_bytes: int = 256_000_000
    """Maximum size of all bodies that are in memory at the same time."""
    most_files: int = 32
    """Maximum number of pictures in one request."""
    body_seconds: float = 60.0
    """Seconds from the end of a request's headers until its whole body must have arrived; then it gets 408."""
    idle_seconds: float = 10.0
    """Seconds within a request's body without any data until the request gets 408."""
    answer_seconds: float = 30.0
    """Seconds from the end of a request's body until it is answered with 503."""

    label: Path | None = None
    """Folder whose pictures are labelled in the page; None for none."""
    collect: Path | None = None
    """Folder in which drawings are kept that visitors correct; None keeps none."""
    most_collected: int = 1000
    """Maximum number of drawings that are kept; for further ones there is no room."""
    most_collected_bytes: int = 50_000_000
    """Maximum size of all of them together."""

    @property
    def processes(self) -> int:
        """Maximum number of processes that read one large picture each."""
        return max(1, self.threads // 2)
