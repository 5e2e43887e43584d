"""`digits tune`."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_digits.cli.app import command
from mnist_digits.cli.options import Data, Json, RecipeName, continued_by, parse_settings, show
from mnist_digits.cli.output import messages, progress_of_runs
from mnist_digits.cli.tuning import studies
from mnist_digits.errors import UsageError

if TYPE_CHECKING:
    from mnist_digits.dataset import Dataset
    from mnist_digits.training.tuning.study import Study


@command(
    "digits tune dense",
    "digits tune dense --trials 100 --workers 2",
    "digits tune cnn --set epochs=6 --timeout 2h",
    "digits tune --list",
    "digits tune --show dense",
    "digits tune dense --storage postgresql://me@server/studies",
)
def tune(
    recipe: RecipeName = None,
    trials: Annotated[
        int,
        typer.Option(min=1, metavar="COUNT", help="Finished trials that the study shall have, earlier ones included."),
    ] = 50,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after 90s, 10m or 2h; the same command goes on.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="postgresql://… for many machines. \\[default: sqlite:///runs/tuning.db]"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, metavar="COUNT", help="Processes that train at the same time.")] = 1,
    name: Annotated[
        str | None, typer.Option(metavar="STUDY", help="What the study is called. \\[default: RECIPE]")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31, help="Seed of every trial's training, and of the values tried.")
    ] = 0,
    seeds: Annotated[
        int, typer.Option(min=0, metavar="COUNT", help="Seeds over which best and default are compared at the end.")
    ] = 5,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe, and do not search it."),
    ] = None,
    data: Data = None,
    list_: Annotated[bool, typer.Option("--list", help="List the studies in the storage.")] = False,
    show_: Annotated[
        str | None, typer.Option("--show", metavar="STUDY", help="Show a study's state and its best recipe.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search for better values of a recipe's fields, by accuracy on the validation images.

    Stop it at any time: the same command goes on, and loses no finished trial. Several machines with one --storage
    share the trials.
    """
    if (recipe is not None) + list_ + (show_ is not None) != 1:
        raise UsageError("expected a RECIPE to tune, --list or --show STUDY, one of the three")
    if list_:
        show({"studies": _list(storage)}, studies.print_studies, as_json)
    elif show_ is not None:
        show(_show(storage, show_), studies.print_outcome, as_json)
    else:
        assert recipe is not None
        job = _Job(recipe, trials, timeout, storage, workers, name or recipe, seed, seeds, settings or [], data)
        with continued_by("digits", *sys.argv[1:]):
            show(_tune(job), studies.print_outcome, as_json)


@dataclass(frozen=True)
class _Job:
    """The arguments of `digits tune RECIPE`."""

    recipe: str
    trials: int
    timeout: str | None
    storage: str | None
    workers: int
    name: str
    seed: int
    seeds: int
    settings: list[str]
    data: Path | None


def _tune(job: _Job) -> dict[str, Any]:
    """Search, write what was found, and compare the best recipe with the default."""
    from mnist_digits.cli.own.data import load
    from mnist_digits.training import backend, find_recipe
    from mnist_digits.training.recipes import by_current_names
    from mnist_digits.training.tuning import outcome, search
    from mnist_digits.training.tuning.plan import StudyPlan
    from mnist_digits.training.tuning.storage import open_storage
    from mnist_digits.training.tuning.study import Study

    settings = parse_settings(job.settings)
    recipe = find_recipe(job.recipe).with_settings(settings)
    deadline = time.monotonic() + search.parse_duration(job.timeout) if job.timeout else None
    backend.check_installed()
    data = load(job.data)
    plan = StudyPlan(recipe, tuple(sorted(by_current_names(settings))), job.seed, data.fingerprint)
    study = Study.begin(open_storage(job.storage, on_wait=_say_waiting), job.name, plan)
    folder = search.claim_folder(study)
    with studies.progress(study, job.trials) as watch:
        complete = search.search(
            study, data, job.trials, workers=job.workers, storage=job.storage, deadline=deadline, watch=watch
        )
    best = outcome.write_best(study, folder)
    if complete and job.seeds:
        _compare(study, data, folder, job.seeds)
    # Draws with Matplotlib and pandas, for which a search should not wait.
    from mnist_digits.training.tuning.report import write_report

    write_report(study, folder, best, outcome.read_comparison(study, folder))
    return _describe(study)


def _compare(study: "Study", data: "Dataset", folder: Path, seeds: int) -> None:
    from mnist_digits.training.tuning.outcome import compare_with_default

    with progress_of_runs() as announce:
        compare_with_default(study, data, folder, seeds, announce, _say_locked)


def _list(storage: str | None) -> list[dict[str, Any]]:
    from mnist_digits.training.tuning.outcome import summarise
    from mnist_digits.training.tuning.storage import open_storage
    from mnist_digits.training.tuning.study import Study, study_names

    opened = open_storage(storage, create=False)
    return [summarise(Study.open(opened, name)) for name in study_names(opened)]


def _show(storage: str | None, name: str) -> dict[str, Any]:
    from mnist_digits.training.tuning.storage import open_storage
    from mnist_digits.training.tuning.study import Study

    return _describe(Study.open(open_storage(storage, create=False, on_wait=_say_waiting), name))


def _describe(study: "Study") -> dict[str, Any]:
    """A study's numbers, and its files, if they are on this machine."""
    from mnist_digits.training.tuning import outcome, search

    folder = search.folder_of(study.name)
    best, report = folder / outcome.BEST, folder / outcome.REPORT
    trial = study.best()
    return {
        **outcome.summarise(study),
        "comparison": outcome.read_comparison(study, folder),
        "changes": study.recipe_of(trial).changes() if trial else None,
        "best_recipe": str(best) if best.exists() else None,
        "report": str(report) if report.exists() else None,
    }


def _say_waiting(reason: str) -> None:
    messages.print(f"waiting for the storage: {reason}", markup=False)


def _say_locked() -> None:
    messages.print("waiting for another digits tune that compares the recipes in this folder")
