"""`digits tune` on several machines that share a study in PostgreSQL."""

import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from helpers.command import Digits, command_line
from helpers.postgresql import Server, find_binaries
from helpers.studies import TINY, finish, plan, trials, wait_for
from mnist_digits.training.tuning import storage as storage_module
from mnist_digits.training.tuning.storage import WORKER, open_storage
from mnist_digits.training.tuning.study import FINISHED, Study


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL on this machine")
    made = Server(binaries)
    yield made
    made.remove()


def finished(storage: str) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in trials(storage) if trial.state in FINISHED]


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the command `digits` in a folder, whose file `said` gets its stderr; it ends with the test."""
    started = []

    def start_in(folder: Path, *arguments: str | Path) -> "subprocess.Popen[bytes]":
        folder.mkdir(exist_ok=True)
        with (folder / "said").open("w") as said:
            process = subprocess.Popen(command_line(*arguments), cwd=folder, stdout=subprocess.DEVNULL, stderr=said)
        started.append(process)
        return process

    yield start_in
    for process in started:
        process.kill()
        process.wait()


def kill_in_a_trial(machine: "subprocess.Popen[bytes]", share: Path, storage: str) -> None:
    """Kill a machine while its worker, which ends with it, trains one."""

    def is_held_in_a_trial() -> bool:
        workers = psutil.Process(machine.pid).children()
        for worker in workers:
            worker.suspend()
        running = [trial.number for trial in trials(storage) if trial.state == TrialState.RUNNING]
        if any((share / f"{number}").is_dir() for number in running):
            return True
        for worker in workers:
            worker.resume()
        return False

    wait_for(is_held_in_a_trial)
    workers = psutil.Process(machine.pid).children()
    machine.kill()
    machine.wait()
    for worker in workers:
        worker.kill()


# Threads share Python's filters of warnings, and each worker changes them for a moment.
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_workers_in_the_middle_of_everything_outlive_crashes_of_the_database(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    # What a lost answer leaves behind is found the sooner.
    monkeypatch.setattr(storage_module, "STALE_AFTER_S", 2)
    target = 24

    def open_study() -> Study:
        return Study.begin(open_storage(server.address), "crashes", plan())

    def work(name: str) -> None:
        study = open_study()
        while finish(study, target, name) is not None:
            pass
        study.storage.engine.dispose()

    watcher = open_study()
    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work, f"{number}") for number in range(4)]
        for count in (2, 8):
            wait_for(lambda count=count: len(watcher.finished()) >= count)
            server.crash()
            server.start()
    for worker in workers:
        worker.result()
    done = watcher.finished()
    watcher.storage.engine.dispose()
    assert len(done) == len({tuple(trial.params.values()) for trial in done}) == target


def test_two_machines_share_trials_through_kills_and_a_crash_of_the_database(
    server: Server, start: Start, small_folder: Path, tmp_path: Path
):
    target = 9
    options = ("--trials", f"{target}", "--seeds", "0", "--storage", server.address, "--data", small_folder)
    # At the same moment: the first that comes begins the study.
    one, two = (start(tmp_path / name, "tune", "dense", *options, *TINY) for name in ("one", "two"))
    shares = [tmp_path / name / "runs/tune-dense/trials" for name in ("one", "two")]
    wait_for(lambda: all(share.is_dir() and any(share.iterdir()) for share in shares))
    kill_in_a_trial(one, shares[0], server.address)
    wait_for(lambda: len(finished(server.address)) >= 4)
    before = {trial.number: trial.value for trial in finished(server.address)}
    server.crash()
    said = tmp_path / "two" / "said"
    wait_for(lambda: "waiting for the storage: " in said.read_text())
    server.start()
    assert two.wait(900) == 0, said.read_text()

    all_trials = trials(server.address)
    done = finished(server.address)
    assert len(done) == target
    assert {trial.number: trial.value for trial in done if trial.number in before} == before
    assert {trial.state for trial in all_trials} <= {TrialState.FAIL, *FINISHED}
    # None was trained twice: values are never drawn alike.
    values = [tuple(trial.params.values()) for trial in done]
    assert len(set(values)) == target
    # What the killed one had in hand was finished by the other.
    interrupted = [trial for trial in all_trials if trial.state == TrialState.FAIL and WORKER in trial.user_attrs]
    assert interrupted
    assert {tuple(trial.params.values()) for trial in interrupted} <= set(values)
    # Each told of every trial that it saw finish.
    assert len({match[1] for match in re.finditer(r"^trial (\d+) ", said.read_text(), re.MULTILINE)}) == target


def test_a_server_that_refuses_is_said_in_one_line(server: Server, digits: Digits):
    address = f"postgresql://digits:secret@127.0.0.1:{server.port}/postgres"
    result = digits("tune", "dense", "--storage", address)
    assert result.returncode == 3
    assert "password authentication failed" in result.stderr
    assert "secret" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
