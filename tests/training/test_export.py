from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError
from mnist_digits.training import RECIPES, export
from mnist_digits.training.engine import fit
from mnist_digits.training.networks import build


@pytest.mark.parametrize("name", RECIPES)
def test_onnx_gives_what_keras_gives(tmp_path: Path, small: Dataset, name: str):
    model = build(RECIPES[name])
    fit(model, small.train.images, small.train.labels)
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


def test_a_model_that_differs_leaves_no_file(tmp_path: Path, small: Dataset, monkeypatch: pytest.MonkeyPatch):
    trained, other = build(RECIPES["dense"]), build(RECIPES["dense"])
    monkeypatch.setattr(export, "_convert", lambda model, convert=export._convert: convert(other))
    with pytest.raises(DataError, match="ONNX and Keras differ by .* not written"):
        export.export_onnx(trained, tmp_path / "model.onnx", {}, small.test.images)
    assert not list(tmp_path.iterdir())


def test_not_a_number_is_a_difference(tmp_path: Path, small: Dataset):
    model = build(RECIPES["dense"])
    model.layers[-1].bias.assign(np.full(10, np.nan))
    with pytest.raises(DataError, match="differ by nan"):
        export.export_onnx(model, tmp_path / "model.onnx", {}, small.test.images)
    assert not list(tmp_path.iterdir())
