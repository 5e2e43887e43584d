import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.asking import InProcess, as_png
from helpers.small_model import nearest_mean, write_model
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Reader
from mnist_digits.serving.page.dense_network import SHIPPED, DenseNetwork

ROOT = Path(__file__).parents[3]
CARD = (SHIPPED.parent / "README.md").read_text(encoding="utf-8")


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
def test_weight_images_are_all_on_one_scale(seed: int):
    network = some_network(seed, units=3)
    images = network.weight_images().reshape(3, -1).astype(float)
    weights = network.hidden_weights.T
    # Nearly all weights are within the scale, and in proportion to each other, whatever unit they belong to.
    assert 0.004 < (np.abs(images) == 127).mean() < 0.01
    within = np.abs(images) < 127
    scale = (images[within] / weights[within])[np.abs(images[within]) > 60].mean()
    assert np.abs(images[within] - scale * weights[within]).max() < 1.5


def test_a_network_is_read_as_it_was_written():
    network = some_network(0)
    for name, values in vars(DenseNetwork.load(network.to_bytes())).items():
        assert np.array_equal(values, getattr(network, name))


@pytest.mark.parametrize("name", ["0.png", "2.jpg", "7.jpg"])
def test_a_drawing_is_read_as_by_predict_and_shown_as_the_network_input(ask: InProcess, reader: Reader, name: str):
    content = (ROOT / "docs" / "digits" / name).read_bytes()
    look = ask("POST", "/v1/inside", content=content).json()
    prediction = reader.classifier.classify(content)
    assert look["prediction"] == prediction.to_json()
    assert np.array_equal(unpacked(look["image"], 28, 28), prediction.image)


def test_a_page_is_read_as_by_read_with_the_network_input_of_each_digit(ask: InProcess, reader: Reader):
    content = (ROOT / "docs" / "pages" / "note.jpg").read_bytes()
    (shown,) = ask("POST", "/v1/inside/page", content=content).json()["pages"]
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
    assert tuple(shown.pop("size")) == Image.open(io.BytesIO(content)).size
    assert shown == json.loads(json.dumps(page.to_json()))


def test_nothing_drawn_is_blank(ask: InProcess):
    paper = as_png(np.full((300, 400), 255, np.uint8))
    look = ask("POST", "/v1/inside", content=paper).json()
    assert look["prediction"]["reason"] == "blank"
    assert not unpacked(look["image"], 784).any()
    assert ask("POST", "/v1/inside/page", content=paper).json()["pages"][0]["reason"] == "blank"


@pytest.mark.parametrize("path", ["/v1/inside", "/v1/inside/page"])
def test_what_is_no_picture_is_refused_in_one_line(ask: InProcess, path: str):
    answer = ask("POST", path, content=b"no picture")
    assert answer.status_code == 422
    assert "expected PNG" in answer.json()["error"]


def unpacked_network(content: bytes) -> tuple[dict[str, Any], list[tuple[np.ndarray, np.ndarray]]]:
    """The head of a packed network, and weights and bias of each layer that has them."""
    length = int.from_bytes(content[:4], "little")
    head, at, layers = json.loads(content[4 : 4 + length]), 4 + length, []
    for layer in head["layers"]:
        outputs = layer["outputs"]
        count = layer.get("kernel", 1) ** 2 * layer["inputs"] * outputs
        scales, bias = np.frombuffer(content, "<f4", 2 * outputs, at).reshape(2, outputs)
        whole = np.frombuffer(content, "<i2", count, at + 8 * outputs)
        layers.append((whole.reshape(-1, outputs) * scales, bias))
        at += 8 * outputs + 2 * (count + count % 2)
    assert at == len(content)
    return head, layers


def test_the_simple_network_is_sent_in_few_bytes(ask: InProcess):
    network, content = DenseNetwork.load(SHIPPED), ask("GET", "/v1/inside/dense.bin").content
    assert len(content) < 210_000
    (hidden, hidden_bias), (classes, class_bias) = unpacked_network(content)[1]
    assert np.abs(hidden - network.hidden_weights).max() < np.abs(network.hidden_weights).max() / 60_000
    assert np.abs(classes - network.class_weights).max() < np.abs(network.class_weights).max() / 60_000
    assert np.array_equal(hidden_bias, network.hidden_bias)
    assert np.array_equal(class_bias, network.class_bias)


def test_the_classifier_is_sent_with_its_rules(ask: InProcess, reader: Reader):
    content = ask("GET", "/v1/inside/reader.bin").content
    assert len(content) < 500_000
    head, layers = unpacked_network(content)
    classifier = reader.classifier
    assert [layer["kind"] for layer in head["layers"]] == ["convolution"] * 4 + ["dense"]
    assert (head["threshold"], head["rejects"], head["sees_plainly"]) == (classifier.threshold, True, True)
    assert sum(weights.size + bias.size for weights, bias in layers) > 240_000


def test_a_network_of_another_kind_is_not_sent_and_read_by_the_service(
    asking: Callable[..., InProcess], tmp_path: Path, mnist: Dataset
):
    # Its is_digit is none that a softmax gives.
    model = write_model(tmp_path / "model.onnx", *nearest_mean(mnist.validation), rejecting=True, threshold="0.5")
    client = asking(own=Reader(model))
    assert client("GET", "/v1/inside/reader.bin").status_code == 204
    seven = (ROOT / "docs" / "digits" / "7.jpg").read_bytes()
    assert client("POST", "/v1/inside", content=seven).json()["prediction"]["probabilities"]
