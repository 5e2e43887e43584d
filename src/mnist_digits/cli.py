"""The command `digits`: parse, call, print. Everything slow is imported by the command that needs it."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mnist_digits import __version__
from mnist_digits.errors import DigitsError, QualityError, UsageError
from mnist_digits.runs import Run, read_json

if TYPE_CHECKING:
    from mnist_digits.dataset import Dataset
    from mnist_digits.training import Recipe
    from mnist_digits.training.train import Progress

app = typer.Typer(
    help="Train a handwritten-digit classifier in seconds, and see how well and why it works.",
    epilog="Start with: digits train dense",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
results = Console(highlight=False, soft_wrap=True)
messages = Console(stderr=True, highlight=False, soft_wrap=True)

Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Four IDX files of another set, such as Fashion-MNIST, instead of MNIST."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/latest.")]


@app.callback(invoke_without_command=True)
def digits(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train a handwritten-digit classifier in seconds, and see how well and why it works."""
    if version:
        results.print(__version__)
        raise typer.Exit


@app.command(
    epilog="Examples:  digits train dense  ·  digits train dense-dropout --seed 1 --set epochs=20  ·  "
    "digits train dense --data fashion/  ·  digits train dense --resume runs/dense-0  ·  digits train dense --seeds 5"
)
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="What to train; `digits info` lists the recipes.")],
    seed: Annotated[int, typer.Option(min=0, help="Decides initial weights and order of images.")] = 0,
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
    from mnist_digits import training
    from mnist_digits.dataset import load_mnist

    changes = _parse_settings(settings or [])
    chosen = training.find_recipe(recipe).with_settings(changes)
    if seeds is not None:
        _train_seeds(chosen, seeds, seed, output, data, resume, changes, as_json)
        return
    if resume is None:
        dataset = load_mnist(data)
        run = training.create_run(chosen, dataset, output, seed)
    else:
        run = training.open_unfinished(resume, recipe, changes)
        dataset = _dataset_of(run, data)
    with _continued_by(f"digits train {recipe} --resume {run.folder}"), _progress(run) as progress:
        training.resume(run, dataset, tensorboard=tensorboard, progress=progress)
    metrics = read_json(run.metrics)
    if as_json:
        results.print_json(data={"run": str(run.folder), **metrics})
    else:
        _print_summary(run, metrics)


def _train_seeds(
    recipe: "Recipe",
    count: int,
    first_seed: int,
    output: Path | None,
    data: Path | None,
    resume: Path | None,
    changes: dict[str, str],
    as_json: bool,
) -> None:
    from mnist_digits import training
    from mnist_digits.dataset import load_mnist
    from mnist_digits.training.seeds import SUMMARY, new_series

    if resume is None:
        dataset, folder = load_mnist(data), new_series(recipe, count, output)
    else:
        first = training.open_unfinished(resume / f"seed-{first_seed}", recipe.name, changes)
        dataset, folder, recipe = _dataset_of(first, data), resume, training.read_plan(first).recipe

    with _continued_by(f"digits train {recipe.name} --seeds {count} --resume {folder}"), ExitStack() as bars:

        def announce(run: Run) -> "Progress":
            bars.close()
            messages.print(run.folder)
            return bars.enter_context(_progress(run))

        training.train_seeds(recipe, dataset, count, folder, first_seed, announce=announce)
    summary = read_json(folder / SUMMARY)
    if as_json:
        results.print_json(data={"folder": str(folder), **summary})
    else:
        _print_spread(folder, summary)


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

    run = Run.open(model, "recipe", "model") if model.is_dir() or model.suffix != ".keras" else None
    test = (_dataset_of(run, data) if run else load_mnist(data)).test
    backend.start_keras()
    from mnist_digits.training import engine, networks

    predict = engine.compile_prediction(networks.load(run.model if run else model))
    metrics = evaluation.evaluate(test.labels, predict(test.images)).to_json()
    if as_json:
        results.print_json(data=metrics)
    else:
        _print_metrics(metrics)
    if require_accuracy is not None and metrics["accuracy"] < require_accuracy:
        raise QualityError(
            f"accuracy {metrics['accuracy']:.4f}, required {require_accuracy:.4f}: train longer, or require less"
        )


@app.command(epilog="Example:  digits report runs/latest")
def report(run_folder: RunFolder, data: Data = None) -> None:
    """Draw the figures and the report of a finished run anew."""
    from mnist_digits.evaluation.report import draw_data, write_report

    run = Run.open(run_folder, "recipe", "environment", "history", "model", "predictions", "metrics")
    dataset = _dataset_of(run, data)
    draw_data(run, dataset)
    write_report(run, dataset)
    results.print(run.report)


