"""Pages of handwritten digits: this project's Reader, an OpenCV tutorial, Tesseract and RapidOCR, in one run.

    python benchmarks/reading.py                        # writes results/reading.json, prints the tables; ~1 hour
    python benchmarks/reading.py --only reader          # measures it anew, keeps the other rows
    python benchmarks/reading.py --table                # measures nothing: prints what was measured
    python benchmarks/reading.py --dev --pages 30 --only reader --output FILE --dump FOLDER    # while developing
    python benchmarks/reading.py --tiny --output FILE   # a few pages without the slow readers, for the tests

The pages are made as they are read (pages.py), of MNIST's test digits, the same in every run; with --dev others, of
training digits. Every reader has one thread. The tutorial's network is trained at the start, for 5 epochs, unless a
file of an earlier run is there. Tesseract comes with `apt-get install tesseract-ocr`, RapidOCR with
`pip install '.[peers]'`; who is missing is left out.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from levels import LEVELS
from mnist_digits.dataset import Split, load_mnist
from mnist_digits.files import read_json, write_json
from mnist_digits.runs import RUNS
from mnist_digits.training import backend
from page_readers import PAGE_READERS, Given, Read, ReadLine, train_tutorial
from pages import WrittenPage, make_page
from scoring import Score, align, interval, only_digits, score_page

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "reading.json"
NETWORK = ROOT / RUNS / "keras-example.onnx"
EPOCHS = 5
"""Of the tutorial's network, which Keras's example trains for 15."""
DEV_SEEDS = 1_000_000
"""Where the seeds of the pages for development begin: they differ from the measured ones in their layout too."""


@dataclass(frozen=True)
class Reading:
    """What somebody made of a page."""

    score: Score
    milliseconds: float
    failed: bool
    """Whether it broke off with an error."""


def measure_level(level: str, readers: dict[str, Read], options: argparse.Namespace) -> dict[str, list[Reading]]:
    """Every reader on the same pages of a level, one page after the other."""
    digits = choose_digits(options.dev)
    readings: dict[str, list[Reading]] = {name: [] for name in readers}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.png"
        for number in range(options.pages):
            seed = number + (DEV_SEEDS if options.dev else 0)
            page = make_page(digits.images, digits.labels, level, seed)
            Image.fromarray(page.pixels).save(path, compress_level=1)
            for name, read in readers.items():
                reading, lines = measure_page(page, path, read)
                readings[name].append(reading)
                if options.dump and reading.score.accuracy < 1:
                    Image.fromarray(annotate(page, lines)).save(options.dump / f"{level}-{number}-{name}.png")
    return readings


def choose_digits(dev: bool) -> Split:
    """What the pages are drawn from: test digits, or training digits for development."""
    return load_mnist().train if dev else load_mnist().test


def measure_page(page: WrittenPage, path: Path, read: Read) -> tuple[Reading, list[ReadLine]]:
    """One reader on one page, whose picture also lies at that path."""
    lines: list[ReadLine] = []
    failed = False
    start = time.perf_counter()
    # An hour's measurement shall not end here: who fails has read nothing, and the result says so.
    try:
        lines = read(Given(page.pixels, path))
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


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure level by level; the file has every level as soon as it is measured."""
    cv2.setNumThreads(1)
    rows = _kept_rows(options)
    result = {"command": _command(options), "pages": options.pages, "digits": "training" if options.dev else "test"}
    readers = open_readers(options, rows)
    result["environment"] = _environment()
    if options.dump:
        options.dump.mkdir(parents=True, exist_ok=True)
    for level in LEVELS if readers else ():
        for name, readings in measure_level(level, readers, options).items():
            rows[name]["levels"][level] = summarise(readings)
            print(f"{level}, {rows[name]['title']}: {rows[name]['levels'][level]}", file=sys.stderr)
        _keep(result, rows, options.output)
    _keep(result, rows, options.output)
    return result


def _keep(result: dict[str, Any], rows: dict[str, Any], output: Path) -> None:
    """Write what is known so far, the readers in their order."""
    result["rows"] = {name: rows[name] for name in PAGE_READERS if name in rows}
    write_json(output, result)


def open_readers(options: argparse.Namespace, rows: dict[str, Any]) -> dict[str, Read]:
    """Those who take part, ready to read; begins a row for each, also for who is missing."""
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
            train_tutorial(load_mnist(), options.network, 1 if options.tiny else EPOCHS)
        readers[name] = reader.open(options.network)
        rows[name] |= {"model_bytes": reader.model_bytes(options.network), "levels": {}}
    return readers


def _kept_rows(options: argparse.Namespace) -> dict[str, Any]:
    """The rows of an earlier run on the same pages that are not measured anew."""
    if not options.only or not options.output.exists():
        return {}
    before = read_json(options.output)
    now = {"pages": options.pages, "digits": "training" if options.dev else "test"}
    if any(before[key] != value for key, value in now.items()):
        sys.exit(f"{options.output}: {before['pages']} pages of {before['digits']} digits, not the same as now: {now}")
    return before["rows"]


