"""A study: the trials of one plan in a database, shared by workers that know nothing of each other."""

import copy
import re
import time
import uuid
from collections.abc import Callable, Collection
from typing import Any, Self

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from mnist_digits.errors import DataError, UsageError
from mnist_digits.training.recipes import RENAMED, Recipe, by_current_names
from mnist_digits.training.tuning.plan import StudyPlan
from mnist_digits.training.tuning.storage import WORKER, StudyStorage, without_experimental_warnings

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""States of trials that count: also one that was stopped because others did better has been judged."""
STARTED = (TrialState.RUNNING, TrialState.FAIL, *FINISHED)
POLL_S = 0.5
"""Seconds between two looks at what other workers have done."""
RANDOM_TRIALS = 10
"""Trials whose values are drawn at random before the sampler learns from them."""


class SeededByNumber(optuna.samplers.TPESampler):
    """Optuna's tree-structured Parzen estimator, seeded for each trial by the study's seed and the trial's number.

    Workers that all began with one seed would all draw the same values.
    """

    def __init__(self, seed: int) -> None:
        """seed: the study's."""
        self._study_seed = seed
        self._seed_for(0)

    def _seed_for(self, number: int) -> None:
        seed = int(np.random.SeedSequence([self._study_seed, number]).generate_state(1)[0])
        super().__init__(n_startup_trials=RANDOM_TRIALS, seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Called by Optuna before it draws a trial's values."""
        self._seed_for(trial.number)
        super().before_trial(study, trial)


class _SurplusError(Exception):
    """Ends a trial that the study does not need."""


class _Unjudged(BaseException):
    """Ends a trial without a result.

    Optuna marks a trial as failed, for good, when an Exception leaves its objective; after any other it is left
    running, and is queued anew like that of a worker that died.
    """


class Study:
    """The trials of one plan in a database: what there are, and how the next is run; see `begin` and `open`."""

    def __init__(self, study: optuna.Study, storage: StudyStorage, plan: StudyPlan) -> None:
        """study: Optuna's, in the storage. plan: the one that the study was begun with."""
        self.optuna, self.storage, self.plan = study, storage, plan
        # Studies of an earlier version go on with the names that their trials have.
        recipe = study.user_attrs["plan"]["recipe"]
        self._stored_names = {now: before for before, now in RENAMED.items() if before in recipe}
        study.sampler = SeededByNumber(plan.seed)
        # Early epochs say little: under a falling learning rate the best in the end may be the worst at first.
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=plan.recipe.epochs // 3)

    @classmethod
    def begin(cls, storage: StudyStorage, name: str, plan: StudyPlan) -> Self:
        """The study of that name: a new one, or one that was begun with the same plan.

        name: letters, digits, - _ and .; it is also a folder's. Raises UsageError for another name, and when the
        study was begun with another plan.
        """
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise UsageError(f"--name {name}: expected letters, digits, - and _; choose another")
        try:
            study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
        except DuplicatedStudyError:
            study = optuna.load_study(storage=storage, study_name=name)
            # One without a plan and without trials was left by a process that died as it began it.
            if _read_plan(study) or study.get_trials(states=STARTED):
                begun = cls.open(storage, name)
                begun.plan.check_same(name, plan)
                return begun
        study.enqueue_trial(plan.default_values, skip_if_exists=True)
        study.set_user_attr("identity", uuid.uuid4().hex)
        study.set_user_attr("plan", plan.to_json())
        return cls(study, storage, plan)

    @classmethod
    def open(cls, storage: StudyStorage, name: str) -> Self:
        """An existing study. Raises DataError when there is none of that name, or `digits tune` did not begin it."""
        try:
            study = optuna.load_study(storage=storage, study_name=name)
        except KeyError as error:
            names = ", ".join(optuna.get_all_study_names(storage)) or "none"
            raise DataError(f"{name}: no such study; expected one of those there: {names}") from error
        content = _read_plan(study)
        if content is None:
            raise DataError(f"{name}: a study without a plan, not made by `digits tune`; choose another --name")
        return cls(study, storage, StudyPlan.of_json(content))

    @property
    def name(self) -> str:
        """Its name in the database."""
        return self.optuna.study_name

    @property
    def identity(self) -> str:
        """A string that no other study has, even one of the same name in another database."""
        return str(self.optuna.user_attrs["identity"])

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """All trials, or those in one of the states, in order of their numbers; do not change them."""
        trials = self.optuna.get_trials(deepcopy=False, states=states or None)
        return [self._with_current_names(trial) for trial in trials] if self._stored_names else trials

    def _with_current_names(self, trial: FrozenTrial) -> FrozenTrial:
        trial = copy.copy(trial)
        trial.params = by_current_names(trial.params)
        return trial

    def finished(self) -> list[FrozenTrial]:
        """The trials that have been judged, in order of their numbers."""
        return self.trials(*FINISHED)

    def best(self) -> FrozenTrial | None:
        """The trial of the highest validation accuracy among those that ran to their end; None before the first."""
        complete = self.trials(TrialState.COMPLETE)
        return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)

    def recipe_of(self, trial: FrozenTrial) -> Recipe:
        """The recipe with that trial's values."""
        return self.plan.with_values(trial.params)

    def run_next(
        self,
        train: Callable[[optuna.Trial, FrozenTrial], float],
        target: int,
        worker: str,
        after: Callable[[FrozenTrial], None] | None = None,
    ) -> bool:
        """Run one trial and store its result; False, without running one, once `target` trials are finished.

        Waits while all that are missing are being trained by others. train: called with the trial, to report to, and
        its state, with the values drawn; returns the validation accuracy, or raises optuna.TrialPruned. Any other
        exception of it is raised, and leaves the trial running until `give_back`, or until it counts as stale.
        worker: name of the worker. after: called with the trial when its result is stored, which it is not when the
        trial was taken for stale meanwhile and given to another worker.
        """
        if not self._wait_for_place(target):
            return False
        self.storage.worker = worker
        begun: list[int] = []

        def objective(trial: optuna.Trial) -> float:
            begun.append(trial.number)
            try:
                if self._is_surplus(trial, target):
                    raise _SurplusError
                trial.set_user_attr(WORKER, worker)
                self._draw_values(trial)
                return train(trial, self.trials()[trial.number])
            except (optuna.TrialPruned, _SurplusError):
                raise
            except Exception as error:
                raise _Unjudged from error

        try:
            # Optuna sends the heartbeats, and queues the trials of dead workers anew.
            self.optuna.optimize(
                objective,
                n_trials=1,
                catch=(_SurplusError,),
                callbacks=[lambda _, trial: after(trial) if after and trial.state in FINISHED else None],
            )
        except _Unjudged as unjudged:
            # Another worker has the trial now.
            if not isinstance(unjudged.__cause__, UpdateFinishedTrialError):
                raise unjudged.__cause__ or unjudged from None
        except (UpdateFinishedTrialError, ValueError, AssertionError):
            # Optuna's three ways to refuse a result: it was stored already, by a call whose answer was lost; or the
            # trial was, for want of a heartbeat, given to another worker.
            if not begun or not self.trials()[begun[0]].state.is_finished():
                raise
        return True

    def _wait_for_place(self, target: int) -> bool:
        """Wait until fewer than `target` trials are finished or running; False when so many are finished."""
        while True:
            states = [trial.state for trial in self.trials()]
            finished = sum(state in FINISHED for state in states)
            if finished >= target:
                return False
            if finished + states.count(TrialState.RUNNING) < target:
                return True
            time.sleep(POLL_S)
            self.requeue_stale()

    def _is_surplus(self, trial: optuna.Trial, target: int) -> bool:
        """Whether the study is full without the trial, or holds it twice.

        Two workers may have seen the same last place. Numbers are given one by one, so of all trials that have not
        failed the first `target` fill the study, whoever looks. A trial that was queued may have been queued twice,
        by a call whose answer was lost.
        """
        trials = self.trials()
        before = [other for other in trials[: trial.number] if other.state != TrialState.FAIL]
        queued = trials[trial.number].system_attrs
        return len(before) >= target or bool(queued and any(other.system_attrs == queued for other in before))

    def _draw_values(self, trial: optuna.Trial) -> None:
        for name, values in self.plan.space.items():
            name = self._stored_names.get(name, name)
            if isinstance(values, CategoricalDistribution):
                trial.suggest_categorical(name, values.choices)
            elif isinstance(values, FloatDistribution):
                trial.suggest_float(name, values.low, values.high, log=values.log)

    def requeue_stale(self) -> None:
        """Queue the trials of dead workers anew."""
        with without_experimental_warnings():
            optuna.storages.fail_stale_trials(self.optuna)

    def give_back(self, workers: Collection[str]) -> None:
        """Queue the trials of workers anew that are known to have ended. workers: their names."""
        self.storage.dead_workers.update(workers)
        self.requeue_stale()


def _read_plan(study: optuna.Study) -> dict[str, Any] | None:
    """The plan of a study, as JSON; None when it has none and gets none within some seconds."""
    # A process that has just begun the study, here or on another machine, is about to write it.
    for _ in range(10):
        attributes = study.user_attrs
        if "plan" in attributes:
            return dict(attributes["plan"])
        time.sleep(POLL_S)
    return None


def study_names(storage: StudyStorage) -> list[str]:
    """The studies in a database that `digits tune` began, in order of their names."""
    return sorted(study.study_name for study in optuna.get_all_study_summaries(storage) if "plan" in study.user_attrs)
