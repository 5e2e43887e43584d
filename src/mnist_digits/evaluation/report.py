"""From a run's folder to its figures, one self-contained page, `report.html`, and the model's card.

`python -m mnist_digits.evaluation.report RUN_FOLDER DATA_FOLDER DATA_SEED` is the painter's side of
`Painter`: it gets ready while a model trains, and paints when told to.
"""

import base64
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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

DOTS_PER_INCH = 250
"""Figures are 1,600 pixels wide: sharp where a page shows them at half of that."""

MOST_UNITS = 256
"""A figure of more weight images than this would show none of them."""

DATA_FIGURES = ("samples", "class-counts", "mean-digits")

RANDOM_SAMPLES, UNSURE_SAMPLES, MISTAKES = 21, 14, 35
"""Images in the figures of predictions: rows of seven."""


def draw_data(run: Run, data: Dataset) -> None:
    """Draw the figures of the data into the run's folder: samples, class counts, mean digits.

    Raises DataError when they cannot be written.
    """
    train = data.train
    _save(run, "samples", figures.samples_by_class(train.images, train.labels))
    splits = {"training": train, "validation": data.validation, "test": data.test}
    counts = {name: np.bincount(split.labels, minlength=10) for name, split in splits.items()}
    _save(run, "class-counts", figures.class_counts(counts))
    _save(run, "mean-digits", figures.mean_digits(_mean_images(train.images, train.labels)))


def write_report(run: Run, data: Dataset) -> None:
    """Draw the figures of a finished run into its folder, and write the page that shows them all and the model's card.

    data: the very images the run learned from and was tested on. The figures of the data are drawn
    when they are not there yet; one of distortions is shown when training has drawn it. The same run
    gives the same page.

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
    """Name and figure, one after the other; none of what the run has nothing to show for."""
    labels, probabilities, images = results.labels, results.probabilities, data.test.images
    if len(results.history["loss"]):
        yield "learning-curves", figures.learning_curves(results.history)
    chosen = _choose_samples(probabilities)
    yield "predictions", figures.predictions(images[chosen], labels[chosen], probabilities[chosen])
    yield "confusion", figures.confusion_heatmap(np.array(results.metrics["test"]["confusion"]))
    wrong = mistakes(labels, probabilities)[:MISTAKES]
    if len(wrong):
        yield "mistakes", figures.predictions(images[wrong], labels[wrong], probabilities[wrong])
    bins = reliability(labels, probabilities)
    yield "reliability", figures.reliability_diagram(bins.confidence, bins.accuracy, bins.count)
    if results.weights is not None:
        yield "weights", figures.weight_images(results.weights[:, :, :MOST_UNITS])


def _choose_samples(probabilities: np.ndarray) -> np.ndarray:
    """Indices of some predictions drawn at random, the same ones for every run, then of the least confident."""
    count = len(probabilities)
    random = np.random.default_rng(0).permutation(count)[:RANDOM_SAMPLES]
    unsure = np.argsort(probabilities.max(1), kind="stable")[:UNSURE_SAMPLES]
    return np.concatenate([random, unsure])


def _mean_images(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean of each class, float64 (10, 28, 28) in [0, 255]; 0 where there is no image."""
    classes = (images[labels == digit] for digit in range(10))
    return np.stack([members.sum(axis=0, dtype=np.uint32) / max(1, len(members)) for members in classes])


def _check_same_data(run: Run, results: Results, data: Dataset) -> None:
    found = str(results.recipe["data"]["fingerprint"])
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
    """Write a figure as PNG, whole or not at all. Raises DataError when it cannot be written."""
    figure.set_dpi(DOTS_PER_INCH)
    with atomic_write(path) as temporary:
        # Not savefig, which draws twice; and the last few per cent of compression would take most of the time.
        canvas = FigureCanvasAgg(figure)
        canvas.print_png(temporary, metadata={"Software": None}, pil_kwargs={"compress_level": 2})  # type: ignore[no-untyped-call]


def _data_url(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _render(results: Results, sources: dict[str, str]) -> str:
    """The page. sources: name of each figure → its pixels as a data URL."""
    return render(
        "report.html.jinja",
        recipe={**results.recipe, "data": _without_path(results.recipe["data"])},
        environment=results.environment,
        test=results.metrics["test"],
        validation=results.metrics["validation"],
        training=results.metrics["training"],
        history=results.history,
        pairs=confused_pairs(results.metrics["test"]["confusion"]),
        sources=sources,
    )


def _without_path(data: Mapping[str, Any]) -> dict[str, Any]:
    """A page is made to be shared: it names the data's folder, not where it lies on somebody's disk."""
    folder = data.get("folder")
    return {**data, "folder": Path(folder).name if folder else "bundled with the program"}


def main(arguments: list[str]) -> int:
    """Draw the data's figures, wait for the word, write the report. Returns the exit status."""
    # SystemExit, unlike a signal, lets half-written files be removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder, data_folder, data_seed = arguments
    run = Run(Path(folder))
    try:
        data = load_mnist(Path(data_folder), int(data_seed))
        draw_data(run, data)
        # No such line: whoever started this is gone, or has given up.
        if sys.stdin.readline().strip() == FINISH:
            write_report(run, data)
    except DigitsError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    # Beside a training, pictures take only what it leaves over; after it, the processor is theirs.
    if hasattr(os, "nice"):
        os.nice(10)
    sys.exit(main(sys.argv[1:]))
