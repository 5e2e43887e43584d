"""Trackers: the tools that teams keep their experiments in, and what a training logs to them.

A run's parameters are logged when it starts, its curves after each epoch, and its figures, metrics and model at the
end. A tool that fails is named once, and left out from then on: the run's folder has everything all the same.
"""

import csv
import importlib
import importlib.util
import logging
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from mnist_digits.errors import DataError, UsageError, did_you_mean, install_command, printable
from mnist_digits.files import read_json, write_json
from mnist_digits.runs import Run

EXTRAS = {"mlflow": "mlflow", "tensorboard": "train", "wandb": "wandb"}
"""Name of a tracker, of its module here and of the module that it needs → the extra that installs the latter."""

PROJECT = "mnist-digits"
"""What MLflow calls the experiment, and Weights & Biases the project, unless a variable of theirs names another."""

MOST_WORDS = 200
"""Characters of a tool's error that are shown."""

Outcome = Literal["finished", "failed", "interrupted"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beginning:
    """What a tracker is told at first."""

    run: Run
    parameters: dict[str, Any]
    """Name → number, text or None: the fields of the recipe, the seed, and the data."""
    key: str | None
    """The key of the tracker's run that an interrupted training goes on with; None for a new one."""

    @property
    def name(self) -> str:
        """For people: the run's folder, with what it is in, if it is one of several."""
        folder = self.run.folder.resolve()
        return folder.name if not folder.name.startswith("seed-") else "/".join(folder.parts[-2:])


class Tracker(Protocol):
    """A run in a tool, as a module's `begin(beginning)` makes it. Any of its methods may raise whatever goes wrong."""

    key: str
    """Its name in the tool."""
    where: str
    """For people: its address, or the command that shows it."""

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Log a row of the history, counted from 1."""

    def log_results(self, metrics: Mapping[str, float]) -> None:
        """Log the metrics, and the figures and models in the run's folder."""

    def close(self, outcome: Outcome) -> None:
        """Wait until everything is written."""


def check(names: Sequence[str]) -> None:
    """Raise UsageError for a tracker that there is not, or whose extra is not installed; imports none."""
    for name in names:
        if name not in EXTRAS:
            raise UsageError(
                f"{name}: no such tracker{did_you_mean(name, EXTRAS)}; expected one of {', '.join(sorted(EXTRAS))}"
            )
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"{name} is not installed; {install_command(EXTRAS[name])}")


@dataclass
class Tracking:
    """The trackers of one run, from its start to its end: a context."""

    run: Run
    parameters: dict[str, Any]
    names: Sequence[str]
    trackers: dict[str, Tracker] = field(default_factory=dict)
    """By name; those that have failed are missing."""

    def __enter__(self) -> Self:
        """Begin a run in each tool, or go on with it; where they are is kept in the run's folder."""
        known = _known(self.run) if self.names else {}
        for name in dict.fromkeys(self.names):
            with self._spared(name):
                module = importlib.import_module(f"{__name__}.{name}")
                key = known.get(name, {}).get("key")
                self.trackers[name] = module.begin(Beginning(self.run, self.parameters, key))
                if not key:
                    # Of a training that goes on, but was not logged until now, or was not to the end.
                    self._log_history(self.trackers[name])
        if self.trackers:
            found = {name: {"key": one.key, "where": one.where} for name, one in self.trackers.items()}
            write_json(self.run.trackers, {**known, **found})
        return self

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Log a row of the history, counted from 1."""
        for name, tracker in list(self.trackers.items()):
            with self._spared(name):
                tracker.log_epoch(epoch, {key: value for key, value in row.items() if key != "epoch"})

    def log_history(self) -> None:
        """Log all epochs in the run's folder."""
        for name, tracker in list(self.trackers.items()):
            with self._spared(name):
                self._log_history(tracker)

    def _log_history(self, tracker: Tracker) -> None:
        if self.run.history.exists():
            columns, *rows = csv.reader(self.run.history.read_text(encoding="utf-8").splitlines())
            for row in rows:
                epoch, *values = map(float, row)
                tracker.log_epoch(int(epoch), dict(zip(columns[1:], values, strict=True)))

    def log_results(self, metrics: Mapping[str, Any]) -> None:
        """Log metrics, as in metrics.json, and what the finished run's folder holds."""
        numbers = dict(_numbers(metrics))
        for name, tracker in list(self.trackers.items()):
            with self._spared(name):
                tracker.log_results(numbers)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome: Outcome = "finished" if kind is None else "failed" if issubclass(kind, Exception) else "interrupted"
        for name, tracker in list(self.trackers.items()):
            with self._spared(name):
                tracker.close(outcome)

    @contextmanager
    def _spared(self, name: str) -> Iterator[None]:
        """Spare the training what goes wrong in a tracker, which is said, and not used again."""
        try:
            # What a tool has to say of the libraries it uses is not for whoever trains.
            with warnings.catch_warnings(action="ignore"):
                yield
        except Exception as error:
            self.trackers.pop(name, None)
            said = textwrap.shorten(printable(str(error).replace("\n", " ")), MOST_WORDS, placeholder=" …")
            logger.warning(
                "%s: %s; the training goes on without it, and %s keeps everything",
                *(name, said or type(error).__name__, printable(self.run.folder)),
            )


def _known(run: Run) -> dict[str, Any]:
    """The trackers that the run was begun with: what its trackers.json holds."""
    try:
        known = read_json(run.trackers)
    except DataError:
        return {}
    return known if isinstance(known, dict) else {}


def _numbers(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of nested JSON, as `test/accuracy`; an interval as its two ends."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif name == "interval95":
            yield from ((f"{prefix}interval95_{end}", bound) for end, bound in zip(("low", "high"), value, strict=True))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + name, float(value)
