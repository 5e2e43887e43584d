"""The tables of README and docs say what `results/` holds."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import confidence, inference, page, peers, reading, robustness, scale, serving, training, tuning
from benchmarks.serving import soak
from benchmarks.training import device, teaching
from mnist_digits.cli.info import KNOWN
from mnist_digits.recognition import reading_process
from mnist_digits.recognition.preprocessing import image_io
from mnist_digits.serving import Settings, connections, middleware, pictures
from mnist_digits.serving.api import uploads
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
        assert (shown, seconds) == (KNOWN[path.stem].accuracy, KNOWN[path.stem].training)
        assert command in ([], [f"`digits train {path.stem} --seeds {summary['count']}`"])


def test_the_figures_of_a_gpu_are_those_of_its_benchmark():
    text = (ROOT / "docs" / "how-to" / "use-a-gpu.md").read_text(encoding="utf-8")
    rows = [
        line for line in device.as_table(json.loads(device.RESULTS.read_text())).splitlines() if line.startswith("|")
    ]
    assert len(rows) > 6
    assert [row for row in rows if row not in text] == []


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


def test_the_page_on_limits_says_what_was_measured():
    limits = (ROOT / "docs" / "explanation" / "limits.md").read_text(encoding="utf-8")
    for table in soak.as_table(json.loads(soak.RESULTS.read_text())).split("\n\n"):
        assert table in limits


def test_limits_on_the_pages_are_those_of_the_code():
    settings = Settings()
    mega = 1_000_000
    graceful = settings.body_seconds + settings.answer_seconds
    said = {
        "explanation/limits.md": [
            f"| pixels | {image_io.MAX_PICTURE_PIXELS:,} |",
            f"| pixels along a side | {image_io.MAX_PICTURE_SIDE_PX:,} |",
            f"| scans of a progressive JPEG | {image_io.MAX_JPEG_SCANS} |",
            f"| a request's body | {settings.most_bytes // mega} MB |",
            f"more than {image_io.LIGHT_PIXELS:,} pixels or {image_io.LIGHT_BYTES:,} bytes",
            f"more than {image_io.LIGHT_PAGE_PIXELS:,} pixels",
            f"more than {settings.answer_seconds:g} seconds",
            f"more than {reading_process.MAX_READING_BYTES // mega:,} MB of memory",
            f"or {pictures.MAX_REFUSED} or more others",
        ],
        "reference/http.md": [
            f"the body is larger than {settings.most_bytes // mega} MB",
            f"more than {image_io.MAX_PICTURE_PIXELS // mega} million pixels",
            f"headers are longer than {connections.MAX_HEADER_BYTES // 1024} kB",
            f"Headers have {connections.HEADER_TIMEOUT_S:g} seconds to arrive, a body {settings.body_seconds:g}, "
            f"and each next part of it {settings.idle_seconds:g}.",
            f"An answer must be taken within {connections.SEND_TIMEOUT_S:g}.",
            f"at most {settings.most_waiting} requests wait",
            f"not answered within {settings.answer_seconds:g} seconds",
            f"have at most {settings.most_held_bytes // mega} MB",
            f"a worker has at most {connections.MAX_CONNECTIONS:,} connections",
            f"up to {middleware.DRAIN_SECONDS:g} seconds, {middleware.DRAIN_IDLE_SECONDS:g} without any data, "
            f"or {middleware.MAX_DRAINED_BYTES // mega} MB",
            f"at most {settings.most_files} files and {uploads.MAX_OTHER_FIELDS} other fields",
            f"more than {image_io.LIGHT_PIXELS:,} pixels or {image_io.LIGHT_BYTES:,} bytes",
            f"more than {image_io.LIGHT_PAGE_PIXELS:,} pixels",
            f"at most {settings.most_large_waiting} wait",
            f"at most {reading_process.MAX_READING_BYTES // mega:,} MB of memory",
            f"ended when the {settings.answer_seconds:g} seconds are over",
        ],
        "how-to/serve.md": [f"for up to {graceful:g} seconds"],
    }
    for page_, phrases in said.items():
        text = " ".join((ROOT / "docs" / page_).read_text(encoding="utf-8").split())
        assert [phrase for phrase in phrases if phrase not in text] == []


def test_the_time_of_a_page_is_what_was_measured():
    assert inference.as_page_table(json.loads(inference.RESULTS.read_text())) in BENCHMARKS


def test_what_teaching_gains_is_what_was_measured():
    assert teaching.as_table(json.loads(teaching.RESULTS.read_text())) in BENCHMARKS


def test_a_billion_pictures_are_estimated_from_what_was_measured():
    assert scale.as_estimate(json.loads(scale.RESULTS.read_text())) in BENCHMARKS


def test_readme_quotes_how_many_digits_of_everyday_pages_are_read():
    row = re.search(r"^\| everyday: .*?^\| Reader \| ([\d.]+ %)", BENCHMARKS, re.DOTALL | re.MULTILINE)
    assert row
    assert f"[{row[1]} of the digits]" in README.read_text(encoding="utf-8")
