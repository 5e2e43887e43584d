"""Options and arguments that several commands share, and functions that resolve them."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_digits.cli.output import messages, results
from mnist_digits.errors import UsageError
from mnist_digits.runs import Run

if TYPE_CHECKING:
    from mnist_digits.dataset import Dataset


def _recipes_beginning(incomplete: str) -> list[str]:
    """Names of recipes, for the shell's completion."""
    from mnist_digits.training.recipes import RECIPES

    return [name for name in RECIPES if name.startswith(incomplete)]


def trackers_beginning(incomplete: str) -> list[str]:
    """Names of trackers, for the shell's completion."""
    from mnist_digits.training.export.trackers import EXTRAS

    return [name for name in EXTRAS if name.startswith(incomplete)]


RecipeName = Annotated[
    str | None,
    typer.Argument(metavar="RECIPE", autocompletion=_recipes_beginning, help="A recipe; `digits info` lists them."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER|FILE",
        help="Another data set: IDX files, .npz, .csv, .parquet, or pictures in folders 0 to 9. \\[default: MNIST]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Model = Annotated[
    Path | None,
    typer.Option(metavar="RUN|MODEL", help="A run's folder or an .onnx file. \\[default: the shipped model]"),
]
Recursive = Annotated[bool, typer.Option("--recursive", help="Also search subfolders.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/latest.")]


def show(content: dict[str, Any], for_people: Callable[[dict[str, Any]], None], as_json: bool) -> None:
    """Print a result as JSON or as text."""
    if as_json:
        # What is no ASCII may be a command to a terminal.
        results.print_json(data=content, ensure_ascii=True)
    else:
        for_people(content)


def dataset_of(run: Run, data: Path | None) -> "Dataset":
    """The data set that `data` names, or by default the one of the run; split as in the run."""
    from mnist_digits.cli.own.data import load
    from mnist_digits.training import load_data_of, read_plan

    return load_data_of(run) if data is None else load(data, read_plan(run).data_seed)


def onnx_of(model: Path | None) -> Path | None:
    """The model.onnx of a run's folder; a file or None is returned as it is."""
    return Run.open(model, "onnx").onnx if model and model.is_dir() else model


def parse_settings(settings: list[str]) -> dict[str, str]:
    """`["epochs=20"]` → `{"epochs": "20"}`."""
    parsed = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: expected FIELD=VALUE, such as epochs=20")
        parsed[name.strip()] = value.strip()
    return parsed


@contextmanager
def continued_by(*command: str) -> Iterator[None]:
    """On Ctrl-C or a signal that ends the command, print the command that continues the work, and let it end."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        messages.print(f"interrupted; to continue: {shlex.join(command)}", markup=False)
        raise
