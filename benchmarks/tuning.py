"""What tuning is worth: a study of `dense`, and its winner against the recipe as it is, over five seeds.

    python benchmarks/tuning.py                                       # writes results/tuning.json, prints the table
    python benchmarks/tuning.py --tiny --data FOLDER --output FILE    # three short trials on a small set, for the tests

All that is chosen is chosen by the validation images; the test images are scored once in each of the final runs, whose
seeds the study did not use. Broken off, it goes on where it was: the study lies in runs/tune-dense of the --folder.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mnist_digits.files import write_json

RESULTS = Path(__file__).parent.parent / "results" / "tuning.json"
TINY = ["--set=epochs=1", "--set=jit_compile=false"]
SPREADS = ("validation_accuracy", "test_accuracy")
ROWS = {"default": "`dense`", "best": "what the study found"}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Search, compare, and give the outcome as JSON."""
    arguments = ["tune", "dense", "--trials", str(options.trials), "--workers", str(options.workers), "--json"]
    arguments += ["--seeds", str(options.seeds), *(TINY if options.tiny else [])]
    if options.data:
        arguments += ["--data", str(options.data.resolve())]
    options.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mnist_digits", *arguments]
    found = json.loads(subprocess.check_output(command, cwd=options.folder))
    comparison = found["comparison"] or {}
    return {
        "command": "python benchmarks/tuning.py" + (" --tiny" if options.tiny else ""),
        "workers": options.workers,
        "cores": os.cpu_count(),
        **{name: found[name] for name in ("finished", "pruned", "seconds", "processor_seconds", "space")},
        "validation_accuracy": {name: found[name]["validation_accuracy"] for name in ROWS},
        "values": found["best"]["values"],
        "p_value": comparison.get("p_value"),
        "comparison": {name: comparison[name] for name in ROWS if name in comparison},
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = ["| | parameters | validation, one seed | validation | test |", "|---|---:|---:|---:|---:|"]
    for name, summary in result["comparison"].items():
        spreads = [f"{summary[of]['mean']:.2%} ± {summary[of]['sd']:.2%}" for of in SPREADS]
        cells = [f"{summary['parameters']:,}", f"{result['validation_accuracy'][name]:.2%}", *spreads]
        lines.append(f"| {ROWS[name]} | {' | '.join(cells)} |".replace("%", " %"))
    return "\n".join(lines)


def main() -> None:
    """Parse, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="few and short trials")
    parser.add_argument("--data", type=Path, help="a folder with four IDX files instead of MNIST")
    parser.add_argument("--folder", type=Path, default=Path(), help="where runs/ is, or is made (default: here)")
    parser.add_argument("--trials", type=int, default=20, help="finished trials (default: 20)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each in the end (default: 5)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args()
    if options.tiny and (options.data is None or options.output == RESULTS):
        parser.error("--tiny measures nothing worth keeping: name a small set with --data and another --output")
    if options.tiny:
        options.trials, options.workers, options.seeds = 3, 1, 1
    result = run(options)
    write_json(options.output, result)
    print(as_table(result))


if __name__ == "__main__":
    main()