@app.command(epilog="Examples:  digits info  ·  digits info --json")
def info(as_json: Json = False) -> None:
    """Show versions, devices, and the recipes with their settings and parameters."""
    from mnist_digits.training import RECIPES, backend

    backend.start_keras()
    from mnist_digits.training import networks

    environment = backend.describe_environment()
    recipes = [{**recipe.to_json(), "parameters": networks.build(recipe).count_params()} for recipe in RECIPES.values()]
    if as_json:
        results.print_json(data={"environment": environment, "recipes": recipes})
    else:
        _print_info(environment, recipes)


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
def _continued_by(command: str) -> Iterator[None]:
    """Say how to go on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        messages.print(f"interrupted; to continue: {command}")
        raise


@contextmanager
def _progress(run: Run) -> Iterator["Progress"]:
    """A bar on a terminal, a line an epoch elsewhere; both on stderr."""
    from mnist_digits.training import read_plan

    epochs = read_plan(run).recipe.epochs
    if not messages.is_terminal:
        yield lambda epoch, row: messages.print(f"epoch {epoch}/{epochs}  {_describe_epoch(row)}")
        return
    from rich import progress

    columns = (
        progress.TextColumn("epoch"),
        progress.MofNCompleteColumn(),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.description}"),
    )
    with progress.Progress(*columns, console=messages) as bar:
        task = bar.add_task("starting TensorFlow", total=epochs)
        yield lambda epoch, row: bar.update(task, completed=epoch, description=_describe_epoch(row))


def _describe_epoch(row: dict[str, float]) -> str:
    return (
        f"loss {row['loss']:.4f}  accuracy {_percent(row['accuracy'])}  "
        f"validation {_percent(row['val_accuracy'])}  {row['seconds']:.2f} s"
    )


def _print_summary(run: Run, metrics: dict[str, Any]) -> None:
    from mnist_digits.evaluation import confused_pairs

    test, training = metrics["test"], metrics["training"]
    pairs = ", ".join(f"{truth} read as {read} ({count}×)" for truth, read, count in confused_pairs(test["confusion"]))
    table = Table.grid(padding=(0, 2))
    table.add_row("test accuracy", _accuracy(test))
    table.add_row("test loss", f"{test['loss']:.4f}")
    table.add_row("training", f"{training['seconds']:.1f} s for {training['epochs']} epochs")
    table.add_row("worst confused", pairs or "none")
    table.add_row("report", str(run.report))
    results.print(table)


def _print_spread(folder: Path, summary: dict[str, Any]) -> None:
    table = Table.grid(padding=(0, 2))
    for name in ("test_accuracy", "validation_accuracy"):
        spread = summary[name]
        mean, sd, low, high = (_percent(spread[key]) for key in ("mean", "sd", "min", "max"))
        table.add_row(name.replace("_", " "), f"[bold]{mean} ± {sd}[/bold] ({low} to {high})")
    table.add_row("seeds", str(summary["count"]))
    table.add_row("training", f"{summary['seconds']['mean']:.1f} s each")
    table.add_row("parameters", f"{summary['parameters']:,}")
    table.add_row("summary", str(folder / "summary.json"))
    results.print(table)


def _print_metrics(metrics: dict[str, Any]) -> None:
    results.print(
        f"accuracy {_accuracy(metrics)}  loss {metrics['loss']:.4f}  "
        f"calibration error {metrics['calibration_error']:.4f}  images {metrics['count']:,}"
    )
    table = Table("digit", "precision", "recall", "F1", "images", box=None)
    for row in metrics["per_class"]:
        table.add_row(
            str(row["digit"]), *(f"{row[name]:.4f}" for name in ("precision", "recall", "f1")), f"{row['count']:,}"
        )
    results.print(table)


def _accuracy(metrics: dict[str, Any]) -> str:
    low, high = metrics["interval95"]
    return f"[bold]{_percent(metrics['accuracy'])}[/bold] (95 % interval {_percent(low)} to {_percent(high)})"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _print_info(environment: dict[str, Any], recipes: list[dict[str, Any]]) -> None:
    facts = Table.grid(padding=(0, 2))
    for name, value in environment.items():
        text = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
        facts.add_row(name, ", ".join(text) if isinstance(text, list) else str(text))
    results.print(facts)
    table = Table("recipe", "parameters", "settings", box=None, padding=(0, 2, 0, 0))
    for recipe in recipes:
        settings = (f"{name}={value}" for name, value in recipe.items() if name not in ("name", "parameters"))
        table.add_row(f"[bold]{recipe['name']}[/bold]", f"{recipe['parameters']:,}", " ".join(settings))
    results.print()
    results.print(table, soft_wrap=False)


def main() -> None:
    """Run the command. A mistake of the user's becomes one line on stderr and an exit status.

    0 done, 1 a bug (with its traceback), 2 wrong usage, 3 bad or missing input, 4 a required quality
    was not met, 130 interrupted.
    """
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
