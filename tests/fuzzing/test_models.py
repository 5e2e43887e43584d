"""Models that are valid but for one field, through `Classifier` and `digits evaluate`."""

import io
import json
import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing.structures import edges
from fuzzing.survival import cases, examples, survived
from helpers.command import run_digits
from mnist_digits.recognition import Classifier
from mnist_digits.training.networks import build, for_use
from mnist_digits.training.recipes import find_recipe

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
WORDS = (
    "",
    "images",
    "probabilities",
    "flat",
    "If",
    "Loop",
    "Softmax",
    "Resize",
    "Tile",
    "../../etc/passwd",
    "a" * 999,
)


def places(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """Every field that could be set in a message and those in it, with the message it belongs to."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
        if field.message_type and (field.is_repeated or message.HasField(field.name)):
            inner = getattr(message, field.name)
            for one in inner if field.is_repeated else [inner]:
                yield from places(one)


def float_of_bits(bits: int) -> float:
    value: float = struct.unpack("f", struct.pack("I", bits))[0]
    return value


@st.composite
def values(draw: st.DrawFn, field: FieldDescriptor) -> Any:
    """A hostile value for a field of numbers, text or bytes."""
    if field.enum_type:
        return draw(st.sampled_from(sorted(field.enum_type.values_by_number)))
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            some = st.sampled_from(WORDS) | st.text(max_size=9)
            return draw(st.binary(max_size=64) if field.type == FieldDescriptor.TYPE_BYTES else some)
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            # Of any bits: Hypothesis's own floats of 32 bits reject some draws, which a strategy this large may not.
            return draw(st.sampled_from([math.inf, -math.inf, -1e38]) | edges(32).map(float_of_bits))
        case FieldDescriptor.CPPTYPE_INT32:
            return draw(edges(31)) * draw(st.sampled_from([1, -1]))
        case FieldDescriptor.CPPTYPE_INT64:
            return draw(st.one_of(edges(63), edges(16))) * draw(st.sampled_from([1, -1]))
        case _:
            return draw(edges(32))


@st.composite
def hostile_onnx(draw: st.DrawFn, content: bytes) -> bytes:
    """The model, in which one field is changed, lost, repeated or added."""
    model = onnx.ModelProto.FromString(content)
    # Most fields are those of weights and their names; all kinds shall have their turn.
    by_kind: dict[str, list[tuple[Message, FieldDescriptor]]] = {}
    for message, field in places(model):
        by_kind.setdefault(field.full_name, []).append((message, field))
    message, field = draw(st.sampled_from(by_kind[draw(st.sampled_from(sorted(by_kind)))]))
    there = getattr(message, field.name)
    if field.message_type:
        if field.is_repeated and len(there):
            at = draw(st.integers(0, len(there) - 1))
            if draw(st.booleans()):
                del there[at]
            else:
                there.extend([there[at]] * draw(st.sampled_from([1, 2, 100])))
        elif field.is_repeated:
            there.add()
        else:
            message.ClearField(field.name)
            if draw(st.booleans()):
                there.SetInParent()
    elif field.is_repeated:
        if len(there) and draw(st.booleans()):
            there[draw(st.integers(0, len(there) - 1))] = draw(values(field))
        else:
            there.extend([draw(values(field))] * draw(st.sampled_from([1, 2, 100])))
    else:
        setattr(message, field.name, draw(values(field)))
    return model.SerializeToString()


def convolution() -> bytes:
    """A model with operations that have many attributes."""
    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 18]>
        network (uint8[n, 28, 28] images) => (float[n, 10] probabilities) {
            ink = Cast <to = 1> (images)
            sides = Constant <value_ints = [0, 1, 28, 28]> ()
            square = Reshape (ink, sides)
            seen = Conv <kernel_shape = [9, 9], strides = [4, 4], pads = [1, 1, 1, 1], group = 1> (square, kernel)
            pooled = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 0> (seen)
            padding = Constant <value_ints = [0, 0, 0, 0, 0, 0, 1, 1]> ()
            padded = Pad <mode = "constant"> (pooled, padding)
            flat = Flatten <axis = 1> (padded)
            logits = Gemm <alpha = 1.0, transB = 0> (flat, weights)
            probabilities = Softmax <axis = -1> (logits)
        }""")
    random = np.random.default_rng(0)
    for name, shape in {"kernel": (2, 1, 9, 9), "weights": (32, 10)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name))
    return model.SerializeToString()


