"""What the service may be told, and its limits: every number that decides how much one client can ask of it."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How the service is guarded, and where its work ends."""

    token: str | None = None
    """Who asks for anything but the page must know it; None when anybody may ask."""
    host_names: frozenset[str] | None = None
    """Names by which the service may be called in the header Host, without port; None when any will do."""
    playground: bool = False
    """Whether networks may be trained from the page; needs the extra `train`."""
    threads: int = os.cpu_count() or 1
    """Pictures that are read at the same time."""
    most_waiting: int = 128
    """Requests that may wait for a thread; further ones are sent away with 503."""
    most_bytes: int = 20_000_000
    """Of a request's body; a phone's photos have a quarter of it."""
    most_held_bytes: int = 256_000_000
    """Of all bodies that are in memory at the same time."""
    most_files: int = 32
    """Pictures in one request."""
    body_seconds: float = 60.0
    """In which a body must have arrived."""
    idle_seconds: float = 10.0
    """In which the next part of a body must arrive."""
    answer_seconds: float = 30.0
    """From the end of the body to the answer."""
