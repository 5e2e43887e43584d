"""Robustness of the shipped model and of others: corrupted images, and digits from another dataset.

    python -m benchmarks.robustness             # writes results/robustness.json and the picture, prints the tables
    python -m benchmarks.robustness --table     # measures nothing: draws and prints what was measured
    python -m benchmarks.robustness --tiny --data FOLDER --output FILE    # a few images, for the tests

Every fifth of MNIST's test images is corrupted, mostly by Albumentations, each way weakly and strongly. Corruptions
that make no sense at 28×28 pixels are applied to the image enlarged four times, which is then shrunk again. The
networks are those of one seed; they are trained once, in half an hour at most, and kept in runs/robustness. None of
them has learned from these corruptions; but all of this project's recipes except `dense` learn from images that are
rotated, sheared, scaled, translated and elastically deformed, and `reader` from kinds of corruption much like some of
these, drawn by other code with other strengths. The second set is the test set of UCI's optical digits, which comes
with scikit-learn: 8×8 pixels of 17 grey levels, from 13 writers.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting
from benchmarks.peers.contenders import PEERS, export_keras_example
from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.recognition import Classifier, Prediction
from mnist_digits.runs import Run
from mnist_digits.training import RECIPES, resume, train

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RESULTS = harness.RESULTS / "robustness.json"
SETTINGS = {
    "images": Setting(None, 20),
    "recipes": Setting(("cnn", "dense"), ("dense",)),
    "recipe_settings": Setting({}, {"epochs": "1", "jit_compile": "false"}),
    "keras_epochs": Setting(PEERS["keras"].epochs, 1),
}
TRAINED = harness.ROOT / "runs" / "robustness"
"""Where the trained networks are kept between runs."""
IMAGE_STEP = 5
"""Every so many-th test image is corrupted; not the first ones, as MNIST's later test images are easier."""
OPTICAL_ENLARGEMENT = 8
"""Factor by which the optical digits are enlarged along each side."""

SHIPPED, DIRECT = "shipped", "shipped, 28×28"
"""The shipped model with preprocessing, as in `digits predict`, and without: with the 28×28 pixels as network input."""


@dataclass(frozen=True)
class Corruption:
    """A way to corrupt an image, in two strengths."""

    transform: str
    """Name of the Albumentations class."""
    options: Callable[[float], dict[str, Any]]
    """Arguments of the class, for a strength."""
    weak: float
    strong: float
    enlarge: int = 1
    """Factor by which the image is enlarged for it, along each side."""
    draw: Callable[[NDArray[np.uint8], float, np.random.Generator], NDArray[np.uint8]] | None = None
    """What corrupts the image instead of Albumentations, which has nothing alike; from image, strength and numbers."""


# Of the kinds of MNIST-C (Mu and Gilmer 2019, arXiv:1906.02337), those that Albumentations lacks, as drawn here.


