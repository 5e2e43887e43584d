"""The command `digits`: parse, call, print. Everything slow is imported by the command that needs it."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_digits import __version__, terminal
from mnist_digits.errors import DataError, DigitsError, QualityError, UsageError
from mnist_digits.runs import Run, read_json, whole
from mnist_digits.terminal import messages, results

if TYPE_CHECKING:
    import numpy as np

    from mnist_digits.dataset import Dataset
    from mnist_digits.recognition import Picture, Reading
    from mnist_digits.training.train import Progress

app = typer.Typer(
    help="Train a digit classifier in seconds, see how well and why it works, and read real handwriting with it.",
    epilog="Start with: digits train dense",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Four IDX files of another set, such as Fashion-MNIST, instead of MNIST."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Model = Annotated[
    Path | None, typer.Option(metavar="RUN|MODEL", help="A run's folder or an .onnx file. [default: the shipped]")
]
Recursive = Annotated[bool, typer.Option("--recursive", help="Look into the folders in a folder, too.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/latest.")]


@app.callback(invoke_without_command=True)
def digits(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train a digit classifier in seconds, see how well and why it works, and read real handwriting with it."""
    if version:
        results.print(__version__)
        raise typer.Exit


@app.command(
    epilog="Examples:  digits train dense  ·  digits train dense-dropout --seed 1 --set epochs=20  ·  "
    "digits train dense --data fashion/  ·  digits train dense --resume runs/dense-0  ·  digits train dense --seeds 5"
)
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="What to train; `digits info` lists the recipes.")],
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Decides initial weights and order of images. [default: 0]")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The run's folder. [default: runs/RECIPE-SEED]")
    ] = None,
    data: Data = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe; repeatable.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Continue an interrupted run after its last finished epoch.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, metavar="COUNT", help="Train so many seeds, one after another, and summarise.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write logs for TensorBoard.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network, evaluate it once on the test set, and write a report.

    The run's folder then holds the model (Keras and ONNX), metrics, figures and report.html.
    Interrupted, it keeps the last finished epoch; --resume goes on from there.
    """
    if resume and output:
        raise UsageError("--resume with --output: a run goes on in its own folder; leave one of them out")
    job = _Job(recipe, _parse_settings(settings or []), seed, output, data, resume, tensorboard)
    if seeds is None:
        run = _train_one(job)
        _show({"run": str(run.folder), **read_json(run.metrics)}, terminal.print_summary, as_json)
    else:
        summary = _train_seeds(job, seeds)
        _show({"summary": str(summary), **read_json(summary)}, terminal.print_spread, as_json)


def _show(content: dict[str, Any], for_people: Callable[[dict[str, Any]], None], as_json: bool) -> None:
    if as_json:
        results.print_json(data=content)
    else:
        for_people(content)


@dataclass(frozen=True)
class _Job:
    """What `digits train` was asked for."""

    recipe: str
    settings: dict[str, str]
    seed: int | None
    output: Path | None
    data: Path | None
    resume: Path | None
    tensorboard: bool


def _train_one(job: _Job) -> Run:
    from mnist_digits import training
    from mnist_digits.dataset import load_mnist

    recipe = training.find_recipe(job.recipe).with_settings(job.settings)
    if job.resume:
        run = training.open_unfinished(job.resume, job.recipe, job.settings, job.seed)
        data = _dataset_of(run, job.data)
    else:
        data = load_mnist(job.data)
        run = training.create_run(recipe, data, job.output, job.seed or 0)
    with _continued_by("digits", "train", job.recipe, "--resume", str(run.folder)), terminal.progress(run) as progress:
        return training.resume(run, data, tensorboard=job.tensorboard, progress=progress)


def _train_seeds(job: _Job, count: int) -> Path:
    from mnist_digits import training
    from mnist_digits.dataset import load_mnist

    recipe, first_seed = training.find_recipe(job.recipe).with_settings(job.settings), job.seed or 0
    if job.resume:
        first = training.open_unfinished(job.resume / f"seed-{first_seed}", job.recipe, job.settings)
        data, folder, recipe = _dataset_of(first, job.data), job.resume, training.read_plan(first).recipe
    else:
        data, folder = load_mnist(job.data), training.new_series(recipe, count, job.output)

    seeds = ("--seeds", str(count), "--seed", str(first_seed))
    with _continued_by("digits", "train", job.recipe, *seeds, "--resume", str(folder)), ExitStack() as bars:

        def announce(run: Run) -> "Progress":
            bars.close()
            messages.print(str(run.folder), markup=False)
            return bars.enter_context(terminal.progress(run))

        return training.train_seeds(
            recipe, data, count, folder, first_seed, tensorboard=job.tensorboard, announce=announce
        )


@app.command(
    epilog="Examples:  digits evaluate runs/latest  ·  digits evaluate model.keras --data fashion/ --json  ·  "
    "digits evaluate runs/latest --require-accuracy 0.97"
)
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="RUN|MODEL", help="A run's folder, or a .keras file.")],
    data: Data = None,
    require_accuracy: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with status 4 when the accuracy is below this fraction.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a model on the test images: accuracy, calibration, and every class."""
    from mnist_digits import evaluation
    from mnist_digits.dataset import load_mnist
    from mnist_digits.training import backend

    run = Run.open(model, "recipe", "model") if model.is_dir() else None
    test = (_dataset_of(run, data) if run else load_mnist(data)).test
    backend.start_keras()
    from mnist_digits.training import engine, networks

    predict = engine.compile_prediction(networks.load(run.model if run else model))
    try:
        metrics = evaluation.evaluate(test.labels, predict(test.images)).to_json()
    except ValueError as error:
        raise DataError(f"{model}: does not give probabilities: {error}; end it with softmax") from error
    _show(metrics, terminal.print_metrics, as_json)
    if require_accuracy is not None and not metrics["accuracy"] >= require_accuracy:
        raise QualityError(
            f"accuracy {metrics['accuracy']:.4f}, required {require_accuracy:.4f}: train longer, or require less"
        )


