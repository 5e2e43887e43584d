"""Reads and writes IDX files, the format in which MNIST was published.

Layout (http://yann.lecun.com/exdb/mnist/): two zero bytes, a type code (8 = uint8), the number of dimensions, one
big-endian uint32 per dimension, then the values.
"""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_digits.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
UINT8_CODE = 0x08


def read_idx(path: Path, dimensions: int, checksum: str | None = None) -> NDArray[np.uint8]:
    """The read-only uint8 array in an IDX file, plain or gzipped.

    dimensions: number that the array must have (3 for images, 1 for labels).
    checksum: SHA-256 that the file must have, in hexadecimal; None skips the check.
    Raises DataError when the file is missing, damaged, or holds something else.
    """
    raw = _decompress(_read(path, checksum), path)
    magic = bytes([0, 0, UINT8_CODE, dimensions])
    if raw[:4] != magic:
        raise DataError(
            f"{path}: begins with 0x{raw[:4].hex() or '(nothing)'}, expected 0x{magic.hex()} for uint8 values in "
            f"{dimensions} dimension(s); this is not such an IDX file: check its name and where it came from"
        )
    header = 4 + 4 * dimensions
    if len(raw) < header:
        raise DataError(f"{path}: ends inside its {header}-byte header; the file is cut short: copy it again")
    shape = struct.unpack(f">{dimensions}I", raw[4:header])
    expected = math.prod(shape)
    if len(raw) - header != expected:
        fate = "cut short" if len(raw) - header < expected else "too long"
        raise DataError(
            f"{path}: {len(raw) - header:,} bytes of values, expected {expected:,} for the shape "
            f"{shape}; the file is {fate}: copy it again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write a uint8 array as an IDX file, gzipped if the name ends in `.gz`.

    The gzip header has no time stamp, so that the same array gives the same bytes.
    Raises ValueError for another dtype.
    """
    if array.dtype != np.uint8:
        raise ValueError(f"dtype {array.dtype}, expected uint8; IDX images and labels are bytes")
    raw = bytes([0, 0, UINT8_CODE, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)


def _read(path: Path, checksum: str | None) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected an IDX file that can be read") from error
    found = hashlib.sha256(content).hexdigest()
    if checksum not in (None, found):
        raise DataError(
            f"{path}: SHA-256 {found[:12]}…, expected {checksum[:12]}… by its SHA256SUMS; "
            "the file is damaged: copy it again, or install the package anew"
        )
    return content


def _decompress(content: bytes, path: Path) -> bytes:
    if not content.startswith(GZIP_MAGIC):
        if path.suffix == ".gz":
            raise DataError(
                f"{path}: not gzip data in spite of its name; copy it again, or drop the .gz if it is plain"
            )
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip data ({error}); copy it again") from error
