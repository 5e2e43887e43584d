"""Spoilt images and other people's digits: how well the shipped model and what others train still read them.

    python benchmarks/robustness.py             # writes results/robustness.json and the picture, prints the tables
    python benchmarks/robustness.py --table     # measures nothing: draws and prints what was measured
    python benchmarks/robustness.py --tiny --data FOLDER --output FILE    # a few images, for the tests

Every fifth of MNIST's test images is spoilt by Albumentations, in each way weakly and strongly. What makes no sense at
28×28 pixels is done to the image enlarged four times, which is then made small again. The networks are those of one
seed; they are trained once, in half an hour at most, and kept in runs/robustness. None of them has learned from what
spoils the images here, but all of this project's recipes except `dense` learn from images that are turned, sheared,
scaled, moved and bent. The second set is the test set of UCI's optical digits as scikit-learn brings it: 8×8 pixels of
17 shades, from 13 people.
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

from contenders import PEERS, fit_keras_example
from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.files import atomic_write, read_json, write_json
from mnist_digits.recognition import Classifier, Prediction
from mnist_digits.runs import Run
from mnist_digits.training import RECIPES, Recipe, backend, resume, train

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "robustness.json"
PICTURE = ROOT / "docs" / "pictures" / "robustness.png"
KEPT = ROOT / "runs" / "robustness"
"""Where the networks lie, once they are trained."""
EVERY = 5
"""One in so many test images is spoilt: MNIST's later ones are easier than its first."""
ENLARGED = 8
"""How many times larger the optical digits are made, along each side."""

SHIPPED, DIRECT = "shipped", "shipped, 28×28"
"""The shipped model as `digits predict` uses it, and shown the 28×28 pixels as they are."""


@dataclass(frozen=True)
class Corruption:
    """A way to spoil an image."""

    transform: str
    """Albumentations' name for it."""
    options: Callable[[float], dict[str, Any]]
    """What it is called with, by strength."""
    weak: float
    strong: float
    enlarge: int = 1
    """How many times larger the image is made for it, along each side."""


def _both(name: str) -> Callable[[float], dict[str, Any]]:
    """The option of that name, a range, with both ends at the strength."""
    return lambda strength: {name: (strength, strength)}


CORRUPTIONS = {
    "noise": Corruption("GaussNoise", _both("std_range"), 0.1, 0.3),
    "shot noise": Corruption("ShotNoise", _both("scale_range"), 0.3, 1.0),
    "salt and pepper": Corruption("SaltAndPepper", _both("amount"), 0.02, 0.1),
    "erased patches": Corruption(
        "CoarseDropout",
        lambda count: {
            "num_holes_range": (count, count),
            "hole_height_range": (5, 5),
            "hole_width_range": (5, 5),
        },
        2,
        6,
    ),
    "spatter": Corruption(
        "Spatter",
        lambda cutout: {"mean": (0.6, 0.6), "std": (0.3, 0.3), "cutout_threshold": (cutout, cutout), "mode": "mud"},
        0.65,
        0.55,
        enlarge=4,
    ),
    "motion blur": Corruption("MotionBlur", _both("blur_limit"), 15, 31, enlarge=4),
    "defocus": Corruption("Defocus", lambda radius: {"radius": (radius, radius)}, 5, 11, enlarge=4),
    "glass blur": Corruption("GlassBlur", lambda delta: {"max_delta": delta, "iterations": 1}, 4, 9, enlarge=4),
    "zoom blur": Corruption(
        "ZoomBlur", lambda factor: {"max_factor": factor, "step_factor": (0.02, 0.02)}, 1.2, 1.5, enlarge=4
    ),
    "JPEG": Corruption("ImageCompression", _both("quality_range"), 20, 5),
    "coarse pixels": Corruption("Downscale", _both("scale_range"), 0.5, 0.35),
    "low contrast": Corruption(
        "RandomBrightnessContrast",
        lambda change: {"brightness_limit": (0, 0), "contrast_limit": (change, change)},
        -0.5,
        -0.8,
    ),
    "bright paper": Corruption(
        "RandomBrightnessContrast",
        lambda change: {"brightness_limit": (change, change), "contrast_limit": (0, 0)},
        0.2,
        0.5,
    ),
    "fog": Corruption("RandomFog", _both("fog_coef_range"), 0.3, 0.8, enlarge=4),
    "shadow": Corruption("PlasmaShadow", _both("shadow_intensity_range"), 0.5, 0.9, enlarge=4),
    "thin strokes": Corruption(
        "Morphological", lambda width: {"scale": (width, width), "operation": "erosion"}, 5, 9, enlarge=4
    ),
    "thick strokes": Corruption(
        "Morphological", lambda width: {"scale": (width, width), "operation": "dilation"}, 5, 11, enlarge=4
    ),
    "turned": Corruption("Affine", lambda degrees: {"rotate": (-degrees, degrees)}, 20, 40),
    "sheared": Corruption("Affine", lambda degrees: {"shear": {"x": (-degrees, degrees)}}, 20, 40),
    "small": Corruption("Affine", lambda scale: {"scale": (scale, scale)}, 0.75, 0.5),
    "moved": Corruption("Affine", lambda pixels: {"translate_px": (-pixels, pixels)}, 2, 5),
    "bent": Corruption("ElasticTransform", lambda alpha: {"alpha": alpha, "sigma": 8}, 80, 160, enlarge=4),
    "perspective": Corruption("Perspective", _both("scale"), 0.05, 0.15, enlarge=4),
}
"""By the name in the table. Where the strength is both ends of a range, what lies between is drawn for each image."""


