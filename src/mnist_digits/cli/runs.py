"""Commands for finished runs: `digits evaluate`, `report`, `compare` and `export`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_digits.cli.app import command
from mnist_digits.cli.options import Data, Json, RunFolder, dataset_of, onnx_of, show
from mnist_digits.cli.output import print_comparison, print_metrics, results
from mnist_digits.errors import DataError, QualityError, UsageError
from mnist_digits.runs import Run

if TYPE_CHECKING:
    from mnist_digits.evaluation.comparison import Readings


@command(
    "digits evaluate runs/latest",
    "digits evaluate model.keras --data fashion/ --json",
    "digits evaluate runs/latest --require-accuracy 0.97",
    "digits evaluate --pictures mine/ --report mine.html",
    "digits evaluate runs/latest --pages scans/",
)
def evaluate(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN|MODEL",
            help="A run's folder, or a .keras file; with --pictures or --pages a run's folder or an .onnx file. "
            "\\[default there: the shipped model]",
        ),
    ] = None,
    data: Data = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER|FILE", help="Read labelled pictures: in folders 0 to 9, or a table of paths."),
    ] = None,
    pages: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Read pages whose lines are in labels.json, or in a .txt beside each."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="With --pictures or --pages: write a page that shows the worst ones."),
    ] = None,
    model_: Annotated[
        Path | None, typer.Option("--model", metavar="RUN|MODEL", help="The same as the argument.", show_default=False)
    ] = None,
    require_accuracy: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with status 4 if the accuracy is lower than this fraction.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a model: on test images, or the whole way from your own pictures or pages to digits.

    On test images: accuracy, loss, calibration error, and the scores of each class.
    With --pictures or --pages, every file is read as `digits predict` or `digits
    read` does, by the shipped model or by yours, and compared with its label.
    """
    if model and model_:
        raise UsageError(f"{model} with --model {model_}: one model is scored at a time; leave one of them out")
    model = model or model_
    if (pictures is not None) + (pages is not None) + (data is not None) > 1:
        raise UsageError("--data, --pictures and --pages: one of them says what is read; leave the others out")
    if report and not (pictures or pages):
        raise UsageError("--report goes with --pictures or --pages; a run has its report.html already")
    print_: Callable[[dict[str, Any]], None] = print_metrics
    if pictures or pages:
        from mnist_digits.cli.own import measure

        if pictures:
            metrics = measure.measure_pictures(pictures, onnx_of(model), report)
        else:
            assert pages
            metrics = measure.measure_pages(pages, onnx_of(model), report)
        print_ = measure.print_pictures if pictures else measure.print_pages
    else:
        if model is None:
            raise UsageError("expected a RUN or MODEL to score, or --pictures or --pages for the shipped model to read")
        metrics = _score(model, data)
    show(metrics, print_, as_json)
    if require_accuracy is not None and not metrics["accuracy"] >= require_accuracy:
        raise QualityError(
            f"accuracy {metrics['accuracy']:.4f}, required {require_accuracy:.4f}: train longer, or require less"
        )


def _score(model: Path, data: Path | None) -> dict[str, Any]:
    """A Keras model's scores on the test images, as JSON."""
    from mnist_digits import evaluation
    from mnist_digits.cli.own.data import load
    from mnist_digits.training import backend

    run = Run.open(model, "recipe", "model") if model.is_dir() else None
    test = (dataset_of(run, data) if run else load(data)).test
    backend.start_keras()
    from mnist_digits.training import networks
    from mnist_digits.training.engine import loop

    predict = loop.compile_prediction(networks.load(run.model if run else model))
    try:
        return evaluation.evaluate(test.labels, predict(test.images)).to_json()
    except ValueError as error:
        raise DataError(f"{model}: does not give probabilities: {error}; end it with softmax") from error


@command("digits report runs/latest")
def report(run_folder: RunFolder, data: Data = None) -> None:
    """Redraw the figures and rewrite the report and the model card of a finished run."""
    from mnist_digits.evaluation.report import draw_data, write_report

    run = Run.open(run_folder, "recipe", "environment", "history", "model", "predictions", "metrics")
    dataset = dataset_of(run, data)
    draw_data(run, dataset)
    write_report(run, dataset)
    results.print(str(run.report), markup=False)


@command(
    "digits compare runs/dense-0 runs/dense-plus-0 --figure accuracies.png",
    "digits compare runs/dense-0 runs/cnn-0 --data mine/",
)
def compare(
    run_folders: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Two or more runs on the same data.")],
    data: Data = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also draw the accuracies and their intervals.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the accuracies of finished runs, and test whether each differs significantly from the first.

    By default on the test images that they were tested on, which must be the same;
    with --data, each run's model.onnx reads the test part of another set.
    """
    from mnist_digits.evaluation.comparison import compare_runs

    if figure and figure.suffix != ".png":
        raise UsageError(f"--figure {figure}: expected a name that ends in .png")
    runs = [Run(folder) for folder in run_folders]
    rows = compare_runs(runs, _read_anew(runs, data) if data else None)
    if figure:
        import numpy as np

        from mnist_digits.evaluation import figures
        from mnist_digits.evaluation.report import save_figure

        accuracy, intervals = (np.array([row[key] for row in rows]) for key in ("accuracy", "interval95"))
        save_figure(figures.accuracies([row["run"] for row in rows], accuracy, intervals), figure)
    show({"runs": rows}, print_comparison, as_json)


def _read_anew(runs: list[Run], data: Path) -> "Readings":
    """The labels of another set's test images, and each run's probabilities for them."""
    from mnist_digits.cli.own.data import load
    from mnist_digits.recognition import Classifier

    models = [Classifier(Run.open(run.folder, "onnx").onnx) for run in runs]
    test = load(data).test
    return test.labels, [model.probabilities(test.images) for model in models]


@command(
    "digits export runs/latest --format litert",
    "digits export runs/cnn-0 --format saved_model --output serving/digits/1",
)
def export(
    run_folder: RunFolder,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="onnx, litert, saved_model or keras.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where to write it. \\[default: named like the run, here]")
    ] = None,
    data: Data = None,
) -> None:
    """Write a finished run's model for ONNX Runtime, LiteRT (phones), TensorFlow or Keras.

    All formats but keras take images as bytes and give calibrated probabilities,
    and are compared with Keras first.
    """
    from mnist_digits.training.export import formats

    run = Run.open(run_folder, "recipe", "model", "metrics")
    path = formats.new_path(run, format_, output)
    formats.export_run(run, dataset_of(run, data), format_, path)
    results.print(str(path), markup=False)
