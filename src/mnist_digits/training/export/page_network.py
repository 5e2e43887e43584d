"""Export of the simple network that the page of `digits serve` shows, from a finished run.

    python -m mnist_digits.training.export.page_network runs/dense-plus-0 FOLDER

writes `dense.npz`, its weights, calibrated like the run's model.onnx.
"""

import sys
from pathlib import Path

import numpy as np

from mnist_digits.errors import DataError
from mnist_digits.files import atomic_write, read_json
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.recipes import DIGIT_CLASSES

DENSE = "dense.npz"


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


def main() -> None:
    """Export from a run to a folder, both named on the command line."""
    run, folder = map(Path, sys.argv[1:])
    print(export_dense(Run(run), folder))


if __name__ == "__main__":
    main()