def spoil(images: np.ndarray, corruption: Corruption, strength: float) -> np.ndarray:
    """The images, uint8 (n, 28, 28), spoilt one by one; the same every time."""
    # Otherwise it asks the network for a newer version of itself.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    transform = getattr(albumentations, corruption.transform)(p=1, **corruption.options(strength))
    pipeline, side, spoilt = albumentations.Compose([transform], seed=0), 28 * corruption.enlarge, []
    for image in images:
        large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        # Some transforms take nothing but colour.
        coloured = pipeline(image=cv2.cvtColor(large, cv2.COLOR_GRAY2RGB))["image"]
        grey = cv2.cvtColor(coloured, cv2.COLOR_RGB2GRAY)
        spoilt.append(cv2.resize(grey, (28, 28), interpolation=cv2.INTER_AREA))
    return np.stack(spoilt)


def train_networks(data: Dataset, folder: Path, recipes: Mapping[str, Recipe], epochs: int) -> dict[str, Path]:
    """Title → where the network lies as ONNX: the recipes', and Keras's example after so many epochs."""
    paths = {}
    for name, recipe in recipes.items():
        run = Run(folder / name)
        if not run.finished:
            run = resume(run, data) if run.recipe.exists() else train(recipe, data, run.folder)
        paths[f"`{name}`"] = run.onnx
    paths[PEERS["keras"].title] = folder / "keras.onnx"
    if not (folder / "keras.onnx").exists():
        train_keras(data, folder / "keras.onnx", epochs)
    return paths


def train_keras(data: Dataset, path: Path, epochs: int) -> None:
    """Train Keras's example and write it as ONNX."""
    backend.start_keras()
    import keras
    from keras import layers

    from mnist_digits.training.export.onnx import export_onnx

    model = fit_keras_example(data, epochs, lambda predict: None)
    # Like this project's networks, it then takes images without a channel.
    flat = keras.Sequential([layers.Input((28, 28)), layers.Reshape((28, 28, 1)), *model.layers])
    export_onnx(flat, path, {"recipe": "keras.io mnist_convnet", "seed": "0"}, data.test.images)


def count(predictions: Sequence[Prediction], labels: np.ndarray) -> dict[str, float]:
    """Shares of pictures that were read right, misread and declined."""
    digits = np.array([-1 if one.digit is None else one.digit for one in predictions])
    declined = digits < 0
    misread = ~declined & (digits != labels)
    return {
        "right": float((digits == labels).mean()),
        "misread": float(misread.mean()),
        "declined": float(declined.mean()),
    }


