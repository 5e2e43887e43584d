import argparse
import importlib
import json
from pathlib import Path

import pytest

from benchmarks.harness import ROOT, Benchmark, Setting, as_markdown

NAMES = ("confidence", "inference", "page", "peers", "reading", "robustness", "scale", "serving", "training", "tuning")


def run(options: argparse.Namespace) -> dict[str, int]:
    return {"pages": options.pages, "seconds": options.seconds}


BENCHMARK = Benchmark(
    Path("results/example.json"),
    "Example",
    run,
    lambda result: f"{result['pages']} in {result['seconds']}",
    settings={"pages": Setting(200, 1, "pages"), "seconds": Setting(10, 2)},
)


@pytest.mark.parametrize("name", NAMES)
def test_tiny_mode_never_overwrites_the_results(name: str, capsys: pytest.CaptureFixture[str]):
    benchmark = importlib.import_module(f"benchmarks.{name}").BENCHMARK
    assert benchmark.name == name
    assert benchmark.results.parent == ROOT / "results"
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(["--tiny"])
    assert stopped.value.code == 2
    assert "name another --output" in capsys.readouterr().err


def test_every_benchmark_is_tested_here():
    folder = ROOT / "benchmarks"
    packages = {path.parent.name for path in folder.glob("*/__main__.py")}
    assert {path.stem for path in folder.glob("[!_]*.py")} | packages == {*NAMES, "harness"}


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ([], {"command": "python -m benchmarks.example", "pages": 200, "seconds": 10}),
        (["--pages", "30"], {"command": "python -m benchmarks.example --pages 30", "pages": 30, "seconds": 10}),
        (["--tiny"], {"command": "python -m benchmarks.example --tiny", "pages": 1, "seconds": 2}),
    ],
)
def test_the_file_says_how_it_was_measured(
    arguments: list[str], result: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "example.json"
    BENCHMARK.main([*arguments, "--output", str(output)])
    assert json.loads(output.read_text()) == result
    shown = f"{result['pages']} in {result['seconds']}\n"
    assert capsys.readouterr().out == shown
    BENCHMARK.main(["--table", "--output", str(output)])
    assert capsys.readouterr().out == shown


def test_an_empty_cell_is_one_space():
    assert as_markdown(["page", ""], [["a", "1"], ["b", ""]]) == "| page | |\n|---|---:|\n| a | 1 |\n| b | |"
