"""Searches, and the trials that their workers train."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from helpers.studies import NO_DISTORTION, Begin, leave_running, sqlite_in
from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError, QualityError, UsageError
from mnist_digits.runs import Run
from mnist_digits.training import find_recipe, read_plan
from mnist_digits.training.engine import loop
from mnist_digits.training.engine.session import TrainingSession
from mnist_digits.training.tuning.plan import StudyPlan
from mnist_digits.training.tuning.search import parse_duration, search
from mnist_digits.training.tuning.study import Study
from mnist_digits.training.tuning.worker import run_next

QUICK = {"epochs": "4", "jit_compile": "false", **NO_DISTORTION}


@given(st.integers(1, 999), st.sampled_from("smh"))
def test_durations(count: int, unit: str):
    assert parse_duration(f"{count}{unit}") == count * {"s": 1, "m": 60, "h": 3600}[unit]


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "0s", "1d", "1m30s", "nan s"])
def test_what_is_no_duration(text: str):
    with pytest.raises(UsageError, match="expected a number and s, m or h"):
        parse_duration(text)


class Blind:
    """A split that nobody may look at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError("the test images were looked at")


def without_test(data: Dataset) -> Dataset:
    return replace(data, test=Blind())


def quick_study(begin: Begin, small: Dataset) -> Study:
    recipe = find_recipe("dense").with_settings(QUICK)
    return begin(StudyPlan(recipe, tuple(QUICK), 5, small.fingerprint))


def test_a_trial_is_a_training_judged_by_validation_alone(begin: Begin, small: Dataset, tmp_path: Path):
    study = quick_study(begin, small)
    assert run_next(study, without_test(small), tmp_path / "trials", 1, "me")
    (finished,) = study.finished()
    session = TrainingSession.start(study.plan.recipe, 5, len(small.train), "float32")
    session.fit(small)
    predictions = loop.compile_prediction(session.model)(small.validation.images).argmax(1)
    assert finished.value == pytest.approx((predictions == small.validation.labels).mean())
    assert list(finished.intermediate_values) == [0, 1, 2, 3]
    kept = Run(tmp_path / "trials/0")
    assert read_plan(kept).recipe == study.plan.recipe
    assert read_plan(kept).seed == 5
    assert {path.name for path in kept.folder.iterdir()} == {"recipe.json", "history.csv"}
    assert study.optuna.best_trial.number == study.best().number == 0  # type: ignore[union-attr]


def test_an_interrupted_trial_goes_on_after_its_last_epoch(
    begin: Begin, small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    study = quick_study(begin, small)
    whole = optuna.Trial.report

    def interrupted(trial: optuna.Trial, value: float, step: int) -> None:
        if step == 2:
            raise OSError("cut off")
        whole(trial, value, step)

    monkeypatch.setattr(optuna.Trial, "report", interrupted)
    with pytest.raises(OSError, match="cut off"):
        run_next(study, small, tmp_path / "trials", 1, "first")
    study.give_back({"first"})
    steps: list[int] = []
    monkeypatch.setattr(
        optuna.Trial, "report", lambda trial, value, step: steps.append(step) or whole(trial, value, step)
    )
    assert run_next(study, small, tmp_path / "trials", 1, "second")
    assert steps == [3]
    unbroken = quick_study(lambda of: begin(of, "unbroken"), small)
    assert run_next(unbroken, small, tmp_path / "unbroken", 1, "third")
    assert study.best().value == unbroken.best().value  # type: ignore[union-attr]
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["0"]


def test_a_bad_trial_is_stopped_and_one_that_diverges_is_the_worst(begin: Begin, small: Dataset, tmp_path: Path):
    study = quick_study(begin, small)

    def equal_in_every_epoch(trial: optuna.Trial, frozen: FrozenTrial) -> float:
        value = 0.8 + 0.02 * frozen.number
        for epoch in range(4):
            trial.report(value, epoch)
        return value

    for _ in range(5):
        assert study.run_next(equal_in_every_epoch, 9, "me")
    hopeless = {**study.plan.default_values, "learning_rate": 3e-4, "batch_size": 256}
    study.optuna.enqueue_trial(hopeless)
    assert run_next(study, small, tmp_path / "trials", 9, "me")
    stopped = study.finished()[-1]
    assert stopped.state == TrialState.PRUNED
    assert len(stopped.intermediate_values) == 2  # the median is asked from the second epoch on

    never_falls = np.full(2, np.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "compile_epoch", lambda *_: lambda *_: never_falls)
        assert run_next(study, small, tmp_path / "trials", 9, "me")
    assert (study.finished()[-1].state, study.finished()[-1].value) == (TrialState.PRUNED, 0)
    assert study.best().value == 0.88  # type: ignore[union-attr]


def test_at_the_deadline_workers_end_and_nothing_is_left_in_their_hands(begin: Begin, small: Dataset, tmp_path: Path):
    study = quick_study(begin, small)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert not search(study, small, 3, storage=sqlite_in(tmp_path), deadline=0.0)
    assert {trial.state for trial in study.trials()} <= {TrialState.WAITING, TrialState.FAIL}
    assert leave_running(study, 3, "me") is not None


def test_what_a_worker_raises_is_raised(begin: Begin, small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small.folder, tmp_path / "damaged")
    next((tmp_path / "damaged").glob("train-labels*")).write_bytes(b"")
    damaged = replace(small, folder=tmp_path / "damaged")
    with pytest.raises(DataError, match="damaged") as raised:
        search(quick_study(begin, small), damaged, 1, storage=sqlite_in(tmp_path))
    assert "in load_mnist" in "".join(raised.value.__notes__)


def test_a_search_whose_workers_are_all_killed_ends(
    begin: Begin, small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nread -r job\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(killed))
    with pytest.raises(QualityError, match=r"4 workers were killed \(signal 9\) without finishing a trial; .*memory"):
        search(quick_study(begin, small), small, 1, storage=sqlite_in(tmp_path))


def test_search_refuses_what_it_cannot_do(begin: Begin, small: Dataset):
    study = begin()
    for target, workers in ((0, 1), (1, 0)):
        with pytest.raises(UsageError, match="expected at least 1 of each"):
            search(study, small, target, workers=workers)
