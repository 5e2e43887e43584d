"""ONNX models of one layer, whose output NumPy can compute."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mnist_digits.dataset import Split

IS_DIGIT = """
            columns = Constant <value_ints = [1]> ()
            covered = ReduceMean <keepdims = 0> (scaled, columns)
            one = Constant <value_float = 1.0> ()
            is_digit = Sub (one, covered)"""


def write_model(path: Path, weights: np.ndarray, bias: np.ndarray, rejecting: bool = False, **metadata: str) -> Path:
    """A model of one layer: softmax of images / 255 times weights, (784, 10), plus bias, (10,).

    rejecting: is_digit is the share of the image that is paper.
    """
    outputs = "float[n, 10] probabilities" + ", float[n] is_digit" * rejecting
    model = onnx.parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 18]>
        small (uint8[n, 28, 28] images) => ({outputs}) {{
            ink = Cast <to = 1> (images)
            flat = Flatten (ink)
            full = Constant <value_float = 255.0> ()
            scaled = Div (flat, full)
            logits = Gemm (scaled, weights, bias)
            probabilities = Softmax (logits)
            {IS_DIGIT * rejecting}
        }}""")
    for name, values in {"weights": weights, "bias": bias}.items():
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    helper.set_model_props(model, {"recipe": "small", "seed": "0"} | metadata)
    onnx.save(model, path)
    return path


def nearest_mean(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Weights (784, 10) and bias (10,) of the model that predicts the digit whose mean image is nearest.

    It is seldom quite sure.
    """
    pixels = split.images.reshape(-1, 784) / 255
    means = np.stack([pixels[split.labels == digit].mean(axis=0) for digit in range(10)])
    return means.T / 2, -(means**2).sum(axis=1) / 4
