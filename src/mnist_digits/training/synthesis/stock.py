"""Composed pages kept in a folder, so that a training that goes on, or a second one, composes none of them again."""

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset import Split
from mnist_digits.errors import DataError
from mnist_digits.files import read_json, write_json
from mnist_digits.recognition.preprocessing import ink
from mnist_digits.training.synthesis.pages import Pages

PAGES_PER_BLOCK = 2000
"""Pages that are composed and kept at a time, by all cores: minutes of two, seconds of many."""

Compose = Callable[[Split, int, int], Pages]
"""As `pages.compose`."""


def compose_kept(
    compose: Compose, split: Split, count: int, seed: int, folder: Path, report: Callable[[str], None]
) -> Pages:
    """The first `count` pages of a folder's stock, which is continued as far as needed.

    They are those of no single call of `compose`, but of one for each block, with seeds of their own. The arrays are
    mapped from the disk, 212 kB a page, and not read into memory. report: called with a line after each block. Raises
    DataError when the folder cannot be written, or holds pages of other digits, another seed or another composition.
    """
    block = min(PAGES_PER_BLOCK, count)
    index = _open_index(folder, {"seed": seed, "block": block, "digest": _digest(split)})
    while index["count"] < count:
        number = index["count"] // block
        pages = compose(split, block, _seed_of_block(seed, number))
        try:
            index["arrays"] = {one.name: _append(folder, one.name, getattr(pages, one.name), number) for one in FIELDS}
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror}; make room, or choose another folder") from error
        index["count"] += block
        write_json(folder / "index.json", index)
        report(f"composed {min(count, index['count']):,} of {count:,} pages")
    return Pages(*(_mapped(folder, one.name, count, **index["arrays"][one.name]) for one in FIELDS))


FIELDS = fields(Pages)


def _open_index(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """What the folder holds, as in its index.json; a new one holds nothing."""
    path = folder / "index.json"
    if not path.exists():
        return {**wanted, "count": 0, "arrays": {}}
    found: dict[str, Any] = read_json(path)
    if {name: found.get(name) for name in wanted} != wanted:
        raise DataError(f"{folder}: pages of other digits, another seed or version; remove it, or name another folder")
    return found


def _append(folder: Path, name: str, array: NDArray[Any], number: int) -> dict[str, Any]:
    """Write a block's array at its place in the field's file; returns shape and dtype of a page's."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.bin"
    path.touch()
    with path.open("r+b") as file:
        # What a killed process left there half-written is replaced.
        file.seek(number * array.nbytes)
        file.write(array.tobytes())
        os.fsync(file.fileno())
    return {"shape": array.shape[1:], "dtype": array.dtype.str}


def _mapped(folder: Path, name: str, count: int, shape: list[int], dtype: str) -> NDArray[Any]:
    path = folder / f"{name}.bin"
    needed = count * math.prod(shape) * np.dtype(dtype).itemsize
    if not path.exists() or path.stat().st_size < needed:
        raise DataError(f"{path}: missing or cut short; remove {folder}, and its pages are composed anew")
    return np.memmap(path, dtype, "r", shape=(count, *shape))


def _seed_of_block(seed: int, number: int) -> int:
    return int(np.random.default_rng([seed, number]).integers(2**62))


def _digest(split: Split) -> str:
    """Hash of the digits, and of the code that makes pages of them."""
    code = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(split.images.tobytes() + split.labels.tobytes())
    for path in (*code, Path(ink.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()
