"""Export from Keras to ONNX, calibrated; no file is left when its outputs differ from Keras's.

The networks are sequences of a few stock layers, each of them one or two ONNX operations, or the mean of several such
sequences: translating them needs neither TensorFlow nor a tracing converter, and takes milliseconds. Keras keeps the
channels of an image last, ONNX first; between convolutions, images are in ONNX's order.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
from keras import layers
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mnist_digits.errors import DataError
from mnist_digits.files import atomic_write
from mnist_digits.training.engine.loop import MIN_DIVISOR, can_reject
from mnist_digits.training.export.parity import check_parity
from mnist_digits.training.recipes import DIGIT_CLASSES

OPSET = 18
ACTIVATIONS: dict[Any, tuple[str, ...]] = {
    keras.activations.linear: (),
    keras.activations.relu: ("Relu",),
    keras.activations.sigmoid: ("Sigmoid",),
    keras.activations.softmax: ("Softmax",),
}
WEIGHTED = ("Conv", "BatchNormalization", "Gemm")
"""Operations with weights, in the order of the network's layers."""
PADDINGS = {"valid": "VALID", "same": "SAME_UPPER"}
"""Keras's padding → ONNX's `auto_pad`."""


def export_onnx(
    model: keras.Model, path: Path, metadata: dict[str, str], images: NDArray[np.uint8], temperature: float = 1.0
) -> None:
    """Write the model as ONNX: input `images` uint8 (n, 28, 28), output `probabilities` float32 (n, 10), any n.

    A model that can reject has a second output, `is_digit` float32 (n,). metadata: stored in the file. images: uint8
    (n, 28, 28), digits for the parity check. temperature: divisor of the logits.
    Raises DataError, and leaves no file, when a layer is of a kind that is not translated, or an output differs from
    Keras's by more than `parity.TOLERANCE`.
    """
    converted = _convert(model, temperature)
    helper.set_model_props(converted, metadata)
    content = converted.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    check_parity(model, temperature, path, "ONNX", lambda batch: session.run(names, {"images": batch}), images)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _convert(model: keras.Model, temperature: float) -> onnx.ModelProto:
    graph = Graph()
    scaled = graph.add("Div", [graph.add("Cast", ["images"], to=TensorProto.FLOAT)], np.float32(255))
    if isinstance(model, keras.Sequential):
        result = translate_all(model, graph, scaled)
    else:
        # Made by `networks.average`: an input, the members, their mean.
        result = graph.add("Mean", [translate_all(member, graph, scaled) for member in model.layers[1:-1]])
    result = graph.add("Softmax", [graph.add("Div", [_logits(graph, result)], np.float32(temperature))])
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", DIGIT_CLASSES])]
    if can_reject(model):
        result = _split_off_is_digit(graph, result)
        outputs.append(helper.make_tensor_value_info("is_digit", TensorProto.FLOAT, ["n"]))
    graph.add("Identity", [result], name="probabilities")
    content = helper.make_graph(
        graph.nodes,
        "digits",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 28, 28])],
        outputs,
        graph.constants,
    )
    return as_model(content)


def as_model(graph: onnx.GraphProto) -> onnx.ModelProto:
    """A model of a graph, in the oldest sufficient version of the file format, for most programs to read it."""
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(
        graph, opset_imports=opset, ir_version=helper.find_min_ir_version_for(opset), producer_name="mnist-digits"
    )


