"""A network in few bytes, for the page to run it in the browser.

A packed network is the length of a head, uint32; the head in JSON, padded with spaces to whole words; and the weights
of its layers, all little-endian. A layer with weights has `scales` and `bias`, float32 (outputs,), and the weights as
int16 (kernel, kernel, inputs, outputs), to be multiplied by the scales: half the size of float32, and probabilities
differ by less than 1e-4.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mnist_digits.recognition import Classifier
from mnist_digits.recognition.session import Messages, message_class
from mnist_digits.serving.page.dense_network import DenseNetwork

LARGEST = 32767
"""The largest weight of each output, as an integer."""

_MESSAGES: Messages = {
    "Model": {"graph": (7, "Graph")},
    "Graph": {"node": (1, "Node"), "initializer": (5, "Tensor")},
    "Node": {"input": (1, str), "output": (2, str), "op_type": (4, str), "attribute": (5, "Attribute")},
    "Attribute": {"name": (1, str), "f": (2, float), "i": (3, int), "s": (4, bytes), "ints": (8, int)},
    "Tensor": {"dims": (1, int), "data_type": (2, int), "name": (8, str), "raw_data": (9, bytes)},
}
"""The parts of onnx/onnx.proto that are read, as in `recognition.session`."""

_DTYPES: dict[int, Any] = {1: "<f4", 7: "<i8"}
"""ONNX's number of a type of tensor → NumPy's."""

_PASSED_OVER = ("Cast", "Reshape", "Transpose", "Flatten")
"""Operations that only rearrange values."""

MAX_DIFFERENCE = 1e-3
"""Between a probability of the packed layers and of the classifier itself, above which the page does not get them."""


class UnknownLayerError(Exception):
    """The graph has an operation, or a form of one, that the page cannot compute."""


@dataclass(frozen=True)
class Layer:
    """A convolution without padding, a dense layer or a max pooling."""

    weights: NDArray[np.float32]
    """float32 (kernel, kernel, inputs, outputs) or (inputs, outputs); empty for pooling."""
    bias: NDArray[np.float32]
    """float32 (outputs,)"""
    stride: int = 1
    relu: bool = False
    pool: int = 0
    """Side of the square whose maximum is taken; 0 where this is no pooling."""

    def head(self, channels: int) -> dict[str, Any]:
        """What the page has to know besides the weights. channels: of the pixels before this layer."""
        if self.pool:
            return {"kind": "pool", "kernel": self.pool, "channels": channels}
        inputs, outputs = self.weights.shape[-2:]
        found = {"inputs": inputs, "outputs": outputs, "relu": self.relu}
        if self.weights.ndim == 2:
            return {"kind": "dense", **found}
        return {"kind": "convolution", "kernel": self.weights.shape[0], "stride": self.stride, **found}

    def packed(self) -> bytes:
        """Scales, bias and weights."""
        if self.pool:
            return b""
        flat = self.weights.reshape(-1, self.weights.shape[-1])
        scales = np.maximum(np.abs(flat).max(axis=0) / LARGEST, np.finfo(np.float32).tiny)
        whole = np.rint(flat / scales).astype("<i2").tobytes()
        arrays = (scales.astype("<f4").tobytes(), self.bias.astype("<f4").tobytes(), whole)
        return b"".join(arrays) + b"\0" * (-len(whole) % 4)

    def scaled(self, factor: NDArray[np.float32], offset: NDArray[np.float32]) -> Self:
        """The same, its outputs multiplied by a factor, and with an offset: both float32 (outputs,) or ()."""
        return replace(self, weights=self.weights * factor, bias=self.bias * factor + offset)


def pack_classifier(classifier: Classifier) -> bytes | None:
    """The classifier's network; None where it has layers that the page cannot compute.

    Raises OSError when its file is gone.
    """
    content = classifier.path.read_bytes()
    try:
        layers = list(_read(content))
        # A graph may have the same operations and mean something else by them.
        if not _agree(layers, classifier):
            return None
    except (UnknownLayerError, KeyError, IndexError, ValueError):
        return None
    facts = {
        "rejects": classifier.can_reject,
        "threshold": classifier.threshold,
        "sees_plainly": classifier.sees_plainly,
        "recipe": classifier.metadata.get("recipe"),
    }
    return _pack(layers, facts)


def pack_dense(network: DenseNetwork) -> bytes:
    """The small network."""
    hidden = Layer(network.hidden_weights, network.hidden_bias, relu=True)
    facts = {"rejects": False, "threshold": 0.0, "sees_plainly": False, "recipe": "dense"}
    return _pack([hidden, Layer(network.class_weights, network.class_bias)], facts)


def _pack(layers: Sequence[Layer], facts: Mapping[str, Any]) -> bytes:
    heads, channels = [], 1
    for layer in layers:
        heads.append(layer.head(channels))
        channels = heads[-1].get("outputs", channels)
    head = json.dumps({**facts, "layers": heads}).encode()
    head += b" " * (-len(head) % 4)
    return len(head).to_bytes(4, "little") + head + b"".join(layer.packed() for layer in layers)


def _agree(layers: Sequence[Layer], classifier: Classifier) -> bool:
    """Whether the layers, computed as the page does, give the classifier's probabilities for some images."""
    random = np.random.default_rng(0)
    # Spots of many sizes, so that all units have something to do.
    images = np.stack([np.kron(random.integers(0, 256, (28 // n, 28 // n)), np.ones((n, n))) for n in (1, 2, 4, 7, 14)])
    expected = classifier.judge(images.astype(np.uint8))
    values = (images[..., None] / 255).astype(np.float32)
    for layer in layers:
        values = _forward(layer, values)
    raised = np.exp(values - values.max(axis=-1, keepdims=True)).reshape(len(images), -1)
    raised /= raised.sum(axis=1, keepdims=True)
    is_digit = raised[:, :10].sum(axis=1, keepdims=True)
    if raised.shape[1] != 10 + (expected.is_digit is not None):
        return False
    same = np.abs(raised[:, :10] / is_digit - expected.probabilities).max() <= MAX_DIFFERENCE
    if expected.is_digit is not None:
        same &= np.abs(is_digit[:, 0] - expected.is_digit).max() <= MAX_DIFFERENCE
    return bool(same)


def _forward(layer: Layer, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A layer's outputs, float32 (n, side, side, outputs), for such values; ValueError where these do not fit."""
    result: NDArray[np.float32]
    if layer.pool:
        count, side, _, channels = values.shape
        whole = side // layer.pool
        cut = values[:, : whole * layer.pool, : whole * layer.pool]
        return cut.reshape(count, whole, layer.pool, whole, layer.pool, channels).max(axis=(2, 4))
    if layer.weights.ndim == 2:
        result = (values.reshape(len(values), -1) @ layer.weights + layer.bias)[:, None, None]
    else:
        kernel = layer.weights.shape[0]
        windows = sliding_window_view(values, (kernel, kernel), axis=(1, 2))[:, :: layer.stride, :: layer.stride]
        result = np.einsum("nyxcij,ijco->nyxo", windows, layer.weights) + layer.bias
    return np.maximum(result, 0) if layer.relu else result


def _read(content: bytes) -> Iterator[Layer]:
    """The layers of a model.onnx, in order, each with the operations that follow it.

    Raises UnknownLayerError where they are not a chain of what `Layer` can be, with a ReLU after it or none, batch
    normalisation before or after that, and at the end logits divided by a temperature.
    """
    graph = message_class(_MESSAGES)()
    graph.ParseFromString(content)
    constants = {tensor.name: _array(tensor) for tensor in graph.graph.initializer}
    layer: Layer | None = None
    # Batch normalisation after a ReLU changes the weights of the layer that follows.
    pending: tuple[NDArray[Any], NDArray[Any]] | None = None
    for node in graph.graph.node:
        values = [constants[name] for name in node.input if name in constants]
        options: dict[str, Any] = {one.name: list(one.ints) or one.s or one.f or one.i for one in node.attribute}
        match node.op_type:
            case "Conv" | "Gemm" | "MaxPool":
                if layer:
                    yield layer
                layer = _layer(node.op_type, values, options)
                if pending:
                    layer, pending = _after(layer, *pending), None
            case "Relu" if layer and not layer.relu and not layer.pool:
                layer = replace(layer, relu=True)
            case "BatchNormalization" if layer and not layer.pool and not pending:
                gamma, beta, mean, variance = values
                factor: NDArray[Any] = (gamma / np.sqrt(variance + options["epsilon"])).astype(np.float32)
                if layer.relu:
                    pending = factor, beta - mean * factor
                else:
                    layer = layer.scaled(factor, beta - mean * factor)
            case "Div" if layer and values and not pending:
                layer = layer.scaled(np.reciprocal(values[0]), np.zeros((), np.float32))
            case "Div" if not layer:
                # By 255: pixels are scaled to [0, 1].
                pass
            case "Softmax" if layer and not layer.relu and not pending:
                # What follows parts digits from "no digit", which the page does as well.
                yield layer
                return
            case operation if operation not in _PASSED_OVER:
                raise UnknownLayerError(operation)
    raise UnknownLayerError("no softmax at the end")


def _layer(operation: str, values: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Layer:
    if operation == "MaxPool":
        (side, *others), nothing = options["kernel_shape"], np.zeros((0,), np.float32)
        if others != [side] or options.get("strides") != [side, side] or options.get("auto_pad") != b"VALID":
            raise UnknownLayerError("MaxPool that overlaps or is padded")
        return Layer(nothing, nothing, pool=side)
    if not values:
        raise UnknownLayerError(f"{operation} without constant weights")
    weights, *bias = values
    if operation == "Conv":
        weights = weights.transpose(2, 3, 1, 0)
        strides = options.get("strides", [1, 1])
        square = weights.shape[0] == weights.shape[1] and strides[0] == strides[-1]
        if not square or options.get("auto_pad") != b"VALID" or options.get("group", 1) != 1 or "dilations" in options:
            raise UnknownLayerError("Conv that is padded, not square, dilated or grouped")
        stride = strides[0]
    else:
        if set(options) - {"alpha", "beta"} or any(options[name] != 1 for name in options):
            raise UnknownLayerError("Gemm with factors or turned")
        stride = 1
    return Layer(weights, bias[0] if bias else np.zeros(weights.shape[-1], np.float32), stride)


def _after(layer: Layer, factor: NDArray[np.float32], offset: NDArray[np.float32]) -> Layer:
    """A dense layer whose inputs are first multiplied by a factor and moved by an offset: float32 (inputs,) each."""
    if layer.weights.ndim != 2:
        raise UnknownLayerError("BatchNormalization between a ReLU and a convolution")
    return replace(layer, weights=layer.weights * factor[:, None], bias=layer.bias + offset @ layer.weights)


def _array(tensor: Any) -> NDArray[Any]:
    if tensor.data_type not in _DTYPES:
        raise UnknownLayerError(f"a tensor of type {tensor.data_type}")
    return np.frombuffer(tensor.raw_data, _DTYPES[tensor.data_type]).reshape(tuple(tensor.dims))
