import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError, UsageError
from mnist_digits.runs import Run
from mnist_digits.training import RECIPES, find_recipe, networks, read_plan
from mnist_digits.training.engine import loop
from mnist_digits.training.engine.session import TrainingSession
from mnist_digits.training.recipes import Recipe
from mnist_digits.training.tuning import sampler
from mnist_digits.training.tuning import storage as storage_module
from mnist_digits.training.tuning import study as study_module
from mnist_digits.training.tuning.outcome import summarise
from mnist_digits.training.tuning.plan import StudyPlan
from mnist_digits.training.tuning.search import parse_duration, search
from mnist_digits.training.tuning.space import apply_values, default_values, search_space
from mnist_digits.training.tuning.storage import Patience, open_storage
from mnist_digits.training.tuning.study import Study
from mnist_digits.training.tuning.worker import train_trial

DISTORTIONS = {"rotation": "0", "scaling": "0", "shear": "0", "translation": "0", "elastic": "0"}
QUICK = {"epochs": "4", "jit_compile": "false", **DISTORTIONS}
SINGLE = [recipe for recipe in RECIPES.values() if recipe.members == 1]

Begin = Callable[..., Study]


def plan(seed: int = 0, recipe: Recipe = RECIPES["dense"], **settings: str) -> StudyPlan:
    return StudyPlan(recipe.with_settings(settings), tuple(settings), seed, "images")


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Begin a study in the test's own database, or go on with it."""

    def begin_study(of: StudyPlan | None = None, name: str = "dense") -> Study:
        return Study.begin(open_storage(f"sqlite:///{tmp_path}/tuning.db"), name, of or plan(), Patience())

    return begin_study


@pytest.mark.parametrize("recipe", SINGLE, ids=lambda recipe: recipe.name)
def test_every_recipe_lies_within_what_is_searched(recipe: Recipe):
    space = search_space(recipe)
    # Optuna itself refuses values outside.
    optuna.create_trial(params=default_values(recipe, space), distributions=space, value=1.0)


