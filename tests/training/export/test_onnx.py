from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError
from mnist_digits.recognition import Classifier
from mnist_digits.training import RECIPES
from mnist_digits.training.export import onnx as export
from mnist_digits.training.export import parity
from mnist_digits.training.networks import average, build, for_use


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"reader"}))
def test_onnx_gives_what_keras_gives(tmp_path: Path, small: Dataset, name: str):
    model = for_use(build(RECIPES[name]))
    # Scales, shifts and statistics as after a training: apart from 0 and 1, and positive.
    random = np.random.default_rng(0)
    model.set_weights([w + random.uniform(0.1, 0.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()])
    path = tmp_path / "model.onnx"
    export.export_onnx(model, path, {"recipe": name, "seed": "0"}, small.test.images)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path)
    (images,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["n", 28, 28])
    assert (probabilities.name, probabilities.type, probabilities.shape) == (
        "probabilities",
        "tensor(float)",
        ["n", 10],
    )
    assert session.get_modelmeta().custom_metadata_map == {"recipe": name, "seed": "0"}
    for count in (1, 7, 200):
        batch = small.test.images[:count]
        (found,) = session.run(None, {"images": batch})
        np.testing.assert_allclose(found, model(batch / np.float32(255), training=False), atol=1e-5)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_padding_is_as_in_keras(tmp_path: Path, small: Dataset):
    stack = [layers.Conv2D(3, 4, 3, padding="same"), layers.Activation("relu"), layers.MaxPooling2D(3, padding="same")]
    model = keras.Sequential(
        [layers.Input((28, 28)), layers.Reshape((28, 28, 1)), *stack, layers.Flatten(), layers.Dense(10, "softmax")]
    )
    export.export_onnx(model, tmp_path / "model.onnx", {}, small.test.images)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.LayerNormalization(name="even"), "even: .*LayerNormalization"),
        (layers.Dense(9, "gelu", name="g"), "g: .*gelu"),
    ],
)
def test_what_is_not_translated_is_named(tmp_path: Path, small: Dataset, layer: keras.Layer, message: str):
    model = keras.Sequential([layers.Input((28, 28)), layers.Flatten(), layer, layers.Dense(10, "softmax")])
    with pytest.raises(DataError, match=message):
        export.export_onnx(model, tmp_path / "model.onnx", {}, small.test.images)
    assert not list(tmp_path.iterdir())


def test_a_model_that_differs_leaves_no_file(tmp_path: Path, small: Dataset, monkeypatch: pytest.MonkeyPatch):
    trained, other = build(RECIPES["dense"]), build(RECIPES["dense"])
    monkeypatch.setattr(export, "_convert", lambda model, *rest, convert=export._convert: convert(other, *rest))
    with pytest.raises(DataError, match="ONNX and Keras differ by .* not written"):
        export.export_onnx(trained, tmp_path / "model.onnx", {}, small.test.images)
    assert not list(tmp_path.iterdir())


def test_not_a_number_is_a_difference(tmp_path: Path, small: Dataset):
    model = build(RECIPES["dense"])
    model.layers[-1].bias.assign(np.full(10, np.nan))
    with pytest.raises(DataError, match="differ by nan"):
        export.export_onnx(model, tmp_path / "model.onnx", {}, small.test.images)
    assert not list(tmp_path.iterdir())


def test_the_temperature_of_a_mean_is_that_of_its_logarithm(tmp_path: Path, small: Dataset):
    members = [for_use(build(RECIPES["dense"])) for _ in range(2)]
    mean = np.mean([member.predict(small.test.images[:50] / 255, verbose=0) for member in members], axis=0)
    export.export_onnx(average(members), tmp_path / "model.onnx", {}, small.test.images, temperature=2)
    (found,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"images": small.test.images[:50]})
    roots = np.sqrt(mean)
    np.testing.assert_allclose(found, roots / roots.sum(1, keepdims=True), atol=1e-5)


def test_is_digit_is_compared_too(tmp_path: Path, small: Dataset):
    model = for_use(build(RECIPES["reader"]))
    right = [parity.compile_prediction(model), parity.compile_rejection(model)]
    for shift, message in ((0, None), (0.001, "Elsewhere and Keras differ by 1.0e-03")):
        check = (model, 1.0, tmp_path, "Elsewhere", lambda x, s=shift: [right[0](x), right[1](x) + s])
        if message is None:
            parity.check_parity(*check, small.test.images)
        else:
            with pytest.raises(DataError, match=message):
                parity.check_parity(*check, small.test.images)


def test_weights_are_read_back_from_an_exported_file(tmp_path: Path, random_images: np.ndarray):
    shipped = Classifier()
    model = build(RECIPES["reader"])
    export.load_weights(shipped.path, model)
    temperature = float(shipped.metadata["temperature"])
    export.export_onnx(for_use(model), tmp_path / "again.onnx", shipped.metadata, random_images, temperature)
    wanted, found = (one.judge(random_images) for one in (shipped, Classifier(tmp_path / "again.onnx")))
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-6)
    np.testing.assert_allclose(found.is_digit, wanted.is_digit, atol=1e-6)
    with pytest.raises(DataError, match="it is of another network"):
        export.load_weights(shipped.path, build(RECIPES["cnn"]))
