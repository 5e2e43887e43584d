"""`digits tune` on several machines that share a study in PostgreSQL."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from helpers.postgresql import Server, find_binaries
from helpers.studies import TINY, command, trials, wait_for
from mnist_digits.training import RECIPES
from mnist_digits.training.tuning import storage as storage_module
from mnist_digits.training.tuning import study as study_module
from mnist_digits.training.tuning.plan import StudyPlan
from mnist_digits.training.tuning.storage import Patience, open_storage
from mnist_digits.training.tuning.study import Study


@pytest.fixture
def server() -> Iterator[Server]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL on this machine")
    made = Server(binaries)
    yield made
    made.remove()


def is_begun(storage: str) -> bool:
    opened = open_storage(storage)
    try:
        return bool(optuna.get_all_study_names(opened))
    finally:
        opened.engine.dispose()


def finished(storage: str) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in trials(storage) if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the command `digits` in a folder; it ends with the test."""
    started = []

    def start_in(folder: Path, *arguments: str | Path) -> "subprocess.Popen[str]":
        folder.mkdir(exist_ok=True)
        pipe = subprocess.PIPE
        process = subprocess.Popen(command(*arguments), cwd=folder, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return process

    yield start_in
    for process in started:
        process.kill()
        process.communicate()


def kill_in_a_trial(machine: "subprocess.Popen[str]", share: Path, storage: str) -> None:
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
    machine.communicate()
    for worker in workers:
        worker.kill()


def test_workers_in_the_middle_of_everything_outlive_crashes_of_the_database(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    # What a lost answer leaves behind is found the sooner.
    for module in (storage_module, study_module):
        monkeypatch.setattr(module, "GRACE", 2)
    plan, target = StudyPlan(RECIPES["dense"], (), 0, "images"), 24

    def open_study() -> Study:
        return Study.begin(open_storage(server.address), "dense", plan, Patience())

    def work(name: str) -> None:
        study = open_study()
        while (trial := study.take(target, name)) is not None:
            study.tell(trial.number, float(trial.number))
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


def test_two_machines_share_thirty_trials_through_kills_and_a_crash_of_the_database(
    server: Server, start: Start, small_folder: Path, tmp_path: Path
):
    target = 30
    options = ("--trials", f"{target}", "--seeds", "0", "--storage", server.address, "--data", small_folder)
    machines = []
    for name in ("one", "two"):
        machines.append(start(tmp_path / name, "tune", "dense", *options, *TINY))
        wait_for(lambda: is_begun(server.address))
    one, two = machines
    shares = [tmp_path / name / "runs/tune-dense/trials" for name in ("one", "two")]
    wait_for(lambda: all(share.is_dir() and len(list(share.iterdir())) > 1 for share in shares))
    kill_in_a_trial(one, shares[0], server.address)
    wait_for(lambda: len(finished(server.address)) >= 6)
    before = {trial.number: trial.value for trial in finished(server.address)}
    server.crash()
    time.sleep(2)
    server.start()
    _, stderr = two.communicate(timeout=900)
    assert two.returncode == 0, stderr
    assert "waiting for the storage: " in stderr

    all_trials = trials(server.address)
    done = finished(server.address)
    assert len(done) == target
    assert {trial.number: trial.value for trial in done if trial.number in before} == before
    assert {trial.state for trial in all_trials} <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    # None was trained twice: values are never drawn alike.
    values = [tuple(trial.params.values()) for trial in done]
    assert len(set(values)) == target
    # What the killed one had in hand was finished by the other.
    interrupted = [trial for trial in all_trials if trial.state == TrialState.FAIL and "worker" in trial.user_attrs]
    assert interrupted
    assert {tuple(trial.params.values()) for trial in interrupted} <= set(values)
    # Each told of every trial that it saw finish.
    assert len({match[1] for match in re.finditer(r"^trial (\d+) ", stderr, re.MULTILINE)}) == target


def test_a_server_that_refuses_is_said_in_one_line(server: Server, tmp_path: Path):
    begun = time.monotonic()
    address = f"postgresql://digits:secret@127.0.0.1:{server.port}/postgres"
    tune = command("tune", "dense", "--storage", address)
    result = subprocess.run(tune, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 3
    assert "password authentication failed" in result.stderr
    assert "secret" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert time.monotonic() - begun < 60
