"""The tables of README and docs say what `results/` holds."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import confidence, inference, page, peers, reading, robustness, scale, serving, training, tuning
from mnist_digits.training import RECIPES, Recipe

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs" / "benchmarks").glob("*.md"))
BENCHMARKS = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
SUMMARIES = sorted((ROOT / "results" / "recipes").glob("*.json"))


def read_table(text: str, first_cell: str) -> dict[str, list[str]]:
    """First cell without its markup → the other cells, of the table whose header begins so."""
    lines = text[text.index(f"| {first_cell} |") :].split("\n\n")[0].splitlines()[2:]
    rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    return {row[0].strip("`*"): row[1:] for row in rows}


@pytest.mark.parametrize("path", [README, ROOT / "docs" / "benchmarks" / "training.md"], ids=lambda path: path.name)
def test_the_table_of_recipes_has_the_figures_of_every_recipe_with_results(path: Path):
    table = read_table(path.read_text(encoding="utf-8"), "recipe")
    assert set(table) == {path.stem for path in SUMMARIES}
    for path in SUMMARIES:
        summary = json.loads(path.read_text())
        accuracy = summary["test_accuracy"]
        _, parameters, shown, seconds, *command = table[path.stem]
        assert parameters == f"{summary['parameters']:,}"
        spread = f" ± {accuracy['sd']:.2%}" if summary["count"] > 1 else ""
        assert shown == f"{accuracy['mean']:.2%}{spread} ({summary['count']})".replace("%", " %")
        mean = summary["seconds"]["mean"]
        assert seconds == (f"{mean:.1f} s" if mean < 600 else f"{mean / 60:.0f} min")
        assert command in ([], [f"`digits train {path.stem} --seeds {summary['count']}`"])


@pytest.mark.parametrize("path", SUMMARIES, ids=lambda path: path.stem)
def test_results_are_of_the_recipe_as_it_is_now(path: Path):
    # Results of older versions have other names for some fields; fields that came later have neutral defaults.
    assert Recipe.from_json(json.loads(path.read_text())["recipe"]) == RECIPES[path.stem]


@pytest.mark.parametrize(
    "benchmark",
    [training, inference, peers, robustness, confidence, reading, page, serving, scale, tuning],
    ids=lambda benchmark: benchmark.__name__,
)
def test_a_benchmarks_table_is_that_of_its_results(benchmark: ModuleType):
    assert benchmark.as_table(json.loads(benchmark.RESULTS.read_text())) in BENCHMARKS


def test_the_time_of_a_page_is_what_was_measured():
    assert inference.as_page_table(json.loads(inference.RESULTS.read_text())) in BENCHMARKS


def test_a_billion_pictures_are_estimated_from_what_was_measured():
    assert scale.as_estimate(json.loads(scale.RESULTS.read_text())) in BENCHMARKS


def test_readme_quotes_how_many_digits_of_everyday_pages_are_read():
    row = re.search(r"^\| everyday: .*?^\| Reader \| ([\d.]+ %)", BENCHMARKS, re.DOTALL | re.MULTILINE)
    assert row
    assert f"[{row[1]} of the digits]" in README.read_text(encoding="utf-8")
