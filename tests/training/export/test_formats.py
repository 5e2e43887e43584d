"""All formats with a temperature, against NumPy; what else there is to ONNX is tested in test_onnx.py."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError
from mnist_digits.training import RECIPES
from mnist_digits.training.engine.loop import can_reject
from mnist_digits.training.export import formats
from mnist_digits.training.export.onnx import export_onnx
from mnist_digits.training.networks import build, for_use


@pytest.fixture(scope="module", params=["dense", "tiny", "reader"])
def model(request: pytest.FixtureRequest) -> keras.Model:
    return for_use(build(RECIPES[request.param]))


def expected(model: keras.Model, images: np.ndarray, temperature: float) -> dict[str, np.ndarray]:
    """What comes out, by NumPy: roots of the probabilities, of the digits and of all classes."""
    powers = model.predict(images / np.float32(255), verbose=0) ** (1 / temperature)
    digits = powers[:, :10]
    result = {"probabilities": digits / digits.sum(1, keepdims=True)}
    if powers.shape[1] == 11:
        result["is_digit"] = digits.sum(1) / powers.sum(1)
    return result


def check(found: dict, wanted: dict[str, np.ndarray]) -> None:
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(np.asarray(found[name]), values, atol=1e-5)


def test_onnx_takes_any_number_of_images(model: keras.Model, small: Dataset, tmp_path: Path):
    export_onnx(model, tmp_path / "model.onnx", {}, small.test.images, temperature=1.4)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    shapes = {output.name: output.shape for output in session.get_outputs()}
    assert shapes == {"probabilities": ["n", 10]} | ({"is_digit": ["n"]} if can_reject(model) else {})
    for count in (1, 7, 100):
        images = small.test.images[:count]
        check(dict(zip(shapes, session.run(None, {"images": images}), strict=True)), expected(model, images, 1.4))


def test_litert_takes_one_image_as_bytes(model: keras.Model, small: Dataset, tmp_path: Path):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    formats.export_litert(model, tmp_path / "model.tflite", small.test.images, temperature=1.4)
    interpreter = litert.Interpreter(str(tmp_path / "model.tflite"))
    (takes,) = interpreter.get_input_details()
    assert (takes["dtype"], takes["shape"].tolist()) == (np.uint8, [1, 28, 28])
    serve = interpreter.get_signature_runner("serving_default")
    for image in small.test.images[:5, None]:
        check(serve(images=image), expected(model, image, 1.4))
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def test_saved_model_takes_any_number_of_images(model: keras.Model, small: Dataset, tmp_path: Path):
    formats.export_saved_model(model, tmp_path / "model", small.test.images, temperature=1.4)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    for count in (1, 7, 100):
        check(loaded.serve(small.test.images[:count]), expected(model, small.test.images[:count], 1.4))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("export", [formats.export_litert, formats.export_saved_model])
def test_a_model_that_differs_leaves_nothing(
    export: Callable[..., None], small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if export is formats.export_litert:
        pytest.importorskip("ai_edge_litert")
    trained, other = for_use(build(RECIPES["dense"])), for_use(build(RECIPES["dense"]))
    write = formats._write_saved_model
    monkeypatch.setattr(formats, "_write_saved_model", lambda model, *rest: write(other, *rest))
    with pytest.raises(DataError, match="and Keras differ by .* not written"):
        export(trained, tmp_path / "model", small.test.images, 1.0)
    assert not list(tmp_path.iterdir())
