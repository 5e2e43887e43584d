"""Gain from tuning: a study of `dense`, and its best configuration against the recipe's own, over five seeds.

    python -m benchmarks.tuning                                       # writes results/tuning.json, prints the table
    python -m benchmarks.tuning --tiny --data FOLDER --output FILE    # two short trials on a small set, for the tests

Everything is chosen by the validation images; the test images are scored once in each of the final runs, whose seeds
the study did not use. When interrupted and started again it continues: the study is kept in runs/tune-dense below
--folder.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting, as_percent

RESULTS = harness.RESULTS / "tuning.json"
SETTINGS = {
    "trials": Setting(20, 2, "finished trials"),
    "workers": Setting(2, 1, "processes"),
    "seeds": Setting(5, 0, "final runs of each configuration"),
}
TINY_SETTINGS = ["--set=epochs=1", "--set=jit_compile=false"]
CONFIGURATIONS = {"default": "`dense`", "best": "what the study found"}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Search and compare with `digits tune`."""
    arguments = ["tune", "dense", "--trials", str(options.trials), "--workers", str(options.workers), "--json"]
    arguments += ["--seeds", str(options.seeds), *(TINY_SETTINGS if options.tiny else [])]
    if options.data:
        arguments += ["--data", str(options.data.resolve())]
    options.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mnist_digits", *arguments]
    found = json.loads(subprocess.check_output(command, cwd=options.folder))
    comparison = found["comparison"] or {}
    return {
        "workers": options.workers,
        "cores": os.cpu_count(),
        **{name: found[name] for name in ("finished", "pruned", "seconds", "processor_seconds", "space")},
        "validation_accuracy": {name: found[name]["validation_accuracy"] for name in CONFIGURATIONS},
        "values": found["best"]["values"],
        "p_value": comparison.get("p_value"),
        "comparison": {name: comparison[name] for name in CONFIGURATIONS if name in comparison},
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    rows = []
    for name, summary in result["comparison"].items():
        spreads = (summary[split] for split in ("validation_accuracy", "test_accuracy"))
        shown = [f"{as_percent(spread['mean'], 2)} ± {as_percent(spread['sd'], 2)}" for spread in spreads]
        chosen_by = as_percent(result["validation_accuracy"][name], 2)
        rows.append((CONFIGURATIONS[name], f"{summary['parameters']:,}", chosen_by, *shown))
    return harness.as_markdown(["", "parameters", "validation, one seed", "validation", "test"], rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option for the study's folder."""
    parser.add_argument("--folder", type=Path, default=Path(), help="where runs/ is, or is made (default: here)")


BENCHMARK = Benchmark(RESULTS, __doc__, run, as_table, SETTINGS, needs_small_set=True, add_arguments=add_arguments)

if __name__ == "__main__":
    BENCHMARK.main()
