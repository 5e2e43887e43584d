import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import keras
import numpy as np
import pytest

from helpers.limits import peak_bytes
from mnist_digits.errors import DataError
from mnist_digits.training import Recipe, find_recipe
from mnist_digits.training.engine.loop import can_reject
from mnist_digits.training.networks import NETWORKS, build, for_use, load

PARAMETERS = {
    "dense": 101_770,
    "dense-dropout": 101_770,
    "dense-batchnorm": 101_770 + 4 * 128,
    # Fewer than 2,000.
    "tiny": 25 * 6 + 9 * 6 * 8 + 9 * 8 * 7 + 4 * (6 + 8 + 7) + 10 * (9 * 7 + 1),
}


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_parameters(name: str, parameters: int):
    assert build(find_recipe(name)).count_params() == parameters


def test_the_baseline_is_three_layers():
    kinds = [(type(layer).__name__, getattr(layer, "activation", None)) for layer in build(find_recipe("dense")).layers]
    relu, softmax = keras.activations.relu, keras.activations.softmax
    assert kinds == [("Flatten", None), ("Dense", relu), ("Dense", softmax)]


def test_the_baseline_computes_what_numpy_computes(random_images: np.ndarray):
    model = build(find_recipe("dense"))
    hidden, hidden_bias, output, output_bias = model.get_weights()
    pixels = random_images.reshape(-1, 784) / 255
    logits = np.maximum(pixels @ hidden + hidden_bias, 0) @ output + output_bias
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    expected = exponentials / exponentials.sum(1, keepdims=True)
    np.testing.assert_allclose(model(random_images / 255), expected, atol=1e-6)


def test_a_recipe_may_name_each_network():
    assert set(get_args(get_type_hints(Recipe)["network"])) == set(NETWORKS)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_has_the_classes_of_its_recipe(network: str):
    for copies, classes in ((0, 10), (1, 11)):
        model = NETWORKS[network](Recipe("any", network, synthetic_copies=copies))
        assert model.output_shape == (None, classes)
        assert can_reject(model) == (classes == 11)


@pytest.mark.parametrize("classes", [10, 11])
def test_smoothed_labels_share_their_rest_among_all_classes(classes: int):
    recipe = replace(find_recipe("dense"), label_smoothing=0.2, synthetic_copies=classes - 10)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), 7).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 4, 9, classes - 1], np.uint8)
    wanted = 0.8 * np.eye(classes)[labels] + 0.2 / classes
    found = build(recipe).compute_loss(y=labels, y_pred=probabilities)
    assert float(found) == pytest.approx(-(wanted * np.log(probabilities)).sum(1).mean(), rel=1e-5)


@pytest.mark.parametrize("name", ["cnn", "tiny", "dense-batchnorm"])
def test_what_is_kept_has_stock_layers_in_float32_and_gives_the_same(name: str, random_images: np.ndarray):
    model = build(find_recipe(name), precision="mixed_bfloat16")
    kept = for_use(model)
    assert {type(layer).__module__.split(".")[0] for layer in kept.layers} == {"keras"}
    assert {layer.compute_dtype for layer in kept.layers} == {"float32"}
    np.testing.assert_allclose(model(random_images / 255), kept(random_images / 255), atol=0.05)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    build(find_recipe("dense-dropout")).save(path)
    return path


def test_a_saved_model_is_read_back(saved: Path):
    assert load(saved).count_params() == 101_770


def test_code_in_a_model_is_never_executed(tmp_path: Path):
    ran, path = tmp_path / "ran", tmp_path / "model.keras"
    name = str(ran)
    # The code must stand alone: it is all of the function that a file keeps.
    code = keras.layers.Lambda(lambda x: [__import__("pathlib").Path(name).touch(), x][1], output_shape=(28, 28))
    model = keras.Sequential([keras.layers.Input((28, 28)), code, keras.layers.Flatten(), keras.layers.Dense(10)])
    model.save(path)
    model(np.zeros((1, 28, 28)))
    assert ran.exists(), "the layer would be harmless"
    ran.unlink()
    with pytest.raises(DataError, match="Lambda layer, code that is never executed"):
        load(path)
    assert not ran.exists()


def test_other_files_are_refused(tmp_path: Path, saved: Path):
    contents = {"old.h5": b"\x89HDF", "text.keras": b"not a model", "cut.keras": saved.read_bytes()[:5000]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"not a \.keras archive"):
            load(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path / "none.keras")


def test_a_model_for_other_pictures_is_refused(tmp_path: Path):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.layers.Input((32, 32)), keras.layers.Flatten(), keras.layers.Dense(10)]).save(path)
    with pytest.raises(DataError, match=r"maps \(None, 32, 32\) to \(None, 10\), expected \(None, 28, 28\)"):
        load(path)


def described(path: Path, *layers: keras.Layer, **changes: int) -> Path:
    """A model in whose description numbers are changed, as no memory would hold it."""
    keras.Sequential([keras.layers.Input((28, 28)), *layers, keras.layers.Dense(10)]).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for old, new in changes.items():
        members["config.json"] = members["config.json"].replace(old[1:].encode(), str(new).encode())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_model_for_which_memory_does_not_suffice_is_refused_before_it_is_made(tmp_path: Path):
    flatten, dense = keras.layers.Flatten(), keras.layers.Dense(77)
    wide = described(tmp_path / "wide.keras", flatten, dense, _77=20_000_000)
    repeated = described(
        tmp_path / "repeated.keras",
        *(flatten, keras.layers.RepeatVector(77), keras.layers.GlobalAveragePooling1D()),
        _77=20_000_000,
    )
    before, began = peak_bytes(reset=True), time.process_time()
    with pytest.raises(DataError, match="15,900,000,010 weights and up to 20,000,000 outputs of a layer, expected"):
        load(wide)
    with pytest.raises(DataError, match="7,850 weights and up to 15,680,000,000 outputs of a layer"):
        load(repeated)
    assert peak_bytes() - before < 200_000_000
    assert time.process_time() - began < 15
    # What was only described is not made later.
    with keras.StatelessScope():
        pass
    assert peak_bytes() - before < 200_000_000