@pytest.mark.parametrize("recipe", SINGLE, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize(("field", "value"), [("hidden_units", 77), ("dropout", 0.37), ("batch_norm", True)])
def test_a_field_is_searched_exactly_where_the_network_has_it(recipe: Recipe, field: str, value: Any):
    plain = replace(recipe, dropout=0.0, batch_norm=False)
    layers = [
        [(type(layer).__name__, layer.count_params()) for layer in networks.build(of).layers]
        for of in (plain, replace(plain, **{field: value}))
    ]
    assert (field in search_space(recipe)) == (layers[0] != layers[1])


def test_what_is_fixed_is_not_searched():
    assert set(search_space(RECIPES["cnn"], frozenset({"dropout"}))) == set(search_space(RECIPES["cnn"])) - {"dropout"}
    with pytest.raises(UsageError, match="every field that could be tuned is fixed"):
        search_space(RECIPES["cnn"], frozenset(search_space(RECIPES["cnn"])))
    with pytest.raises(UsageError, match="3 networks as one; tune one of them, such as best"):
        search_space(RECIPES["ensemble"])


def test_a_study_begins_with_the_recipe_as_it_is(begin: Begin):
    study = begin()
    trial = study.take(5, "me")
    assert trial is not None
    assert trial.params == default_values(study.plan.recipe, study.plan.space)
    assert study.recipe_of(study.trials()[0]) == RECIPES["dense"]


def take_all(study: Study, target: int, worker: str) -> list[dict[str, Any]]:
    taken = []
    while (trial := study.take(target, worker)) is not None:
        taken.append(trial.params)
        study.tell(trial.number, float(trial.number))
    return taken


def test_workers_share_the_trials_exactly(begin: Begin, tmp_path: Path):
    begin()
    shares: dict[int, list[dict[str, Any]]] = {}
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        study = Study.open(open_storage(f"sqlite:///{tmp_path}/tuning.db"), "dense", Patience())
        barrier.wait()
        shares[number] = take_all(study, 6, f"{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = begin()
    assert [trial.state for trial in study.trials() if trial.state != TrialState.FAIL] == [TrialState.COMPLETE] * 6
    values = [tuple(params.values()) for share in shares.values() for params in share]
    assert len(values) == len(set(values)) == 6
    assert study.take(6, "late") is None
    assert len(take_all(study, 8, "late")) == 2


def test_nobody_comes_between_what_another_reads_and_writes(begin: Begin, tmp_path: Path):
    other, mine = begin(), open_storage(f"sqlite:///{tmp_path}/tuning.db")
    with ThreadPoolExecutor(1) as pool:
        with mine.engine.begin() as connection:
            connection.exec_driver_sql("SELECT * FROM trials").all()
            # Were it let in now, both would take the trial that waits.
            taking = pool.submit(other.take, 1, "other")
            time.sleep(0.5)
            assert not taking.done()
        assert taking.result() is not None


def test_the_values_follow_from_the_seed(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampler, "RANDOM_TRIALS", 3)
    first, same, other = (
        take_all(begin(plan(seed, **DISTORTIONS), name), 6, "me")
        for seed, name in ((3, "first"), (3, "same"), (4, "other"))
    )
    assert first == same
    assert first[0] == other[0]
    assert all(mine != theirs for mine, theirs in zip(first[1:], other[1:], strict=True))


def test_an_interrupted_trial_goes_back_and_is_given_up_in_the_end(begin: Begin):
    study = begin()
    study.take(2, "first")
    taken = study.take(2, "second")
    assert taken is not None
    study.give_back({"second"})
    again = study.take(2, "third")
    assert again is not None
    assert again.params == taken.params
    assert again.number != taken.number
    assert summarise(study)["interrupted"] == 1
    for attempt in range(storage_module.RETRIES):
        study.give_back({"third", f"{attempt - 1}"})
        given = study.take(2, f"{attempt}")
        assert given is not None
        assert (given.params == taken.params) == (attempt < storage_module.RETRIES - 1)


def test_a_trial_whose_worker_is_silent_is_given_to_another(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    for module in (storage_module, study_module):
        monkeypatch.setattr(module, "GRACE", 1)
    study = begin()
    silent, alive = study.take(3, "silent"), study.take(3, "alive")
    assert silent is not None
    assert alive is not None
    # As if its worker had died before it could even sign.
    with storage_module.without_notices():
        orphan = study.optuna.ask(study.plan.space)
    monkeypatch.setattr(study_module, "HEARTBEAT", 0.3)
    with study.kept_alive(alive.number):
        found = [study.take(3, "other") for _ in range(2)]
    assert sorted(trial.params["learning_rate"] for trial in found if trial) == sorted(
        trial.params["learning_rate"] for trial in (silent, orphan)
    )
    # The one that was taken for dead is too late, and does no harm.
    study.tell(silent.number, 1.0)
    assert study.finished() == []


def test_after_an_outage_nobody_is_taken_for_dead_at_once(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage_module, "GRACE", 1)
    study = begin()
    study.take(2, "silent")
    study.patience.contact_since -= 2 * study_module.GRACE
    study.take(2, "me")
    threading.Event().wait(2.1)
    study.patience.contact_since += 2 * study_module.GRACE
    study.tend()
    assert summarise(study)["running"] == 2
    study.patience.contact_since -= 2 * study_module.GRACE
    study._tended = 0.0
    study.tend()
    assert summarise(study)["running"] == 0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (plan(recipe=RECIPES["cnn"]), "begun with name=dense, asked to go on with name=cnn; choose another --name"),
        (plan(epochs="3"), "begun with epochs=10, .* asked to go on with epochs=3"),
        (plan(seed=1), "begun with seed=0, asked to go on with seed=1"),
        (replace(plan(), fingerprint="others"), "a study on other images"),
    ],
)
def test_a_study_goes_on_only_as_it_was_begun(begin: Begin, other: StudyPlan, message: str):
    begin()
    with pytest.raises(UsageError, match=message):
        begin(other)


def test_a_study_whose_beginning_was_cut_short_is_begun_anew(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(study_module, "POLL", 0.01)
    optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path}/tuning.db"), study_name="dense")
    study = begin()
    assert [trial.state for trial in study.trials()] == [TrialState.WAITING]
    assert begin().identity == study.identity


def test_other_peoples_studies_are_left_alone(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begin()
    monkeypatch.setattr(study_module, "POLL", 0.01)
    storage = open_storage(f"sqlite:///{tmp_path}/tuning.db")
    theirs = optuna.create_study(storage=storage, study_name="theirs")
    theirs.add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(DataError, match="not made by `digits tune`"):
        Study.open(storage, "theirs", Patience())
    with pytest.raises(DataError, match="ours: no such study; expected one of those there: dense, theirs"):
        Study.open(storage, "ours", Patience())
    with pytest.raises(DataError, match="not made by `digits tune`"):
        begin(name="theirs")
    with pytest.raises(UsageError, match=r"--name a/b: expected letters"):
        begin(name="a/b")
    assert study_module.study_names(storage) == ["dense"]


@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        ("nonsense", UsageError, "--storage nonsense: expected sqlite:///FILE or postgresql://"),
        ("mysql://me:secret@host/db", UsageError, "--storage mysql: expected sqlite"),
        ("sqlite://", UsageError, "expected a file, which workers can share"),
        ("postgresql://me:secret@127.0.0.1:1/db", DataError, r"me:\*\*\*@127.0.0.1:1/db: .*refused.*start the server"),
        ("sqlite:///{0}/damaged.db", DataError, "not a database.*damaged: restore it"),
        ("sqlite:///{0}/damaged.db/below.db", DataError, "name a file that can be written with --storage"),
        ("sqlite:///{0}", DataError, "unable to open database file.*make it writable"),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_line(address: str, kind: type[Exception], message: str, tmp_path: Path):
    (tmp_path / "damaged.db").write_bytes(bytes(range(256)) * 32)
    with pytest.raises(kind, match=message) as raised:
        open_storage(address.format(tmp_path))
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_storage_is_not_made_by_looking(tmp_path: Path):
    with pytest.raises(DataError, match="no such file; expected the studies"):
        open_storage(f"sqlite:///{tmp_path}/none.db", create=False)
    assert list(tmp_path.iterdir()) == []


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
    trial = study.take(1, "me")
    assert trial is not None
    train_trial(study, trial, without_test(small), tmp_path / "trials")
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
    first = study.take(1, "first")
    assert first is not None
    whole = optuna.Trial.report

    def interrupted(trial: optuna.Trial, value: float, step: int) -> None:
        if step == 2:
            raise KeyboardInterrupt
        whole(trial, value, step)

    monkeypatch.setattr(optuna.Trial, "report", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_trial(study, first, small, tmp_path / "trials")
    study.give_back({"first"})
    steps: list[int] = []
    monkeypatch.setattr(
        optuna.Trial, "report", lambda trial, value, step: steps.append(step) or whole(trial, value, step)
    )
    second = study.take(1, "second")
    assert second is not None
    train_trial(study, second, small, tmp_path / "trials")
    assert steps == [3]
    unbroken = quick_study(lambda of: begin(of, "unbroken"), small)
    third = unbroken.take(1, "third")
    assert third is not None
    train_trial(unbroken, third, small, tmp_path / "unbroken")
    assert study.best().value == unbroken.best().value  # type: ignore[union-attr]
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["0"]


def test_a_bad_trial_is_stopped_and_one_that_diverges_is_the_worst(begin: Begin, small: Dataset, tmp_path: Path):
    study = quick_study(begin, small)
    for value in (0.8, 0.82, 0.84, 0.86, 0.88):
        trial = study.take(9, "me")
        assert trial is not None
        for epoch in range(4):
            trial.report(value, epoch)
        study.tell(trial.number, value)
    hopeless = {**default_values(study.plan.recipe, study.plan.space), "learning_rate": 3e-4, "batch_size": 256}
    study.optuna.enqueue_trial(hopeless)
    trial = study.take(9, "me")
    assert trial is not None
    train_trial(study, trial, small, tmp_path / "trials")
    stopped = study.finished()[-1]
    assert stopped.state == TrialState.PRUNED
    assert len(stopped.intermediate_values) == 2  # the median is asked from the second epoch on

    trial = study.take(9, "me")
    assert trial is not None
    never_falls = np.full(2, np.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "compile_epoch", lambda *_: lambda *_: never_falls)
        train_trial(study, trial, small, tmp_path / "trials")
    assert (study.finished()[-1].state, study.finished()[-1].value) == (TrialState.PRUNED, 0)
    assert study.best().value == 0.88  # type: ignore[union-attr]


def test_at_the_deadline_workers_end_and_nothing_is_left_in_their_hands(begin: Begin, small: Dataset, tmp_path: Path):
    study = quick_study(begin, small)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert not search(study, small, 3, storage=f"sqlite:///{tmp_path}/tuning.db", deadline=0.0)
    assert {trial.state for trial in study.trials()} <= {TrialState.WAITING, TrialState.FAIL}
    assert study.take(3, "me") is not None


def test_search_refuses_what_it_cannot_do(begin: Begin, small: Dataset):
    study = begin()
    for target, workers in ((0, 1), (1, 0)):
        with pytest.raises(UsageError, match="expected at least 1 of each"):
            search(study, small, target, workers=workers)


def test_a_study_from_before_fields_were_renamed_is_read():
    recipe = {"name": "dense", "network": "dense", "averaging": 0.9, "second_momentum": 0.99, "pictures": 0}
    plan = StudyPlan.of_json({"recipe": recipe, "fixed": ["averaging", "momentum"], "seed": 5, "fingerprint": "06b0"})
    renamed = find_recipe("dense").with_settings({"ema_decay": "0.9", "beta_2": "0.99"})
    assert plan == StudyPlan(renamed, ("ema_decay", "beta_1"), 5, "06b0")
    assert apply_values(plan.recipe, {"averaging": 0.998, "dropout": 0.25}) == replace(
        renamed, ema_decay=0.998, dropout=0.25
    )
