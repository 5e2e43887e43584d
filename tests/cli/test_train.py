"""`digits train`."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from helpers.command import Digits, command_line
from helpers.limits import files_of_at_most
from mnist_digits.training.networks import load

SMALL = ("train", "dense", "--set", "epochs=2", "--set", "jit_compile=false", "--output", "run", "--data")


def test_a_summary_goes_to_stdout_and_progress_to_stderr(training: tuple[Path, subprocess.CompletedProcess[str]]):
    folder, result = training
    for part in ("test accuracy", "95 % interval", "test loss", "for 2 epochs", "read as", "runs/dense-0/report.html"):
        assert part in result.stdout
    assert [line.split("  ")[0] for line in result.stderr.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert (folder / "runs/latest").readlink() == Path("dense-0")


def follow(process: subprocess.Popen[str], text: str) -> None:
    """Read the process's messages up to one that holds the text."""
    assert process.stderr is not None
    for line in process.stderr:
        assert line.startswith("epoch "), line
        if text in line:
            return
    raise AssertionError(f"{text} was never printed")


@pytest.mark.usefixtures("no_report")
def test_killed_and_interrupted_runs_end_with_the_weights_of_an_unbroken_one(digits: Digits, tmp_path: Path):
    """On all of MNIST, so that the signals arrive inside an epoch."""
    train = ("train", "dense", "--set=epochs=12", "--set=batch_size=256", "--set=jit_compile=false")

    def start(*arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(command_line(*train, *arguments), cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)

    with start("--output", "broken") as process:
        follow(process, "epoch 1/12")
        process.send_signal(signal.SIGKILL)
    with start("--resume", "broken") as process:
        follow(process, "epoch 2/12")
        process.send_signal(signal.SIGTERM)
        _, message = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    *lines, last = message.splitlines()
    assert last == "interrupted; to continue: digits train dense --resume broken"
    assert all(line.startswith("epoch ") for line in lines)
    rows = (tmp_path / "broken/history.csv").read_text().splitlines()[1:]
    assert 2 <= len(rows) < 12
    assert not (tmp_path / "broken/metrics.json").exists()
    assert not list((tmp_path / "broken").rglob(".*")), "half-written"
    for arguments in (("--resume", "broken"), ("--output", "unbroken")):
        assert digits(*train, *arguments).returncode == 0
    broken, unbroken = (load(tmp_path / name / "model.keras").get_weights() for name in ("broken", "unbroken"))
    assert [w.tobytes() for w in broken] == [w.tobytes() for w in unbroken]


BAD_TRAIN = [
    (["lenet"], 2, "lenet: no such recipe"),
    (["dense", "--set", "epoch=3"], 2, "epoch: no such field"),
    (["dense", "--set", "epochs"], 2, "expected FIELD=VALUE"),
    (["dense", "--set", "epochs=-1"], 2, "epochs=-1: expected a whole number, at least 1"),
    (["dense", "--set", "epochs=two"], 2, "epochs=two: expected a whole number"),
    (["dense", "--seed", "-1"], 2, "--seed"),
    (["dense", "--tracker", "mlflw"], 2, "mlflw: no such tracker; did you mean mlflow?"),
    (["dense", "--resume", "a", "--output", "b"], 2, "--resume with --output"),
    (["dense", "--seeds", "0"], 2, "--seeds"),
    (["dense", "--recipe", "best.json"], 2, "a RECIPE by name and --recipe FILE: name one of the two"),
    (["--recipe", "best.json", "--resume", "run"], 2, "a run goes on with the recipe it was started with"),
    (["dense", "--seed", str(2**32)], 2, "--seed"),
    (["dense", "--data", "nowhere"], 3, "nowhere: no such file or folder; expected IDX files"),
    (["dense", "--resume", "nowhere"], 3, "nowhere: no such folder"),
    (["dense", "--output", "/proc/run"], 3, "--output"),
]


@pytest.mark.parametrize(("arguments", "status", "message"), BAD_TRAIN)
def test_mistakes_are_one_line_and_leave_nothing(
    digits: Digits, tmp_path: Path, arguments: list[str], status: int, message: str
):
    result = digits("train", *arguments)
    assert result.returncode == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


def test_another_backend_is_refused_before_anything_is_written(digits: Digits, tmp_path: Path):
    result = digits("train", "dense", env={"KERAS_BACKEND": "torch"})
    assert result.returncode == 2
    assert (
        result.stderr == "digits: KERAS_BACKEND=torch: expected tensorflow or jax; set it to one of them, or unset it\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_checkpoint(digits: Digits, small_folder: Path, tmp_path: Path):
    """The system cuts every file at 1.4 MB: enough for the checkpoint, too little for the report."""
    with files_of_at_most(1_400_000):
        result = digits(*SMALL, small_folder)
    assert result.returncode == 3, result.stderr
    assert "report.html: File too large; nothing half-written was left" in result.stderr
    files = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert "report.html" not in files
    assert "state.npz" in files
    assert not [name for name in files if name.startswith(".")]
    resumed = digits("train", "dense", "--data", small_folder, "--resume", "run")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert (tmp_path / "run/report.html").exists()
    assert not (tmp_path / "run/checkpoint").exists()


@pytest.mark.usefixtures("no_report")
def test_a_full_disk_at_the_first_checkpoint(digits: Digits, small_folder: Path, tmp_path: Path):
    with files_of_at_most(300_000):
        result = digits(*SMALL, small_folder)
    assert result.returncode == 3
    assert "state.npz: File too large" in result.stderr
    assert not list((tmp_path / "run").rglob("*.npz"))


@pytest.mark.usefixtures("no_report")
def test_several_seeds_as_json_and_with_tensorboard(digits: Digits, small_folder: Path, tmp_path: Path):
    arguments = (
        "train",
        "--data",
        small_folder,
        "--set",
        "epochs=1",
        "--set",
        "jit_compile=false",
        "--seeds",
        "2",
        "--seed",
        "3",
    )
    result = digits(*arguments, "--tensorboard", "--output", "a [b] c", "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["seeds"] == [3, 4]
    assert summary["recipe"]["name"] == "dense", "the recipe where none is named"
    assert Path(summary["summary"]) == Path("a [b] c/summary.json")
    assert list((tmp_path / "a [b] c/seed-4/tensorboard").rglob("events.*"))
    again = digits(*arguments, "--resume", "a [b] c")
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1].endswith("a [b] c/summary.json")
    assert again.stderr == "", "finished members were trained again"
    other = digits("train", "cnn", "--resume", "a [b] c", "--seeds", "2", "--seed", "3")
    assert (other.returncode, "started with name=dense" in other.stderr) == (2, True)