def score(models: Mapping[str, Classifier], images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """How each model reads images, uint8 (n, 28, 28): `direct`, shares read right, and the shipped `as_pictures`."""
    right = {title: float((model.probabilities(images).argmax(1) == labels).mean()) for title, model in models.items()}
    return {"direct": right, "as_pictures": count(models[DIRECT].classify_many(images), labels)}


def score_optical(models: Mapping[str, Classifier], limit: int) -> dict[str, dict[str, float]]:
    """How each model reads the optical digits, as pictures."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = np.rint(digits.images[:limit] * (255 / 16)).astype(np.uint8)
    # Smoothly: each pixel counts the ink in a square of a scan, whose edge is not one of the writing.
    pictures = [cv2.resize(one, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC) for one in small]
    titles = {title.replace(DIRECT, SHIPPED): model for title, model in models.items()}
    return {title: count(model.classify_many(pictures), digits.target[:limit]) for title, model in titles.items()}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train what is not trained yet, and measure everything."""
    data = load_mnist(options.data)
    with tempfile.TemporaryDirectory() as folder:
        recipes = {name: RECIPES[name] for name in ("cnn", "dense")}
        if options.tiny:
            recipes = {"dense": RECIPES["dense"].with_settings({"epochs": "1"})}
        epochs = 1 if options.tiny else PEERS["keras"].epochs
        paths = train_networks(data, Path(folder) if options.tiny else KEPT, recipes, epochs)
        models = {DIRECT: Classifier()} | {title: Classifier(path) for title, path in paths.items()}
    backend.start_keras()
    images, labels = data.test.images[::EVERY], data.test.labels[::EVERY]
    images, labels = images[: options.images], labels[: options.images]
    rows = {"none": {"weak": score(models, images, labels)}}
    for name, corruption in CORRUPTIONS.items():
        strengths = {"weak": corruption.weak, "strong": corruption.strong}
        rows[name] = {
            "transform": corruption.transform,
            "options": {word: corruption.options(strength) for word, strength in strengths.items()},
            "enlarged": corruption.enlarge,
            **{word: score(models, spoil(images, corruption, s), labels) for word, s in strengths.items()},
        }
        print(name, rows[name]["strong"], file=sys.stderr)
    environment = backend.describe_environment()
    environment["versions"] |= backend.installed_versions(("albumentations", "opencv-python-headless"))
    return {
        "command": "python benchmarks/robustness.py",
        "environment": environment,
        "model": models[DIRECT].metadata,
        "images": len(images),
        "corruptions": rows,
        "optical_digits": score_optical(models, options.images),
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as two Markdown tables: spoilt images, weakly and strongly, and the optical digits."""
    rows = result["corruptions"]
    titles = rows["none"]["weak"]["direct"]
    lines = [f"| {result['images']:,} of MNIST's test images | shipped | misread | {' | '.join(titles)} |"]
    lines.append("|---|" + "---:|" * (len(titles) + 2))
    for name, row in rows.items():
        found = [row[strength] for strength in ("weak", "strong") if strength in row]
        cells = [[one["as_pictures"][key] for one in found] for key in ("right", "misread")]
        cells += [[one["direct"][title] for one in found] for title in titles]
        lines.append(f"| {name} | {' | '.join(map(_percents, cells))} |")
    lines += ["", "| 1,797 optical digits, 8×8 | read right | misread | declined |", "|---|---:|---:|---:|"]
    for title, shares in result["optical_digits"].items():
        lines.append(f"| {title} | {' | '.join(_percents([share]) for share in shares.values())} |")
    return "\n".join(lines)


def _percents(shares: Sequence[float]) -> str:
    return " / ".join(f"{100 * share:.1f}" for share in shares) + " %"


def draw(result: dict[str, Any]) -> "Figure":
    """How many of the strongly spoilt images are read right, a row for each way to spoil them."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from mnist_digits.evaluation.figures import STYLE, WIDTH

    rows = {name: row["strong"] for name, row in result["corruptions"].items() if "strong" in row}
    names = sorted(rows, key=lambda name: rows[name]["as_pictures"]["right"])
    curves = {SHIPPED: [rows[name]["as_pictures"]["right"] for name in names]}
    curves |= {title: [rows[name]["direct"][title] for name in names] for title in rows[names[0]]["direct"]}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.27 * len(names) + 1.1), layout="constrained")
        axes = figure.subplots()
        _draw_dots(axes, curves)
        axes.set_yticks(range(len(names)), names)
        axes.set_title("Strongly spoilt: how many are read right")
    return figure


def _draw_dots(axes: "Axes", curves: Mapping[str, Sequence[float]]) -> None:
    """A dot for each curve in each row, this project's shipped model in blue."""
    from matplotlib.ticker import PercentFormatter

    from mnist_digits.evaluation.figures import BLUE, ORANGE, QUIET

    looks = [
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, write, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="measure nothing, draw and print what was measured")
    parser.add_argument("--tiny", action="store_true", help="20 images, and networks of one epoch")
    parser.add_argument("--data", type=Path, help="a folder with four IDX files instead of MNIST")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args(arguments)
    if options.tiny and (options.data is None or options.output == RESULTS):
        parser.error("--tiny measures nothing worth keeping: name a small set with --data and another --output")
    options.images = 20 if options.tiny else None
    result = read_json(options.output) if options.table else run(options)
    if not options.table:
        write_json(options.output, result)
    with atomic_write(PICTURE if options.output == RESULTS else options.output.with_suffix(".png")) as temporary:
        draw(result).savefig(temporary)
    print(as_table(result))


if __name__ == "__main__":
    main()
