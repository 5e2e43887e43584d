"""Studies and the progress of a search as text for people."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mnist_digits.cli.output import messages, percent, print_facts, results

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from mnist_digits.training.tuning.search import Watch
    from mnist_digits.training.tuning.study import Study


@contextmanager
def progress(study: "Study", target: int) -> Iterator["Watch"]:
    """A progress bar with the time left on a terminal, one line per trial elsewhere; both on stderr."""
    told = {trial.number for trial in study.finished()}
    if told:
        messages.print(f"{len(told)} of {target} trials are finished; going on")
    if not messages.is_terminal:
        yield lambda trials: _print_new(trials, told, target)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    clock = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False))
    columns = (
        TextColumn("trial"),
        MofNCompleteColumn(),
        BarColumn(bar_width=8),
        *clock,
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=messages, speed_estimate_period=3600) as bar:
        task = bar.add_task("starting", total=target, completed=len(told))

        def watch(trials: Sequence["FrozenTrial"]) -> None:
            description = f"best {_best_of(trials)}" if trials else "starting"
            bar.update(task, completed=len(trials), description=description)

        yield watch


def _print_new(trials: Sequence["FrozenTrial"], told: set[int], target: int) -> None:
    """Print a line for each trial that is not in `told`, and add it."""
    for trial in trials:
        if trial.number not in told:
            told.add(trial.number)
            epochs = len(trial.intermediate_values)
            took = f"{trial.duration.total_seconds():.1f} s" if trial.duration else ""
            how = took if trial.state.name == "COMPLETE" else f"{took}, stopped after {epochs} epochs"
            accuracy = percent(trial.value or 0.0)
            messages.print(
                f"trial {trial.number}  {len(told)}/{target}  validation {accuracy}  {how}  best {_best_of(trials)}"
            )


def _best_of(trials: Sequence["FrozenTrial"]) -> str:
    return percent(max((trial.value or 0.0 for trial in trials if trial.state.name == "COMPLETE"), default=0.0))


def print_outcome(found: dict[str, Any]) -> None:
    """A study, from the object that `digits tune --json` prints."""
    counts = {"stopped early": found["pruned"], "running": found["running"], "interrupted": found["interrupted"]}
    details = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    facts = {"study": found["study"], "recipe": found["recipe"]}
    facts["finished trials"] = str(found["finished"]) + (f" ({details})" if details else "")
    if found["best"]:
        best, default = found["best"], found["default"]
        before = f"; as it was {percent(default['validation_accuracy'])}" if default else ""
        facts["best validation"] = f"{percent(best['validation_accuracy'])} (trial {best['trial']}{before})"
        facts["its changes"] = _in_words(found["changes"] or {})
    if found["comparison"]:
        comparison = found["comparison"]
        for name, words in (("best", "test, best"), ("default", "test, as it was")):
            accuracy = comparison[name]["test_accuracy"]
            facts[words] = f"{percent(accuracy['mean'])} ± {percent(accuracy['sd'])} ({comparison['seeds']} seeds)"
    if found["best_recipe"]:
        facts["best recipe"] = f"digits train --recipe {found['best_recipe']}"
    if found["report"]:
        facts["report"] = found["report"]
    print_facts(facts)


def _in_words(changes: dict[str, Any]) -> str:
    words = (
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in changes.items()
    )
    return " ".join(words) or "none"


def print_studies(found: dict[str, Any]) -> None:
    """The studies of a storage, one line each."""
    from rich.table import Table

    table = Table("study", "recipe", "finished", "running", "best validation", box=None, padding=(0, 2, 0, 0))
    for study in found["studies"]:
        best = percent(study["best"]["validation_accuracy"]) if study["best"] else "–"
        table.add_row(study["study"], study["recipe"], str(study["finished"]), str(study["running"]), best)
    results.print(table)