class Graph:
    """An ONNX graph in the making: its operations, and their constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(
        self,
        operation: str,
        values: Sequence[str],
        *constants: NDArray[Any] | np.generic,
        name: str | None = None,
        **attributes: Any,
    ) -> str:
        """Append an operation on named values and constants; returns the name of its result."""
        name = name or f"{operation}_{len(self.nodes)}"
        inputs = [*values, *(self.constant(value, f"{name}_{i}") for i, value in enumerate(constants))]
        self.nodes.append(helper.make_node(operation, inputs, [name], name, **attributes))
        return name

    def constant(self, value: NDArray[Any] | np.generic, name: str | None = None) -> str:
        """Add a constant; returns its name."""
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _logits(graph: Graph, probabilities: str) -> str:
    """The input of the final softmax, which is removed; of a mean of several, its logarithm, which is equivalent."""
    if graph.nodes[-1].op_type == "Softmax":
        return str(graph.nodes.pop().input[0])
    return graph.add("Log", [probabilities])


def _split_off_is_digit(graph: Graph, value: str) -> str:
    """Add an output `is_digit`, the sum of the ten digits' probabilities; returns these divided by it."""
    digits = graph.add("Slice", [value], np.array([0]), np.array([DIGIT_CLASSES]), np.array([1]))
    total = graph.add("ReduceSum", [digits], np.array([1]))
    graph.add("Squeeze", [total], np.array([1]), name="is_digit")
    return graph.add("Div", [digits, graph.add("Max", [total], np.float32(MIN_DIVISOR))])


def load_weights(path: Path, model: keras.Sequential) -> None:
    """Give a network the weights of an ONNX file that `export_onnx` wrote of a network of the same layers.

    The temperature of the file is not in the weights: the network's logits are those before calibration. Raises
    DataError when the file's weights are of other layers.
    """
    graph = onnx.load(path).graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    weights = [values[name] for node in graph.node if node.op_type in WEIGHTED for name in node.input[1:]]
    kernels = iter([one.transpose(2, 3, 1, 0) if one.ndim == 4 else one for one in weights])
    for layer in model.layers:
        expected = [tuple(weight.shape) for weight in layer.weights]
        found = list(itertools.islice(kernels, len(expected)))
        if [one.shape for one in found] != expected:
            shapes = [one.shape for one in found]
            raise DataError(f"{path}: weights {shapes} for {layer.name}, expected {expected}; it is of another network")
        layer.set_weights(found)


def translate_all(model: keras.Sequential, graph: Graph, value: str) -> str:
    """Append the layers of a model, applied to a value; returns the name of the result."""
    for layer in model.layers:
        value = translate(layer, graph, value)
    return value


def translate(layer: keras.Layer, graph: Graph, value: str) -> str:
    """Append a layer at inference. Raises DataError for a kind of layer or activation that is not translated."""
    weights = [np.asarray(weight, np.float32) for weight in layer.get_weights()]
    match layer:
        case layers.Reshape():
            value = graph.add("Reshape", [value], np.array([0, *layer.target_shape]))
            value = graph.add("Transpose", [value], perm=[0, 3, 1, 2])
        case layers.Conv2D():
            kernel, *bias = weights
            padding = PADDINGS[layer.padding]
            value = graph.add(
                "Conv", [value], kernel.transpose(3, 2, 0, 1), *bias, strides=layer.strides, auto_pad=padding
            )
        case layers.MaxPooling2D():
            padding = PADDINGS[layer.padding]
            value = graph.add("MaxPool", [value], kernel_shape=layer.pool_size, strides=layer.strides, auto_pad=padding)
        case layers.BatchNormalization():
            value = graph.add("BatchNormalization", [value], *weights, epsilon=layer.epsilon)
        case layers.Flatten():
            if len(layer.input.shape) == 4:
                value = graph.add("Transpose", [value], perm=[0, 2, 3, 1])
            value = graph.add("Flatten", [value])
        case layers.Dense():
            value = graph.add("Gemm", [value], *weights)
        case layers.Activation() | layers.Dropout():
            pass
        case _:
            raise _not_translated(layer, type(layer).__name__)
    activation = getattr(layer, "activation", keras.activations.linear)
    if activation not in ACTIVATIONS:
        raise _not_translated(layer, activation.__name__)
    for operation in ACTIVATIONS[activation]:
        value = graph.add(operation, [value])
    return value


def _not_translated(layer: keras.Layer, what: str) -> DataError:
    return DataError(
        f"{layer.name}: {what} is not translated to ONNX; expected layers and activations as in the recipes' networks"
    )
