"""The README's tables say what `results/` holds, and its commands exist."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from mnist_digits.training import RECIPES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SUMMARIES = sorted((ROOT / "results" / "recipes").glob("*.json"))


def read_table(first_cell: str) -> dict[str, list[str]]:
    """First cell without its markup → the other cells, of the table whose header begins so."""
    start = README.index(f"| {first_cell} |")
    lines = README[start:].split("\n\n")[0].splitlines()[2:]
    rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    return {row[0].strip("`*"): row[1:] for row in rows}


def test_every_recipe_with_results_stands_in_the_table_with_its_figures():
    table = read_table("recipe")
    assert set(table) == {path.stem for path in SUMMARIES}
    for path in SUMMARIES:
        summary = json.loads(path.read_text())
        accuracy = summary["test_accuracy"]
        _, parameters, shown, seconds, command = table[path.stem]
        assert parameters == f"{summary['parameters']:,}"
        assert shown == f"{accuracy['mean']:.2%} ± {accuracy['sd']:.2%}".replace("%", " %")
        assert seconds == f"{summary['seconds']['mean']:.1f} s"
        assert command == f"`digits train {path.stem} --seeds {summary['count']}`"
        assert summary["count"] >= 5


@pytest.mark.parametrize("path", SUMMARIES, ids=lambda path: path.stem)
def test_results_are_of_the_recipe_as_it_is_now(path: Path):
    assert json.loads(path.read_text())["recipe"] == RECIPES[path.stem].to_json()


def test_the_training_table_is_the_benchmarks_own():
    specification = importlib.util.spec_from_file_location("training", ROOT / "benchmarks" / "training.py")
    assert specification is not None
    assert specification.loader is not None
    benchmark = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(benchmark)
    result = json.loads((ROOT / "results" / "training.json").read_text())
    assert benchmark.as_table(result) in README


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
