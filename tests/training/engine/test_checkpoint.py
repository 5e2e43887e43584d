from pathlib import Path

import keras
import numpy as np
import pytest

from mnist_digits.errors import DataError
from mnist_digits.training import find_recipe
from mnist_digits.training.engine import checkpoint
from mnist_digits.training.networks import build


def state(model: keras.Model) -> list:
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


ROW = np.array([[1, 0.5, 0.9, 0.6, 0.8, 0.1]])


def test_damaged_or_foreign_checkpoints_are_refused(tmp_path: Path):
    path = tmp_path / "state.npz"
    checkpoint.save(path, state(build(find_recipe("dense"))), ROW)
    with pytest.raises(DataError, match="not a checkpoint of this recipe"):
        checkpoint.restore(path, state(build(find_recipe("dense-batchnorm"))))
    wider = find_recipe("dense").with_settings({"hidden_units": "64"})
    with pytest.raises(DataError, match=r"\(784, 128\), expected \(784, 64\); it belongs to another network"):
        checkpoint.restore(path, state(build(wider)))
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(DataError, match="not a checkpoint of this recipe"):
        checkpoint.restore(path, state(build(find_recipe("dense"))))
