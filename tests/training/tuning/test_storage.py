import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from threading import Event
from types import SimpleNamespace

import optuna
import pytest
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from helpers.studies import Begin, finish, finish_all, leave_running, sqlite_in, wait_for
from mnist_digits.errors import DataError, UsageError
from mnist_digits.training.tuning import storage as storage_module
from mnist_digits.training.tuning import study as study_module
from mnist_digits.training.tuning.outcome import summarise
from mnist_digits.training.tuning.storage import StudyStorage, open_storage, requeue
from mnist_digits.training.tuning.study import Study

OPENED_TOGETHER = """
import pathlib, sys, time
from mnist_digits.training.tuning.storage import open_storage
print("ready", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.001)
open_storage("sqlite:///tuning.db")
"""


def test_processes_that_begin_at_once_all_get_the_new_file(tmp_path: Path):
    command = [sys.executable, "-c", OPENED_TOGETHER]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    for process in processes:
        _, stderr = process.communicate(timeout=120)
        assert (process.returncode, stderr) == (0, "")
    assert optuna.get_all_study_names(open_storage(sqlite_in(tmp_path), create=False)) == []


def test_nobody_comes_between_what_another_reads_and_writes(begin: Begin, tmp_path: Path):
    other, mine = begin(), open_storage(sqlite_in(tmp_path))
    with ThreadPoolExecutor(1) as pool:
        with mine.engine.begin() as connection:
            connection.exec_driver_sql("SELECT * FROM trials").all()
            # Were it let in now, both would take the trial that waits.
            taking = pool.submit(leave_running, other, 1, "other")
            time.sleep(0.5)
            assert not taking.done()
        assert taking.result() is not None


class Unreliable:
    """Does what a method of Optuna's storage does, but fails before or after it the first times it is called."""

    def __init__(self, storage: StudyStorage, monkeypatch: pytest.MonkeyPatch, name: str, times: int, after: bool):
        self._method, self._left, self._after = getattr(storage._backend, name), times, after
        monkeypatch.setattr(storage._backend, name, self)

    def __call__(self, *arguments: object, **options: object) -> object:
        if self._left == 0:
            return self._method(*arguments, **options)
        self._left -= 1
        if self._after:
            self._method(*arguments, **options)
        raise sqlalchemy.exc.OperationalError("", None, Exception("the server closed the connection"))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "method", ["set_trial_state_values", "_create_new_trial", "set_trial_user_attr", "_set_trial_param", "_get_trials"]
)
def test_a_call_outlasts_an_outage_and_a_lost_answer(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, method: str, after: bool
):
    said: list[str] = []
    study = begin()
    # The only worker has no other to wait for.
    monkeypatch.setattr(storage_module, "STALE_AFTER_S", 0)
    monkeypatch.setattr(storage_module, "RETRY_INTERVAL_S", 0.01)
    monkeypatch.setattr(study_module, "POLL_S", 0.01)
    study.storage._on_wait = said.append
    Unreliable(study.storage, monkeypatch, method, 2, after)
    values = finish_all(study, 3, "me")
    assert said == ["the server closed the connection"]
    assert [trial.state for trial in study.finished()] == [TrialState.COMPLETE] * 3
    # A trial whose values were all drawn is none of those that were lost.
    assert len({tuple(trial.params.values()) for trial in study.finished()}) == 3
    assert len(values) >= 2
    assert summarise(study)["running"] == 0


