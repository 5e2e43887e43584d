"""Rejection and confidence of the shipped model: pictures rejected by kind, and errors against coverage.

    python -m benchmarks.confidence             # writes results/confidence.json and the picture, prints the table
    python -m benchmarks.confidence --table     # measures nothing: draws and prints what was measured
    python -m benchmarks.confidence --tiny --output FILE    # a few pictures of each kind, for the tests

Three sets: MNIST's test images; drawings synthesised from the same digits, and of non-digits, as
`training/synthesis/digits.py` draws both (the recipe `reader` learned from such drawings, made from other images); and
crops of photographs that come with scikit-image and scikit-learn, which nothing was trained or tuned on. All crops,
also those of coins or of a clock, are assumed to show no digit.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting, as_percent
from mnist_digits.dataset import Split, load_mnist
from mnist_digits.recognition import Classifier, Prediction
from mnist_digits.recognition.preprocessing.mnist_format import Normalised
from mnist_digits.training.synthesis.digits import draw_digits, draw_non_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RESULTS = harness.RESULTS / "confidence.json"
SETTINGS = {"images": Setting(None, 60), "each": Setting(500, 3), "crops": Setting(50, 2)}
SEED = 1
"""Of the drawings and crops. The shipped model learned from drawings of seed 0; its threshold is from drawings of
seed 1, but of the validation images."""
CURVE_POINTS = 200
"""Maximum number of points of a curve in the results file."""
MIN_CROP_SIDE_PX = 48

PHOTOGRAPHS = (
    *("astronaut", "brick", "camera", "cat", "clock", "coffee", "coins", "grass", "gravel"),
    *("hubble_deep_field", "moon", "retina", "rocket"),
)
"""The photographs in scikit-image's wheel; its others are downloaded."""


def load_photographs() -> dict[str, NDArray[np.uint8]]:
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


