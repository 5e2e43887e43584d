import dataclasses
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from helpers.studies import NO_DISTORTION, Begin, finish, finish_all, leave_running, plan, sqlite_in
from mnist_digits.errors import DataError, UsageError
from mnist_digits.training import RECIPES
from mnist_digits.training.recipes import RENAMED
from mnist_digits.training.tuning import study as study_module
from mnist_digits.training.tuning.outcome import summarise
from mnist_digits.training.tuning.plan import StudyPlan
from mnist_digits.training.tuning.storage import open_storage
from mnist_digits.training.tuning.study import Study, study_names


def test_a_study_begins_with_the_recipe_as_it_is(begin: Begin):
    study = begin()
    trial = leave_running(study, 5, "me")
    assert trial is not None
    assert trial.params == study.plan.default_values
    assert study.recipe_of(trial) == RECIPES["dense"]


# Threads share Python's filters of warnings, and each worker changes them for a moment.
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_workers_share_the_trials_exactly(begin: Begin, tmp_path: Path):
    begin()
    shares: dict[int, list[dict[str, Any]]] = {}
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        study = Study.open(open_storage(sqlite_in(tmp_path)), "dense")
        barrier.wait()
        shares[number] = finish_all(study, 6, f"{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = begin()
    assert [trial.state for trial in study.trials() if trial.state != TrialState.FAIL] == [TrialState.COMPLETE] * 6
    values = [tuple(params.values()) for share in shares.values() for params in share]
    assert len(values) == len(set(values)) == 6
    assert finish(study, 6, "late") is None
    assert len(finish_all(study, 8, "late")) == 2


def test_the_values_follow_from_the_seed(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(study_module, "RANDOM_TRIALS", 3)
    first, same, other = (
        finish_all(begin(plan(seed, **NO_DISTORTION), name), 6, "me")
        for seed, name in ((3, "first"), (3, "same"), (4, "other"))
    )
    assert first == same
    assert first[0] == other[0]
    assert all(mine != theirs for mine, theirs in zip(first[1:], other[1:], strict=True))


def test_an_error_of_a_training_is_raised_and_leaves_its_trial_to_others(begin: Begin):
    study = begin()

    def fail(*_: object) -> float:
        raise DataError("the disk is full")

    with pytest.raises(DataError, match="the disk is full"):
        study.run_next(fail, 2, "me")
    assert summarise(study)["running"] == 1
    study.give_back({"me"})
    again = finish(study, 2, "other")
    assert again is not None
    assert again.params == study.plan.default_values


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (plan(recipe=RECIPES["cnn"]), "begun with name=dense, asked to go on with name=cnn; choose another --name"),
        (plan(epochs="3"), "begun with epochs=10, .* asked to go on with epochs=3"),
        (plan(seed=1), "begun with seed=0, asked to go on with seed=1"),
        (dataclasses.replace(plan(), fingerprint="others"), "a study on other images"),
    ],
)
def test_a_study_goes_on_only_as_it_was_begun(begin: Begin, other: StudyPlan, message: str):
    begin()
    with pytest.raises(UsageError, match=message):
        begin(other)


def test_a_study_whose_beginning_was_cut_short_is_begun_anew(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(study_module, "POLL_S", 0.01)
    optuna.create_study(storage=open_storage(sqlite_in(tmp_path)), study_name="dense")
    study = begin()
    assert [trial.state for trial in study.trials()] == [TrialState.WAITING]
    assert begin().identity == study.identity


def test_other_peoples_studies_are_left_alone(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begin()
    monkeypatch.setattr(study_module, "POLL_S", 0.01)
    storage = open_storage(sqlite_in(tmp_path))
    theirs = optuna.create_study(storage=storage, study_name="theirs")
    theirs.add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(DataError, match="not made by `digits tune`"):
        Study.open(storage, "theirs")
    with pytest.raises(DataError, match="ours: no such study; expected one of those there: dense, theirs"):
        Study.open(storage, "ours")
    with pytest.raises(DataError, match="not made by `digits tune`"):
        begin(name="theirs")
    with pytest.raises(UsageError, match=r"--name a/b: expected letters"):
        begin(name="a/b")
    assert study_names(storage) == ["dense"]


def test_a_study_of_an_earlier_version_goes_on_under_the_names_it_has(begin: Begin, tmp_path: Path):
    before = {now: name for name, now in RENAMED.items()}
    begun = plan(epochs="4", ema_decay="0.995")
    asked = StudyPlan(begun.recipe, ("epochs",), 0, "images")
    stored = asked.to_json()
    stored["recipe"] = {before.get(name, name): value for name, value in stored["recipe"].items()}
    storage = open_storage(sqlite_in(tmp_path))
    theirs = optuna.create_study(storage=storage, study_name="dense", direction="maximize")
    theirs.set_user_attr("plan", stored)
    theirs.set_user_attr("identity", "theirs")
    values = {before.get(name, name): value for name, value in asked.default_values.items()}
    assert "averaging" in values
    distributions = {before.get(name, name): value for name, value in asked.space.items()}
    theirs.add_trial(optuna.create_trial(params=values, distributions=distributions, value=0.9))

    study = begin(asked)
    assert study.identity == "theirs"
    assert summarise(study)["default"]["values"]["ema_decay"] == 0.995
    assert study.recipe_of(study.best()) == asked.recipe  # type: ignore[arg-type]
    trial = finish(study, 2, "me", 0.95)
    assert trial is not None
    # The sampler learns from values of one name.
    assert set(trial.params) == set(values)
    assert study.recipe_of(study.best()).ema_decay == trial.params["averaging"]  # type: ignore[arg-type]