def classify(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with survived("onnx", ".onnx", content):
        found = Classifier(path).probabilities(IMAGES)
        assert found.shape == (3, 10)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def test_one_hostile_field_of_onnx_is_survived(folder: Path, small_model: Path):
    contents = [convolution(), small_model.read_bytes()]
    for content in contents:
        (folder / "valid.onnx").write_bytes(content)
        assert Classifier(folder / "valid.onnx").probabilities(IMAGES).shape == (3, 10)

    @settings(max_examples=examples(100), suppress_health_check=list(HealthCheck))
    @given(st.data())
    def survive(data: st.DataObject) -> None:
        classify(folder / "model.onnx", data.draw(hostile_onnx(data.draw(st.sampled_from(contents)))))

    survive()


def test_cases_of_onnx_that_were_not_survived_once_are_now(folder: Path):
    for path in cases("onnx"):
        classify(folder / "model.onnx", path.read_bytes())


MARKER = "this-code-ran"
"""What hostile code would make in the current folder."""

CODE = (
    {"module": "os", "class_name": "system", "config": f"touch {MARKER}", "registered_name": None},
    {"module": "os", "class_name": "function", "config": "system", "registered_name": "function"},
    {
        "module": "builtins",
        "class_name": "eval",
        "config": {"source": f"open('{MARKER}', 'w')"},
        "registered_name": "eval",
    },
    {"module": "pathlib", "class_name": "Path", "config": {"args": [MARKER]}, "registered_name": "Path"},
    {"module": "keras.utils", "class_name": "get_file", "config": {"fname": MARKER, "origin": "file:///etc/passwd"}},
    {"module": "keras.models", "class_name": "load_model", "config": {"filepath": "/etc/passwd"}},
    {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "."}, "registered_name": None},
    {"class_name": "__lambda__", "config": {"value": "4wAAAAA=", "defaults": None, "closure": None}},
    {"class_name": "__numpy__", "config": {"value": [[1e308]], "dtype": "object"}},
)
TERMS = (
    *WORDS,
    "keras",
    "keras.layers",
    "Lambda",
    "Dense",
    "Functional",
    "relu",
    "os.system",
    "/etc/passwd",
    "float16",
)
ODD = st.one_of(
    st.sampled_from([None, True, [], {}, -1, 0.5, float("nan"), 10**30, [[]] * 9, "x" * 999, *CODE]),
    edges(31),
    st.lists(st.none() | edges(31), max_size=4),
    st.sampled_from(TERMS),
)


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a piece of JSON there is something."""
    for key in content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ():
        yield (*path, key)
        yield from leaves(content[key], (*path, key))


@st.composite
def hostile_json(draw: st.DrawFn, content: bytes) -> bytes:
    found = json.loads(content)
    *path, last = draw(st.sampled_from(list(leaves(found))))
    place = found
    for key in path:
        place = place[key]
    place[last] = draw(ODD)
    return json.dumps(found).encode()


@st.composite
def hostile_weights(draw: st.DrawFn, content: bytes) -> bytes:
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as weights:
        names: list[str] = []
        weights.visit(names.append)
        name = draw(st.sampled_from(names))
        old = weights[name][()] if isinstance(weights[name], h5py.Dataset) else np.zeros(3, np.float32)
        del weights[name]
        match draw(st.sampled_from(["lost", "text", "nan", "shape", "scalar", "hollow", "external", "soft", "group"])):
            case "text":
                weights[name] = "text"
            case "nan":
                weights[name] = np.full_like(old, np.nan)
            case "shape":
                weights[name] = np.zeros(draw(st.lists(st.integers(0, 9), max_size=5)), old.dtype)
            case "scalar":
                weights[name] = 1
            case "hollow":
                weights.create_dataset(name, (2**31, 784), np.float64, chunks=(1, 784))
            case "external":
                weights[name] = h5py.ExternalLink("/etc/passwd", "/")
            case "soft":
                weights[name] = h5py.SoftLink("/")
            case "group":
                weights.create_group(name)
    return file.getvalue()


@st.composite
def hostile_keras(draw: st.DrawFn, content: bytes) -> bytes:
    """The archive, in which one member is hostile, lost, damaged or added."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change = draw(st.sampled_from(["config"] * 5 + ["weights"] * 3 + ["lost", "damaged", "added", "metadata"]))
    match change:
        case "config" | "metadata":
            members[f"{change}.json"] = draw(hostile_json(members[f"{change}.json"]))
        case "weights":
            members["model.weights.h5"] = draw(hostile_weights(members["model.weights.h5"]))
        case "lost":
            del members[draw(st.sampled_from(sorted(members)))]
        case "damaged":
            name = draw(st.sampled_from(sorted(members)))
            at = draw(st.integers(0, len(members[name]) - 1))
            members[name] = members[name][:at] + draw(st.binary(max_size=8)) + members[name][at + 8 :]
        case "added":
            name = draw(st.sampled_from(["../this-code-ran", "/tmp/this-code-ran", "assets/x", "model.weights.npz"]))
            members[name] = bytes(draw(st.sampled_from([0, 100, 50_000_000])))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return file.getvalue()


@pytest.fixture(scope="module")
def valid_keras(folder: Path) -> list[bytes]:
    contents = []
    for recipe in ("dense-batchnorm", "tiny"):
        path = folder / f"{recipe}.keras"
        for_use(build(find_recipe(recipe))).save(path)
        contents.append(path.read_bytes())
    return contents


def evaluate(folder: Path, data: Path, content: bytes) -> None:
    (folder / "model.keras").write_bytes(content)
    with survived("keras", ".keras", content):
        result = run_digits("evaluate", "model.keras", "--data", data, "--json", folder=folder)
        assert result.returncode in (0, 3), result.stderr
        assert "Traceback" not in result.stderr, result.stderr
    assert not (folder / MARKER).exists()
    assert not (folder.parent / MARKER).exists()


def test_one_hostile_field_of_keras_is_survived(folder: Path, small_folder: Path, valid_keras: list[bytes]):
    for content in valid_keras:
        (folder / "model.keras").write_bytes(content)
        assert run_digits("evaluate", "model.keras", "--data", small_folder, folder=folder).returncode == 0

    @settings(max_examples=examples(6), suppress_health_check=list(HealthCheck))
    @given(st.data())
    def survive(data: st.DataObject) -> None:
        content = data.draw(hostile_keras(data.draw(st.sampled_from(valid_keras))))
        evaluate(folder, small_folder, content)

    survive()


def test_cases_of_keras_that_were_not_survived_once_are_now(folder: Path, small_folder: Path):
    for path in cases("keras"):
        evaluate(folder, small_folder, path.read_bytes())