def stripe(image: NDArray[np.uint8], width_px: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """The image with an upright band inverted somewhere in its middle half."""
    side = image.shape[1]
    start = int(random.integers(side // 4, 3 * side // 4 - int(width_px) + 1))
    striped = image.copy()
    striped[:, start : start + int(width_px)] = 255 - striped[:, start : start + int(width_px)]
    return striped


def zigzag(image: NDArray[np.uint8], width_px: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """A white zigzag from side to side."""
    side = image.shape[0]
    x = np.linspace(0, side - 1, 9)
    start, stop = (random.uniform(0.25, 0.75) * side for _ in range(2))
    y = np.linspace(start, stop, 9) + np.resize([-1, 1], 9) * 0.1 * side
    return _with_line(image, np.stack([x, y], 1), width_px)


def dotted(image: NDArray[np.uint8], width_px: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """A dotted white line from side to side."""
    side = image.shape[0]
    ends = np.array([[0, random.uniform(0.1, 0.9) * side], [side - 1, random.uniform(0.1, 0.9) * side]])
    dashes = np.linspace(0, 1, 17)
    for start, stop in zip(dashes[:-1:2], dashes[1::2], strict=True):
        image = _with_line(image, ends[0] + np.array([[start], [stop]]) * (ends[1] - ends[0]), width_px)
    return image


def outlines(image: NDArray[np.uint8], strength: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """Canny's edges of the strokes, and what strength leaves of the strokes themselves."""
    return np.maximum(cv2.Canny(image, 100, 200), np.uint8(1 - strength) * (image // 2))


def _with_line(image: NDArray[np.uint8], points: NDArray[np.float64], width_px: float) -> NDArray[np.uint8]:
    path = np.rint(points * 16).astype(np.int32).reshape(-1, 1, 2)
    return np.asarray(cv2.polylines(image.copy(), [path], False, 255, int(width_px), cv2.LINE_AA, shift=4), np.uint8)


def _strength(strength: float) -> dict[str, Any]:
    return {"strength": strength}


def _range(name: str, **fixed: Any) -> Callable[[float], dict[str, Any]]:
    """An argument, a range, whose ends both are the strength, and fixed arguments."""
    return lambda strength: {name: (strength, strength), **fixed}


def _symmetric(name: str) -> Callable[[float], dict[str, Any]]:
    """An argument, a range from -strength to strength, from which a value is drawn for each image."""
    return lambda strength: {name: (-strength, strength)}


CORRUPTIONS = {
    "noise": Corruption("GaussNoise", _range("std_range"), 0.1, 0.3),
    "shot noise": Corruption("ShotNoise", _range("scale_range"), 0.3, 1.0),
    "salt and pepper": Corruption("SaltAndPepper", _range("amount"), 0.02, 0.1),
    "erased patches": Corruption(
        "CoarseDropout", _range("num_holes_range", hole_height_range=(5, 5), hole_width_range=(5, 5)), 2, 6
    ),
    "spatter": Corruption(
        "Spatter", _range("cutout_threshold", mean=(0.6, 0.6), std=(0.3, 0.3), mode="mud"), 0.65, 0.55, enlarge=4
    ),
    "motion blur": Corruption("MotionBlur", _range("blur_limit"), 15, 31, enlarge=4),
    "defocus": Corruption("Defocus", _range("radius"), 5, 11, enlarge=4),
    "glass blur": Corruption("GlassBlur", lambda delta: {"max_delta": delta, "iterations": 1}, 4, 9, enlarge=4),
    "zoom blur": Corruption(
        "ZoomBlur", lambda factor: {"max_factor": factor, "step_factor": (0.02, 0.02)}, 1.2, 1.5, enlarge=4
    ),
    "JPEG": Corruption("ImageCompression", _range("quality_range"), 20, 5),
    "coarse pixels": Corruption("Downscale", _range("scale_range"), 0.5, 0.35),
    "low contrast": Corruption(
        "RandomBrightnessContrast", _range("contrast_limit", brightness_limit=(0, 0)), -0.5, -0.8
    ),
    "bright paper": Corruption("RandomBrightnessContrast", _range("brightness_limit", contrast_limit=(0, 0)), 0.2, 0.5),
    "fog": Corruption("RandomFog", _range("fog_coef_range"), 0.3, 0.8, enlarge=4),
    "shadow": Corruption("PlasmaShadow", _range("shadow_intensity_range"), 0.5, 0.9, enlarge=4),
    "thin strokes": Corruption("Morphological", _range("scale", operation="erosion"), 5, 9, enlarge=4),
    "thick strokes": Corruption("Morphological", _range("scale", operation="dilation"), 5, 11, enlarge=4),
    "turned": Corruption("Affine", _symmetric("rotate"), 20, 40),
    "sheared": Corruption("Affine", lambda degrees: {"shear": {"x": (-degrees, degrees)}}, 20, 40),
    "small": Corruption("Affine", _range("scale"), 0.75, 0.5),
    "moved": Corruption("Affine", _symmetric("translate_px"), 2, 5),
    "bent": Corruption("ElasticTransform", lambda alpha: {"alpha": alpha, "sigma": 8}, 80, 160, enlarge=4),
    "perspective": Corruption("Perspective", _range("scale"), 0.05, 0.15, enlarge=4),
    "stripe": Corruption("stripe", _strength, 4, 9, draw=stripe),
    "zigzag": Corruption("zigzag", _strength, 1, 2, draw=zigzag),
    "dotted line": Corruption("dotted", _strength, 1, 2, draw=dotted),
    "outlines": Corruption("outlines", _strength, 0, 1, draw=outlines),
}
"""By the name in the table."""
LIKE_MNIST_C = (
    "shot noise", "salt and pepper", "glass blur", "motion blur", "sheared", "small", "turned", "bright paper", "moved",
    "stripe", "fog", "spatter", "dotted line", "zigzag", "outlines",
)  # fmt: skip
"""Those that stand for the 15 kinds of MNIST-C, whose images are not used here."""


def corrupt(images: NDArray[np.uint8], corruption: Corruption, strength: float) -> NDArray[np.uint8]:
    """The images, uint8 (n, 28, 28), corrupted one by one; deterministic."""
    change, side, corrupted = _changer(corruption, strength), 28 * corruption.enlarge, []
    for image in images:
        large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        corrupted.append(cv2.resize(change(large), (28, 28), interpolation=cv2.INTER_AREA))
    return np.stack(corrupted)


def _changer(corruption: Corruption, strength: float) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """What corrupts one grey image after another, the same ones in the same way."""
    if draw := corruption.draw:
        random = np.random.default_rng(0)
        return lambda image: draw(image, strength, random)
    # Otherwise it looks for a newer version of itself on the internet.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    transform = getattr(albumentations, corruption.transform)(p=1, **corruption.options(strength))
    pipeline = albumentations.Compose([transform], seed=0)

    def change(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # Some transforms take nothing but colour.
        coloured = pipeline(image=cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))["image"]
        return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_RGB2GRAY), np.uint8)

    return change


def train_networks(data: Dataset, folder: Path, options: argparse.Namespace) -> dict[str, Path]:
    """Title → path of the network as ONNX, of some recipes and of Keras's example; trains those that are missing."""
    paths = {}
    for name in options.recipes:
        recipe, run = RECIPES[name].with_settings(options.recipe_settings), Run(folder / name)
        if not run.finished:
            run = resume(run, data) if run.recipe.exists() else train(recipe, data, run.folder)
        paths[f"`{name}`"] = run.onnx
    keras_path = folder / "keras.onnx"
    if not keras_path.exists():
        export_keras_example(data, keras_path, options.keras_epochs)
    return {**paths, PEERS["keras"].title: keras_path}


def count(predictions: Sequence[Prediction], labels: NDArray[np.integer]) -> dict[str, float]:
    """Shares of the pictures that were read right, misread and rejected. labels: int (n,)."""
    digits = np.array([-1 if one.digit is None else one.digit for one in predictions])
    rejected = digits < 0
    misread = ~rejected & (digits != labels)
    return {
        "right": float((digits == labels).mean()),
        "misread": float(misread.mean()),
        "declined": float(rejected.mean()),
    }


def score(models: Mapping[str, Classifier], images: NDArray[np.uint8], labels: NDArray[np.integer]) -> dict[str, Any]:
    """Shares of images, uint8 (n, 28, 28), read right.

    `direct`: by each model without preprocessing; `as_pictures`: by the shipped model with it, as `count` returns them.
    """
    right = {title: float((model.probabilities(images).argmax(1) == labels).mean()) for title, model in models.items()}
    return {"direct": right, "as_pictures": count(models[DIRECT].classify_many(images), labels)}


def score_optical(models: Mapping[str, Classifier], limit: int | None) -> dict[str, dict[str, float]]:
    """How each model reads the first `limit` optical digits, with preprocessing."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = np.rint(digits.images[:limit] * (255 / 16)).astype(np.uint8)
    # Smoothly: each pixel counts the ink in a square of a scan, so its edges are none of the writing.
    factor = OPTICAL_ENLARGEMENT
    pictures = [cv2.resize(one, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) for one in small]
    titles = {title.replace(DIRECT, SHIPPED): model for title, model in models.items()}
    return {title: count(model.classify_many(pictures), digits.target[:limit]) for title, model in titles.items()}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train the networks that are missing, and measure everything."""
    data = load_mnist(options.data)
    with tempfile.TemporaryDirectory() as folder:
        paths = train_networks(data, Path(folder) if options.tiny else TRAINED, options)
        models = {DIRECT: Classifier()} | {title: Classifier(path) for title, path in paths.items()}
    images, labels = (part[::IMAGE_STEP][: options.images] for part in (data.test.images, data.test.labels))
    rows: dict[str, Any] = {"none": {"weak": score(models, images, labels)}}
    for name, corruption in CORRUPTIONS.items():
        strengths = {"weak": corruption.weak, "strong": corruption.strong}
        rows[name] = {
            "transform": corruption.transform,
            "options": {word: corruption.options(strength) for word, strength in strengths.items()},
            "enlarged": corruption.enlarge,
            **{word: score(models, corrupt(images, corruption, s), labels) for word, s in strengths.items()},
        }
        print(name, rows[name]["strong"], file=sys.stderr)
    return {
        "environment": harness.describe_environment("albumentations", "opencv-python-headless"),
        "model": models[DIRECT].metadata,
        "images": len(images),
        "corruptions": rows,
        "optical_digits": score_optical(models, options.images),
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as two Markdown tables: corrupted images, weakly / strongly, and the optical digits."""
    rows = result["corruptions"]
    titles = list(rows["none"]["weak"]["direct"])
    shares = {name: _shares(row, titles) for name, row in rows.items()}
    corrupted = [[name, *map(_percents, of_row)] for name, of_row in shares.items()]
    for title, names in (("mean of the {}", CORRUPTIONS), ("mean of the {} like MNIST-C", LIKE_MNIST_C)):
        means = np.mean([shares[name] for name in names], axis=0)
        corrupted.append([f"*{title.format(len(names))}*", *map(_percents, means)])
    optical = (
        [title, *(_percents([one]) for one in counts.values())] for title, counts in result["optical_digits"].items()
    )
    images = f"{result['images']:,} of MNIST's test images"
    return "\n\n".join(
        (
            harness.as_markdown([images, "shipped", "misread", *titles], corrupted),
            harness.as_markdown(["1,797 optical digits, 8×8", "read right", "misread", "rejected"], optical),
        )
    )


def _shares(row: dict[str, Any], titles: Sequence[str]) -> list[list[float]]:
    """For each column of the table, the share for each strength of a corruption."""
    found = [row[strength] for strength in ("weak", "strong") if strength in row]
    as_pictures = [[one["as_pictures"][key] for one in found] for key in ("right", "misread")]
    return as_pictures + [[one["direct"][title] for one in found] for title in titles]


def _percents(shares: Sequence[float]) -> str:
    return " / ".join(f"{100 * share:.1f}" for share in shares) + " %"


def draw(result: dict[str, Any]) -> "Figure":
    """Shares of the strongly corrupted images that are read right, a row for each corruption."""
    rows = {name: row["strong"] for name, row in result["corruptions"].items() if "strong" in row}
    names = sorted(rows, key=lambda name: rows[name]["as_pictures"]["right"])
    curves = {SHIPPED: [rows[name]["as_pictures"]["right"] for name in names]}
    curves |= {title: [rows[name]["direct"][title] for name in names] for title in rows[names[0]]["direct"]}
    with harness.new_figure(0.27 * len(names) + 1.1) as (figure, axes):
        _draw_dots(axes, curves)
        axes.set_yticks(range(len(names)), names)
        axes.set_title("Strongly corrupted: how many are read right")
    return figure


def _draw_dots(axes: "Axes", curves: Mapping[str, Sequence[float]]) -> None:
    """A dot for each model in each row, the shipped model in blue."""
    from matplotlib.ticker import PercentFormatter

    from mnist_digits.evaluation.figures import BLUE, ORANGE, QUIET

    looks: list[dict[str, Any]] = [
        {"marker": "o", "color": BLUE, "markersize": 8, "zorder": 3},
        {"marker": "o", "color": BLUE, "markerfacecolor": "white", "markersize": 7},
        {"marker": "D", "color": ORANGE},
        {"marker": "s", "color": QUIET},
        {"marker": "x", "color": QUIET, "markersize": 6},
    ]
    for (title, shares), look in zip(curves.items(), looks, strict=False):
        axes.plot(shares, range(len(shares)), linestyle="", label=title.replace("`", ""), **look)
    axes.grid(axis="both")
    axes.set_axisbelow(True)
    axes.margins(y=0.03)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0, " %"))
    axes.figure.legend(loc="outside lower center", ncols=len(curves), columnspacing=1.2, handletextpad=0.2)


BENCHMARK = Benchmark(
    RESULTS, __doc__, run, as_table, SETTINGS, needs_small_set=True, draw=draw, picture="robustness.png"
)

if __name__ == "__main__":
    BENCHMARK.main()
