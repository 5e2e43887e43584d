"""Where results cannot go, and signals that end a command: the status that a shell expects, and no traceback."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from optuna.trial import TrialState
from PIL import Image

from helpers.command import command_line
from helpers.studies import sqlite_in, trials
from mnist_digits.recognition.bulk import Output, Settings

DIGITS = Path(__file__).parents[2] / "docs" / "digits"
FULL = Path("/dev/full")
COMMANDS = {
    "predict": ("predict", DIGITS / "7.jpg"),
    "read": ("read", "--json", DIGITS / "7.jpg"),
    "help": ("--help",),
    "version": ("--version",),
}


def run(name: str, redirection: str) -> subprocess.CompletedProcess[str]:
    """The command, with its streams redirected as a shell does it."""
    command = ["bash", "-c", f'"$@" {redirection}', "bash", *command_line(*COMMANDS[name])]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["predict", "help"])
def test_who_reads_no_further_ends_the_command_as_a_closed_pipe_does(name: str):
    result = run(name, "| true; exit ${PIPESTATUS[0]}")
    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("name", ["predict", "read"])
@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_fault(name: str, redirection: str):
    result = run(name, redirection)
    assert (result.returncode, result.stderr) == (0, "")
    assert ("7" in result.stdout) == (redirection == "2>&-")


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("name", ["read", "version"])
def test_a_full_disk_behind_stdout_is_said_in_one_line(name: str):
    result = run(name, f">{FULL}")
    assert (result.returncode, result.stderr.count("\n")) == (3, 1)
    assert "digits: standard output: No space left on device; expected room for the results" in result.stderr
    assert run(name, f">{FULL} 2>&1").returncode == 3


def wait_for(path: Path, pattern: str) -> None:
    """Until there is such a file."""
    end = time.monotonic() + 120
    while not any(path.glob(pattern)):
        assert time.monotonic() < end, pattern
        time.sleep(0.05)


def test_no_process_lives_on_when_a_training_is_killed_as_it_draws(tmp_path: Path):
    """On all of MNIST: for a few images no other process is started."""
    arguments = ("train", "reader", "--output", tmp_path / "run")
    with subprocess.Popen(command_line(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        parent, end = psutil.Process(process.pid), time.monotonic() + 120
        # With its report process and multiprocessing's tracker, which come before.
        children, draws = parent.children(), False
        while not draws and time.monotonic() < end:
            time.sleep(0.1)
            children = parent.children()
            draws = any("spawn_main" in " ".join(child.cmdline()) for child in children)
        process.kill()
    assert draws
    gone, alive = psutil.wait_procs(children, timeout=60)
    for child in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    assert alive == []
    assert len(gone) == len(children)


def end(process: subprocess.Popen[str], number: signal.Signals, group: bool) -> tuple[str, list[psutil.Process]]:
    """Send a signal to a command, or as a terminal does to all its processes; what it said, and those that live on."""
    children = psutil.Process(process.pid).children(recursive=True)
    (os.killpg if group else os.kill)(process.pid, number)
    try:
        _, stderr = process.communicate(timeout=60)
    finally:
        _, alive = psutil.wait_procs(children, timeout=60)
        for child in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    return stderr, alive


@contextlib.contextmanager
def started(folder: Path, *arguments: str | Path) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process group of its own, as a shell starts it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command_line(*arguments), cwd=folder, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same page many times."""
    folder = tmp_path_factory.mktemp("pages") / "scans"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:03d}.jpg").symlink_to(DIGITS.parent / "pages" / "note.jpg")
    return folder


def test_a_signal_ends_reading_which_leaves_whole_pictures(scans: Path, tmp_path: Path):
    (tmp_path / "scans").symlink_to(scans)
    with started(tmp_path, "read", "scans", "--annotate", "out") as process:
        wait_for(tmp_path, "out/scans/*.png")
        stderr, _ = end(process, signal.SIGTERM, False)
    assert (process.returncode, stderr) == (128 + signal.SIGTERM, "")
    assert not list(tmp_path.rglob(".*"))
    drawn = list((tmp_path / "out").rglob("*.png"))
    assert len(drawn) < 300
    for path in drawn:
        with Image.open(path) as image:
            image.load()


@pytest.mark.parametrize(("number", "group"), [(signal.SIGTERM, False), (signal.SIGHUP, True)])
def test_a_signal_ends_a_table_which_is_continued(scans: Path, tmp_path: Path, number: signal.Signals, group: bool):
    arguments = ("read", scans, "--mode", "predict", "--output", "t.parquet", "--pictures-per-file", "3")
    with started(tmp_path, *arguments, "--workers", "2") as process:
        wait_for(tmp_path, "t.parquet/part-*.parquet")
        stderr, alive = end(process, number, group)
    assert (process.returncode, stderr, alive) == (128 + number, "", [])
    assert not list(tmp_path.rglob(".*"))
    output = Output.resume(tmp_path / "t.parquet", Settings.of("predict", [str(scans)], False, 3, None))
    assert output is not None
    assert 0 < output.done() < 300


def test_a_closed_terminal_ends_a_study_which_is_continued(small_folder: Path, tmp_path: Path):
    with started(tmp_path, "tune", "dense", "--data", small_folder, "--set", "epochs=300") as process:
        # A worker has begun its trial.
        wait_for(tmp_path, "runs/tuning.db")
        while not trials(sqlite_in(tmp_path / "runs")):
            time.sleep(0.1)
        stderr, alive = end(process, signal.SIGHUP, True)
    assert (process.returncode, alive) == (128 + signal.SIGHUP, [])
    assert stderr == f"interrupted; to continue: digits tune dense --data {small_folder} --set epochs=300\n"
    assert TrialState.RUNNING not in {trial.state for trial in trials(sqlite_in(tmp_path / "runs"))}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -2)])
def test_a_signal_that_comes_while_an_object_is_removed_ends_the_command(number: signal.Signals, status: int):
    """Python drops all exceptions that are raised there."""
    code = f"""if True:
        import importlib, os, time, weakref

        class Thing:
            pass

        def command(**_):
            thing = Thing()
            removed = weakref.ref(thing, lambda _: (os.kill(os.getpid(), {int(number)}), sum(range(1000))))
            del thing
            time.sleep(60)

        module = importlib.import_module("mnist_digits.cli.app")
        module.app = command
        module.main()
    """
    begun = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert time.monotonic() - begun < 50
    # Typer, which is left out here, makes an exit status of Ctrl-C.
    assert ended.returncode == status
    assert "ignored" not in ended.stderr


@pytest.mark.parametrize(
    ("workers", "number", "group", "status"),
    [("1", signal.SIGTERM, False, 0), ("1", signal.SIGHUP, True, 129), ("2", signal.SIGHUP, True, 129)],
)
def test_a_signal_ends_the_service_however_early(
    tmp_path: Path, workers: str, number: signal.Signals, group: bool, status: int
):
    """As soon as it says its address: Uvicorn may not yet listen to signals, and workers not yet be there."""
    with started(tmp_path, "serve", "--port", "0", "--workers", workers) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://")
        stderr, alive = end(process, number, group)
    assert (process.returncode, stderr, alive) == (status, "", [])


def test_nohup_keeps_the_service_from_ending_with_its_terminal(tmp_path: Path):
    command = ["nohup", *command_line("serve", "--port", "0", "--workers", "2")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        os.killpg(process.pid, signal.SIGHUP)
        assert httpx.get(f"{address}/healthz", timeout=60).status_code == 200
        stderr, alive = end(process, signal.SIGTERM, False)
    assert (process.returncode, alive) == (0, [])
    assert "Traceback" not in stderr
