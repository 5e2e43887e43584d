"""A run's plan, as in its recipe.json, and the checks before a run goes on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mnist_digits.dataset import BUNDLED, Dataset, holds_idx, load_mnist, write_dataset
from mnist_digits.errors import DataError, UsageError
from mnist_digits.files import read_json, write_json
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.recipes import Recipe, find_recipe

LARGEST_SEED = 2**32 - 1
"""Largest seed that the global generators of NumPy and Keras accept."""


@dataclass(frozen=True)
class Plan:
    """Everything that decides a run's result."""

    recipe: Recipe
    seed: int
    data_folder: str | None
    """Folder or file of the images; None for the bundled MNIST."""
    data_seed: int
    """Seed of the split into training and validation images."""
    fingerprint: str
    """Hash of images and labels, as in `Dataset`."""


def create_run(recipe: Recipe, data: Dataset, folder: Path | str | None, seed: int) -> Run:
    """A new run folder with its plan in it, ready to be trained.

    folder: new or empty; None for `runs/<recipe>-<seed>`, numbered when taken. seed: 0 to LARGEST_SEED.
    Raises UsageError for a seed out of range or when training is not installed, DataError when the folder
    cannot be used.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"seed {seed}: expected 0 to {LARGEST_SEED}")
    backend.check_installed()
    run = Run.create(f"{recipe.name}-{seed}", None if folder is None else Path(folder))
    source = {
        "folder": None if data.folder == BUNDLED else str(data.folder.resolve()),
        "seed": data.seed,
        "fingerprint": data.fingerprint,
    }
    plan = {"recipe": recipe.to_json(), "changes": recipe.changes(), "seed": seed, "data": source}
    try:
        # Of two processes that found the folder empty, one can make this in it.
        run.checkpoint.parent.mkdir()
    except FileExistsError:
        raise DataError(f"{run.folder}: another training has just begun in it; name another --output") from None
    if not holds_idx(data.folder):
        # Pictures and tables are read once: they may be many, and may change.
        write_dataset(data, run.data)
    write_json(run.recipe, plan)
    return run


def load_data_of(run: Run) -> Dataset:
    """The data set that a run was started on, split as then. Raises DataError where it is not there any more."""
    plan = read_plan(run)
    return load_mnist(run.data if run.data.is_dir() else plan.data_folder, plan.data_seed)


def read_plan(run: Run) -> Plan:
    """The plan a run was started with. Raises DataError when its recipe.json is missing or damaged."""
    content = read_json(run.recipe)
    try:
        data = content["data"]
        return Plan(
            Recipe.from_json(content["recipe"]), content["seed"], data["folder"], data["seed"], data["fingerprint"]
        )
    except (KeyError, TypeError, UsageError) as error:
        raise DataError(f"{run.recipe}: not a recipe of this version ({error}); train anew") from error


def open_unfinished(folder: Path, name: str | None, settings: dict[str, str], seed: int | None = None) -> Run:
    """A run to resume, after checking that it was started with the recipe, settings and seed that are asked for now.

    name: of the recipe. settings: its fields, as text; fields that are missing are not checked, nor are the name and
    the seed when they are None. Raises UsageError for another recipe, setting or seed, or a name that no recipe has,
    DataError when the folder is no run.
    """
    run = Run.open(folder, "recipe")
    plan = read_plan(run)
    name = find_recipe(name).name if name else plan.recipe.name
    check_same(run, replace(plan.recipe, name=name).with_settings(settings), plan.seed if seed is None else seed)
    return run


def check_same(run: Run, recipe: Recipe, seed: int) -> None:
    """Raise UsageError, naming what differs, when the run was started with another recipe or seed."""
    plan = read_plan(run)
    planned, asked = {**plan.recipe.to_json(), "seed": plan.seed}, {**recipe.to_json(), "seed": seed}
    differing = [name for name in planned if planned[name] != asked[name]]
    if differing:
        was, now = (", ".join(f"{name}={values[name]}" for name in differing) for values in (planned, asked))
        raise UsageError(
            f"{run.folder}: started with {was}, asked to go on with {now}; ask for what it was started with"
        )


def check_data(run: Run, data: Dataset) -> None:
    """Raise DataError when the run was started on other images or labels."""
    if read_plan(run).fingerprint != data.fingerprint:
        raise DataError(f"{run.folder}: started on other images; continue it with the --data it was started with")


def check_environment(run: Run, environment: dict[str, Any]) -> None:
    """Raise UsageError when a run was begun on another backend or in another precision.

    environment: as in environment.json, of the machine on which the run is to go on.
    """
    begun = read_json(run.environment) if run.environment.exists() else environment
    for name in ("backend", "precision"):
        if begun.get(name) != environment[name]:
            raise UsageError(
                f"{run.folder}: begun with {name} {begun.get(name)}, here it would go on with {environment[name]}; "
                "continue it as and where it was begun"
            )
