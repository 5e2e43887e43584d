import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from helpers import either_backend
from mnist_digits.dataset import Dataset
from mnist_digits.errors import UsageError
from mnist_digits.evaluation import evaluate
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.engine.loop import compile_function, compile_prediction
from mnist_digits.training.export.calibration import temper
from mnist_digits.training.networks import load


@pytest.fixture(scope="module")
def on_jax(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `either_backend` leaves; a process has one backend for life, and this one's is TensorFlow."""
    folder = tmp_path_factory.mktemp("jax")
    command = [sys.executable, either_backend.__file__, str(small_folder), str(folder)]
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def both(on_jax: Path, small: Dataset) -> tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]:
    return np.load(on_jax / "results.npz"), either_backend.compute(small)


def test_distortion_is_the_same_on_both_backends(both: tuple):
    jax, tensorflow = (results["distorted"] for results in both)
    # Where a place lies on the border between two pixels, rounding decides which four are looked up.
    np.testing.assert_allclose(jax, tensorflow, atol=0.05)


def test_corruption_is_the_same_on_both_backends(both: tuple):
    jax, tensorflow = (results["corrupted"] for results in both)
    # Where a pixel lies on the edge of a stripe or line, or at a threshold, rounding decides.
    assert np.mean(np.abs(jax - tensorflow) > 0.1) < 0.001


def test_a_model_is_exported_where_matrices_are_rounded(on_jax: Path):
    """The reference is computed in full precision; where it is not, the check fails for that reason."""
    assert (on_jax / "guarded.txt").read_text() == ""
    assert (on_jax / "guarded.onnx").exists()
    assert "ONNX and Keras differ by" in (on_jax / "unguarded.txt").read_text()
    assert not (on_jax / "unguarded.onnx").exists()


def test_compiled_programs_are_kept_between_processes(on_jax: Path):
    kept = list((on_jax / "cache" / "mnist-digits" / "jax").iterdir())
    assert kept
    environment = json.loads(Run(on_jax / "whole").environment.read_text())
    assert environment["compiled_programs"] == str(on_jax / "cache" / "mnist-digits" / "jax")


def test_tensorflow_predicts_in_full_precision_and_leaves_training_as_it_was():
    import tensorflow as tf

    seen = []
    model = either_backend.new_model()
    probe = compile_function(
        lambda images: tf.py_function(
            lambda: seen.append(tf.config.experimental.tensor_float_32_execution_enabled()) or 0, [], tf.int32
        ),
        model,
    )
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    probe(np.zeros((1, 28, 28), np.uint8))
    assert seen == [False]
    assert tf.config.experimental.tensor_float_32_execution_enabled() is before is True


def test_both_backends_take_the_same_steps(both: tuple):
    jax, tensorflow = both
    for name in ("weights", "average", "loss", "probabilities"):
        np.testing.assert_allclose(jax[name], tensorflow[name], atol=2e-5, err_msg=name)
    np.testing.assert_allclose(jax["accuracy"], tensorflow["accuracy"], atol=0.011)


def test_networks_trained_at_the_same_time_are_those_trained_alone(on_jax: Path):
    two = np.load(on_jax / "two.npz")
    np.testing.assert_allclose(two["at_once"], two["alone"], rtol=1e-4, atol=1e-4)
    assert np.abs(two["alone"][0] - two["alone"][1]).max() > 0.1, "the seeds made no difference"


def test_a_run_on_jax_is_whole_and_says_so(on_jax: Path):
    run = Run(on_jax / "whole")
    assert run.finished
    for path in (run.history, run.predictions, run.metrics):
        assert path.exists()
    assert not run.checkpoint.exists()
    environment = json.loads(run.environment.read_text())
    assert environment["backend"] == "jax"
    assert environment["devices"] == ["CPU:0 cpu"]
    assert {"jax", "jaxlib", "keras"} <= set(environment["versions"])


def test_a_resumed_run_on_jax_is_an_unbroken_one_bit_for_bit(on_jax: Path):
    whole, resumed = (load(on_jax / name / "model.keras").get_weights() for name in ("whole", "broken"))
    assert [w.tobytes() for w in whole] == [w.tobytes() for w in resumed]


def test_tensorflow_and_onnx_read_what_jax_has_trained(on_jax: Path, small: Dataset):
    run = Run(on_jax / "whole")
    saved = np.load(run.predictions)["test_probabilities"]
    probabilities = compile_prediction(load(run.model))(small.test.images)
    np.testing.assert_allclose(probabilities, saved, atol=1e-5)
    metrics = json.loads(run.metrics.read_text())
    assert evaluate(small.test.labels, probabilities).accuracy == metrics["test"]["accuracy"] > 0.3
    (exported,) = onnxruntime.InferenceSession(run.onnx).run(None, {"images": small.test.images})
    np.testing.assert_allclose(exported, temper(saved, metrics["calibration"]["temperature"]), atol=1e-5)


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    find = backend.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("jax", "tensorflow") else find(name))
    for name, extra in (("jax", "jax"), ("tensorflow", "train")):
        monkeypatch.setenv("KERAS_BACKEND", name)
        with pytest.raises(UsageError, match=rf"{name} is not installed; .* pip install .*\[{extra}\]'"):
            backend.check_installed()