def test_an_answer_that_is_lost_as_a_result_is_stored_does_no_harm(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    study = begin()
    with monkeypatch.context() as patch:

        def train(*_: object) -> float:
            Unreliable(study.storage, patch, "set_trial_state_values", 1, after=True)
            return 0.75

        assert study.run_next(train, 1, "me")
    assert [trial.value for trial in study.trials()] == [0.75]
    assert not study.run_next(train, 1, "me")


def test_a_trial_that_is_queued_twice_is_trained_once(begin: Begin):
    study = begin()
    lost = leave_running(study, 2, "lost")
    assert lost is not None
    study.give_back({"lost"})
    # As by a call whose answer was lost.
    requeue(study.optuna, study.trials()[lost.number])
    values = finish_all(study, 2, "me")
    assert [tuple(lost.params.values()) == tuple(params.values()) for params in values] == [True, False]


def test_a_trial_goes_back_whose_worker_was_killed_before_it_could_claim_it(begin: Begin):
    study = begin()
    # The first was queued; each other is created by the worker that takes it.
    finish_all(study, 1, "me")
    study.storage.worker = "killed"
    study.storage.create_new_trial(study.optuna._study_id)
    assert summarise(study)["running"] == 1
    study.give_back({"killed"})
    assert summarise(study)["running"] == 0
    assert summarise(study)["waiting"] == 1
    assert len(finish_all(study, 2, "me")) == 1


def test_a_storage_that_never_answers_again_is_given_up(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage_module, "OUTAGE_TIMEOUT_S", 0)
    study = begin()
    Unreliable(study.storage, monkeypatch, "_get_trials", 9, after=False)
    with pytest.raises(DataError, match=r"storage failed: the server closed .*; mend it: the same command then goes"):
        study.trials()


def test_an_interrupted_trial_goes_back_and_is_given_up_in_the_end(begin: Begin):
    study = begin()
    leave_running(study, 2, "first")
    taken = leave_running(study, 2, "second")
    assert taken is not None
    study.give_back({"second"})
    again = leave_running(study, 2, "third")
    assert again is not None
    assert again.params == taken.params
    assert again.number != taken.number
    assert summarise(study)["interrupted"] == 1
    for attempt in range(storage_module.MAX_RETRIES):
        study.give_back({"third", f"{attempt - 1}"})
        given = leave_running(study, 2, f"{attempt}")
        assert given is not None
        assert (given.params == taken.params) == (attempt < storage_module.MAX_RETRIES - 1)


class Clock:
    """The monotonic clock of the storages, which can be put forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self._ahead_s = 0.0
        ahead = lambda: time.monotonic() + self._ahead_s  # noqa: E731
        monkeypatch.setattr(storage_module, "time", SimpleNamespace(monotonic=ahead, sleep=time.sleep))

    def advance(self) -> None:
        """Let the time pass after which a worker that was not heard of counts as dead."""
        self._ahead_s += storage_module.STALE_AFTER_S + 1


def heartbeat_age_s(study: Study, trial: FrozenTrial) -> float:
    """Infinite before the first."""
    query = "SELECT strftime('%s', 'now') - strftime('%s', heartbeat) FROM trial_heartbeats WHERE trial_id = ?"
    with study.storage.engine.begin() as connection:
        age = connection.exec_driver_sql(query, (trial._trial_id,)).scalar()
    return math.inf if age is None else float(age)


def age_heartbeat(study: Study, trial: FrozenTrial) -> None:
    """Make the trial's last heartbeat so old that its worker counts as dead."""
    with study.storage.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, ?) WHERE trial_id = ?",
            (f"-{storage_module.STALE_AFTER_S + 1} seconds", trial._trial_id),
        )


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_whose_worker_is_silent_is_given_to_another(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage_module, "HEARTBEAT_S", 0.05)
    clock, study = Clock(monkeypatch), begin()
    silent = leave_running(study, 3, "silent")
    # As if its worker had died before it could claim it.
    orphan = study.storage.create_new_trial(study.optuna._study_id)
    assert silent is not None
    begun: Queue[FrozenTrial] = Queue()
    others_done = Event()

    def train(_: optuna.Trial, frozen: FrozenTrial) -> float:
        begun.put(frozen)
        assert others_done.wait(60)
        return 0.5

    with ThreadPoolExecutor(1) as pool:
        alive = pool.submit(study.run_next, train, 3, "alive")
        training, other = begun.get(timeout=60), begin()
        heard_of = lambda: heartbeat_age_s(study, training) < storage_module.STALE_AFTER_S  # noqa: E731
        wait_for(heard_of)
        for trial in (silent, training):
            age_heartbeat(study, trial)
        # The next heartbeat of the one that lives.
        wait_for(heard_of)
        other.requeue_stale()
        assert summarise(other)["running"] == 3
        clock.advance()
        found = [finish(other, 3, "other") for _ in range(2)]
        assert not alive.done()
        others_done.set()
    assert {trial.system_attrs["failed_trial"] for trial in found if trial} == {
        silent.number,
        study.storage.get_trial(orphan).number,
    }
    assert [trial.value for trial in study.finished()].count(0.5) == 1


@pytest.mark.parametrize("reports", [False, True], ids=["silent", "reporting"])
def test_one_that_was_taken_for_dead_is_too_late_and_does_no_harm(begin: Begin, reports: bool):
    study, other = begin(), begin()
    told = []

    def train(trial: optuna.Trial, _: optuna.trial.FrozenTrial) -> float:
        other.give_back({"slow"})
        if reports:
            trial.report(1.0, 0)
        return 1.0

    assert study.run_next(train, 3, "slow", told.append)
    assert study.finished() == told == []
    assert finish(other, 3, "other") is not None


def test_after_an_outage_nobody_is_taken_for_dead_at_once(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    clock, study = Clock(monkeypatch), begin()
    silent = leave_running(study, 1, "silent")
    assert silent is not None
    age_heartbeat(study, silent)
    clock.advance()
    Unreliable(study.storage, monkeypatch, "_get_trials", 1, after=False)
    monkeypatch.setattr(storage_module, "RETRY_INTERVAL_S", 0)
    study.requeue_stale()
    assert summarise(study)["running"] == 1
    clock.advance()
    study.requeue_stale()
    assert summarise(study)["running"] == 0


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
        open_storage(sqlite_in(tmp_path), create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_study_can_be_opened_by_several_at_once(begin: Begin):
    with ThreadPoolExecutor(4) as pool:
        studies: list[Study] = list(pool.map(lambda _: begin(), range(4)))
    assert len({study.identity for study in studies}) == 1
    assert [trial.state for trial in studies[0].trials()] == [TrialState.WAITING]
