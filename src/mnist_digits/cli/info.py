"""`digits info`."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.table import Table

from mnist_digits.cli.app import command
from mnist_digits.cli.options import Json, RecipeName
from mnist_digits.cli.output import print_facts, results


@dataclass(frozen=True)
class Known:
    """What is known of a recipe without training it: as in the README, whose figures `results/recipes` holds."""

    purpose: str
    network: str
    parameters: int
    accuracy: str | None = None
    """Mean test accuracy, standard deviation and number of seeds; None where it was not measured."""
    training: str | None = None
    """Mean time of training on two cores."""


KNOWN = {
    "dense": Known("the classic network", "784-128-10", 101_770, "97.69 % ± 0.26 % (5)", "4.7 s"),
    "dense-dropout": Known("… with dropout", "784-128-10, dropout", 101_770),
    "dense-batchnorm": Known("… with batch norm", "784-128-10, batch norm", 102_282),
    "dense-plus": Known("… at its limit", "784-128-10, distorted digits", 101_770, "99.16 % ± 0.07 % (5)", "102.7 s"),
    "fast": Known("99 % in seconds", "2 convolutions, 2 epochs", 162_394, "99.08 % ± 0.09 % (5)", "3.8 s"),
    "cnn": Known(
        "everyday choice", "4 convolutions, batch norm, distorted digits", 78_850, "99.54 % ± 0.02 % (5)", "100.6 s"
    ),
    "tiny": Known(
        "fewest parameters", "3 narrow convolutions, distorted digits", 1_810, "99.07 % ± 0.08 % (5)", "308.6 s"
    ),
    "best": Known("best of one network", "6 convolutions, distorted digits", 429_226, "99.73 % ± 0.03 % (3)", "24 min"),
    "ensemble": Known("best of all", "the mean of 3 like `best`", 1_287_678, "99.77 % (1)", "71 min"),
    "reader": Known(
        "real handwriting", "4 convolutions, synthesised and corrupted pictures too", 247_467, "99.57 % (1)", "109 min"
    ),
}
"""What is known of each recipe. The parameters stand here because counting them takes Keras, and so seconds."""


@command("digits info", "digits info cnn", "digits info --devices", "digits info --json")
def info(
    recipe: RecipeName = None,
    devices: Annotated[bool, typer.Option("--devices", help="Start the backend, and name its devices.")] = False,
    as_json: Json = False,
) -> None:
    """Show versions, and the recipes with their size, accuracy and time; or the settings of one recipe."""
    from mnist_digits.training import backend
    from mnist_digits.training.recipes import RECIPES, find_recipe

    shown = list(RECIPES.values()) if recipe is None else [find_recipe(recipe)]
    recipes = [{**one.to_json(), "parameters": KNOWN[one.name].parameters} for one in shown]
    if devices:
        backend.start_keras()
    environment = backend.describe_environment() if devices else backend.describe_machine()
    if as_json:
        results.print_json(data={"environment": environment, "recipes": recipes})
    elif recipe is None:
        _print_machine(environment)
        _print_recipes(list(RECIPES))
    else:
        _print_recipe(recipe, recipes[0])


def _print_machine(environment: dict[str, Any]) -> None:
    facts = {}
    for name, value in environment.items():
        parts = [f"{key} {item}" for key, item in value.items()] if isinstance(value, dict) else value
        facts[name] = ", ".join(parts) if isinstance(parts, list) else str(parts)
    print_facts(facts)


def _print_recipes(names: list[str]) -> None:
    table = Table("recipe", "purpose", box=None, padding=(0, 1, 0, 0))
    for column in ("parameters", "test accuracy", "training"):
        table.add_column(column, justify="right", no_wrap=True)
    for name in names:
        known = KNOWN[name]
        figures = f"{known.parameters:,}", known.accuracy or "–", known.training or "–"
        table.add_row(f"[bold]{name}[/bold]", known.purpose, *figures)
    results.print()
    results.print(table, soft_wrap=False)


def _print_recipe(name: str, settings: dict[str, Any]) -> None:
    known = KNOWN[name]
    measured = {"test accuracy": known.accuracy, "training": known.training}
    print_facts(
        {
            "purpose": known.purpose,
            "network": known.network,
            **{what: figure for what, figure in measured.items() if figure},
        }
    )
    results.print()
    # A setting that is 0 or False is one that the recipe does not use.
    print_facts({key: str(value) for key, value in settings.items() if value and key not in ("name", "parameters")})
