import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx.reference
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.asking import InProcess, as_png
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Reader
from mnist_digits.serving.page.dense_network import SHIPPED, DenseNetwork
from mnist_digits.serving.page.introspection import FEATURE_MAPS, FeatureMaps, describe_dense

ROOT = Path(__file__).parents[3]
CARD = (FEATURE_MAPS.parent / "README.md").read_text(encoding="utf-8")


def some_network(seed: int, units: int = 5) -> DenseNetwork:
    random = np.random.default_rng(seed)
    shapes = ((784, units), (units,), (units, 10), (10,))
    return DenseNetwork(*(random.normal(size=shape).astype(np.float32) / 4 for shape in shapes))


def unpacked(text: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


def accuracy_in_card(file: str) -> float:
    found = re.search(rf"\| `{file}` \|.*?([\d.]+) %", CARD)
    assert found
    return float(found[1])


def test_dense_network_reads_as_its_card_says(mnist: Dataset):
    network = DenseNetwork.load(SHIPPED)
    accuracy = (network.probabilities(mnist.test.images).argmax(1) == mnist.test.labels).mean()
    assert round(100 * accuracy, 2) == accuracy_in_card("dense.npz")
    assert network.units == 128


def test_convolutional_network_reads_as_its_card_says(mnist: Dataset):
    session = onnxruntime.InferenceSession(FEATURE_MAPS)
    batches = [session.run(["probabilities"], {"images": batch})[0] for batch in np.split(mnist.test.images, 20)]
    accuracy = (np.concatenate(batches).argmax(1) == mnist.test.labels).mean()
    assert round(100 * accuracy, 2) == accuracy_in_card("feature_maps.onnx")


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_dense_network_computes_what_the_formula_says(seed: int, count: int):
    network = some_network(seed)
    images = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)
    for image, hidden, probabilities in zip(images, network.hidden(images), network.probabilities(images), strict=True):
        activations = [
            max(
                0.0,
                float(bias + sum(pixel / 255 * weight for pixel, weight in zip(image.ravel(), weights, strict=True))),
            )
            for weights, bias in zip(network.hidden_weights.T.astype(float), network.hidden_bias, strict=True)
        ]
        exponentials = np.exp(np.array(activations) @ network.class_weights + network.class_bias)
        assert np.allclose(hidden, activations, atol=1e-4)
        assert np.allclose(probabilities, exponentials / exponentials.sum(), atol=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_votes_and_bias_are_the_score_that_the_probability_comes_from(seed: int):
    network = some_network(seed)
    image = np.random.default_rng(seed).integers(0, 256, (28, 28), np.uint8)
    described = describe_dense(network, image)
    scores = network.hidden(image[None])[0].astype(float) @ network.class_weights + network.class_bias
    # Two digits may be equally likely but for rounding.
    assert np.isclose(scores[described["digit"]], scores.max(), atol=1e-5)
    assert described["probabilities"][described["digit"]] == max(described["probabilities"])
    assert np.isclose(sum(described["votes"]) + described["bias"], scores.max(), atol=1e-3)
    for hidden, vote, weights in zip(described["hidden"], described["votes"], network.class_weights, strict=True):
        assert np.isclose(vote, hidden * weights[described["digit"]], atol=1e-3)


@given(st.integers(0, 2**32 - 1))
def test_weight_images_keep_sign_and_proportion(seed: int):
    network = some_network(seed, units=3)
    images = network.weight_images()
    assert images.shape == (3, 28, 28)
    assert (np.abs(images.astype(int)).max(axis=(1, 2)) == 127).all()
    for image, weights in zip(images.reshape(3, -1).astype(float), network.hidden_weights.T, strict=True):
        assert np.abs(image / 127 - weights / np.abs(weights).max()).max() < 0.5 / 127 + 1e-6


def test_a_network_is_read_as_it_was_written():
    network = some_network(0)
    for name, values in vars(DenseNetwork.load(network.to_bytes())).items():
        assert np.array_equal(values, getattr(network, name))


def test_feature_maps_are_what_onnx_itself_computes(mnist: Dataset):
    model = onnx.load(FEATURE_MAPS)
    expected = onnx.reference.ReferenceEvaluator(model).run(None, {"images": mnist.test.images[:1]})
    named = dict(zip([output.name for output in model.graph.output], expected, strict=True))
    probabilities, layers = FeatureMaps().run(mnist.test.images[0])
    assert np.allclose(probabilities, named["probabilities"][0], atol=1e-5)
    assert [maps.shape for maps in layers] == [(24, 12, 12), (48, 10, 10), (64, 4, 4), (64, 2, 2)]
    for number, maps in enumerate(layers, 1):
        assert np.allclose(maps, named[f"maps_{number}"][0], atol=1e-4)


@pytest.mark.parametrize("name", ["0.png", "2.jpg", "7.jpg"])
def test_a_drawing_is_read_as_by_predict_and_shown_as_the_network_input(ask: InProcess, reader: Reader, name: str):
    content = (ROOT / "docs" / "digits" / name).read_bytes()
    look = ask("POST", "/v1/inside", content=content).json()
    prediction = reader.classifier.classify(content)
    assert look["prediction"] == prediction.to_json()
    assert np.array_equal(unpacked(look["image"], 28, 28), prediction.image)
    assert look["dense"] == describe_dense(DenseNetwork.load(SHIPPED), prediction.image)
    assert len(look["dense"]["hidden"]) == len(look["dense"]["votes"]) == 128
    probabilities, layers = FeatureMaps().run(prediction.image)
    assert np.allclose(look["cnn"]["probabilities"], probabilities, atol=1e-5)
    for shown, maps in zip(look["cnn"]["layers"], layers, strict=True):
        bright = unpacked(shown["maps"], shown["channels"], shown["side"], shown["side"])
        assert np.abs(bright - 255 * maps / maps.max()).max() <= 0.51


def test_a_page_is_read_as_by_read_with_the_network_input_of_each_digit(ask: InProcess, reader: Reader):
    content = (ROOT / "docs" / "pages" / "note.jpg").read_bytes()
    shown = ask("POST", "/v1/inside/page", content=content).json()
    digits: list[dict[str, Any]] = [digit for line in shown["lines"] for digit in line["digits"]]
    page = reader.read(content)
    for digit, read in zip(digits, [digit for line in page.lines for digit in line.digits], strict=True):
        probabilities, image = digit.pop("probabilities"), unpacked(digit.pop("image"), 28, 28)
        assert int(np.argmax(probabilities)) == digit["digit"]
        assert np.isclose(sum(probabilities), 1, atol=1e-4)
        assert np.allclose(read.probabilities, probabilities, atol=1e-5)
        assert np.array_equal(read.image, image)
        # The detector contributes to the probabilities, but on a clear page the classifier alone gives the same digit.
        assert int(reader.classifier.probabilities(image[None])[0].argmax()) == digit["digit"]
    assert shown == json.loads(json.dumps(page.to_json()))


def test_nothing_drawn_is_blank(ask: InProcess):
    paper = as_png(np.full((300, 400), 255, np.uint8))
    look = ask("POST", "/v1/inside", content=paper).json()
    assert look["prediction"]["reason"] == "blank"
    assert not unpacked(look["image"], 784).any()
    assert ask("POST", "/v1/inside/page", content=paper).json()["reason"] == "blank"


@pytest.mark.parametrize("path", ["/v1/inside", "/v1/inside/page"])
def test_what_is_no_picture_is_refused_in_one_line(ask: InProcess, path: str):
    answer = ask("POST", path, content=b"no picture")
    assert answer.status_code == 422
    assert "expected PNG" in answer.json()["error"]


def test_units_are_those_of_the_shipped_network(ask: InProcess):
    answer = ask("GET", "/v1/inside/units")
    assert answer.content == DenseNetwork.load(SHIPPED).weight_images().tobytes()
