"""What teaching gains: ten simulated hands, each with a habit that the shipped model has not seen.

    python -m benchmarks.training.teaching                       # writes results/teaching.json, prints the table
    python -m benchmarks.training.teaching --table               # measures nothing: prints what was measured
    python -m benchmarks.training.teaching --tiny --output FILE  # one hand and few pictures, for the tests

A hand is a distortion of MNIST's digits that no recipe draws, or much stronger than any does: its strength varies a
little from digit to digit. The shipped model is taught by `teach`, forced and otherwise with its defaults, on a hundred
pictures of validation digits in that hand; then both read 400 test digits in that hand, from picture to digit, and
MNIST's test images as they are.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting
from mnist_digits.dataset import Split, load_mnist
from mnist_digits.files import read_json
from mnist_digits.recognition import Classifier, prepare_digit
from mnist_digits.training import teaching

RESULTS = harness.RESULTS / "teaching.json"
SETTINGS = {
    "pictures": Setting(100, 30, "pictures to teach with"),
    "others": Setting(400, 40, "other pictures of the same hand, to measure by"),
    "images": Setting(10_000, 100),
    "hands": Setting(10, 1),
    "images_per_epoch": Setting(teaching.IMAGES_PER_EPOCH, 128),
    "non_digits_per_kind": Setting(teaching.NON_DIGITS_PER_KIND, 1),
}
SIDE_PX = 96
"""Side of a picture."""
PAPER, PEN = 240.0, 35.0
"""Grey levels."""

Picture = NDArray[np.uint8]
Random = np.random.Generator


def linear(shear: float = 0.0, degrees: float = 0.0, width: float = 1.0, height: float = 1.0) -> Any:
    """A hand that slants, turns, widens or flattens every digit, a fifth more or less."""

    def write(ink: Picture, random: Random) -> Picture:
        amount = random.uniform(0.8, 1.2)
        angle = np.deg2rad(degrees * amount)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.array([[width, shear * amount], [0, height]])
        centre = np.full(2, SIDE_PX / 2)
        return np.asarray(cv2.warpAffine(ink, np.c_[matrix, centre - matrix @ centre], (SIDE_PX, SIDE_PX)), np.uint8)

    return write


def _moved(ink: Picture, x: NDArray[np.floating], y: NDArray[np.floating]) -> Picture:
    return np.asarray(cv2.remap(ink, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR), np.uint8)


def waves(ink: Picture, random: Random) -> Picture:
    """A hand that trembles from side to side."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    return _moved(ink, x + random.uniform(5, 8) * np.sin(y / 6 + random.uniform(0, 6)), y)


