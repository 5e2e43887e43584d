"""Pages of handwritten digits: this project's Reader, an OpenCV tutorial, Tesseract and RapidOCR, in one run.

    python -m benchmarks.reading                        # writes results/reading.json, prints the tables; ~1 hour
    python -m benchmarks.reading --only reader          # measures it anew, keeps the other rows
    python -m benchmarks.reading --table                # measures nothing: prints what was measured
    python -m benchmarks.reading --dev --pages 30 --only reader --output FILE --dump FOLDER    # while developing
    python -m benchmarks.reading --tiny --output FILE   # a few pages without the slow readers, for the tests

The pages are generated while they are read (pages/), from MNIST's test digits, the same in every run; with --dev other
pages, from the digits set aside for validation. Every reader has one thread. The tutorial's network is trained at the
start, for 5 epochs, unless the file of an earlier run exists. Tesseract comes with `apt-get install tesseract-ocr`,
RapidOCR with `pip install '.[peers]'`; readers that are not installed are left out.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting, as_percent
from benchmarks.peers.contenders import export_keras_example
from benchmarks.reading.pages.composition import WrittenPage, make_page
from benchmarks.reading.pages.levels import LEVELS
from benchmarks.reading.readers import PAGE_READERS, Picture, Read, ReadLine
from mnist_digits.dataset import Split, load_mnist
from mnist_digits.evaluation.readings import Score, align, interval, only_digits, score_page
from mnist_digits.files import read_json
from mnist_digits.runs import RUNS

RESULTS = harness.RESULTS / "reading.json"
SETTINGS = {
    "pages": Setting(200, 1, "pages of each level"),
    # Of the tutorial's network, which Keras's example trains for 15.
    "epochs": Setting(5, 1),
}
NETWORK = harness.ROOT / RUNS / "keras-example.onnx"
FIRST_DEV_SEED = 1_000_000
"""Seed of the first page for development: so these pages differ from the measured ones in their layout too."""
MAX_ANNOTATED_SIDE_PX = 1400
ANNOTATION_LINE_PX = 28


@dataclass(frozen=True)
class Reading:
    """How a reader read a page."""

    score: Score
    milliseconds: float
    failed: bool
    """Whether the reader raised an exception."""


def measure_level(level: str, readers: dict[str, Read], options: argparse.Namespace) -> dict[str, list[Reading]]:
    """Readings of the pages of a level by every reader."""
    digits = choose_digits(options.dev)
    readings: dict[str, list[Reading]] = {name: [] for name in readers}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.png"
        for number in range(options.pages):
            seed = number + (FIRST_DEV_SEED if options.dev else 0)
            page = make_page(digits.images, digits.labels, level, seed)
            Image.fromarray(page.pixels).save(path, compress_level=1)
            for name, read in readers.items():
                reading, lines = measure_page(page, path, read)
                readings[name].append(reading)
                if options.dump and reading.score.accuracy < 1:
                    Image.fromarray(annotate(page, lines)).save(options.dump / f"{level}-{number}-{name}.png")
    return readings


def choose_digits(dev: bool) -> Split:
    """The digits on the pages: MNIST's test images, or for development those set aside for validation."""
    return load_mnist().validation if dev else load_mnist().test


def measure_page(page: WrittenPage, path: Path, read: Read) -> tuple[Reading, list[ReadLine]]:
    """One reader's reading of a page, and its lines. path: a PNG of the page."""
    lines: list[ReadLine] = []
    failed = False
    start = time.perf_counter()
    # A measurement of an hour goes on: a reader that fails has read nothing, and the result says so.
    try:
        lines = read(Picture(page.pixels, path))
    except Exception:
        failed = True
        traceback.print_exc()
    milliseconds = 1000 * (time.perf_counter() - start)
    score = score_page([line.text for line in page.lines], [line.text for line in lines])
    return Reading(score, milliseconds, failed), lines


