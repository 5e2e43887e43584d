"""What is done with finished runs: `digits evaluate`, `report`, `compare` and `export`."""

import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.command import Digits
from mnist_digits.training import find_recipe
from mnist_digits.training.networks import build


def test_evaluate_gives_the_runs_own_figures(digits: Digits, trained: Path, small_folder: Path):
    expected = json.loads((trained / "metrics.json").read_text())["test"]
    for arguments in ([trained], [trained / "model.keras", "--data", small_folder]):
        result = digits("evaluate", *arguments, "--json", "--require-accuracy", "0.2")
        assert result.returncode == 0
        assert result.stderr == ""
        found = json.loads(result.stdout)
        assert found["confusion"] == expected["confusion"]
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_a_required_accuracy_that_is_not_met_is_status_4(digits: Digits, trained: Path):
    result = digits("evaluate", trained, "--require-accuracy", "0.999")
    assert result.returncode == 4
    assert "precision" in result.stdout
    assert "required 0.9990" in result.stderr


def test_report_is_rebuilt(digits: Digits, trained: Path):
    before = (trained / "report.html").read_bytes()
    (trained / "report.html").unlink()
    result = digits("report", trained)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(trained / "report.html")
    assert (trained / "report.html").read_bytes() == before


@pytest.mark.usefixtures("no_report")
def test_compare_tells_luck_from_a_difference(digits: Digits, trained: Path, small_folder: Path, tmp_path: Path):
    first = trained
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
    shutil.copytree(trained, other)
    plan = json.loads((other / "recipe.json").read_text())
    plan["data"]["fingerprint"] = "0" * 64
    (other / "recipe.json").write_text(json.dumps(plan))
    result = digits("compare", trained, other)
    assert result.returncode == 3
    assert "tested on other images" in result.stderr
    assert digits("compare", other).returncode == 2


def test_export_writes_every_format_once(digits: Digits, trained: Path, tmp_path: Path, small_folder: Path):
    for name in ("dense-0.onnx", "dense-0.tflite", "dense-0-saved_model", "dense-0.keras"):
        format_ = {"dense-0.tflite": "litert"}.get(name, re.split("[.-]", name)[-1])
        result = digits("export", trained, "--format", format_)
        assert (result.returncode, result.stdout, result.stderr) == (0, f"{name}\n", "")
        assert (tmp_path / name).exists()
    again = digits("export", trained, "--format", "onnx")
    assert again.returncode == 3
    assert again.stderr == "digits: dense-0.onnx: exists already; name another with --output, or remove it\n"
    assert (tmp_path / "dense-0.onnx").read_bytes() == (trained / "model.onnx").read_bytes()
    assert (tmp_path / "dense-0.keras").read_bytes() == (trained / "model.keras").read_bytes()
    elsewhere = digits("export", trained, "--format", "onnx", "--output", "a/b.onnx", "--data", small_folder)
    assert (elsewhere.returncode, elsewhere.stdout) == (0, "a/b.onnx\n")
    assert len(list(tmp_path.iterdir())) == 5


def test_what_cannot_be_exported_is_said_in_one_line(digits: Digits, trained: Path, tmp_path: Path):
    unfinished = tmp_path / "unfinished"
    shutil.copytree(trained, unfinished)
    (unfinished / "model.onnx").unlink()
    cases = [
        (["nowhere", "--format", "onnx"], "tensorflow", 3, "nowhere: no such folder"),
        (["unfinished", "--format", "keras"], "tensorflow", 3, "unfinished: not finished; expected a finished run"),
        ([trained, "--format", "tflite"], "tensorflow", 2, "expected one of onnx, litert"),
        ([trained, "--format", "litert"], "jax", 2, "--format litert: TensorFlow writes it"),
        ([trained, "--format", "saved_model"], "jax", 2, "unset KERAS_BACKEND"),
    ]
    for arguments, backend, status, message in cases:
        result = digits("export", *arguments, env={"KERAS_BACKEND": backend})
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (status, "", 1)
        assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["unfinished"]


def test_an_incomplete_run_is_refused(digits: Digits, trained: Path, tmp_path: Path):
    for name in ("metrics.json", "predictions.npz", "history.csv", "model.keras"):
        run = tmp_path / name
        run.mkdir()
        for path in trained.iterdir():
            if path.name != name:
                (run / path.name).symlink_to(path)
        result = digits("report", run)
        assert result.returncode == 3
        assert f"has no {name}" in result.stderr
    assert digits("evaluate", tmp_path / "model.keras").returncode == 3, "a folder without a model"


def test_models_that_are_none_are_refused(digits: Digits, tmp_path: Path, small_folder: Path):
    (tmp_path / "text.keras").write_text("not a model")
    layers = keras.layers
    keras.Sequential([layers.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)]).save(tmp_path / "logits.keras")
    cases = {"text.keras": "not a .keras archive", "logits.keras": "does not give probabilities"}
    for name, message in cases.items():
        result = digits("evaluate", name, "--data", small_folder)
        assert result.returncode == 3
        assert result.stderr.startswith(f"digits: {name}: ")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


def test_any_keras_model_of_the_right_shape_is_evaluated(digits: Digits, tmp_path: Path, small_folder: Path):
    build(find_recipe("dense-batchnorm")).save(tmp_path / "own.keras")
    result = digits("evaluate", "own.keras", "--data", small_folder)
    assert result.returncode == 0
    assert np.isfinite(float(result.stdout.split("loss")[1].split()[0]))
