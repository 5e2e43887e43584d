"""Accuracy against seconds: this project's recipes and what others commonly train on MNIST, each in its own process.

    python benchmarks/peers.py                  # writes results/peers.json and the picture, prints the table
    python benchmarks/peers.py --only svm mlp   # measures these anew, keeps the other rows
    python benchmarks/peers.py --table          # measures nothing: draws and prints what was measured
    python benchmarks/peers.py --tiny --data FOLDER --output FILE    # one epoch of each on a small set, for the tests

The test accuracy after every epoch is looked up with the clock stopped; nothing is chosen by it. The recipes hold back
5,000 validation images, as does Keras's example with 6,000; the others train on all 60,000, the SVM on 10,000.
"""

import argparse
import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contenders import PEERS
from mnist_digits.dataset import load_mnist
from mnist_digits.files import atomic_write, read_json, write_json
from mnist_digits.training import backend
from stopwatch import Stopwatch, run_in_own_process, seconds_since_start

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "peers.json"
PICTURE = ROOT / "docs" / "pictures" / "peers.png"
TARGETS = (0.97, 0.99, 0.995)


def race(name: str, folder: Path | None, tiny: bool) -> dict[str, Any]:
    """Train one peer in this process, which `run_in_own_process` began; returns its row of the results."""
    peer = PEERS[name]
    measured = 1 if tiny else peer.measured or peer.epochs
    data = load_mnist(folder)
    if peer.package == "keras":
        backend.start_keras()
    else:
        importlib.import_module(peer.package)
    before_training = seconds_since_start()
    watch = Stopwatch(data.test)
    parameters = peer.train(data, measured, watch)
    seconds = np.cumsum(watch.seconds).tolist()
    reached = {target: np.flatnonzero(np.array(watch.accuracies) >= target) for target in TARGETS}
    return {
        "title": peer.title,
        "own": peer.own,
        "parameters": parameters,
        "epochs": peer.epochs,
        "epochs_measured": measured,
        "seconds_before_training": before_training,
        "seconds_after_epoch": seconds,
        "test_accuracy_after_epoch": watch.accuracies,
        "seconds_to": {str(target): seconds[found[0]] if found.size else None for target, found in reached.items()},
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the peers one by one; the file has every row as soon as it is measured."""
    backend.start_keras()
    environment = backend.describe_environment()
    environment["versions"] |= backend.installed_versions(("torch",))
    rows = read_json(options.output)["rows"] if options.only and options.output.exists() else {}
    arguments = [*(["--tiny"] if options.tiny else []), *(["--data", str(options.data)] if options.data else [])]
    for name in options.only or PEERS:
        title, package = PEERS[name].title, PEERS[name].package
        if importlib.util.find_spec(package) is None:
            missing = f"{package} is not installed; pip install '.[peers]', then measure it with --only {name}"
            print(f"{title}: {missing}", file=sys.stderr)
            rows[name] = {"title": title, "not_measured": f"{package} is not installed"}
        else:
            rows[name] = run_in_own_process(__file__, "--race", name, *arguments)
            last = rows[name]["seconds_after_epoch"][-1], rows[name]["test_accuracy_after_epoch"][-1]
            print(f"{title}: {last[0]:.1f} s, {last[1]:.2%}", file=sys.stderr)
        ordered = {known: rows[known] for known in PEERS if known in rows}
        result = {"command": "python benchmarks/peers.py", "environment": environment, "rows": ordered}
        write_json(options.output, result)
    return result


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    targets = " | ".join(f"to {target:.1%}".replace(".0%", "%").replace("%", " %") for target in TARGETS)
    lines = [
        f"| trained on MNIST | parameters | {targets} | in the end | training | whole process |",
        "|---|---:|" + "---:|" * (len(TARGETS) + 3),
    ]
    for row in result["rows"].values():
        cells = ["not measured", *[""] * (len(TARGETS) + 3)] if "not_measured" in row else _describe(row)
        lines.append(f"| {' | '.join([row['title'], *cells])} |")
    return "\n".join(lines)


def _describe(row: dict[str, Any]) -> list[str]:
    """A measured peer's cells after its title; what was extrapolated says so."""
    measured, epochs = row["epochs_measured"], row["epochs"]
    trained, accuracy = row["seconds_after_epoch"][-1], row["test_accuracy_after_epoch"][-1]
    complete = measured == epochs
    about, later = ("", "–") if complete else ("≈ ", f"> {_seconds(trained)}")
    training = trained * epochs / measured
    final = f"{accuracy:.2%}".replace("%", " %") + ("" if complete else f" after {measured} of {epochs} epochs")
    times = [_seconds(seconds) if seconds else later for seconds in row["seconds_to"].values()]
    totals = [about + _seconds(seconds) for seconds in (training, row["seconds_before_training"] + training)]
    return [f"{row['parameters']:,}", *times, final, *totals]


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s"


def draw(result: dict[str, Any]) -> "Figure":
    """Test accuracy against seconds of training, this project's recipes in blue."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from mnist_digits.evaluation.figures import STYLE, WIDTH

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        axes = figure.subplots()
        markers = iter("sD^v")
        for row in (row for row in result["rows"].values() if "not_measured" not in row):
            _draw_curve(axes, row, "o" if row["own"] else next(markers))
        _scale_axes(axes)
    return figure


def _draw_curve(axes: "Axes", row: dict[str, Any], marker: str) -> None:
    """One peer's share of errors by second, its name at the end."""
    from mnist_digits.evaluation.figures import BLUE, QUIET, TEXT

    seconds, errors = row["seconds_after_epoch"], 1 - np.array(row["test_accuracy_after_epoch"])
    # Dashes and markers tell the curves apart without colour; where there are many, they would hide the line.
    style = {"marker": marker if len(seconds) <= 30 else "", "color": BLUE if row["own"] else QUIET}
    style |= {"linewidth": 2.5, "zorder": 3} if row["own"] else {"linewidth": 1.2, "linestyle": "--"}
    axes.plot(seconds, errors, **style)
    words = {"color": BLUE, "weight": "bold"} if row["own"] else {"color": TEXT}
    # A lone point may lie in the way of a curve: its name goes below.
    place = {"xytext": (7, 0), "va": "center"} if len(seconds) > 1 else {"xytext": (0, -7), "va": "top", "ha": "center"}
    complete = row["epochs_measured"] == row["epochs"]
    name = row["title"].strip("`") + ("" if complete else f",\n{row['epochs_measured']} of {row['epochs']} epochs")
    axes.annotate(name, (seconds[-1], errors[-1]), textcoords="offset points", **place, **words)


def _scale_axes(axes: "Axes") -> None:
    """Seconds to the right and accuracy upwards, both so that a doubling or halving is the same step everywhere."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator

    axes.set(xscale="log", yscale="log", xlabel="seconds of training", title="Accuracy on the test images")
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_locator(FixedLocator([1 - accuracy for accuracy in (0.5, 0.8, 0.9, 0.95, *TARGETS, 0.998)]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 * (1 - error):.4g} %"))
    axes.minorticks_off()
    axes.grid()
    # Room for the names at the ends of the curves.
    left, right = axes.get_xlim()
    axes.set_xlim(left, right * (right / left) ** 0.35)


def show(result: dict[str, Any], picture: Path) -> None:
    """Draw the picture, print the table."""
    with atomic_write(picture) as temporary:
        draw(result).savefig(temporary)
    print(as_table(result))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, write, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PEERS, metavar="PEER", help=f"some of {', '.join(PEERS)}")
    parser.add_argument("--table", action="store_true", help="measure nothing, draw and print what was measured")
    parser.add_argument("--tiny", action="store_true", help="one epoch of each")
    parser.add_argument("--data", type=Path, help="a folder with four IDX files instead of MNIST")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    parser.add_argument("--race", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.tiny and (options.data is None or options.output == RESULTS) and not options.race:
        parser.error("--tiny measures nothing worth keeping: name a small set with --data and another --output")
    if options.race:
        print(json.dumps(race(options.race, options.data, options.tiny)))
        return
    result = read_json(options.output) if options.table else run(options)
    show(result, PICTURE if options.output == RESULTS else options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
