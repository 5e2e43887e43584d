"""`digits train` and `digits models`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_digits.cli.app import command
from mnist_digits.cli.options import (
    Data,
    Json,
    RecipeName,
    continued_by,
    dataset_of,
    parse_settings,
    show,
    trackers_beginning,
)
from mnist_digits.cli.output import (
    messages,
    print_models,
    print_spread,
    print_summary,
    progress,
    progress_of_runs,
    warnings_shown,
)
from mnist_digits.errors import UsageError
from mnist_digits.files import read_json
from mnist_digits.runs import RUNS, Run

if TYPE_CHECKING:
    from mnist_digits.training import Recipe


@command(
    "digits train",
    "digits train cnn",
    "digits train dense-dropout --seed 1 --set epochs=20",
    "digits train dense --data fashion/",
    "digits train --resume runs/dense-0",
    "digits train dense --seeds 5",
    "digits train --recipe runs/tune-dense/best.json",
    "digits train cnn --tracker mlflow",
)
def train(
    recipe: RecipeName = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**32 - 1, help="Seed of the initial weights and of the order of the images. \\[default: 0]"
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The run's folder. \\[default: runs/RECIPE-SEED]")
    ] = None,
    data: Data = None,
    recipe_file: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            metavar="FILE",
            help="Train the recipe in a file: `best.json` of `digits tune`, or `recipe.json` of a run.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe; repeatable.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Continue an interrupted run after its last finished epoch.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="COUNT", help="Train with so many seeds, one after another, and summarise the runs."
        ),
    ] = None,
    trackers: Annotated[
        list[str] | None,
        typer.Option(
            "--tracker",
            metavar="NAME",
            autocompletion=trackers_beginning,
            help="Also log to mlflow, tensorboard or wandb; repeatable.",
        ),
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="The same as --tracker tensorboard.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network, evaluate it once on the test set, and write a report. Without a RECIPE it is `dense`.

    The run's folder then holds the model (Keras and ONNX), metrics, figures and
    report.html. An interrupted run keeps its last finished epoch; --resume
    continues from there.
    """
    if resume and output:
        raise UsageError("--resume with --output: a run goes on in its own folder; leave one of them out")
    if recipe and recipe_file:
        raise UsageError("a RECIPE by name and --recipe FILE: name one of the two; `digits info` lists the names")
    if recipe_file and resume:
        raise UsageError("--recipe with --resume: a run goes on with the recipe it was started with; name that")
    tools = (*(trackers or ()), *["tensorboard"] * tensorboard)
    job = _Job(recipe, recipe_file, parse_settings(settings or []), seed, output, data, resume, tools)
    if seeds is None:
        run = _train_one(job)
        logged = {"trackers": read_json(run.trackers)} if run.trackers.exists() else {}
        show({"run": str(run.folder), **read_json(run.metrics), **logged}, print_summary, as_json)
    else:
        summary = _train_seeds(job, seeds)
        show({"summary": str(summary), **read_json(summary)}, print_spread, as_json)


@dataclass(frozen=True)
class _Job:
    """The arguments of `digits train`."""

    name: str | None
    file: Path | None
    settings: dict[str, str]
    seed: int | None
    output: Path | None
    data: Path | None
    resume: Path | None
    trackers: tuple[str, ...]

    def as_options(self) -> list[str]:
        """The trackers, in the command that goes on with the training."""
        return [word for name in self.trackers for word in ("--tracker", name)]

    def recipe(self) -> "Recipe":
        """The recipe to train, with its settings changed."""
        from mnist_digits.training import find_recipe, read_recipe

        recipe = read_recipe(self.file) if self.file else find_recipe(self.name or "dense")
        return recipe.with_settings(self.settings)


def _train_one(job: _Job) -> Run:
    from mnist_digits import training
    from mnist_digits.cli.own.data import load
    from mnist_digits.training.export import trackers

    trackers.check(job.trackers)
    if job.resume:
        run = training.open_unfinished(job.resume, job.name, job.settings, job.seed)
        data, recipe = dataset_of(run, job.data), training.read_plan(run).recipe
    else:
        recipe, data = job.recipe(), load(job.data)
        run = training.create_run(recipe, data, job.output, job.seed or 0)
    again = (*job.as_options(), "--resume", str(run.folder))
    with continued_by("digits", "train", recipe.name, *again), warnings_shown(), progress(run) as on_epoch:
        return training.resume(run, data, trackers=job.trackers, progress=on_epoch)


def _train_seeds(job: _Job, count: int) -> Path:
    from mnist_digits import training
    from mnist_digits.cli.own.data import load
    from mnist_digits.training.export import trackers

    trackers.check(job.trackers)
    first_seed = job.seed or 0
    if job.resume:
        first = training.open_unfinished(job.resume / f"seed-{first_seed}", job.name, job.settings)
        data, folder, recipe = dataset_of(first, job.data), job.resume, training.read_plan(first).recipe
    else:
        recipe, data = job.recipe(), load(job.data)
        folder = training.new_series(recipe, count, job.output)
    seeds = ("--seeds", str(count), "--seed", str(first_seed), *job.as_options())
    with (
        continued_by("digits", "train", recipe.name, *seeds, "--resume", str(folder)),
        warnings_shown(),
        progress_of_runs() as announce,
    ):
        return training.train_seeds(recipe, data, count, folder, first_seed, trackers=job.trackers, announce=announce)


@command(
    "digits models",
    "digits models runs/quick --minutes 12",
    "digits models runs/detector --only detector",
    "digits models --install",
    "digits models /tmp/models --tiny",
)
def models(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where the models, their runs and the composed pages are kept.")
    ] = RUNS / "models",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of all that is random.")] = 0,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Train fewer epochs on fewer synthetic pictures and pages, as many as fit in so many minutes "
            "here. \\[default: train in full]",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Make reader, detector or dense-plus alone; may be given twice."),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="At the end, replace the models in the package by these.")
    ] = False,
    tiny: Annotated[bool, typer.Option("--tiny", help="Only show that it works: a minute, useless models.")] = False,
    as_json: Json = False,
) -> None:
    """Make the models that come with the package anew, from nothing.

    The classifier, the detector of pages and the simple network on the page of
    `digits serve`, with their cards. What is interrupted goes on when the same
    command is given again.
    """
    from mnist_digits.dataset import load_mnist
    from mnist_digits.training.shipped import making

    if tiny and install:
        raise UsageError("--tiny with --install: tiny models are useless; leave one of them out")
    job = making.Job(folder, load_mnist(), seed, minutes, tiny, tuple(only or making.NETWORKS))
    asked = [*(["--minutes", f"{minutes:g}"] if minutes else []), *["--tiny"] * tiny, *["--install"] * install]
    chosen = [part for name in only or () for part in ("--only", name)]
    command = ("digits", "models", str(folder), "--seed", str(seed), *chosen, *asked)
    with continued_by(*command), progress_of_runs() as announce:
        made = making.make_models(job, lambda line: messages.print(line, markup=False), announce)
    if install:
        made["installed"] = [str(path) for path in making.install(folder)]
    show(made, print_models, as_json)