@app.command(epilog="Example:  digits report runs/latest")
def report(run_folder: RunFolder, data: Data = None) -> None:
    """Make the figures, the report and the model card of a finished run anew."""
    from mnist_digits.evaluation.report import draw_data, write_report

    run = Run.open(run_folder, "recipe", "environment", "history", "model", "predictions", "metrics")
    dataset = _dataset_of(run, data)
    draw_data(run, dataset)
    write_report(run, dataset)
    results.print(str(run.report), markup=False)


@app.command(epilog="Example:  digits compare runs/dense-0 runs/dense-plus-0 --figure accuracies.png")
def compare(
    run_folders: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Two or more runs on the same data.")],
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also draw the accuracies with their intervals.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare finished runs: accuracy, and whether the difference from the first is more than luck."""
    from mnist_digits.evaluation.comparison import compare_runs

    if figure and figure.suffix != ".png":
        raise UsageError(f"--figure {figure}: expected a name that ends in .png")
    rows = compare_runs([Run(folder) for folder in run_folders])
    if figure:
        import numpy as np

        from mnist_digits.evaluation import figures
        from mnist_digits.evaluation.report import save_figure

        accuracy, intervals = (np.array([row[key] for row in rows]) for key in ("accuracy", "interval95"))
        save_figure(figures.accuracies([row["run"] for row in rows], accuracy, intervals), figure)
    _show({"runs": rows}, terminal.print_comparison, as_json)


@app.command(
    epilog="Examples:  digits export runs/latest --format litert  ·  "
    "digits export runs/cnn-0 --format saved_model --output serving/digits/1"
)
def export(
    run_folder: RunFolder,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="onnx, litert, saved_model or keras.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where to write it. [default: named like the run, here]")
    ] = None,
    data: Data = None,
) -> None:
    """Write a finished run's model for ONNX Runtime, LiteRT (phones), TensorFlow or Keras.

    All but keras take images as bytes, give calibrated probabilities, and are checked against Keras first.
    """
    from mnist_digits.training import formats

    run = Run.open(run_folder, "recipe", "model", "metrics")
    path = formats.new_path(run, format_, output)
    formats.export_run(run, _dataset_of(run, data), format_, path)
    results.print(str(path), markup=False)


@app.command(
    epilog="Examples:  digits predict seven.png  ·  digits predict scans/ --recursive --json  ·  "
    "digits predict - --show < photo.jpg  ·  digits predict *.png --model runs/latest"
)
def predict(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE…", help="Pictures of a digit each, folders of them, or - for standard input."),
    ],
    model: Model = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, metavar="FRACTION", help="What is less sure is not a digit.")
    ] = 0.0,
    recursive: Recursive = False,
    show: Annotated[bool, typer.Option("--show", help="Draw the 28×28 image that the network saw.")] = False,
    as_json: Json = False,
) -> None:
    """Read the digit in each picture, or say why there is none.

    Results come one by one, in order. A file that cannot be read is reported, the others are read all the
    same, and the exit status is 3.
    """
    if show and as_json:
        raise UsageError("--show with --json: one is for people, the other for programs; leave one of them out")
    # NumPy would start a thread for each core, though there is nothing here to share among them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from mnist_digits.recognition import Classifier, Prediction

    classifier = Classifier(_onnx_of(model))
    status = 0
    for file in _expand(files, recursive):
        try:
            prediction = classifier.classify(_open_picture(file), min_confidence)
        except DataError as error:
            messages.print(f"digits: {error}", markup=False)
            prediction, status = Prediction.unreadable(), error.exit_status
        if as_json:
            print(json.dumps({"file": file, **prediction.to_json()}), flush=True)
        else:
            terminal.print_prediction(file, prediction, show)
    raise typer.Exit(status)


@app.command(
    epilog="Examples:  digits read photo.jpg  ·  digits read scans/ --json  ·  "
    "digits read photo.jpg --annotate boxes.png  ·  digits read photo.jpg --debug-folder why/"
)
def read(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE…", help="Pictures of pages, folders of them, or - for standard input."),
    ],
    annotate: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png|FOLDER", help="Also draw each picture with boxes and readings."),
    ] = None,
    debug_folder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also draw every stage from the picture to the digits.")
    ] = None,
    model: Model = None,
    recursive: Recursive = False,
    as_json: Json = False,
) -> None:
    """Read the numbers on each page: rows from top to bottom, digits from left to right.

    Letters, scribbles and what else is no digit is left out. Results come one by one, in order. A file that
    cannot be read is reported, the others are read all the same, and the exit status is 3.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from mnist_digits.recognition import Page, Reader, read_picture

    pictures = _expand(files, recursive)
    if annotate and _is_file(annotate):
        pictures = iter(_only_one(list(pictures), annotate))
    reader = Reader(_onnx_of(model))
    status = 0
    for file in pictures:
        try:
            pixels = read_picture(_open_picture(file))
            reading = reader.follow(pixels)
        except DataError as error:
            messages.print(f"digits: {error}", markup=False)
            page, status = Page.unreadable(), error.exit_status
        else:
            page = reading.to_page()
            _draw(file, pixels, reading, annotate, debug_folder)
        if as_json:
            print(json.dumps({"file": file, **page.to_json()}), flush=True)
        else:
            terminal.print_page(file, page)
    raise typer.Exit(status)


def _draw(
    file: str, pixels: "np.ndarray", reading: "Reading", annotate: Path | None, debug_folder: Path | None
) -> None:
    """Write what was asked for beside the result."""
    from mnist_digits.recognition import drawing

    if annotate:
        target = annotate if _is_file(annotate) else _below(annotate, f"{file}.png")
        _write(target, drawing.as_png(drawing.annotate(pixels, reading.to_page())))
    if debug_folder:
        for name, picture in drawing.stages(pixels, reading).items():
            _write(_below(debug_folder, file) / f"{name}.png", drawing.as_png(picture))


def _write(path: Path, content: bytes) -> None:
    with whole(path) as beside:
        beside.write_bytes(content)


def _is_file(annotate: Path) -> bool:
    """Whether --annotate names a file rather than a folder. Raises UsageError for a picture other than PNG."""
    from mnist_digits.recognition import SUFFIXES

    suffix = annotate.suffix.lower()
    if suffix in SUFFIXES and suffix != ".png":
        raise UsageError(f"--annotate {annotate}: expected a name that ends in .png, or a folder")
    return suffix == ".png"


def _below(folder: Path, file: str) -> Path:
    """Where in a folder of results a file's belongs: below its own folders, so that no two fall together."""
    path = Path(file)
    above = {"..": "above", path.anchor: "root"}
    return folder.joinpath(*(above.get(part, part) for part in path.parts))


def _only_one(pictures: list[str], target: Path) -> list[str]:
    """The pictures, if they are no more than one; UsageError otherwise."""
    if len(pictures) > 1:
        raise UsageError(f"--annotate {target}: one file for {len(pictures)} pictures; name a folder instead")
    return pictures


def _onnx_of(model: Path | None) -> Path | None:
    """The model.onnx of a run's folder; a file, or None, as it is."""
    return Run.open(model, "onnx").onnx if model and model.is_dir() else model


def _expand(files: list[str], recursive: bool) -> Iterator[str]:
    """The files, and in place of a folder the pictures in it, if there are any."""
    from mnist_digits.recognition import find_pictures

    for file in files:
        pictures = find_pictures(file, recursive)
        yield next(pictures, file)
        yield from pictures


def _open_picture(file: str) -> "Picture":
    """What `Classifier.classify` takes for a file or for -. Raises DataError for a folder."""
    from mnist_digits.recognition import MOST_BYTES

    if file == "-":
        return sys.stdin.buffer.read(MOST_BYTES)
    if Path(file).is_dir():
        raise DataError(f"{file}: a folder without pictures; name another, or look further down with --recursive")
    return file


@app.command(epilog="Examples:  digits info  ·  digits info --json")
def info(as_json: Json = False) -> None:
    """Show versions, devices, and the recipes with their settings and parameters."""
    from mnist_digits.training import RECIPES, backend

    backend.start_keras()
    from mnist_digits.training import networks

    environment = backend.describe_environment()
    recipes = [
        {**recipe.to_json(), "parameters": networks.build(recipe).count_params() * recipe.members}
        for recipe in RECIPES.values()
    ]
    if as_json:
        results.print_json(data={"environment": environment, "recipes": recipes})
    else:
        terminal.print_info(environment, recipes)


def _parse_settings(settings: list[str]) -> dict[str, str]:
    """`["epochs=20"]` → `{"epochs": "20"}`."""
    parsed = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: expected FIELD=VALUE, such as epochs=20")
        parsed[name.strip()] = value.strip()
    return parsed


def _dataset_of(run: Run, data: Path | None) -> "Dataset":
    """The images in `data`, or those the run was started with, split as for the run."""
    from mnist_digits.dataset import load_mnist
    from mnist_digits.training import read_plan

    plan = read_plan(run)
    return load_mnist(data or plan.data_folder, plan.data_seed)


@contextmanager
def _continued_by(*command: str) -> Iterator[None]:
    """Say how to go on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        messages.print(f"interrupted; to continue: {shlex.join(command)}", markup=False)
        raise


def main() -> None:
    """Run the command. A mistake of the user's becomes one line on stderr and an exit status.

    0 done, 1 a bug (with its traceback), 2 wrong usage, 3 bad or missing input, 4 a required quality
    was not met, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        # Not every terminal has every letter of a file's name.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Wherever it stands: one adds it to the end of a command that has just failed.
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except DigitsError as error:
        if debug:
            raise
        messages.print(f"digits: {error}", markup=False)
        sys.exit(error.exit_status)
    except ModuleNotFoundError as error:
        if debug or (error.name or "").startswith("mnist_digits"):
            raise
        messages.print(f"digits: {error.name} is not installed; pip install 'mnist-digits[train]'", markup=False)
        sys.exit(UsageError.exit_status)
