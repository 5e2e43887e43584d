"""What the shipped model declines, and what its confidence is worth: errors against the share of pictures accepted.

    python benchmarks/confidence.py             # writes results/confidence.json and the picture, prints the table
    python benchmarks/confidence.py --table     # measures nothing: draws and prints what was measured
    python benchmarks/confidence.py --tiny --output FILE    # a few pictures of each kind, for the tests

Three sets: MNIST's test images; the same digits drawn anew, with pictures of what is no digit drawn beside them, as
`training/pictures.py` draws both (the recipe `reader` learned from such drawings, made from other images); and crops
of photographs that come with scikit-image and scikit-learn, which nothing was trained or tuned on. That a crop of coins
or of a clock shows no digit is taken for granted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_digits.dataset import Split, load_mnist
from mnist_digits.files import atomic_write, read_json, write_json
from mnist_digits.recognition import Classifier, Prediction
from mnist_digits.recognition.preprocessing.mnist_format import Normalised
from mnist_digits.training import backend
from mnist_digits.training.synthesis.digits import draw_digits, draw_others

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "confidence.json"
PICTURE = ROOT / "docs" / "pictures" / "risk-coverage.png"
SEED = 1
"""Of the drawings and crops; the shipped model learned from those of seed 0, and its threshold is from seed 1 of the
validation images."""
POINTS = 200
"""Of a curve, as the file keeps it."""
SMALLEST_CROP = 48
"""Pixels along a side."""

PHOTOGRAPHS = (
    *("astronaut", "brick", "camera", "cat", "clock", "coffee", "coins", "grass", "gravel"),
    *("hubble_deep_field", "moon", "retina", "rocket"),
)
"""Those that scikit-image's wheel holds."""


def photographs() -> dict[str, np.ndarray]:
    """Name → pixels, uint8 (h, w) or (h, w, 3)."""
    import skimage.data
    from sklearn.datasets import load_sample_images

    samples = load_sample_images()
    names = [Path(name).stem for name in samples.filenames]
    motorcycle, _, _ = skimage.data.stereo_motorcycle()
    return {
        **{name: getattr(skimage.data, name)() for name in PHOTOGRAPHS},
        "motorcycle": motorcycle,
        **dict(zip(names, samples.images, strict=True)),
    }


