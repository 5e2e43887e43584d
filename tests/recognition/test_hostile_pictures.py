"""Pictures made to exhaust the machine: what the largest, the longest and the slowest take of it."""

import io
import struct
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings, target
from hypothesis import strategies as st
from PIL import Image

from helpers.limits import peak_bytes
from mnist_digits.errors import DataError
from mnist_digits.recognition import Classifier, Reader, read_picture
from mnist_digits.recognition.preprocessing.image_io import MAX_JPEG_SCANS, MAX_PICTURE_PIXELS, MAX_PICTURE_SIDE_PX

MEMORY_FACTOR, MEMORY_BYTES, SECONDS = 12, 200_000_000, 15.0
"""A picture takes at most so many times its decoded bytes and so many bytes more of memory, as
docs/explanation/limits.md says, and so many seconds of processor time on a machine of any speed."""

GROUND, PEN = 230, 30


def strip(kind: str, height: int, width: int) -> np.ndarray:
    """A picture of a kind of content, uint8 (height, width)."""
    random = np.random.default_rng(0)
    pixels = np.full((height, width), GROUND, np.uint8)
    match kind:
        case "noise":
            return random.integers(0, 256, (height, width), np.uint8)
        case "lines":
            pixels[::17], pixels[:, ::23] = PEN, PEN
        case "specks":
            count = height * width // 100
            pixels[random.integers(0, height, count), random.integers(0, width, count)] = PEN
        case "digits":
            size = max(8, min(40, height, width))
            for top in range(size, min(height, 20 * size), 2 * size):
                text = "0123456789 " * (width // (8 * size) + 1)
                cv2.putText(pixels, text, (0, top), cv2.FONT_HERSHEY_SIMPLEX, size / 30, PEN, max(1, size // 10))
        case "joined":
            pixels[height // 2 : height // 2 + 3] = PEN
            pixels[:, ::12] = PEN
    return pixels


@pytest.fixture(scope="module")
def reader() -> Reader:
    reader = Reader()
    reader.read(strip("digits", 1000, 1000))
    return reader


SHAPES = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(
    lambda shares: (
        height := round(MAX_PICTURE_SIDE_PX ** shares[0]),
        round(min(MAX_PICTURE_SIDE_PX, MAX_PICTURE_PIXELS // 8 // height) ** shares[1]),
    )
)
"""Heights and widths of up to an eighth of the pixels that may be read, each as likely as ten times as much."""

KINDS = ("blank", "noise", "lines", "specks", "digits", "joined")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of memory")
@settings(max_examples=6)
@given(shape=SHAPES, kind=st.sampled_from(KINDS))
@example(shape=(1, MAX_PICTURE_SIDE_PX), kind="noise")
@example(shape=(MAX_PICTURE_SIDE_PX, 1), kind="specks")
@example(shape=(200, MAX_PICTURE_SIDE_PX), kind="digits")
@example(shape=(MAX_PICTURE_SIDE_PX, 3_200), kind="noise")
@example(shape=(8_000, 8_000), kind="lines")
@example(shape=(1_000, 1_000), kind="joined")
def test_no_shape_takes_more_memory_and_time_than_is_promised(reader: Reader, shape: tuple[int, int], kind: str):
    pixels = strip(kind, *shape)
    before, began = peak_bytes(reset=True), time.process_time()
    reader.read(pixels)
    reader.classifier.classify(pixels)
    seconds, taken = time.process_time() - began, peak_bytes() - before
    target(taken / (MEMORY_FACTOR * pixels.nbytes + MEMORY_BYTES), label="memory")
    target(seconds, label="seconds")
    assert taken <= MEMORY_FACTOR * pixels.nbytes + MEMORY_BYTES
    assert seconds <= SECONDS


@pytest.mark.parametrize("size", [(1, 63_999_999), (16_000_000, 1), (MAX_PICTURE_SIDE_PX + 1, 2), (8_001, 8_000)])
def test_a_small_file_of_a_large_picture_is_refused_unseen(size: tuple[int, int]):
    width, height = size
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packed = zlib.compressobj(9)
    data = packed.compress(bytes(10_000)) + packed.flush()
    chunks = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    began = time.process_time()
    for read in (Classifier().classify, Reader().read):
        with pytest.raises(DataError, match=f"{width:,} × {height:,} pixels, expected at most"):
            read(png)
    assert time.process_time() - began < 5


def test_arrays_and_images_have_the_same_limits():
    with pytest.raises(ValueError, match="20,001 × 1 pixels, expected at most"):
        read_picture(np.zeros((1, MAX_PICTURE_SIDE_PX + 1), np.uint8))
    with pytest.raises(ValueError, match="1 × 20,001 pixels, expected at most"):
        read_picture(Image.new("L", (1, MAX_PICTURE_SIDE_PX + 1)))
    assert read_picture(np.zeros((1, MAX_PICTURE_SIDE_PX), np.uint8)).shape == (1, MAX_PICTURE_SIDE_PX)


def progressive(scans: int) -> bytes:
    """A JPEG whose last scan is repeated until there are so many."""
    file = io.BytesIO()
    Image.fromarray(strip("digits", 64, 256)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * (scans - content.count(b"\xff\xda") + 1) + content[-2:]


def test_a_jpeg_of_as_many_scans_as_are_allowed_is_read_and_one_more_refused(tmp_path: Path):
    few, many = progressive(MAX_JPEG_SCANS), progressive(MAX_JPEG_SCANS + 1)
    assert read_picture(few).shape == (64, 256)
    (tmp_path / "many.jpg").write_bytes(many)
    for picture in (many, tmp_path / "many.jpg"):
        with pytest.raises(DataError, match="a JPEG of 101 scans, expected at most 100; save it anew"):
            read_picture(picture)


def test_a_tiff_that_libtiff_cannot_read_is_told_in_one_line_and_nothing_is_written(capfd: pytest.CaptureFixture[str]):
    file = io.BytesIO()
    Image.fromarray(strip("digits", 32, 32)).save(file, "TIFF", compression="tiff_lzw")
    lzw, webp = struct.pack("<HHIHH", 259, 3, 1, 5, 0), struct.pack("<HHIHH", 259, 3, 1, 50001, 0)
    assert lzw in file.getvalue()
    for damaged in (file.getvalue().replace(lzw, webp), file.getvalue()[:-40]):
        with pytest.raises(DataError) as caught:
            read_picture(damaged)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
