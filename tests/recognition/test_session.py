"""Models of strangers: what a graph may not do, and how long it may take."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers.small_model import nearest_mean, write_model
from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError
from mnist_digits.recognition import Classifier, session

FORMAT = '<ir_version: 9, opset_import: ["" : 18, "strange" : 1]>'
SIGNATURE = "(uint8[n, 28, 28] images) => (float[n, 10] probabilities)"
FLAT = "ink = Cast <to = 1> (images) flat = Flatten (ink) start = Constant <value_ints = [0]> () "
FIRST_TEN = FLAT + "stop = Constant <value_ints = [10]> () ten = Slice (flat, start, stop, one) "
ONE = "one = Constant <value_ints = [1]> () "


def save(path: Path, body: str, change: Callable[[onnx.ModelProto], None] = lambda model: None) -> Path:
    """A model of these operations, whose result is `probabilities`."""
    model = onnx.parser.parse_model(f"{FORMAT} stranger {SIGNATURE} {{ {ONE}{FIRST_TEN}{body} }}")
    change(model)
    onnx.save(model, path)
    return path


def endless(model: onnx.ModelProto) -> None:
    """The probabilities become what a loop hands on that never ends."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["still"]), helper.make_node("Identity", ["value"], ["same"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("same", TensorProto.FLOAT, None),
        ],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "go"))
    model.graph.node.append(helper.make_node("Loop", ["", "go", "soft"], ["probabilities"], body=body))


def elsewhere(model: onnx.ModelProto) -> None:
    """A weight that lies in a file of the system's."""
    tensor = TensorProto(name="secret", data_type=TensorProto.FLOAT, dims=[10], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    model.graph.initializer.append(tensor)


def boundless(model: onnx.ModelProto) -> None:
    """A weight of many more values than the file has."""
    model.graph.initializer.append(TensorProto(name="wide", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20]))


def repeated(model: onnx.ModelProto) -> None:
    """A weight of a million values, of which a hundred operations keep a copy each."""
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1000, 1000), np.float32), "wide"))
    for number in range(100):
        model.graph.node.append(helper.make_node("MatMul", ["wide", "wide"], [f"product{number}"]))


def long(model: onnx.ModelProto) -> None:
    for number in range(session.MAX_NODES):
        model.graph.node.append(helper.make_node("Identity", ["soft"], [f"again{number}"]))


SOFT = "soft = Softmax (ten) "
PLAIN = SOFT + "probabilities = Identity (soft)"
GROWING = (
    SOFT
    + "grown0 = Concat <axis = 1> (flat, flat) "
    + "".join(f"grown{number + 1} = Concat <axis = 1> (grown{number}, grown{number}) " for number in range(30))
)


@pytest.mark.parametrize(
    ("body", "change", "message"),
    [
        (SOFT, endless, "the control flow Loop"),
        (PLAIN, elsewhere, "weights in another file"),
        (PLAIN, boundless, "more than 50,000,000 weights"),
        (PLAIN, repeated, "more than 50,000,000 weights"),
        (PLAIN, long, "5,00. operations"),
        (SOFT + "probabilities = strange.Thing (soft)", lambda model: None, "the operator strange.Thing"),
    ],
)
def test_what_no_classifier_needs_is_refused_before_it_is_loaded(
    tmp_path: Path, body: str, change: Callable[[onnx.ModelProto], None], message: str
):
    began = time.process_time()
    with pytest.raises(DataError) as caught:
        Classifier(save(tmp_path / "model.onnx", body, change))
    assert re.search(message, str(caught.value))
    assert str(caught.value).startswith(f"{tmp_path}/model.onnx: a model with ")
    assert time.process_time() - began < 5


def test_a_file_that_is_too_long_is_refused_whatever_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = save(tmp_path / "model.onnx", PLAIN)
    monkeypatch.setattr(session, "MAX_MODEL_BYTES", path.stat().st_size)
    Classifier(path)
    monkeypatch.setattr(session, "MAX_MODEL_BYTES", path.stat().st_size - 1)
    with pytest.raises(DataError, match="bytes, expected a model of at most so many"):
        Classifier(path)


def test_a_model_of_layers_alone_is_taken(tmp_path: Path):
    classifier = Classifier(save(tmp_path / "model.onnx", PLAIN))
    images = np.zeros((1, 28, 28), np.uint8)
    images[0, 0, 3] = 255
    assert classifier.probabilities(images)[0].argmax() == 3


def test_a_graph_whose_values_grow_without_end_is_stopped(tmp_path: Path):
    body = GROWING + "sum = ReduceMean <keepdims = 1> (grown30, one) probabilities = Add (soft, sum)"
    with pytest.raises(DataError, match="fails on two images"):
        Classifier(save(tmp_path / "model.onnx", body))


def test_a_graph_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A few hundred products of large matrices that grow out of the picture, which take minutes."""
    monkeypatch.setattr(session, "TRIAL_SECONDS", 0.5)

    side = 1500
    squares = [f"square{number} = MatMul (square{number - 1}, square{number - 1})" for number in range(1, 400)]
    body = (
        f"{SOFT}sides = Constant <value_ints = [{side}, {side}]> () mean = ReduceMean <keepdims = 0> (soft) "
        f"square0 = Expand (mean, sides) {' '.join(squares)} rest = ReduceMean <keepdims = 0> (square399) "
        "probabilities = Add (soft, rest)"
    )
    path = save(tmp_path / "model.onnx", body)
    began = time.monotonic()
    with pytest.raises(DataError, match="fails on two images"):
        Classifier(path)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 100, b"\xff" * 1000, b"<html>", bytes(range(256)) * 8],
    ids=["empty", "zeros", "ones", "html", "all"],
)
def test_files_that_are_no_models_are_refused_in_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        Classifier(path)
    assert "\n" not in str(caught.value)


def test_a_model_that_errs_later_is_not_read_from(small: Dataset, tmp_path: Path):
    """Weights so large that they add up to no number, of pixels that neither image of the trial inks."""
    weights, bias = nearest_mean(small.train)
    weights[700:, 3] = 3e38
    classifier = Classifier(write_model(tmp_path / "model.onnx", weights, bias))
    with pytest.raises(DataError, match="no probabilities for some images"):
        classifier.probabilities(np.full((1, 28, 28), 255, np.uint8))
