"""Accuracy against seconds: this project's recipes and what others commonly train on MNIST, each in its own process.

    python -m benchmarks.peers                  # writes results/peers.json and the picture, prints the table
    python -m benchmarks.peers --only svm mlp   # measures these anew, keeps the other rows
    python -m benchmarks.peers --table          # measures nothing: draws and prints what was measured
    python -m benchmarks.peers --tiny --data FOLDER --output FILE    # one epoch of each on a small set, for the tests

The test accuracy is computed after every epoch with the clock stopped; nothing is chosen by it. The recipes hold back
5,000 validation images, and Keras's example 6,000; the others train on all 60,000, the SVM on 10,000.
"""

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import harness
from benchmarks.harness import Benchmark, Stopwatch, as_percent
from benchmarks.peers.contenders import PEERS
from mnist_digits.dataset import load_mnist
from mnist_digits.files import read_json
from mnist_digits.training import backend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RESULTS = harness.RESULTS / "peers.json"
TARGETS = (0.97, 0.99, 0.995)
"""Test accuracies; the results have the seconds until each is reached."""
MAX_POINTS_WITH_MARKERS = 30
"""A curve of more epochs has no markers, which would hide its line."""


def race(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train one peer in this process, which `Benchmark.run_part` started; returns its row of the results."""
    peer = PEERS[name]
    measured = 1 if options.tiny else peer.measured or peer.epochs
    data = load_mnist(options.data)
    if peer.package == "keras":
        backend.start_keras()
    else:
        importlib.import_module(peer.package)
    before_training = harness.seconds_since_start()
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


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure the peers one by one."""
    environment = harness.describe_environment("torch")
    rows = read_json(options.output)["rows"] if options.only and options.output.exists() else {}
    for name in options.only or PEERS:
        title, package = PEERS[name].title, PEERS[name].package
        if importlib.util.find_spec(package) is None:
            missing = f"{package} is not installed; pip install '.[peers]', then measure it with --only {name}"
            print(f"{title}: {missing}", file=sys.stderr)
            rows[name] = {"title": title, "not_measured": f"{package} is not installed"}
        else:
            rows[name] = BENCHMARK.run_part(name, options)
            seconds, accuracy = (rows[name][f"{key}_after_epoch"][-1] for key in ("seconds", "test_accuracy"))
            print(f"{title}: {seconds:.1f} s, {accuracy:.2%}", file=sys.stderr)
        yield {"environment": environment, "rows": {known: rows[known] for known in PEERS if known in rows}}


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    targets = [f"to {100 * target:g} %" for target in TARGETS]
    header = ["trained on MNIST", "parameters", *targets, "in the end", "training", "whole process"]
    unknown = ["not measured", *[""] * (len(header) - 2)]
    rows = result["rows"].values()
    cells = ([row["title"], *(unknown if "not_measured" in row else _describe(row))] for row in rows)
    return harness.as_markdown(header, cells)


def _describe(row: dict[str, Any]) -> list[str]:
    """The cells of a measured peer after its title; times of epochs that were not measured are marked as estimates."""
    measured, epochs = row["epochs_measured"], row["epochs"]
    trained, accuracy = row["seconds_after_epoch"][-1], row["test_accuracy_after_epoch"][-1]
    complete = measured == epochs
    about, later = ("", "–") if complete else ("≈ ", f"> {_seconds(trained)}")
    training = trained * epochs / measured
    final = as_percent(accuracy, 2) + ("" if complete else f" after {measured} of {epochs} epochs")
    times = [_seconds(seconds) if seconds else later for seconds in row["seconds_to"].values()]
    totals = [about + _seconds(seconds) for seconds in (training, row["seconds_before_training"] + training)]
    return [f"{row['parameters']:,}", *times, final, *totals]


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s"


def draw(result: dict[str, Any]) -> "Figure":
    """Test accuracy against seconds of training, this project's recipes in blue."""
    with harness.new_figure(4.4) as (figure, axes):
        markers = iter("sD^v")
        for row in (row for row in result["rows"].values() if "not_measured" not in row):
            _draw_curve(axes, row, "o" if row["own"] else next(markers))
        _scale_axes(axes)
    return figure


def _draw_curve(axes: "Axes", row: dict[str, Any], marker: str) -> None:
    """One peer's share of errors by second, its name at the end."""
    from mnist_digits.evaluation.figures import BLUE, QUIET, TEXT

    seconds, errors = row["seconds_after_epoch"], 1 - np.array(row["test_accuracy_after_epoch"])
    # Dashes and markers tell the curves apart without colour.
    style: dict[str, Any] = {
        "marker": marker if len(seconds) <= MAX_POINTS_WITH_MARKERS else "",
        "color": BLUE if row["own"] else QUIET,
    }
    style |= {"linewidth": 2.5, "zorder": 3} if row["own"] else {"linewidth": 1.2, "linestyle": "--"}
    axes.plot(seconds, errors, **style)
    words: dict[str, Any] = {"color": BLUE, "weight": "bold"} if row["own"] else {"color": TEXT}
    # Beside a lone point, the name could lie on another curve.
    place: dict[str, Any] = {"xytext": (7, 0), "va": "center"}
    if len(seconds) == 1:
        place = {"xytext": (0, -7), "va": "top", "ha": "center"}
    complete = row["epochs_measured"] == row["epochs"]
    name = row["title"].strip("`") + ("" if complete else f",\n{row['epochs_measured']} of {row['epochs']} epochs")
    axes.annotate(name, (seconds[-1], errors[-1]), textcoords="offset points", **place, **words)


def _scale_axes(axes: "Axes") -> None:
    """Seconds to the right and accuracy upwards: seconds and errors on logarithmic scales."""
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


BENCHMARK = Benchmark(
    RESULTS,
    __doc__,
    run,
    as_table,
    needs_small_set=True,
    only=PEERS,
    draw=draw,
    picture="peers.png",
    parts=PEERS,
    measure_part=race,
)
