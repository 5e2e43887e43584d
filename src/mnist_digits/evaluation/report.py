"""Writes a run's figures, one self-contained page, `report.html`, and the model card.

`python -m mnist_digits.evaluation.report RUN_FOLDER DATA_FOLDER DATA_SEED` is the process that `ReportProcess` starts:
it draws the figures of the data while a model trains, and writes the report when told to.
"""

import base64
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.errors import DataError, DigitsError
from mnist_digits.evaluation import figures
from mnist_digits.evaluation.metrics import confused_pairs, mistakes, reliability
from mnist_digits.evaluation.model_card import write_card
from mnist_digits.evaluation.rendering import render
from mnist_digits.evaluation.report_process import FINISH
from mnist_digits.evaluation.run_files import Results, read_results
from mnist_digits.files import atomic_write, write_text
from mnist_digits.runs import Run

FIGURE_DPI = 250
"""Resolution of the figures, which makes them 1,600 pixels wide: twice the width at which the page shows them."""

MAX_WEIGHT_IMAGES = 256
"""Units whose weights are drawn; images of more would be too small to see."""

DATA_FIGURES = ("samples", "class-counts", "mean-digits")

RANDOM_SAMPLES, UNSURE_SAMPLES, MISTAKES = 21, 14, 35
"""Numbers of images in the figures of predictions, multiples of the seven in a row."""


def draw_data(run: Run, data: Dataset) -> None:
    """Draw the figures of the data into the run's folder: samples, class counts, mean digits.

    Raises DataError when one cannot be written.
    """
    train = data.train
    _save(run, "samples", figures.samples_by_class(train.images, train.labels))
    splits = {"training": train, "validation": data.validation, "test": data.test}
    counts = {name: np.bincount(split.labels, minlength=10) for name, split in splits.items()}
    _save(run, "class-counts", figures.class_counts(counts))
    _save(run, "mean-digits", figures.mean_digits(_mean_images(train.images, train.labels)))


def write_report(run: Run, data: Dataset) -> None:
    """Draw the figures of a finished run into its folder, and write the page that shows them and the model card.

    data: the images the run was trained and tested on. The figures of the data are drawn unless they exist; the
    figure of distortions is included if training has drawn it. The same run gives the same page, byte for byte.

    Raises DataError when a file of the run is missing or damaged, when the run was made with other
    data, or when a file cannot be written.
    """
    results = read_results(run)
    _check_same_data(run, results, data)
    pictures = {name: _figure_path(run, name) for name in DATA_FIGURES}
    if not all(path.exists() for path in pictures.values()):
        draw_data(run, data)
    if run.distortions.exists():
        pictures["distortions"] = run.distortions
    for name, figure in _draw_results(results, data):
        pictures[name] = _save(run, name, figure)
    sources = {name: _data_url(path) for name, path in pictures.items()}
    write_text(run.report, _render(results, sources))
    write_card(run, results, data)


def _draw_results(results: Results, data: Dataset) -> Iterator[tuple[str, Figure]]:
    """Names and figures; those that this run has no data for are left out."""
    labels, probabilities, images = results.labels, results.probabilities, data.test.images
    if len(results.history["loss"]):
        yield "learning-curves", figures.learning_curves(results.history)
    chosen = _choose_samples(probabilities)
    yield "predictions", figures.predictions(images[chosen], labels[chosen], probabilities[chosen])
    yield "confusion", figures.confusion_heatmap(np.array(results.metrics.test.confusion))
    wrong = mistakes(labels, probabilities)[:MISTAKES]
    if len(wrong):
        yield "mistakes", figures.predictions(images[wrong], labels[wrong], probabilities[wrong])
    bins = reliability(labels, probabilities)
    yield "reliability", figures.reliability_diagram(bins.confidence, bins.accuracy, bins.count)
    if results.weights is not None:
        yield "weights", figures.weight_images(results.weights[:, :, :MAX_WEIGHT_IMAGES])


def _choose_samples(probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Indices of predictions drawn at random, the same for every run, then of the least confident ones."""
    count = len(probabilities)
    random = np.random.default_rng(0).permutation(count)[:RANDOM_SAMPLES]
    unsure = np.argsort(probabilities.max(1), kind="stable")[:UNSURE_SAMPLES]
    return np.concatenate([random, unsure])


def _mean_images(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean image of each class, float64 (10, 28, 28) in [0, 255]; 0 for a class without images."""
    classes = (images[labels == digit] for digit in range(10))
    return np.stack([members.sum(axis=0, dtype=np.uint32) / max(1, len(members)) for members in classes])


def _check_same_data(run: Run, results: Results, data: Dataset) -> None:
    found = results.recipe.data.fingerprint
    if found != data.fingerprint or len(results.labels) != len(data.test):
        raise DataError(
            f"{run.folder}: made with data of fingerprint {found[:12]}…, but {data.folder} has "
            f"{data.fingerprint[:12]}…; name the data it was made with: --data"
        )


def _figure_path(run: Run, name: str) -> Path:
    return run.figures / f"{name}.png"


def _save(run: Run, name: str, figure: Figure) -> Path:
    path = _figure_path(run, name)
    save_figure(figure, path)
    return path


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically. Raises DataError when it cannot be written."""
    figure.set_dpi(FIGURE_DPI)
    with atomic_write(path) as temporary:
        # savefig would draw twice; higher compression levels would take most of the time and save a few per cent.
        canvas = FigureCanvasAgg(figure)
        canvas.print_png(temporary, metadata={"Software": None}, pil_kwargs={"compress_level": 2})  # type: ignore[no-untyped-call]


def _data_url(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _render(results: Results, sources: dict[str, str]) -> str:
    """The page. sources: name of each figure → its PNG file as a data URL."""
    recipe, metrics = results.recipe, results.metrics
    # A page is made to be shared: it names the data's folder without its path on somebody's disk.
    folder = Path(recipe.data.folder).name if recipe.data.folder else "bundled with the program"
    return render(
        "report.html.jinja",
        name=recipe.recipe.name,
        recipe=recipe.recipe.model_dump(),
        seed=recipe.seed,
        source={**recipe.data.model_dump(), "folder": folder},
        environment=results.environment,
        test=metrics.test,
        validation=metrics.validation,
        training=metrics.training,
        history=results.history,
        pairs=confused_pairs(metrics.test.confusion),
        teaching=metrics.teaching,
        sources=sources,
    )


def main(arguments: list[str]) -> int:
    """Draw the figures of the data, wait for the line FINISH on stdin, write the report. Returns the exit status."""
    # SystemExit, unlike death by the signal, lets temporary files be removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder, data_folder, data_seed = arguments
    run = Run(Path(folder))
    try:
        data = load_mnist(Path(data_folder), int(data_seed))
        draw_data(run, data)
        # Without the line, the process that started this one has ended or failed.
        if sys.stdin.readline().strip() == FINISH:
            write_report(run, data)
    except DigitsError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    # Training goes first; when it has ended, niceness no longer matters.
    if hasattr(os, "nice"):
        os.nice(10)
    sys.exit(main(sys.argv[1:]))
