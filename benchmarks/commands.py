"""How long whole commands take, from their start to their end, each in a fresh process.

python benchmarks/commands.py                 # writes results/commands.json; ~1.5 minutes
python benchmarks/commands.py --runs 1 --data FOLDER --output FILE    # a small set, for the tests
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mnist_digits.files import write_json

RESULTS = Path(__file__).parent.parent / "results" / "commands.json"
LOAD = (
    "import sys, time; from mnist_digits.dataset import load_mnist; start = time.perf_counter();"
    "load_mnist(*sys.argv[1:]); print(time.perf_counter() - start)"
)


def time_command(arguments: list[str]) -> float:
    """Seconds of wall time that `digits` takes with these arguments, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "mnist_digits", *arguments], cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - start


def time_loading(data: list[str]) -> float:
    """Seconds that `load_mnist` takes, once its module is imported."""
    return float(subprocess.check_output([sys.executable, "-c", LOAD, *data]))


def main() -> None:
    """Parse, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="of each command, after one to warm up (default: 5)")
    parser.add_argument("--data", type=Path, help="a folder with four IDX files instead of MNIST")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args()
    folder = [str(options.data.resolve())] if options.data else []
    measured = {
        "digits --help": lambda: time_command(["--help"]),
        "load_mnist": lambda: time_loading(folder),
        "digits train dense": lambda: time_command(["train", "dense", *(["--data", *folder] if folder else [])]),
    }
    rows = {}
    for name, measure in measured.items():
        seconds = [measure() for _ in range(1 + options.runs)][1:]
        rows[name] = {"median_seconds": statistics.median(seconds), "seconds": seconds}
        print(f"{name}: {statistics.median(seconds):.2f} s (median of {options.runs})")
    write_json(options.output, {"command": "python benchmarks/commands.py", "cores": os.cpu_count(), "commands": rows})


if __name__ == "__main__":
    main()
