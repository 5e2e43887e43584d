"""Latency of reading a page of forty digits, from a JPEG's bytes to the lines, on one core."""

import statistics
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import measure_seconds
from mnist_digits.dataset import load_mnist
from mnist_digits.recognition import Reader

PAGES = {"1 megapixel": (1024, 1024), "12 megapixels": (3072, 4096)}
"""Name → height and width in pixels."""
LINES, DIGITS_PER_LINE = 5, 8


def write_page() -> NDArray[np.uint8]:
    """Forty of MNIST's test digits in lines on a square page: uint8 (1024, 1024), ink dark."""
    digits = load_mnist().test.images[: LINES * DIGITS_PER_LINE].reshape(LINES, DIGITS_PER_LINE, 28, 28)
    lines = np.vstack([np.hstack(list(line)) for line in digits])
    large = cv2.resize(lines, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    page = np.full((1024, 1024), 235, np.uint8)
    page[300 : 300 + large.shape[0], 150 : 150 + large.shape[1]] -= (large * 0.8).astype(np.uint8)
    return page


def as_photo(page: NDArray[np.uint8], size: tuple[int, int]) -> bytes:
    """The page, uint8 (h, w), resized to a height and width, as a coloured JPEG."""
    large = cv2.resize(page, size[::-1], interpolation=cv2.INTER_CUBIC)
    _, content = cv2.imencode(".jpg", cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return content.tobytes()


def measure_page(name: str, readings: int) -> dict[str, Any]:
    """Milliseconds of each reading of a page, after one to warm up."""
    cv2.setNumThreads(1)
    photo, reader = as_photo(write_page(), PAGES[name]), Reader()
    page = reader.read(photo)
    milliseconds = [1000 * measure_seconds(lambda: reader.read(photo)) for _ in range(readings)]
    return {
        "digits_read": sum(len(line.digits) for line in page.lines),
        "milliseconds": milliseconds,
        "median_milliseconds": statistics.median(milliseconds),
    }
