"""Atomic writes: a file or folder appears complete or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mnist_digits.errors import DataError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; moved to `path` at the end, or removed when anything fails.

    Whoever looks at `path` finds the old content or all of the new, even after a power cut. The
    name keeps its suffix, for writers that look at it. Folders on the way are made.
    Raises DataError when the file cannot be written: no space, no permission.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; nothing half-written was left: make room or choose another folder"
        ) from error
    finally:
        # Where there is no folder, there is no file either.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` to fill; moved to `path`, where there must be nothing, at the end, or removed.

    Raises DataError when it cannot be written: no space, no permission.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(path)
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; nothing half-written was left: make room or choose another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all. Raises DataError like `whole`."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all. Raises DataError like `whole`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError when it is missing or is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected the JSON file that a run writes") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); it was changed or damaged: train again") from error
