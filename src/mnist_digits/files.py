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
    """A temporary file's path, beside `path`, to write to: renamed to `path` at the end, removed on any exception.

    Readers of `path` find either the old content or all of the new, even after a power failure. The temporary
    name has the same suffix, because some writers look at it. Missing parent folders are made.
    Raises DataError when the file cannot be written, for want of space or permission.
    """
    with _temporary(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """An empty temporary folder, beside `path`, to fill: renamed to `path`, which must not exist, or removed.

    Raises DataError when it cannot be written, for want of space or permission.
    """
    with _temporary(path) as temporary:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside `path`; what has this name at the end is removed, and OSError becomes DataError."""
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; nothing half-written was left: make room or choose another folder"
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        # Without its folder, there is no temporary file either.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def sole_use(path: Path) -> Iterator[None]:
    """Let no other process of this machine have the same path in the same way until the end.

    Raises DataError at once when one has it, or when its folder cannot be written. Windows has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    while True:
        try:
            # A file where the folder should be is told by what follows.
            with suppress(FileExistsError):
                lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("w")
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; choose another folder") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DataError(
                    f"{path}: another command is writing it; wait until it has ended, or name another"
                ) from None
            # Who had it before may have removed it between the two calls, and another made it anew.
            if not lock.exists() or not os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically. Raises DataError like `atomic_write`."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically. Raises DataError like `atomic_write`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError when the file is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected the JSON file that a run writes") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); it was changed or damaged: train again") from error
