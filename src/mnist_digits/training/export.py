"""Keras → ONNX, with a parity check: the exported model gives what Keras gives, or no file is left."""

import logging
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf

from mnist_digits.errors import DataError
from mnist_digits.runs import whole
from mnist_digits.training.engine import compile_prediction, scale

OPSET = 18
TOLERANCE = 1e-5
"""Largest difference allowed between a probability from Keras and from ONNX."""


def export_onnx(model: keras.Model, path: Path, metadata: dict[str, str], images: np.ndarray) -> None:
    """Write the model as ONNX: input `images` uint8 (n, 28, 28), output `probabilities` float32 (n, 10), any n.

    metadata: kept in the file. images: uint8 (n, 28, 28), real ones, for the parity check.
    Raises DataError, and leaves no file, when a probability differs from Keras's by more than TOLERANCE.
    """
    converted = _convert(model)
    onnx.helper.set_model_props(converted, metadata)
    content = converted.SerializeToString()
    difference = _largest_difference(model, content, images)
    if not difference <= TOLERANCE:
        raise DataError(
            f"{path}: ONNX and Keras differ by {difference:.1e}, expected at most {TOLERANCE:.0e}; not written"
        )
    with whole(path) as beside:
        beside.write_bytes(content)


def _convert(model: keras.Model) -> onnx.ModelProto:
    # The package sets up logging when it is imported, so not before it is used.
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    signature = [tf.TensorSpec((None, 28, 28), tf.uint8, name="images")]

    @tf.function(input_signature=signature)
    def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(scale(images), training=False)}

    converted, _ = tf2onnx.convert.from_function(classify, input_signature=signature, opset=OPSET)
    for value in (*converted.graph.input, *converted.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    return converted


def _largest_difference(model: keras.Model, content: bytes, images: np.ndarray) -> float:
    """Between Keras and ONNX Runtime, on real and random images, in batches of 1 and 7."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    predict = compile_prediction(model)
    random = np.random.default_rng(0).integers(0, 256, (8, 28, 28), np.uint8)
    differences = []
    for sample in (images[:8], random):
        for batch in (sample[:1], sample[1:8]):
            (probabilities,) = session.run(["probabilities"], {"images": batch})
            differences.append(np.abs(probabilities - predict(batch)).max(initial=0))
    return float(np.max(differences))
