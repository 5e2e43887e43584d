"""Export of the two networks whose activations the page of `digits serve` shows, from finished runs.

    python -m mnist_digits.training.export.page_networks runs/dense-plus-0 runs/cnn-0 FOLDER

writes `dense.npz`, the weights of the first run, and `feature_maps.onnx`, the model of the second with the feature
maps after each relu as further outputs. Both are calibrated, like the runs' model.onnx.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from mnist_digits.errors import DataError
from mnist_digits.files import atomic_write, read_json
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.recipes import DIGIT_CLASSES

DENSE, FEATURE_MAPS = "dense.npz", "feature_maps.onnx"


def export_dense(run: Run, folder: Path) -> Path:
    """Write DENSE: arrays hidden_weights (784, units), hidden_bias, class_weights (units, 10), class_bias, float32.

    The last two are divided by the temperature, so that softmax of the logits gives model.onnx's probabilities.
    Raises DataError when the run is not finished, or its network is not 784-units-10.
    """
    backend.start_keras()
    from mnist_digits.training import networks
    from mnist_digits.training.export.formats import temperature_of

    weights = networks.load(Run.open(run.folder, "model").model).get_weights()
    shapes = [array.shape for array in weights]
    if [len(shape) for shape in shapes] != [2, 1, 2, 1] or shapes[-1] != (DIGIT_CLASSES,):
        raise DataError(f"{run.folder}: weights of shapes {shapes}, expected 784-units-10: name a `dense` run")
    temperature = np.float32(temperature_of(read_json(run.metrics)))
    names = ("hidden_weights", "hidden_bias", "class_weights", "class_bias")
    arrays = dict(zip(names, [*weights[:2], weights[2] / temperature, weights[3] / temperature], strict=True))
    with atomic_write(folder / DENSE) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    return folder / DENSE


def export_feature_maps(run: Run, folder: Path) -> Path:
    """Write FEATURE_MAPS: the run's model.onnx with outputs `maps_1`, `maps_2`, …, float32 (n, channels, side, side).

    They are the outputs of the relus after convolutions. Raises DataError when the run is not finished or has none.
    """
    model = onnx.load(Run.open(run.folder, "onnx").onnx)
    shapes = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    found = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    maps = [name for name in found if len(shapes[name].type.tensor_type.shape.dim) == 4]
    if not maps:
        raise DataError(f"{run.folder}: no relu after a convolution; name a run of `tiny` or `cnn`")
    for number, name in enumerate(maps, 1):
        sides = [dimension.dim_value for dimension in shapes[name].type.tensor_type.shape.dim[1:]]
        model.graph.node.append(helper.make_node("Identity", [name], [f"maps_{number}"]))
        model.graph.output.append(helper.make_tensor_value_info(f"maps_{number}", TensorProto.FLOAT, ["n", *sides]))
    with atomic_write(folder / FEATURE_MAPS) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return folder / FEATURE_MAPS


def main() -> None:
    """Export from two runs to a folder, all named on the command line."""
    dense, convolutional, folder = map(Path, sys.argv[1:])
    print(export_dense(Run(dense), folder))
    print(export_feature_maps(Run(convolutional), folder))


if __name__ == "__main__":
    main()
