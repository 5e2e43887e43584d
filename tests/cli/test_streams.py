"""Where results cannot go, and signals that end a command: the status that a shell expects, and no traceback."""

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from helpers.command import command_line

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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_training_which_leaves_nothing_half_written(
    small_folder: Path, tmp_path: Path, number: signal.Signals
):
    arguments = ("train", "dense", "--data", small_folder, "--set", "epochs=5000", "--output", tmp_path / "run")
    with subprocess.Popen(
        command_line(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(tmp_path, "run/history.csv")
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in stderr
    assert f"interrupted; to continue: digits train dense --resume {tmp_path}/run" in stderr
    assert not list((tmp_path / "run").rglob(".*"))


def test_no_process_lives_on_when_a_training_is_killed_as_it_draws(small_folder: Path, tmp_path: Path):
    arguments = (
        "train",
        "reader",
        "--data",
        small_folder,
        "--set",
        "synthetic_copies=200",
        "--output",
        tmp_path / "run",
    )
    with subprocess.Popen(command_line(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        parent, end = psutil.Process(process.pid), time.monotonic() + 120
        # With its report process and multiprocessing's tracker, which come before.
        children = parent.children()
        while not any("spawn_main" in " ".join(child.cmdline()) for child in children):
            assert time.monotonic() < end, children
            time.sleep(0.1)
            children = parent.children()
        process.kill()
    gone, alive = psutil.wait_procs(children, timeout=10)
    for child in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    assert alive == []
    assert len(gone) == len(children)
