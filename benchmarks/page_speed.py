"""How long a page takes: one of about a megapixel with forty digits, and the same as a photo of twelve megapixels.

    python benchmarks/page_speed.py                        # writes results/page_speed.json, prints the table
    python benchmarks/page_speed.py --tiny --output FILE   # once each, for the tests

On one core, with the reader loaded and warm, from a JPEG's bytes to the lines.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mnist_digits.dataset import load_mnist
from mnist_digits.files import write_json
from mnist_digits.recognition import Reader

RESULTS = Path(__file__).parent.parent / "results" / "page_speed.json"
PIXELS = {"1 megapixel": (1024, 1024), "12 megapixels": (3072, 4096)}
"""Name → height and width."""
ROWS, COLUMNS = 5, 8


def write_page() -> np.ndarray:
    """Forty of MNIST's test digits in rows on a square sheet of paper: uint8 (1024, 1024), ink dark."""
    digits = load_mnist().test.images[: ROWS * COLUMNS].reshape(ROWS, COLUMNS, 28, 28)
    rows = np.vstack([np.hstack(list(row)) for row in digits])
    large = cv2.resize(rows, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    page = np.full((1024, 1024), 235, np.uint8)
    page[300 : 300 + large.shape[0], 150 : 150 + large.shape[1]] -= (large * 0.8).astype(np.uint8)
    return page


def as_photo(page: np.ndarray, size: tuple[int, int]) -> bytes:
    """The page, uint8 (h, w), at a height and width, as a coloured JPEG."""
    large = cv2.resize(page, size[::-1], interpolation=cv2.INTER_CUBIC)
    _, content = cv2.imencode(".jpg", cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return content.tobytes()


def measure(name: str, runs: int) -> dict[str, Any]:
    """Milliseconds of each reading of a page; the first one does not count."""
    cv2.setNumThreads(1)
    photo, reader = as_photo(write_page(), PIXELS[name]), Reader()
    timings = []
    for _ in range(1 + runs):
        start = time.perf_counter()
        page = reader.read(photo)
        timings.append(1000 * (time.perf_counter() - start))
    return {
        "digits_read": sum(len(line.digits) for line in page.lines),
        "milliseconds": timings[1:],
        "median_milliseconds": statistics.median(timings[1:]),
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = ["| a page of 40 digits | one core |", "|---|---:|"]
    for name, row in result["pages"].items():
        lines.append(f"| {name} | {row['median_milliseconds']:.0f} ms |")
    return "\n".join(lines)


def main() -> None:
    """Parse, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="one reading of each")
    parser.add_argument("--runs", type=int, default=15, help="readings of each page (default: 15)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    parser.add_argument("--measure", choices=PIXELS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tiny and options.output == RESULTS:
        parser.error("--tiny measures nothing worth keeping: name another --output")
    runs = 1 if options.tiny else options.runs
    if options.measure:
        print(json.dumps(measure(options.measure, runs)))
        return
    command = [sys.executable, __file__, "--runs", str(runs), "--measure"]
    # One thread for NumPy, too, as `digits read` has it.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    pages = {name: json.loads(subprocess.check_output([*command, name], env=environment)) for name in PIXELS}
    result = {"command": "python benchmarks/page_speed.py", "cores": os.cpu_count(), "pages": pages}
    write_json(options.output, result)
    print(as_table(result))


if __name__ == "__main__":
    main()
