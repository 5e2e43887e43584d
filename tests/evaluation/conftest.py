"""A small finished run, written without a training framework."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.evaluation import evaluate, report
from mnist_digits.runs import Run


def random_probabilities(random: np.random.Generator, count: int) -> np.ndarray:
    return random.dirichlet(np.full(10, 0.3), count).astype(np.float32)


WriteModel = Callable[[Path, dict[str, np.ndarray]], None]


@pytest.fixture(scope="session")
def write_model() -> WriteModel:
    """Writes a `.keras` archive with these weights and nothing else that the report reads."""

    def write(path: Path, layers: dict[str, np.ndarray]) -> None:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            for name, weights in layers.items():
                file[name] = weights
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
            archive.writestr("model.weights.h5", buffer.getvalue())

    return write


@pytest.fixture(scope="session")
def write_run(small: Dataset, write_model: WriteModel) -> Callable[[Path], Run]:
    """Writes a run, in a new folder below the given one, with every file that the report reads."""

    def write(parent: Path) -> Run:
        run = Run(parent / "dense-0")
        run.folder.mkdir()
        random = np.random.default_rng(2)
        splits = {"validation": small.validation, "test": small.test}
        probabilities = {name: random_probabilities(random, len(split)) for name, split in splits.items()}
        arrays = {f"{name}_labels": split.labels for name, split in splits.items()}
        np.savez(run.predictions, **arrays, **{f"{name}_probabilities": rows for name, rows in probabilities.items()})
        metrics = {name: evaluate(split.labels, probabilities[name]).to_json() for name, split in splits.items()}
        training = {"seconds": 2.5, "epochs": 2, "images_per_second": 176.0, "parameters": 101770}
        run.metrics.write_text(json.dumps({**metrics, "training": training}))
        run.recipe.write_text(
            json.dumps(
                {
                    "recipe": {"name": "dense", "epochs": 2, "augment": None, "units": [128, 10]},
                    "seed": 0,
                    "data": {"folder": str(small.folder), "seed": 0, "fingerprint": small.fingerprint},
                }
            )
        )
        run.environment.write_text(json.dumps({"python": "3.11.7", "versions": {"numpy": "2.0"}, "devices": ["CPU:0"]}))
        run.history.write_text(
            "epoch,loss,accuracy,val_loss,val_accuracy,seconds\n1,0.5,0.8,0.4,0.85,1.3\n2,0.3,0.9,0.35,0.88,1.2\n"
        )
        weights = np.random.default_rng(3).normal(size=(784, 6)).astype(np.float32)
        write_model(run.model, {"layers/dense/vars/0": weights, "layers/dense/vars/1": np.zeros(6, np.float32)})
        return run

    return write


@pytest.fixture
def run(tmp_path: Path, write_run: Callable[[Path], Run], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of the test's own, of which this process draws small figures, in half the time."""
    monkeypatch.setattr(report, "FIGURE_DPI", 60)
    return write_run(tmp_path)
