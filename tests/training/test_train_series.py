import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError, UsageError
from mnist_digits.runs import Run
from mnist_digits.training import create_run, find_recipe, resume, train, train_seeds
from mnist_digits.training.networks import load

pytestmark = pytest.mark.usefixtures("no_report")

ONE_EPOCH = find_recipe("dense").with_settings({"epochs": "1", "jit_compile": "false"})


class Crash(Exception):
    """The power fails."""


def test_a_series_is_broken_off_continued_and_summarised(small: Dataset, tmp_path: Path):
    def crash_at_second(run: Run):
        if run.folder.name == "seed-4":
            raise Crash
        return lambda epoch, row: None

    with pytest.raises(Crash):
        train_seeds(ONE_EPOCH, small, 2, tmp_path, first_seed=3, announce=crash_at_second)
    first = (tmp_path / "seed-3/model.onnx").stat().st_mtime_ns
    summary = json.loads(train_seeds(ONE_EPOCH, small, 2, tmp_path, first_seed=3).read_text())
    assert (tmp_path / "seed-3/model.onnx").stat().st_mtime_ns == first, "a finished member was trained again"

    values = [json.loads((tmp_path / f"seed-{n}/metrics.json").read_text())["test"]["accuracy"] for n in (3, 4)]
    spread = summary["test_accuracy"]
    assert spread["values"] == values
    assert spread["mean"] == pytest.approx(sum(values) / 2)
    assert spread["sd"] == pytest.approx(statistics.stdev(values))
    assert (spread["min"], spread["max"]) == (min(values), max(values))
    assert (summary["count"], summary["seeds"], summary["parameters"]) == (2, [3, 4], 101_770)

    with pytest.raises(UsageError, match="started with epochs=1, asked to go on with epochs=2"):
        train_seeds(ONE_EPOCH.with_settings({"epochs": "2"}), small, 2, tmp_path, first_seed=3)


def test_a_member_of_other_data_is_found_before_anything_is_trained(small: Dataset, mnist: Dataset, tmp_path: Path):
    create_run(ONE_EPOCH, small, tmp_path / "seed-1", 1)
    with pytest.raises(DataError, match="seed-1: started on other images"):
        train_seeds(ONE_EPOCH, mnist, 2, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["seed-1"]


def test_no_seeds_at_all(small: Dataset, tmp_path: Path):
    with pytest.raises(UsageError, match="0 seeds: expected at least 1"):
        train_seeds(ONE_EPOCH, small, 0, tmp_path)


def test_an_ensemble_is_broken_off_continued_and_the_mean_of_its_members(small: Dataset, tmp_path: Path):
    recipe = ONE_EPOCH.with_settings({"members": "2"})
    rows: list[tuple[int, float]] = []

    def crash(epoch: int, row: dict[str, float]) -> None:
        rows.append((epoch, row["epoch"]))
        if epoch == 2:
            raise Crash

    with pytest.raises(Crash):
        train(recipe, small, tmp_path, seed=3, progress=crash)
    assert rows == [(1, 1), (2, 1)], "epochs are counted over all members"
    members = [Run(tmp_path / f"members/seed-{seed}") for seed in (6, 7)]
    before = members[0].onnx.stat().st_mtime_ns
    run = resume(Run(tmp_path), small)
    assert members[0].onnx.stat().st_mtime_ns == before, "a finished member was trained again"
    assert (tmp_path / "history.csv").read_text().startswith("epoch,loss")

    saved = [np.load(member.predictions)["test_probabilities"] for member in (run, *members)]
    np.testing.assert_allclose(saved[0], (saved[1] + saved[2]) / 2, atol=1e-6)
    np.testing.assert_allclose(load(run.model)(small.test.images / 255), saved[0], atol=1e-5)
    training = json.loads(run.metrics.read_text())["training"]
    seconds = [json.loads(member.metrics.read_text())["training"]["seconds"] for member in members]
    assert (training["epochs"], training["parameters"]) == (1, 2 * 101_770)
    assert training["seconds"] == pytest.approx(sum(seconds), abs=1e-4)

    members[1].model.unlink()
    run.onnx.unlink()
    with pytest.raises(DataError, match=r"seed-7: has no model\.keras; expected a finished run"):
        resume(run, small)
