"""A study's report: for people, on a screen and on paper."""

import re
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from helpers.studies import plan, sqlite_in
from mnist_digits.training import RECIPES
from mnist_digits.training.recipes import write_recipe
from mnist_digits.training.tuning.report import write_report
from mnist_digits.training.tuning.storage import open_storage
from mnist_digits.training.tuning.study import Study

BEST = 11


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of twelve trials of the recipe with most fields, the last one the best."""
    folder = tmp_path_factory.mktemp("report")
    study = Study.begin(open_storage(sqlite_in(folder)), "dense-plus", plan(recipe=RECIPES["dense-plus"]))

    def score(trial: optuna.Trial, frozen: optuna.trial.FrozenTrial) -> float:
        for epoch in range(3):
            trial.report(0.9 + 0.001 * frozen.number + 0.01 * epoch, epoch)
        return 0.95 + 0.001 * frozen.number

    for _ in range(BEST + 1):
        assert study.run_next(score, BEST + 1, "here")
    best = folder / "best.json"
    write_recipe(best, RECIPES["dense-plus"])
    return write_report(study, folder / "study", best, None)


def test_numbers_are_rounded_and_names_are_words(report: Path):
    page = re.sub(r'"data:[^"]*"', "", report.read_text(encoding="utf-8"))
    for number in re.findall(r"\d+\.\d+", " ".join(re.findall(r"<td>(.*?)</td>", page))):
        assert len(number.replace(".", "").lstrip("0")) <= 4, number
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL)[:2]:
        assert "_" not in "".join(re.findall(r"<th[^>]*>(.*?)</th>", table)), "a field has the name that code has"
    assert f'<th scope="col">{BEST}</th>' in page
    assert "96.10" in page


def test_it_fits_on_paper(report: Path, printed: Callable[[Path], int]):
    assert printed(report) <= 2
