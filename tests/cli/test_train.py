"""The command as a user meets it: a process with arguments, two streams and an exit status."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from mnist_digits.cli import output as terminal
from mnist_digits.training import RECIPES, find_recipe
from mnist_digits.training.networks import build, load

Digits = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def digits(tmp_path: Path) -> Digits:
    """Run the command `digits` in an empty folder, as a user would."""

    def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mnist_digits", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]

    return run


@pytest.fixture(scope="module")
def trained(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, made by the command, below its default folder."""
    folder = tmp_path_factory.mktemp("trained")
    command = [sys.executable, "-m", "mnist_digits", "train", "dense", "--data", str(small_folder), "--set", "epochs=2"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (folder / "stdout").write_text(result.stdout)
    (folder / "stderr").write_text(result.stderr)
    return folder


def test_train_prints_a_summary_on_stdout_and_progress_on_stderr(trained: Path):
    summary = (trained / "stdout").read_text()
    for part in ("test accuracy", "95 % interval", "test loss", "for 2 epochs", "read as", "runs/dense-0/report.html"):
        assert part in summary
    lines = (trained / "stderr").read_text().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert (trained / "runs/latest").readlink() == Path("dense-0")


def test_evaluate_gives_the_runs_own_figures(digits: Digits, trained: Path, small_folder: Path):
    expected = json.loads((trained / "runs/latest/metrics.json").read_text())["test"]
    for arguments in (
        [trained / "runs/latest"],
        [trained / "runs/latest/model.keras", "--data", small_folder],
    ):
        result = digits("evaluate", *arguments, "--json", "--require-accuracy", "0.2")
        assert result.returncode == 0
        assert result.stderr == ""
        found = json.loads(result.stdout)
        assert found["confusion"] == expected["confusion"]
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_a_required_accuracy_that_is_not_met_is_status_4(digits: Digits, trained: Path):
    result = digits("evaluate", trained / "runs/latest", "--require-accuracy", "0.999")
    assert result.returncode == 4
    assert "precision" in result.stdout
    assert "required 0.9990" in result.stderr


def test_report_is_rebuilt(digits: Digits, trained: Path):
    run = trained / "runs/latest"
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    result = digits("report", run)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(run / "report.html")
    assert (run / "report.html").read_bytes() == before


def test_compare_tells_luck_from_a_difference(digits: Digits, trained: Path, small_folder: Path, tmp_path: Path):
    first = trained / "runs/dense-0"
    options = ("--data", small_folder, "--set", "epochs=6", "--output", "second")
    assert digits("train", "dense", *options).returncode == 0
    content = json.loads(digits("compare", first, "second", first, "--json", "--figure", "a.png").stdout)
    _, second, same = content["runs"]
    labels = np.load(first / "predictions.npz")["test_labels"]
    right = [
        np.load(folder / "predictions.npz")["test_probabilities"].argmax(1) == labels
        for folder in (first, tmp_path / "second")
    ]
    assert second["against_first"]["only_second"] == (right[1] & ~right[0]).sum()
    assert second["against_first"]["p_value"] < 0.05
    assert same["against_first"] == {"only_first": 0, "only_second": 0, "p_value": 1.0}
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "McNemar" in digits("compare", first, "second").stdout


def test_runs_on_other_data_are_not_compared(digits: Digits, trained: Path, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(trained / "runs/dense-0", other)
    plan = json.loads((other / "recipe.json").read_text())
    plan["data"]["fingerprint"] = "0" * 64
    (other / "recipe.json").write_text(json.dumps(plan))
    result = digits("compare", trained / "runs/dense-0", other)
    assert result.returncode == 3
    assert "tested on other images" in result.stderr
    assert digits("compare", other).returncode == 2


def test_export_writes_every_format_once(digits: Digits, trained: Path, tmp_path: Path, small_folder: Path):
    run = trained / "runs/latest"
    for name in ("dense-0.onnx", "dense-0.tflite", "dense-0-saved_model", "dense-0.keras"):
        format_ = {"dense-0.tflite": "litert"}.get(name, re.split("[.-]", name)[-1])
        result = digits("export", run, "--format", format_)
        assert (result.returncode, result.stdout, result.stderr) == (0, f"{name}\n", "")
        assert (tmp_path / name).exists()
    again = digits("export", run, "--format", "onnx")
    assert again.returncode == 3
    assert again.stderr == "digits: dense-0.onnx: exists already; name another with --output, or remove it\n"
    assert (tmp_path / "dense-0.onnx").read_bytes() == (run / "model.onnx").read_bytes()
    assert (tmp_path / "dense-0.keras").read_bytes() == (run / "model.keras").read_bytes()
    elsewhere = digits("export", run, "--format", "onnx", "--output", "a/b.onnx", "--data", small_folder)
    assert (elsewhere.returncode, elsewhere.stdout) == (0, "a/b.onnx\n")
    assert len(list(tmp_path.iterdir())) == 5


def test_what_cannot_be_exported_is_said_in_one_line(digits: Digits, trained: Path, tmp_path: Path):
    unfinished = tmp_path / "unfinished"
    shutil.copytree(trained / "runs/dense-0", unfinished)
    (unfinished / "model.onnx").unlink()
    cases = [
        (["nowhere", "--format", "onnx"], "tensorflow", 3, "nowhere: no such folder"),
        (["unfinished", "--format", "keras"], "tensorflow", 3, "unfinished: not finished; expected a finished run"),
        ([trained / "runs/latest", "--format", "tflite"], "tensorflow", 2, "expected one of onnx, litert"),
        ([trained / "runs/latest", "--format", "litert"], "jax", 2, "--format litert: TensorFlow writes it"),
        ([trained / "runs/latest", "--format", "saved_model"], "jax", 2, "unset KERAS_BACKEND"),
    ]
    for arguments, backend, status, message in cases:
        result = digits("export", *arguments, env={**os.environ, "KERAS_BACKEND": backend})
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (status, "", 1)
        assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["unfinished"]


def test_info_describes_machine_and_recipes(digits: Digits, capsys: pytest.CaptureFixture[str]):
    content = json.loads(digits("info", "--json").stdout)
    assert content["environment"]["versions"]["keras"] == keras.__version__
    terminal.print_info(content["environment"], content["recipes"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in RECIPES)
    parameters = {recipe["name"]: recipe["parameters"] for recipe in content["recipes"]}
    assert parameters["dense"] == 101_770
    assert set(parameters) == set(RECIPES)


def follow(process: subprocess.Popen[str], text: str) -> None:
    """Read the process's messages up to one that holds the text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text} was never printed")


def test_killed_and_interrupted_runs_end_with_the_weights_of_an_unbroken_one(tmp_path: Path):
    """On all of MNIST, so that the signals arrive inside an epoch."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mnist_digits", "train", "dense", "--set", "epochs=8", *arguments]
        return subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with start("--output", "broken") as process:
        follow(process, "epoch 1/8")
        process.send_signal(signal.SIGKILL)
    with start("--resume", "broken") as process:
        follow(process, "epoch 2/8")
        process.send_signal(signal.SIGINT)
        _, message = process.communicate()
    assert process.returncode == 130
    assert message.splitlines()[-1] == "interrupted; to continue: digits train dense --resume broken"
    rows = (tmp_path / "broken/history.csv").read_text().splitlines()[1:]
    assert 2 <= len(rows) < 8
    assert not (tmp_path / "broken/metrics.json").exists()
    for arguments in (("--resume", "broken"), ("--output", "unbroken")):
        with start(*arguments) as process:
            process.communicate()
        assert process.returncode == 0

    broken, unbroken = (load(tmp_path / name / "model.keras").get_weights() for name in ("broken", "unbroken"))
    assert [w.tobytes() for w in broken] == [w.tobytes() for w in unbroken]


BAD_TRAIN = [
    (["lenet"], 2, "lenet: no such recipe"),
    (["dense", "--set", "epoch=3"], 2, "epoch: no such field"),
    (["dense", "--set", "epochs"], 2, "expected FIELD=VALUE"),
    (["dense", "--set", "epochs=-1"], 2, "epochs=-1: expected a whole number, at least 1"),
    (["dense", "--set", "epochs=two"], 2, "epochs=two: expected a whole number"),
    (["dense", "--seed", "-1"], 2, "--seed"),
    (["dense", "--resume", "a", "--output", "b"], 2, "--resume with --output"),
    (["dense", "--seeds", "0"], 2, "--seeds"),
    (["dense", "--seed", str(2**32)], 2, "--seed"),
    (["dense", "--data", "nowhere"], 3, "nowhere: no such folder"),
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
    result = digits("train", "dense", env={**os.environ, "KERAS_BACKEND": "torch"})
    assert result.returncode == 2
    assert (
        result.stderr == "digits: KERAS_BACKEND=torch: expected tensorflow or jax; set it to one of them, or unset it\n"
    )
    assert not list(tmp_path.iterdir())


def test_an_incomplete_run_is_refused(digits: Digits, trained: Path, tmp_path: Path):
    for name in ("metrics.json", "predictions.npz", "history.csv", "model.keras"):
        run = tmp_path / name
        run.mkdir()
        for path in (trained / "runs/dense-0").iterdir():
            if path.name != name:
                (run / path.name).symlink_to(path)
        result = digits("report", run)
        assert result.returncode == 3
        assert f"has no {name}" in result.stderr
    assert digits("evaluate", tmp_path / "model.keras").returncode == 3, "a folder without a model"


NO_SOFTMAX = keras.Sequential([keras.layers.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])


def test_models_that_are_none_are_refused(digits: Digits, tmp_path: Path, small_folder: Path):
    (tmp_path / "text.keras").write_text("not a model")
    NO_SOFTMAX.save(tmp_path / "logits.keras")
    for name, message in {
        "text.keras": "not a .keras archive",
        "logits.keras": "does not give probabilities",
    }.items():
        result = digits("evaluate", name, "--data", small_folder)
        assert result.returncode == 3
        assert result.stderr.startswith(f"digits: {name}: ")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_full_disk_keeps_the_checkpoint(digits: Digits, small_folder: Path, tmp_path: Path):
    """The system cuts every file at 1.4 MB: enough for the checkpoint, too little for the report."""
    limit = 1_400_000
    arguments = ("train", "dense", "--data", small_folder, "--set", "epochs=2")
    result = digits(
        *arguments, "--output", "run", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert result.returncode == 3, result.stderr
    assert "report.html: File too large; nothing half-written was left" in result.stderr
    files = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert "report.html" not in files
    assert "state.npz" in files
    assert not [name for name in files if name.startswith(".")]
    assert digits(*arguments, "--resume", "run").returncode == 0
    assert (tmp_path / "run/report.html").exists()
    assert not (tmp_path / "run/checkpoint").exists()


def test_a_full_disk_at_the_first_checkpoint(digits: Digits, small_folder: Path, tmp_path: Path):
    limit = 300_000
    result = digits(
        *("train", "dense", "--data", small_folder, "--output", "run"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.returncode == 3
    assert "state.npz: File too large" in result.stderr
    assert not list((tmp_path / "run").rglob("*.npz"))


def test_several_seeds_as_json_and_with_tensorboard(digits: Digits, small_folder: Path, tmp_path: Path):
    arguments = ("train", "dense", "--data", small_folder, "--set", "epochs=1", "--seeds", "2", "--seed", "3")
    result = digits(*arguments, "--tensorboard", "--output", "a [b] c", "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["seeds"] == [3, 4]
    assert Path(summary["summary"]) == Path("a [b] c/summary.json")
    assert list((tmp_path / "a [b] c/seed-4/tensorboard").rglob("events.*"))
    again = digits(*arguments, "--resume", "a [b] c")
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1].endswith("a [b] c/summary.json")
    assert again.stderr == "", "finished members were trained again"


def test_any_keras_model_of_the_right_shape_is_evaluated(digits: Digits, tmp_path: Path, small_folder: Path):
    build(find_recipe("dense-batchnorm")).save(tmp_path / "own.keras")
    result = digits("evaluate", "own.keras", "--data", small_folder)
    assert result.returncode == 0
    assert np.isfinite(float(result.stdout.split("loss")[1].split()[0]))
