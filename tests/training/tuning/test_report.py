"""A study's report: for people, on a screen and on paper."""

import re
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from helpers.studies import Begin, plan
from mnist_digits.training import RECIPES
from mnist_digits.training.recipes import write_recipe
from mnist_digits.training.tuning.report import write_report

BEST = 11


@pytest.fixture
def report(begin: Begin, tmp_path: Path) -> Path:
    """That of twelve trials of the recipe with most fields, the last one the best."""
    study = begin(plan(recipe=RECIPES["dense-plus"]), "dense-plus")

    def score(trial: optuna.Trial, frozen: optuna.trial.FrozenTrial) -> float:
        for epoch in range(3):
            trial.report(0.9 + 0.001 * frozen.number + 0.01 * epoch, epoch)
        return 0.95 + 0.001 * frozen.number

    for _ in range(BEST + 1):
        assert study.run_next(score, BEST + 1, "here")
    best = tmp_path / "best.json"
    write_recipe(best, RECIPES["dense-plus"])
    return write_report(study, tmp_path / "study", best, None)


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
