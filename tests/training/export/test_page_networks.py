from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

from mnist_digits.errors import DataError
from mnist_digits.files import write_json
from mnist_digits.runs import Run
from mnist_digits.serving.page.dense_network import DenseNetwork
from mnist_digits.training import RECIPES, networks
from mnist_digits.training.export import page_networks
from mnist_digits.training.export.onnx import export_onnx

TEMPERATURE = 1.7


def small_run(folder: Path, recipe: str, images: np.ndarray, **settings: str) -> tuple[Run, keras.Model]:
    """What layers are taken from: an untrained model, exported, and its temperature."""
    run = Run(folder)
    keras.utils.set_random_seed(0)
    model = networks.for_use(networks.build(RECIPES[recipe].with_settings(settings)))
    folder.mkdir()
    model.save(run.model)
    export_onnx(model, run.onnx, {}, images, TEMPERATURE)
    write_json(run.metrics, {"calibration": {"temperature": TEMPERATURE}})
    return run, model


def test_dense_layers_give_the_exported_models_probabilities(tmp_path: Path, random_images: np.ndarray):
    run, model = small_run(tmp_path / "run", "dense", random_images)
    network = DenseNetwork.load(page_networks.export_dense(run, tmp_path))
    session = onnxruntime.InferenceSession(run.onnx)
    (expected,) = session.run(None, {"images": random_images})
    assert np.allclose(network.probabilities(random_images), expected, atol=1e-5)
    hidden = keras.Model(model.inputs[0], model.layers[-2].output)(random_images / np.float32(255))
    assert np.allclose(network.hidden(random_images), hidden, atol=1e-4)


def test_feature_maps_are_keras_activations_and_the_probabilities_stay(tmp_path: Path, random_images: np.ndarray):
    run, model = small_run(tmp_path / "run", "tiny", random_images)
    session = onnxruntime.InferenceSession(page_networks.export_feature_maps(run, tmp_path))
    probabilities, *maps = session.run(None, {"images": random_images})
    (expected,) = onnxruntime.InferenceSession(run.onnx).run(None, {"images": random_images})
    assert np.array_equal(probabilities, expected)
    relus = [layer.output for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    activations = keras.Model(model.inputs[0], relus)(random_images / np.float32(255))
    assert len(maps) == len(activations) == 3
    for found, activation in zip(maps, activations, strict=True):
        assert np.allclose(found, np.moveaxis(np.asarray(activation), 3, 1), atol=1e-4)


def test_other_networks_are_refused(tmp_path: Path, random_images: np.ndarray):
    dense, _ = small_run(tmp_path / "dense", "dense", random_images)
    tiny, _ = small_run(tmp_path / "tiny", "tiny", random_images)
    eleven, _ = small_run(tmp_path / "eleven", "dense", random_images, synthetic_copies="1")
    for run in (tiny, eleven):
        with pytest.raises(DataError, match="name a `dense` run"):
            page_networks.export_dense(run, tmp_path)
    with pytest.raises(DataError, match="no relu after a convolution"):
        page_networks.export_feature_maps(dense, tmp_path)
    with pytest.raises(DataError, match="expected a finished run"):
        page_networks.export_dense(Run(tmp_path), tmp_path)
    assert not list(tmp_path.glob("*.npz"))
    assert not list(tmp_path.glob("*.onnx"))
