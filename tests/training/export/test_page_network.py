import json
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

from mnist_digits.errors import DataError
from mnist_digits.files import write_json
from mnist_digits.recognition import Classifier
from mnist_digits.runs import Run
from mnist_digits.serving.page.browser_network import pack_classifier
from mnist_digits.serving.page.dense_network import DenseNetwork
from mnist_digits.training import RECIPES, networks
from mnist_digits.training.export import page_network
from mnist_digits.training.export.onnx import export_onnx

TEMPERATURE = 1.7


def small_run(folder: Path, recipe: str, images: np.ndarray, **settings: str) -> tuple[Run, keras.Model]:
    """What layers are taken from: an untrained model, exported, and its temperature."""
    run = Run(folder)
    keras.utils.set_random_seed(0)
    model = networks.for_use(networks.build(RECIPES[recipe].with_settings(settings)))
    folder.mkdir()
    model.save(run.model)
    export_onnx(model, run.onnx, {"threshold": "0.5"}, images, TEMPERATURE)
    write_json(run.metrics, {"calibration": {"temperature": TEMPERATURE}})
    return run, model


def test_dense_layers_give_the_exported_models_probabilities(tmp_path: Path, random_images: np.ndarray):
    run, model = small_run(tmp_path / "run", "dense", random_images)
    network = DenseNetwork.load(page_network.export_dense(run, tmp_path))
    session = onnxruntime.InferenceSession(run.onnx)
    (expected,) = session.run(None, {"images": random_images})
    assert np.allclose(network.probabilities(random_images), expected, atol=1e-5)
    hidden = keras.Model(model.inputs[0], model.layers[-2].output)(random_images / np.float32(255))
    assert np.allclose(network.hidden(random_images), hidden, atol=1e-4)


@pytest.mark.parametrize(
    ("recipe", "settings", "kinds"),
    [
        ("dense", {"batch_norm": "True"}, "dense dense"),
        ("fast", {}, "convolution convolution dense dense"),
        ("tiny", {}, "convolution pool convolution pool convolution dense"),
        ("cnn", {"synthetic_copies": "1"}, "convolution convolution convolution convolution dense"),
    ],
)
def test_a_recipes_network_is_packed_for_the_browser(
    tmp_path: Path, random_images: np.ndarray, recipe: str, settings: dict[str, str], kinds: str
):
    run, _ = small_run(tmp_path / "run", recipe, random_images, **settings)
    # It is packed only where its layers, computed one by one, give the model's probabilities.
    packed = pack_classifier(Classifier(run.onnx))
    assert packed is not None
    head = json.loads(packed[4 : 4 + int.from_bytes(packed[:4], "little")])
    assert " ".join(layer["kind"] for layer in head["layers"]) == kinds
    assert head["rejects"] == ("synthetic_copies" in settings)


def test_other_networks_are_refused(tmp_path: Path, random_images: np.ndarray):
    tiny, _ = small_run(tmp_path / "tiny", "tiny", random_images)
    eleven, _ = small_run(tmp_path / "eleven", "dense", random_images, synthetic_copies="1")
    for run in (tiny, eleven):
        with pytest.raises(DataError, match="name a `dense` run"):
            page_network.export_dense(run, tmp_path)
    with pytest.raises(DataError, match="expected a finished run"):
        page_network.export_dense(Run(tmp_path), tmp_path)
    assert not list(tmp_path.glob("*.npz"))