def summarise(readings: Sequence[Reading]) -> dict[str, Any]:
    """A reader's row for one level."""
    scores = [reading.score for reading in readings]
    total = Score.total(scores)
    return {
        "pages": len(scores),
        **asdict(total),
        "digit_accuracy": total.accuracy,
        "interval95": interval(scores),
        "exact_rows": total.exact / total.rows,
        "failures": sum(reading.failed for reading in readings),
        "median_milliseconds": statistics.median(reading.milliseconds for reading in readings),
    }


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure level by level."""
    cv2.setNumThreads(1)
    rows = _kept_rows(options)
    readers = open_readers(options, rows)
    result = {**_describe_pages(options), "environment": _describe_environment()}
    if options.dump:
        options.dump.mkdir(parents=True, exist_ok=True)
    result["rows"] = {name: rows[name] for name in PAGE_READERS if name in rows}
    yield result
    for level in LEVELS if readers else ():
        for name, readings in measure_level(level, readers, options).items():
            rows[name]["levels"][level] = summarise(readings)
            print(f"{level}, {rows[name]['title']}: {rows[name]['levels'][level]}", file=sys.stderr)
        yield result


def open_readers(options: argparse.Namespace, rows: dict[str, Any]) -> dict[str, Read]:
    """The readers by name, ready to read; begins a row for each, also for those that are not installed."""
    everyone = [name for name, reader in PAGE_READERS.items() if not (options.tiny and reader.slow)]
    readers: dict[str, Read] = {}
    for name in options.only or everyone:
        reader = PAGE_READERS[name]
        rows[name] = {"title": reader.title}
        if missing := reader.missing():
            print(f"{reader.title}: {missing}, then measure it with --only {name}", file=sys.stderr)
            rows[name]["not_measured"] = missing.split(";")[0]
            continue
        if name == "tutorial" and not options.network.exists():
            export_keras_example(load_mnist(), options.network, options.epochs)
        readers[name] = reader.open(options.network)
        rows[name] |= {"model_bytes": reader.model_bytes(options.network), "levels": {}}
    return readers


def _describe_pages(options: argparse.Namespace) -> dict[str, Any]:
    return {"pages": options.pages, "digits": "validation" if options.dev else "test"}


def _kept_rows(options: argparse.Namespace) -> dict[str, Any]:
    """The rows of an earlier run that are not measured anew; exits if that run read other pages."""
    if not options.only or not options.output.exists():
        return {}
    before, now = read_json(options.output), _describe_pages(options)
    if any(before[key] != value for key, value in now.items()):
        sys.exit(f"{options.output}: {before['pages']} pages of {before['digits']} digits, not the same as now: {now}")
    return before["rows"]


def _describe_environment() -> dict[str, Any]:
    environment = harness.describe_environment("rapidocr", "onnxruntime", "opencv-python-headless")
    if PAGE_READERS["tesseract"].missing() is None:
        told = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True).stdout
        environment["versions"]["tesseract"] = told.split()[1]
    return environment


def as_table(result: dict[str, Any]) -> str:
    """The result as Markdown, a table for each level."""
    rows = result["rows"].values()
    tables = []
    for level in LEVELS:
        measured = [row["levels"][level] for row in rows if level in row.get("levels", {})]
        if not measured and any(row.get("levels") for row in rows):
            continue
        count = measured[0] if measured else {"pages": 0, "digits": 0, "rows": 0}
        header = [f"{level}: {count['pages']} pages, {count['digits']:,} digits, {count['rows']:,} rows"]
        header += ["digits right", "95 % interval", "rows without error", "mistaken", "missed", "invented"]
        header += ["ms a page", "model"]
        tables.append(harness.as_markdown(header, ([row["title"], *_describe(row, level)] for row in rows)))
    failures = {
        f"{row['title']} broke off with an error on {measured['failures']} pages of level {level}."
        for row in rows
        for level, measured in row.get("levels", {}).items()
        if measured["failures"]
    }
    return "\n\n".join([*tables, *sorted(failures)])


def _describe(row: dict[str, Any], level: str) -> list[str]:
    """A reader's cells for one level after its title."""
    if level not in row.get("levels", {}):
        return ["not measured", *[""] * 7]
    measured = row["levels"][level]
    low, high = measured["interval95"]
    return [
        _percent(measured["digit_accuracy"]),
        f"{_percent(low)} to {_percent(high)}",
        as_percent(measured["exact_rows"]),
        *(f"{measured[kind]:,}" for kind in ("mistaken", "missed", "invented")),
        f"{measured['median_milliseconds']:,.0f}",
        f"{row['model_bytes'] / 1e6:.1f} MB",
    ]


def _percent(share: float) -> str:
    """An accuracy, which is negative where there are more edits than digits; by how much says little."""
    return as_percent(share) if share >= 0 else "< 0 %"


def annotate(page: WrittenPage, lines: Sequence[ReadLine]) -> NDArray[np.uint8]:
    """The page, uint8 (h, w, 3), with the boxes of written digits in green and of read ones in magenta.

    Below it both texts, line by line; it is shrunk to MAX_ANNOTATED_SIDE_PX.
    """
    scale = min(1.0, MAX_ANNOTATED_SIDE_PX / max(page.pixels.shape))
    picture = cv2.resize(page.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for colour, some in (((0, 170, 0), page.lines), ((230, 0, 200), lines)):
        for box in (box for line in some for box in line.boxes):
            x, y, wide, tall = (round(side * scale) for side in box)
            cv2.rectangle(picture, (x, y), (x + wide, y + tall), colour, 1)
    true, read = only_digits(line.text for line in page.lines), only_digits(line.text for line in lines)
    panel = np.full((ANNOTATION_LINE_PX * (len(true) + len(read) + 1), max(picture.shape[1], 700), 3), 255, np.uint8)
    used = 0
    for there, seen in align(true, read):
        wanted, found = "-" if there is None else true[there], "-" if seen is None else read[seen]
        used += ANNOTATION_LINE_PX
        colour = (0, 120, 0) if wanted == found else (200, 0, 0)
        text = f"{wanted}    read {found}" if wanted != found else wanted
        cv2.putText(panel, text, (8, used), cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, 1, cv2.LINE_AA)
    space = np.full((len(picture), panel.shape[1] - picture.shape[1], 3), 255, np.uint8)
    return np.vstack([np.hstack([picture, space]), panel[: used + 12]])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choice of pages, and what helps to develop a reader."""
    network = "the tutorial's network; trained if there is no such file"
    parser.add_argument("--dev", action="store_true", help="pages of digits set aside for validation, for choices")
    parser.add_argument("--dump", type=Path, metavar="FOLDER", help="where to draw every page that was read wrong")
    parser.add_argument("--network", type=Path, default=NETWORK, help=network)


BENCHMARK = Benchmark(
    RESULTS, __doc__, run, as_table, SETTINGS, only=PAGE_READERS, add_arguments=add_arguments, flags=("dev",)
)