def swirl(ink: Picture, random: Random) -> Picture:
    """A hand that turns the middle of a digit further than its ends."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32) - SIDE_PX / 2
    angle = random.uniform(1.0, 1.4) * np.exp(-(x * x + y * y) / (2 * 22**2))
    turned_x, turned_y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    return _moved(ink, turned_x + SIDE_PX / 2, turned_y + SIDE_PX / 2)


def doubled(ink: Picture, random: Random) -> Picture:
    """A pen with two nibs."""
    shift = np.array([[1, 0, random.uniform(9, 12)], [0, 1, random.uniform(-7, -4)]])
    return np.maximum(ink, cv2.warpAffine(ink, shift, (SIDE_PX, SIDE_PX)))


def lifted(ink: Picture, random: Random) -> Picture:
    """A pen that is lifted again and again: gaps across the strokes."""
    gaps = (np.arange(SIDE_PX) + random.integers(13)) % 13 < 4
    written = ink.copy()
    written[gaps] = 0
    return written


def tail(ink: Picture, random: Random) -> Picture:
    """A hand that leaves each digit to the right, with a long curved stroke from its lowest point."""
    rows, columns = np.nonzero(ink > 127)
    lowest = int(rows.argmax())
    steps = np.linspace(0, 1, 20)
    x = columns[lowest] + steps * random.uniform(26, 36)
    y = rows[lowest] - 2 - steps**2 * random.uniform(8, 22)
    return _with_stroke(ink, x, y)


def hook(ink: Picture, random: Random) -> Picture:
    """A hand that comes to each digit from below on its left, with a stroke to its highest point."""
    rows, columns = np.nonzero(ink > 127)
    highest = int(rows.argmin())
    steps = np.linspace(0, 1, 20)
    x = columns[highest] - (1 - steps) * random.uniform(22, 32)
    y = rows[highest] + 2 + (1 - steps) ** 2 * random.uniform(25, 40)
    return _with_stroke(ink, x, y)


def _with_stroke(ink: Picture, x: NDArray[np.floating], y: NDArray[np.floating]) -> Picture:
    path = np.rint(np.stack([x, y], 1) * 16).astype(np.int32).reshape(-1, 1, 2)
    return np.asarray(cv2.polylines(ink.copy(), [path], False, 255, 6, cv2.LINE_AA, shift=4), np.uint8)


HANDS: dict[str, Callable[[Picture, Random], Picture]] = {
    "leaning back": linear(shear=0.7),
    "leaning far forward": linear(shear=-0.75),
    "turned paper": linear(degrees=36),
    "squat": linear(height=0.4),
    "trembling": waves,
    "swirling": swirl,
    "two nibs": doubled,
    "lifted pen": lifted,
    "long tails": tail,
    "hooks before": hook,
}
"""By the name in the table."""


def write(hand: str, images: NDArray[np.uint8], seed: int) -> list[Picture]:
    """Pictures, uint8 (96, 96), of digits, uint8 (n, 28, 28), in a hand: dark on light paper, with a margin."""
    random, pictures = np.random.default_rng(seed), []
    for image in images:
        large = cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
        ink = HANDS[hand](np.asarray(large, np.uint8), random).astype(np.float32) / 255
        sheet = np.pad(PAPER + (PEN - PAPER) * ink, 16, constant_values=PAPER)
        pictures.append(np.clip(sheet + random.normal(0, 2, sheet.shape), 0, 255).astype(np.uint8))
    return pictures


def measure(hand: str, number: int, options: argparse.Namespace) -> dict[str, Any]:
    """What teaching one hand gains, as JSON."""
    mnist = load_mnist()
    # Of every hand other digits, as far as there are any.
    start = number * options.pictures % (len(mnist.validation) - options.pictures)
    labels = mnist.validation.labels[start : start + options.pictures]
    own = write(hand, mnist.validation.images[start : start + options.pictures], number)
    others = write(hand, mnist.test.images[:: len(mnist.test) // options.others][: options.others], 100 + number)
    truth = mnist.test.labels[:: len(mnist.test) // options.others][: options.others]
    taught_with = Split(np.stack([prepare_digit(one).image for one in own]), labels)
    with tempfile.TemporaryDirectory() as folder:
        run = teaching.teach(taught_with, folder=Path(folder) / "run", force=True, report=False)
        before, after = Classifier(), Classifier(run.onnx)
        gain = teaching.Gain.of(_right(before, others, truth), _right(after, others, truth))
        told = read_json(run.metrics)["teaching"]
    images, image_labels = mnist.test.images[: options.images], mnist.test.labels[: options.images]
    kept = teaching.Gain.of(*(model.probabilities(images).argmax(1) == image_labels for model in (before, after)))
    return {"told": told["own"], "others": gain.to_json(), "mnist": kept.to_json(), "seconds": told["seconds"]}


def _right(model: Classifier, pictures: list[Picture], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.array([one.digit == label for one, label in zip(model.classify_many(pictures), labels, strict=True)])


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Teach every hand; yields the result after each."""
    teaching.IMAGES_PER_EPOCH = options.images_per_epoch
    teaching.NON_DIGITS_PER_KIND = options.non_digits_per_kind
    environment = harness.describe_environment("opencv-python-headless")
    rows: dict[str, Any] = {}
    for number, hand in enumerate(list(HANDS)[: options.hands]):
        if options.only and hand not in options.only:
            continue
        measured = measure(hand, number, options)
        print(hand, measured["others"], file=sys.stderr)
        if options.only and options.output.exists():
            rows = read_json(options.output)["hands"]
        rows[hand] = measured
        in_order = {name: rows[name] for name in HANDS if name in rows}
        yield {
            "environment": environment,
            "model": Classifier().metadata,
            "pictures": options.pictures,
            "hands": in_order,
        }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table, a row for each hand."""
    rows = [
        [
            name,
            *(_with_interval(row["others"], when) for when in ("before", "after")),
            f"{harness.as_percent(row['told']['before'])} → {harness.as_percent(row['told']['after'])}",
            harness.as_percent(row["mnist"]["after"], 2),
        ]
        for name, row in result["hands"].items()
    ]
    shares = [[row["others"][when] for row in result["hands"].values()] for when in ("before", "after")]
    mnist = [row["mnist"]["after"] for row in result["hands"].values()]
    means = [harness.as_percent(float(np.mean(share))) for share in shares]
    rows.append(["mean", *means, "", harness.as_percent(float(np.mean(mnist)), 2)])
    header = ["hand", "before", f"after {result['pictures']} pictures", "what `teach` said", "MNIST after"]
    return harness.as_markdown(header, rows)


def _with_interval(gain: dict[str, Any], when: str) -> str:
    low, high = gain[f"{when}_interval95"]
    return f"{harness.as_percent(gain[when])} ({100 * low:.1f}–{100 * high:.1f})"


BENCHMARK = Benchmark(RESULTS, __doc__, run, as_table, SETTINGS, only=HANDS, folder="training")

if __name__ == "__main__":
    BENCHMARK.main()
