from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from helpers.studies import Begin, finish
from mnist_digits.dataset import Dataset
from mnist_digits.errors import UsageError
from mnist_digits.files import read_json, write_json
from mnist_digits.training.recipes import read_recipe
from mnist_digits.training.tuning import outcome
from mnist_digits.training.tuning.outcome import compare_with_default, read_comparison, write_best


def test_the_best_recipe_is_a_file_once_a_trial_is_complete(begin: Begin, tmp_path: Path):
    study = begin()
    with pytest.raises(UsageError, match="no trial has come to its end yet"):
        write_best(study, tmp_path)
    for value in (0.5, 0.9, 0.7):
        finish(study, 3, "me", value)
    recipe = read_recipe(write_best(study, tmp_path))
    assert recipe == study.recipe_of(study.trials()[1])
    assert read_json(tmp_path / "best.json")["study"]["trial"] == 1


def test_of_two_that_compare_in_one_folder_the_second_waits(
    begin: Begin, small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    study = begin()
    for value in (0.5, 0.9):
        finish(study, 2, "me", value)
    training, waiting, calls = Event(), Event(), []

    def train_seeds(recipe: object, data: Dataset, count: int, folder: Path, *_: object, **__: object) -> Path:
        calls.append(folder)
        training.set()
        # Nobody else may begin before this one is done.
        assert waiting.wait(60)
        accuracies = [len(calls) % 3 / 10, 0.5]
        write_json(folder / "summary.json", {"test_accuracy": {"values": accuracies}})
        return folder / "summary.json"

    monkeypatch.setattr(outcome, "train_seeds", train_seeds)

    def compare(on_wait: Any = None) -> dict[str, Any] | None:
        return compare_with_default(study, small, tmp_path, 2, on_wait=on_wait)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(compare)
        assert training.wait(60)
        second = pool.submit(compare, waiting.set)
        assert first.result() is not None
        assert second.result() == read_comparison(study, tmp_path)
    assert [path.name for path in calls] == ["default", "trial-1"] * 2
