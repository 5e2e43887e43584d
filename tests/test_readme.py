"""The README's tables say what `results/` holds, and its commands exist."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import confidence, inference, page, peers, reading, robustness, scale, serving, training, tuning
from mnist_digits.training import RECIPES, Recipe

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
        spread = f" ± {accuracy['sd']:.2%}" if summary["count"] > 1 else ""
        assert shown == f"{accuracy['mean']:.2%}{spread} ({summary['count']})".replace("%", " %")
        mean = summary["seconds"]["mean"]
        assert seconds == (f"{mean:.1f} s" if mean < 600 else f"{mean / 60:.0f} min")
        assert command == f"`digits train {path.stem} --seeds {summary['count']}`"


@pytest.mark.parametrize("path", SUMMARIES, ids=lambda path: path.stem)
def test_results_are_of_the_recipe_as_it_is_now(path: Path):
    # A field that came later has a default that leaves older recipes as they were.
    assert Recipe(**json.loads(path.read_text())["recipe"]) == RECIPES[path.stem]


@pytest.mark.parametrize(
    "benchmark",
    [training, inference, peers, robustness, confidence, reading, page, serving, scale, tuning],
    ids=lambda benchmark: benchmark.__name__,
)
def test_a_benchmarks_table_is_its_own(benchmark: ModuleType):
    assert benchmark.as_table(json.loads(benchmark.RESULTS.read_text())) in README


def test_the_table_of_pages_is_what_was_measured():
    assert inference.as_page_table(json.loads(inference.RESULTS.read_text())) in README


def test_a_billion_pictures_is_estimated_from_what_was_measured():
    estimate = scale.as_estimate(json.loads(scale.RESULTS.read_text()))
    assert estimate in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