def _command(options: argparse.Namespace) -> str:
    pages = f" --pages {options.pages}" if options.pages != 200 else ""
    return "python benchmarks/reading.py" + pages + " --dev" * options.dev + " --tiny" * options.tiny


def _environment() -> dict[str, Any]:
    backend.start_keras()
    environment = backend.describe_environment()
    peers = ("rapidocr", "onnxruntime", "opencv-python-headless")
    environment["versions"] |= backend.installed_versions(peers)
    if PAGE_READERS["tesseract"].missing() is None:
        told = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True).stdout
        environment["versions"]["tesseract"] = told.split()[1]
    return environment


def as_table(result: dict[str, Any]) -> str:
    """The result as Markdown, a table a level."""
    tables = []
    for level in LEVELS:
        measured = [row for row in result["rows"].values() if level in row.get("levels", {})]
        count = measured[0]["levels"][level] if measured else {"pages": 0, "digits": 0, "rows": 0}
        numbers = f"{count['pages']} pages, {count['digits']:,} digits, {count['rows']:,} rows"
        lines = [
            f"| {level}: {numbers} | digits right | 95 % interval | rows without error | mistaken | missed | invented "
            "| ms a page | model |",
            "|---|" + "---:|" * 8,
        ]
        for row in result["rows"].values():
            cells = _describe(row, level) if row in measured else ["not measured", *[""] * 7]
            lines.append(f"| {' | '.join([row['title'], *cells])} |")
        tables.append("\n".join(lines))
    failures = {
        f"{row['title']} broke off with an error on {measured['failures']} pages of level {level}."
        for row in result["rows"].values()
        for level, measured in row.get("levels", {}).items()
        if measured["failures"]
    }
    return "\n\n".join([*tables, *sorted(failures)])


def _describe(row: dict[str, Any], level: str) -> list[str]:
    """A reader's cells for one level after its title."""
    measured = row["levels"][level]
    low, high = measured["interval95"]
    return [
        _percent(measured["digit_accuracy"]),
        f"{_percent(low)} to {_percent(high)}",
        f"{100 * measured['exact_rows']:.1f} %",
        *(f"{measured[kind]:,}" for kind in ("mistaken", "missed", "invented")),
        f"{measured['median_milliseconds']:,.0f}",
        f"{row['model_bytes'] / 1e6:.1f} MB",
    ]


def _percent(share: float) -> str:
    """With more invented than there is to read, a share is negative; how much so says little."""
    return f"{100 * share:.1f} %" if share >= 0 else "< 0 %"


def annotate(page: WrittenPage, lines: Sequence[ReadLine]) -> np.ndarray:
    """The page, each true digit's box green and each read one's magenta, and below it both texts, line by line."""
    # Small enough to look at.
    scale = min(1.0, 1400 / max(page.pixels.shape))
    picture = cv2.resize(page.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for colour, some in (((0, 170, 0), page.lines), ((230, 0, 200), lines)):
        for box in (box for line in some for box in line.boxes):
            x, y, wide, tall = (round(side * scale) for side in box)
            cv2.rectangle(picture, (x, y), (x + wide, y + tall), colour, 1)
    true, read = only_digits(line.text for line in page.lines), only_digits(line.text for line in lines)
    panel = np.full((28 * (len(true) + len(read) + 1), max(picture.shape[1], 700), 3), 255, np.uint8)
    used = 0
    for there, seen in align(true, read):
        wanted, found = "-" if there is None else true[there], "-" if seen is None else read[seen]
        used += 28
        colour = (0, 120, 0) if wanted == found else (200, 0, 0)
        text = f"{wanted}    read {found}" if wanted != found else wanted
        cv2.putText(panel, text, (8, used), cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, 1, cv2.LINE_AA)
    space = np.full((len(picture), panel.shape[1] - picture.shape[1], 3), 255, np.uint8)
    return np.vstack([np.hstack([picture, space]), panel[: used + 12]])


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=200, help="of each level (default: 200)")
    parser.add_argument("--only", nargs="+", choices=PAGE_READERS, metavar="READER", help=", ".join(PAGE_READERS))
    parser.add_argument("--dev", action="store_true", help="pages of training digits, for choices")
    parser.add_argument("--dump", type=Path, metavar="FOLDER", help="where to draw every page that was read wrong")
    parser.add_argument(
        "--network", type=Path, default=NETWORK, help="the tutorial's; trained if there is no such file"
    )
    parser.add_argument("--table", action="store_true", help="measure nothing, print what was measured")
    parser.add_argument("--tiny", action="store_true", help="one page of each level, without the slow readers")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args(arguments)
    if (options.tiny or options.dev) and options.output == RESULTS:
        parser.error("--tiny and --dev measure nothing worth keeping: name another --output")
    if options.tiny:
        options.pages = 1
    print(as_table(read_json(options.output) if options.table else run(options)))


if __name__ == "__main__":
    main()