def crops(photograph: np.ndarray, count: int, random: np.random.Generator) -> list[np.ndarray]:
    """Square parts of a photograph, from SMALLEST_CROP pixels to its shorter side, each size as likely."""
    height, width = photograph.shape[:2]
    found = []
    for _ in range(count):
        side = int(random.integers(SMALLEST_CROP, min(height, width) + 1))
        top, left = (int(random.integers(0, size - side + 1)) for size in (height, width))
        found.append(photograph[top : top + side, left : left + side])
    return found


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Share of errors among the accepted, when the surest so many are, for every number of them.

    confidence: floats (n,). right: bool (n,). Geifman and El-Yaniv 2017 (arXiv:1705.08500); `area` is the mean over
    all numbers, and `least_area` what it would be if every error were less sure than everything that is right.
    """
    order = np.argsort(-confidence, kind="stable")
    accepted = np.arange(1, len(order) + 1)
    risk = np.cumsum(~right[order]) / accepted
    least = np.cumsum(np.sort(~right)) / accepted
    kept = np.unique(np.linspace(0, len(order) - 1, POINTS).round().astype(int))
    return {
        "area": float(risk.mean()),
        "least_area": float(least.mean()),
        "coverage": (accepted[kept] / len(order)).round(6).tolist(),
        "risk": risk[kept].round(6).tolist(),
    }


def judge(predictions: Sequence[Prediction], labels: np.ndarray) -> dict[str, Any]:
    """The curve of some pictures, and where on it the model's own threshold stands.

    labels: int (n,), -1 for what is no digit: there, accepting is an error whatever was read.
    """
    confidence = np.array([one.confidence for one in predictions])
    right = np.array([one.probabilities.argmax() for one in predictions]) == labels
    accepted = np.array([one.digit is not None for one in predictions])
    return {
        "pictures": len(labels),
        "accepted": float(accepted.mean()),
        "errors_among_accepted": float((~right[accepted]).mean()),
        **risk_coverage(confidence, right),
    }


def read(classifier: Classifier, images: np.ndarray) -> list[Prediction]:
    """What the model says of pictures that recognition has already seen: uint8 (n, 28, 28)."""
    whole_image = (0, 0, *images.shape[1:])
    return classifier.classify_normalised([Normalised(one, whole_image, int(one.any())) for one in images])


def share_declined(predictions: Sequence[Prediction]) -> float:
    """Of pictures."""
    return float(np.mean([one.digit is None for one in predictions]))


def measure_drawings(classifier: Classifier, test: Split, each: int) -> dict[str, Any]:
    """Digits drawn anew, and of every kind of what is no digit so many: the curve, and what is declined by kind."""
    others = draw_others(test.images, test.labels, each, SEED)
    drawn = read(classifier, draw_digits(test.images, test.labels, SEED))
    declined = {kind: read(classifier, images) for kind, images in others.items()}
    no_digits = [one for predictions in declined.values() for one in predictions]
    labels = np.concatenate([test.labels.astype(int), np.full(len(no_digits), -1)])
    return {
        "curve": judge([*drawn, *no_digits], labels),
        "digits": share_declined(drawn),
        "declined": {kind: share_declined(predictions) for kind, predictions in declined.items()},
    }


def measure_photographs(classifier: Classifier, each: int) -> dict[str, float]:
    """Photograph → share of its crops that are declined."""
    random = np.random.default_rng(SEED)
    return {
        name: share_declined(classifier.classify_many(crops(pixels, each, random)))
        for name, pixels in photographs().items()
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    test = load_mnist().test
    test = Split(test.images[: options.images], test.labels[: options.images])
    classifier = Classifier()
    mnist = classifier.classify_many(test.images)
    print("MNIST is read", file=sys.stderr)
    drawings = measure_drawings(classifier, test, options.each)
    print("drawings are read", file=sys.stderr)
    by_photograph = measure_photographs(classifier, options.crops)
    backend.start_keras()
    return {
        "command": "python benchmarks/confidence.py",
        "environment": backend.describe_environment(),
        "model": classifier.metadata,
        "curves": {"mnist": judge(mnist, test.labels.astype(int)), "drawn": drawings["curve"]},
        "pictures_of_each_kind": options.each,
        "digits_declined": {"mnist": share_declined(mnist), "drawn": drawings["digits"]},
        "declined": {**drawings["declined"], "photograph": float(np.mean(list(by_photograph.values())))},
        "crops_of_each_photograph": options.crops,
        "photographs_declined": by_photograph,
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table: digits, kinds of what is none, and how many of each are declined."""
    kept, others = result["digits_declined"], result["declined"]
    drawn, cropped = result["pictures_of_each_kind"], result["crops_of_each_photograph"]
    crops = cropped * len(result["photographs_declined"])
    lines = ["| declined, by kind | pictures | declined |", "|---|---:|---:|"]
    lines.append(
        f"| *digits: MNIST's test images* | {result['curves']['mnist']['pictures']:,} | {_percent(kept['mnist'])} |"
    )
    lines.append(
        f"| *digits: the same, drawn anew* | {result['curves']['mnist']['pictures']:,} | {_percent(kept['drawn'])} |"
    )
    for kind, share in others.items():
        lines.append(f"| {kind} | {crops if kind == 'photograph' else drawn:,} | {_percent(share)} |")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def draw(result: dict[str, Any]) -> "Figure":
    """Errors among the accepted against the share accepted: MNIST's images, and drawings of digits and others."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from mnist_digits.evaluation.figures import BLUE, ORANGE, STYLE, WIDTH

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.subplots()
        _draw_curve(axes, "drawn anew, with others", result["curves"]["drawn"], ORANGE)
        _draw_curve(axes, "MNIST's test images", result["curves"]["mnist"], BLUE)
        _scale_axes(axes)
    return figure


def _draw_curve(axes: "Axes", name: str, curve: dict[str, Any], color: str) -> None:
    """One curve, and on it the model's own threshold, with the curve's name and figures to its left."""
    share, errors = curve["accepted"], curve["errors_among_accepted"]
    axes.plot(curve["coverage"], curve["risk"], color=color)
    axes.plot(share, errors, "o", color=color, markersize=8)
    text = f"{name}:\n{share:.1%} accepted,\n{errors:.2%} of them wrongly".replace("%", " %")
    axes.annotate(text, (share, errors), (-10, -2), textcoords="offset points", ha="right", va="bottom", color=color)


def _scale_axes(axes: "Axes") -> None:
    """Shares to the right; errors upwards, from one in ten thousand, where ten times as many is always one step."""
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    axes.set(xlim=(0, 1.02), ylim=(1e-4, 1), yscale="log", xlabel="accepted, the surest first")
    axes.set_title("Errors among the pictures accepted")
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0, " %"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.minorticks_off()
    axes.grid()
    axes.set_axisbelow(True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, write, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="measure nothing, draw and print what was measured")
    parser.add_argument("--tiny", action="store_true", help="60 digits, 3 pictures of each kind")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args(arguments)
    if options.tiny and options.output == RESULTS:
        parser.error("--tiny measures nothing worth keeping: name another --output")
    options.images, options.each, options.crops = (60, 3, 2) if options.tiny else (None, 500, 50)
    result = read_json(options.output) if options.table else run(options)
    if not options.table:
        write_json(options.output, result)
    with atomic_write(PICTURE if options.output == RESULTS else options.output.with_suffix(".png")) as temporary:
        draw(result).savefig(temporary)
    print(as_table(result))


if __name__ == "__main__":
    main()
