"""A study: the trials of one recipe in a database, shared by workers that know nothing of each other."""

import re
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Any, Self

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from mnist_digits.errors import DataError, UsageError
from mnist_digits.training.recipes import Recipe
from mnist_digits.training.tuning.plan import StudyPlan, check_same_plan
from mnist_digits.training.tuning.sampler import SeededByNumber
from mnist_digits.training.tuning.space import apply_values, default_values
from mnist_digits.training.tuning.storage import GRACE, HEARTBEAT, Patience, requeue, without_notices

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""A trial that was stopped because others did better has been judged like one that ran to its end."""
STARTED = (TrialState.RUNNING, TrialState.FAIL, *FINISHED)
POLL = 0.5
"""Seconds between looks at what other workers have done."""


class Study:
    """Takes trials out of the database and brings back their results; see `begin` and `open`."""

    def __init__(self, study: optuna.Study, storage: RDBStorage, plan: StudyPlan, patience: Patience) -> None:
        """study, storage: Optuna's. plan: what the study was begun with. patience: for calls of the storage."""
        self.optuna, self.storage, self.plan, self.patience = study, storage, plan, patience
        self._id = patience(lambda: storage.get_study_id_from_name(study.study_name))
        self._tended = 0.0
        study.sampler = SeededByNumber(plan.seed)
        # Early epochs say little: under a falling learning rate the best in the end may be the worst at first.
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=plan.recipe.epochs // 3)

    @classmethod
    def begin(cls, storage: RDBStorage, name: str, plan: StudyPlan, patience: Patience) -> Self:
        """The study of that name: a new one, or one that was begun with the same plan.

        name: letters, digits, - _ and .; it is also a folder's. Raises UsageError for another name, and when the
        study was begun with another plan.
        """
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise UsageError(f"--name {name}: expected letters, digits, - and _; choose another")
        first = default_values(plan.recipe, plan.space)
        try:
            study = patience(lambda: optuna.create_study(storage=storage, study_name=name, direction="maximize"))
        except DuplicatedStudyError:
            study = patience(lambda: optuna.load_study(storage=storage, study_name=name))
            # Without a plan and a trial, whoever began it died at that very moment.
            if _read_plan(study, patience) or patience(lambda: study.get_trials(states=STARTED)):
                begun = cls.open(storage, name, patience)
                check_same_plan(name, begun.plan, plan)
                return begun
        patience(lambda: study.enqueue_trial(first, skip_if_exists=True))
        patience(lambda: study.set_user_attr("identity", uuid.uuid4().hex))
        patience(lambda: study.set_user_attr("plan", plan.to_json()))
        return cls(study, storage, plan, patience)

    @classmethod
    def open(cls, storage: RDBStorage, name: str, patience: Patience) -> Self:
        """A study that is there. Raises DataError when there is none of that name, or none of ours."""
        try:
            study = patience(lambda: optuna.load_study(storage=storage, study_name=name))
        except KeyError as error:
            names = ", ".join(patience(lambda: optuna.get_all_study_names(storage))) or "none"
            raise DataError(f"{name}: no such study; expected one of those there: {names}") from error
        content = _read_plan(study, patience)
        if content is None:
            raise DataError(f"{name}: a study without a plan, not made by `digits tune`; choose another --name")
        return cls(study, storage, StudyPlan.of_json(content), patience)

    @property
    def name(self) -> str:
        """What it is called in its database."""
        return self.optuna.study_name

    @property
    def identity(self) -> str:
        """What no other study has, whatever it is called."""
        return str(self.patience(lambda: self.optuna.user_attrs)["identity"])

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """All trials, or those in one of the states, in order of their numbers."""
        return self.patience(lambda: self.optuna.get_trials(deepcopy=False, states=states or None))

    def finished(self) -> list[FrozenTrial]:
        """The trials that have been judged, in order of their numbers."""
        return self.trials(*FINISHED)

    def best(self) -> FrozenTrial | None:
        """The trial of the highest validation accuracy among those that ran to their end; None before the first."""
        complete = self.trials(TrialState.COMPLETE)
        return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)

    def recipe_of(self, trial: FrozenTrial) -> Recipe:
        """The recipe with that trial's values."""
        return apply_values(self.plan.recipe, trial.params)

    def take(self, target: int, worker: str) -> optuna.Trial | None:
        """A trial to train next; None once the study has `target` finished ones.

        Waits while all that are missing are being trained by others. worker: whom the trial then belongs to.
        """
        while True:
            self.tend()
            states = [trial.state for trial in self.trials()]
            finished = sum(state in FINISHED for state in states)
            if finished >= target:
                return None
            if finished + states.count(TrialState.RUNNING) < target:
                # While this process was held up, another may have taken the trial for lost.
                with suppress(UpdateFinishedTrialError):
                    trial = self._ask(target, worker)
                    if trial:
                        return trial
            time.sleep(POLL)

    def _ask(self, target: int, worker: str) -> optuna.Trial | None:
        with without_notices():
            trial = self.patience(lambda: self.optuna.ask(self.plan.space))
        # In this order: whatever dies in between is found either by its heartbeat or by having no worker.
        self.patience(lambda: self._beat(trial.number))
        self.patience(lambda: trial.set_user_attr("worker", worker))
        # Two workers may have seen the same last gap. Numbers are given one by one, so of all trials that have not
        # failed the first `target` fill the study, whoever looks; another one is surplus.
        before = [other for other in self.trials() if other.number < trial.number and other.state != TrialState.FAIL]
        if len(before) < target:
            return trial
        self.tell(trial.number, state=TrialState.FAIL)
        return None

    def tell(self, number: int, value: float | None = None, state: TrialState | None = None) -> None:
        """Bring back a trial's result: its validation accuracy, or the state it ended in without one."""
        # It may have been told already, by a call whose answer was lost, or taken away.
        with suppress(UpdateFinishedTrialError):
            self.patience(lambda: self.optuna.tell(number, value, state, skip_if_finished=True))

    @contextmanager
    def kept_alive(self, number: int) -> Iterator[None]:
        """Send signs of life for a trial from another thread, while within the context."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(HEARTBEAT):
                self.patience(lambda: self._beat(number))

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _beat(self, number: int) -> None:
        self.storage.record_heartbeat(self.storage.get_trial_id_from_study_id_trial_number(self._id, number))

    def tend(self) -> None:
        """Put trials back into the queue whose worker has died."""
        now = time.monotonic()
        # After an outage every heartbeat is old: the others first get the time to send one.
        if now - max(self._tended, self.patience.contact_since) < GRACE:
            return
        self._tended = now - GRACE + HEARTBEAT
        with without_notices():
            self.patience(lambda: optuna.storages.fail_stale_trials(self.optuna))
        self._fail(
            lambda trial: (
                "worker" not in trial.user_attrs
                and trial.datetime_start is not None
                and (datetime.now() - trial.datetime_start).total_seconds() > 2 * GRACE
            )
        )

    def give_back(self, workers: Collection[str]) -> None:
        """Put the trials of workers that are gone back into the queue."""
        self._fail(lambda trial: trial.user_attrs.get("worker") in workers)

    def _fail(self, gone: Callable[[FrozenTrial], bool]) -> None:
        """Mark the running trials that are gone as failed, and queue each anew."""
        for trial in filter(gone, self.trials(TrialState.RUNNING)):
            # Another worker may do the same; to Optuna a trial that is not running any more is a wrong value.
            with suppress(UpdateFinishedTrialError, ValueError):
                self.patience(partial(self.optuna.tell, trial.number, state=TrialState.FAIL))
                self.patience(partial(requeue, self.optuna, trial))


def _read_plan(study: optuna.Study, patience: Patience) -> dict[str, Any] | None:
    """The plan of a study, as JSON; None when nobody writes one."""
    # Whoever has just begun it on another machine may not have come to that yet.
    for _ in range(10):
        attributes = patience(lambda: study.user_attrs)
        if "plan" in attributes:
            return dict(attributes["plan"])
        time.sleep(POLL)
    return None


def study_names(storage: RDBStorage) -> list[str]:
    """The studies in a database that `digits tune` began, in order of their names."""
    return sorted(study.study_name for study in optuna.get_all_study_summaries(storage) if "plan" in study.user_attrs)
