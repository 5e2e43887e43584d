import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mnist_digits.dataset import read_idx, write_idx
from mnist_digits.errors import DataError

ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=5))


@given(array=ARRAYS, suffix=st.sampled_from(["idx3-ubyte", "idx3-ubyte.gz"]))
def test_what_is_written_is_read(tmp_path_factory, array, suffix):
    path = tmp_path_factory.mktemp("idx") / suffix
    write_idx(path, array)
    np.testing.assert_array_equal(read_idx(path, 3), array)


def test_layout_is_the_published_one(tmp_path: Path):
    path = tmp_path / "labels"
    write_idx(path, np.array([7, 2, 1], np.uint8))
    assert path.read_bytes() == bytes.fromhex("00000801 00000003 070201")


def test_same_array_gives_the_same_gzip(tmp_path: Path):
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.arange(9, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_only_bytes_are_written(tmp_path: Path):
    with pytest.raises(ValueError, match="float32, expected uint8"):
        write_idx(tmp_path / "x", np.zeros(3, np.float32))


LABELS = bytes([0, 0, 8, 1]) + struct.pack(">I", 4) + bytes([1, 2, 3, 4])
# The clock would go into the tests' names, which every process must find the same.
ZIPPED = gzip.compress(LABELS, mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x", b"", "nothing"),
        ("x", b"\x89PNG\r\n", "0x89504e47, expected 0x00000801"),
        ("x", bytes([0, 0, 8, 3]) + LABELS[4:], "expected 0x00000801"),
        ("x", bytes([0, 0, 13, 1]) + LABELS[4:], "0x00000d01"),
        ("x", LABELS[:6], "inside its 8-byte header"),
        ("x", LABELS[:-1], "3 bytes of values, expected 4.*cut short"),
        ("x", LABELS + b"\0", "more bytes of values, expected 4.*too long"),
        ("x.gz", LABELS, "not gzip data"),
        ("x.gz", ZIPPED[:-9], "damaged gzip"),
        ("x.gz", ZIPPED[:12] + b"\xff\xff" + ZIPPED[14:], "damaged gzip|begins with"),
        ("x.gz", ZIPPED[:-8] + bytes(8), "damaged gzip"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes, message: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, 1)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path: Path):
    with pytest.raises(DataError, match="No such file"):
        read_idx(tmp_path / "x", 1)


def test_wrong_checksum(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(LABELS)
    with pytest.raises(DataError, match="SHA-256 .* expected 000000000000"):
        read_idx(path, 1, checksum="0" * 64)


@given(position=st.integers(0, len(LABELS) - 1), value=st.integers(0, 255))
def test_any_changed_byte_gives_an_array_or_a_clear_error(tmp_path_factory, position, value):
    path = tmp_path_factory.mktemp("idx") / "x"
    path.write_bytes(LABELS[:position] + bytes([value]) + LABELS[position + 1 :])
    try:
        assert read_idx(path, 1).shape == (4,)
    except DataError as error:
        assert str(path) in str(error)
