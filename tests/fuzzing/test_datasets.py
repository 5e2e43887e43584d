"""Data sets that are valid but for one field, through `load_mnist`."""

import gzip
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzzing.structures import edges
from fuzzing.survival import cases, examples, survived
from mnist_digits.dataset import load_mnist

NAMES = {3: "train-images-idx3-ubyte", 1: "train-labels-idx1-ubyte"}
COUNT = 24


@dataclass(frozen=True)
class Idx:
    """The fields of an IDX file."""

    zeros: int = 0
    code: int = 8
    dimensions: int = 3
    sizes: tuple[int, ...] = (COUNT, 28, 28)
    values: bytes = bytes(COUNT * 784)
    packed: bool = False
    times: int = 1
    """How often the values follow the header."""

    def content(self) -> bytes:
        """The file."""
        header = struct.pack(">HBB", self.zeros, self.code, self.dimensions)
        header += b"".join(struct.pack(">I", size) for size in self.sizes)
        if not self.packed:
            return header + self.values * self.times
        # Of several members, so that a file which becomes gigabytes is made in no time.
        return gzip.compress(header, 1) + gzip.compress(self.values, 1) * self.times


VALID = {3: Idx(), 1: Idx(dimensions=1, sizes=(COUNT,), values=bytes(number % 10 for number in range(COUNT)))}


@st.composite
def files(draw: st.DrawFn) -> tuple[int, Idx]:
    """Which file, and its fields, of which one is hostile."""
    which = draw(st.sampled_from(sorted(VALID)))
    valid = replace(VALID[which], packed=draw(st.booleans()))
    match draw(st.sampled_from(["zeros", "code", "dimensions", "sizes", "more sizes", "values", "times"])):
        case "zeros":
            return which, replace(valid, zeros=draw(edges(16)))
        case "code":
            return which, replace(valid, code=draw(edges(8)))
        case "dimensions":
            return which, replace(valid, dimensions=draw(edges(8)))
        case "sizes":
            sizes = list(valid.sizes)
            sizes[draw(st.integers(0, len(sizes) - 1))] = draw(edges(32))
            return which, replace(valid, sizes=tuple(sizes))
        case "more sizes":
            return which, replace(valid, sizes=tuple(draw(st.lists(edges(32), max_size=5))))
        case "values":
            return which, replace(valid, values=draw(st.binary(max_size=100)))
        case _:
            return which, replace(valid, times=draw(st.sampled_from([0, 2, 100])))


def load(folder: Path, which: int, content: bytes) -> None:
    """Load the valid set in a folder, in which one file is replaced meanwhile."""
    path = folder / NAMES[which]
    path.write_bytes(content)
    try:
        with survived("idx", f".{which}", content):
            load_mnist(folder)
    finally:
        path.write_bytes(VALID[which].content())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    for which, name in NAMES.items():
        for part in ("train", "t10k"):
            (folder / name.replace("train", part)).write_bytes(VALID[which].content())
    assert len(load_mnist(folder).test) == COUNT
    return folder


@settings(max_examples=examples(60))
@given(file=files())
@example(file=(3, replace(VALID[3], packed=True, values=bytes(50_000_000), times=40)))
def test_one_hostile_field_is_survived(folder: Path, file: tuple[int, Idx]):
    which, fields = file
    load(folder, which, fields.content())


def test_cases_that_were_not_survived_once_are_now(folder: Path):
    for path in cases("idx"):
        load(folder, int(path.suffix[1:]), path.read_bytes())
