import json
import statistics
from pathlib import Path

import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError, UsageError
from mnist_digits.runs import Run
from mnist_digits.training import create_run, find_recipe, train_seeds

ONE_EPOCH = find_recipe("dense").with_settings({"epochs": "1"})


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