def crop_randomly(photograph: NDArray[np.uint8], count: int, random: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Square crops of a photograph, their sides uniform from MIN_CROP_SIDE_PX to the photograph's shorter side."""
    height, width = photograph.shape[:2]
    crops = []
    for _ in range(count):
        side = int(random.integers(MIN_CROP_SIDE_PX, min(height, width) + 1))
        top, left = (int(random.integers(0, size - side + 1)) for size in (height, width))
        crops.append(photograph[top : top + side, left : left + side])
    return crops


def risk_coverage(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> dict[str, Any]:
    """The risk-coverage curve: share of errors among the k most confident predictions, for every k.

    confidence, right: (n,). Geifman and El-Yaniv 2017 (arXiv:1705.08500). `area` is the mean risk over all k,
    `least_area` the mean if every error had a lower confidence than every right prediction.
    """
    order = np.argsort(-confidence, kind="stable")
    accepted = np.arange(1, len(order) + 1)
    risk = np.cumsum(~right[order]) / accepted
    least = np.cumsum(np.sort(~right)) / accepted
    kept = np.unique(np.linspace(0, len(order) - 1, CURVE_POINTS).round().astype(int))
    return {
        "area": float(risk.mean()),
        "least_area": float(least.mean()),
        "coverage": (accepted[kept] / len(order)).round(6).tolist(),
        "risk": risk[kept].round(6).tolist(),
    }


def summarise(predictions: Sequence[Prediction], labels: NDArray[np.integer]) -> dict[str, Any]:
    """The risk-coverage curve of predictions, and coverage and risk at the model's own threshold.

    labels: int (n,), -1 for a non-digit, of which every accepted prediction is an error.
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


def classify_images(classifier: Classifier, images: NDArray[np.uint8]) -> list[Prediction]:
    """Predictions for network inputs, uint8 (n, 28, 28), which are not preprocessed again."""
    whole_image = (0, 0, *images.shape[1:])
    return classifier.classify_normalised([Normalised(one, whole_image, int(one.any())) for one in images])


def share_rejected(predictions: Sequence[Prediction]) -> float:
    """Share of the pictures of which no digit was accepted, 0 to 1."""
    return float(np.mean([one.digit is None for one in predictions]))


def measure_drawings(classifier: Classifier, test: Split, each: int) -> dict[str, Any]:
    """Curve and rejected shares for synthesised digits and for `each` drawings of every kind of non-digit."""
    others = draw_non_digits(test, each, SEED)
    digits = classify_images(classifier, draw_digits(test, SEED))
    by_kind = {kind: classify_images(classifier, images) for kind, images in others.items()}
    non_digits = [one for predictions in by_kind.values() for one in predictions]
    labels = np.concatenate([test.labels.astype(int), np.full(len(non_digits), -1)])
    return {
        "curve": summarise([*digits, *non_digits], labels),
        "digits": share_rejected(digits),
        "declined": {kind: share_rejected(predictions) for kind, predictions in by_kind.items()},
    }


def measure_photographs(classifier: Classifier, each: int) -> dict[str, float]:
    """Photograph → share of its crops that are rejected."""
    random = np.random.default_rng(SEED)
    return {
        name: share_rejected(classifier.classify_many(crop_randomly(pixels, each, random)))
        for name, pixels in load_photographs().items()
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    test = load_mnist().test
    test = Split(test.images[: options.images], test.labels[: options.images])
    classifier = Classifier()
    mnist = classifier.classify_many(test.images)
    print("MNIST is classified", file=sys.stderr)
    drawings = measure_drawings(classifier, test, options.each)
    print("drawings are classified", file=sys.stderr)
    by_photograph = measure_photographs(classifier, options.crops)
    return {
        "environment": harness.describe_environment(),
        "model": classifier.metadata,
        "curves": {"mnist": summarise(mnist, test.labels.astype(int)), "drawn": drawings["curve"]},
        "pictures_of_each_kind": options.each,
        "digits_declined": {"mnist": share_rejected(mnist), "drawn": drawings["digits"]},
        "declined": {**drawings["declined"], "photograph": float(np.mean(list(by_photograph.values())))},
        "crops_of_each_photograph": options.crops,
        "photographs_declined": by_photograph,
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table: for digits and each kind of non-digit, how many are rejected."""
    digits, drawn = result["curves"]["mnist"]["pictures"], result["pictures_of_each_kind"]
    crops = result["crops_of_each_photograph"] * len(result["photographs_declined"])
    rows = [
        ("*digits: MNIST's test images*", digits, result["digits_declined"]["mnist"]),
        ("*digits: the same, synthesised*", digits, result["digits_declined"]["drawn"]),
        *((kind, crops if kind == "photograph" else drawn, share) for kind, share in result["declined"].items()),
    ]
    cells = ((kind, f"{pictures:,}", as_percent(share)) for kind, pictures, share in rows)
    return harness.as_markdown(["rejected, by kind", "pictures", "rejected"], cells)


def draw(result: dict[str, Any]) -> "Figure":
    """Both risk-coverage curves: MNIST's images, and drawings of digits and non-digits."""
    from mnist_digits.evaluation.figures import BLUE, ORANGE

    with harness.new_figure(3.4) as (figure, axes):
        _draw_curve(axes, "drawn anew, with others", result["curves"]["drawn"], ORANGE)
        _draw_curve(axes, "MNIST's test images", result["curves"]["mnist"], BLUE)
        _scale_axes(axes)
    return figure


def _draw_curve(axes: "Axes", name: str, curve: dict[str, Any], color: str) -> None:
    """A curve with a dot at the model's own threshold, named to the left of it."""
    share, errors = curve["accepted"], curve["errors_among_accepted"]
    axes.plot(curve["coverage"], curve["risk"], color=color)
    axes.plot(share, errors, "o", color=color, markersize=8)
    text = f"{name}:\n{share:.1%} accepted,\n{errors:.2%} of them wrongly".replace("%", " %")
    axes.annotate(text, (share, errors), (-10, -2), textcoords="offset points", ha="right", va="bottom", color=color)


def _scale_axes(axes: "Axes") -> None:
    """Coverage to the right, risk upwards from 1e-4 on a logarithmic scale."""
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    axes.set(xlim=(0, 1.02), ylim=(1e-4, 1), yscale="log", xlabel="accepted, the surest first")
    axes.set_title("Errors among the pictures accepted")
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0, " %"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.minorticks_off()
    axes.grid()
    axes.set_axisbelow(True)


BENCHMARK = Benchmark(RESULTS, __doc__, run, as_table, SETTINGS, draw=draw, picture="risk-coverage.png")

if __name__ == "__main__":
    BENCHMARK.main()
