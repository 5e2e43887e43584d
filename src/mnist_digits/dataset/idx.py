"""Reads and writes IDX files, the format in which MNIST was published.

Layout (http://yann.lecun.com/exdb/mnist/): two zero bytes, a type code (8 = uint8, 12 = int32), the number of
dimensions, one big-endian uint32 per dimension, then the values, big-endian.
"""

import gzip
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
UINT8_CODE, INT32_CODE = 0x08, 0x0C
DTYPES: dict[int, np.dtype[Any]] = {UINT8_CODE: np.dtype(np.uint8), INT32_CODE: np.dtype(">i4")}
"""Type code of a file → the dtype of its values."""

MAX_VALUES = 4_000_000_000
"""Number of values in a file, five million images; more would not fit into the memory of a usual machine."""


def read_idx(path: Path, dimensions: int, checksum: str | None = None, code: int = UINT8_CODE) -> NDArray[Any]:
    """The read-only array in an IDX file, plain or gzipped.

    dimensions: number that the array must have (3 for images, 1 for labels). code: a key of DTYPES, the values' type.
    checksum: SHA-256 that the file must have, in hexadecimal; None skips the check.
    Raises DataError when the file is missing, damaged, holds something else or more than MAX_VALUES.
    """
    content = _read(path, checksum)
    try:
        # Not unpacked at once: a small file may become a very large one.
        with _unpacked(content, path) as file:
            shape = _read_shape(path, file, dimensions, code)
            expected = math.prod(shape) * DTYPES[code].itemsize
            raw = file.read(expected + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip data ({error}); copy it again") from error
    if len(raw) != expected:
        found, fate = (f"{len(raw):,}", "cut short") if len(raw) < expected else ("more", "too long")
        raise DataError(
            f"{path}: {found} bytes of values, expected {expected:,} for the shape {shape}; the file is {fate}: "
            "copy it again"
        )
    return np.frombuffer(raw, DTYPES[code]).reshape(shape)


def _read_shape(path: Path, file: io.BufferedIOBase, dimensions: int, code: int) -> tuple[int, ...]:
    """The shape in a file's header, after which the values follow."""
    size = 4 + 4 * dimensions
    header = file.read(size)
    magic = bytes([0, 0, code, dimensions])
    if header[:4] != magic:
        raise DataError(
            f"{path}: begins with 0x{header[:4].hex() or '(nothing)'}, expected 0x{magic.hex()} for "
            f"{DTYPES[code].name} values in {dimensions} dimension(s); this is no such IDX file: check its name and "
            "where it came from"
        )
    if len(header) < size:
        raise DataError(f"{path}: ends inside its {size}-byte header; the file is cut short: copy it again")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if math.prod(shape) > MAX_VALUES:
        raise DataError(f"{path}: {math.prod(shape):,} values, expected at most {MAX_VALUES:,}; take a part of the set")
    return shape


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write a uint8 array as an IDX file, gzipped if the name ends in `.gz`.

    The gzip header has no time stamp, so that the same array gives the same bytes.
    Raises ValueError for another dtype.
    """
    if array.dtype != np.uint8:
        raise ValueError(f"dtype {array.dtype}, expected uint8; IDX images and labels are bytes")
    header = bytes([0, 0, UINT8_CODE, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(header + array.tobytes(), mtime=0))
        return
    with path.open("wb") as file:
        file.write(header)
        # The array's own memory: a copy of a large set might not fit beside it.
        file.write(np.ascontiguousarray(array).data)


def _read(path: Path, checksum: str | None) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_VALUES + 1)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected an IDX file that can be read") from error
    if len(content) > MAX_VALUES:
        raise DataError(f"{path}: more than {MAX_VALUES:,} bytes; take a part of the set")
    found = hashlib.sha256(content).hexdigest()
    if checksum not in (None, found):
        raise DataError(
            f"{path}: SHA-256 {found[:12]}…, expected {checksum[:12]}… by its SHA256SUMS; "
            "the file is damaged: copy it again, or install the package anew"
        )
    return content


def _unpacked(content: bytes, path: Path) -> io.BufferedIOBase:
    """What is in a file, gzipped or not, to be read from the beginning."""
    if content.startswith(GZIP_MAGIC):
        return gzip.GzipFile(fileobj=io.BytesIO(content))
    if path.suffix == ".gz":
        raise DataError(f"{path}: not gzip data in spite of its name; copy it again, or drop the .gz if it is plain")
    return io.BytesIO(content)
