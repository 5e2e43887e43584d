import json
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.harness import Stopwatch
from benchmarks.peers import contenders
from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.training import RECIPES, backend
from mnist_digits.training.engine.session import TrainingSession

# Parameters that Keras, PyTorch and scikit-learn report for these networks, counted by hand.
PARAMETERS = {
    "keras": 32 * 10 + 64 * (9 * 32 + 1) + 10 * (25 * 64 + 1),
    "pytorch": 32 * 10 + 64 * (9 * 32 + 1) + 128 * (144 * 64 + 1) + 10 * 129,
    "mlp": 100 * 785 + 10 * 101,
}
ROW = {"own": False, "parameters": 34826, "seconds_before_training": 4.0}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_peer_learns(name: str, small_folder: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip(contenders.PEERS[name].package)
    monkeypatch.setenv("STARTED", repr(time.time() - 100))
    row = peers.race(name, Namespace(data=small_folder, tiny=True))
    assert row["parameters"] == PARAMETERS[name]
    assert row["epochs_measured"] == 1
    assert len(row["seconds_after_epoch"]) == len(row["test_accuracy_after_epoch"]) == 1
    assert row["seconds_before_training"] > 100
    assert 0.2 < row["test_accuracy_after_epoch"][0] < 0.9
    assert row["seconds_to"] == {"0.97": None, "0.99": None, "0.995": None}


def test_what_is_looked_up_of_a_recipe_is_what_it_would_keep(small: Dataset):
    recipe = replace(RECIPES["dense"], epochs=2, ema_decay=0.9, jit_compile=False)
    backend.start_keras()
    watch = Stopwatch(small.test)
    parameters = contenders.train_recipe(recipe, small, 2, watch)
    session = TrainingSession.start(recipe, 0, len(small.train), "float32")
    session.fit(small)
    model, own = session.model, session.model.get_weights()
    session.average.apply()
    assert any((before != after).any() for before, after in zip(own, model.get_weights(), strict=True))
    probabilities = model.predict(small.test.images / np.float32(255), verbose=0)
    assert watch.accuracies[1] == (probabilities.argmax(1) == small.test.labels).mean()
    assert (len(watch.seconds), parameters) == (2, 101_770)


def test_the_file_has_what_was_measured_and_says_what_was_not(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    output = tmp_path / "peers.json"
    output.write_text(json.dumps({"rows": {"mlp": _row([1.0], [0.97], "mlp")}}))
    real = peers.importlib.util.find_spec
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    peers.BENCHMARK.main(["--tiny", "--data", str(small_folder), "--output", str(output), "--only", "svm", "pytorch"])
    rows = json.loads(output.read_text())["rows"]
    assert list(rows) == ["pytorch", "mlp", "svm"]
    assert rows["pytorch"]["not_measured"] == "torch is not installed"
    assert rows["svm"]["test_accuracy_after_epoch"][0] > 0.7
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr()
    assert "| PyTorch's example | not measured |" in shown.out
    assert "pip install '.[peers]'" in shown.err


def test_the_svm_consists_of_its_support_vectors(small_folder: Path):
    svm = pytest.importorskip("sklearn.svm")
    data = load_mnist(small_folder)
    watch = Stopwatch(data.test)
    parameters = contenders.train_svm(data, 1, watch)
    train = contenders.all_training_images(data)
    model = svm.SVC(C=10).fit(train.images.reshape(-1, 784) / np.float32(255), train.labels)
    # Of each support vector its pixels and nine weights; of each pair of digits a threshold.
    assert parameters == model.n_support_.sum() * (784 + 9) + 45
    assert watch.accuracies == [model.score(data.test.images.reshape(-1, 784) / np.float32(255), data.test.labels)]


def _row(seconds: list[float], accuracies: list[float], title: str, epochs: int | None = None) -> dict:
    reached = {
        str(target): next((s for s, a in zip(seconds, accuracies, strict=True) if a >= target), None)
        for target in peers.TARGETS
    }
    curve = {"seconds_after_epoch": seconds, "test_accuracy_after_epoch": accuracies, "seconds_to": reached}
    return {**ROW, **curve, "title": title, "epochs": epochs or len(seconds), "epochs_measured": len(seconds)}


def test_the_table_marks_what_was_extrapolated():
    rows = {"all": _row([10.0, 20.0], [0.975, 0.991], "All"), "some": _row([10.0, 20.0], [0.9, 0.97], "Some", epochs=5)}
    lines = peers.as_table({"rows": rows}).splitlines()
    assert lines[0].startswith("| trained on MNIST | parameters | to 97 % | to 99 % | to 99.5 % | in the end |")
    assert lines[2] == "| All | 34,826 | 10.0 s | 20.0 s | – | 99.10 % | 20.0 s | 24.0 s |"
    assert lines[3] == (
        "| Some | 34,826 | 20.0 s | > 20.0 s | > 20.0 s | 97.00 % after 2 of 5 epochs | ≈ 50.0 s | ≈ 54.0 s |"
    )


def test_tiny_mode_needs_a_small_set(tmp_path: Path, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as stopped:
        peers.BENCHMARK.main(["--tiny", "--output", str(tmp_path / "peers.json")])
    assert stopped.value.code == 2
    assert "name a small set" in capsys.readouterr().err
