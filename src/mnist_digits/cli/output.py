"""Text output: results on stdout; messages and progress on stderr."""

import logging
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mnist_digits.errors import printable
from mnist_digits.runs import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnist_digits.recognition import Page, Prediction
    from mnist_digits.training.train import Announce, Progress


class SafeConsole(Console):
    """A console that replaces control characters in text, such as those of a file's name."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As Rich prints, line by line."""
        safe = ["\n".join(map(printable, one.split("\n"))) if isinstance(one, str) else one for one in objects]
        super().print(*safe, **options)


results = SafeConsole(highlight=False, soft_wrap=True)
messages = SafeConsole(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show the package's warnings, a line each; otherwise they are for whoever sets up logging."""
    handler = _Warnings(logging.WARNING)
    logger = logging.getLogger("mnist_digits")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Warnings(logging.Handler):
    """Prints messages beside the progress."""

    def emit(self, record: logging.LogRecord) -> None:
        messages.print(f"digits: {record.getMessage()}", markup=False)


@contextmanager
def progress(run: Run) -> Iterator["Progress"]:
    """Show a training's progress: a bar on a terminal, a line per epoch elsewhere."""
    from mnist_digits.training import read_plan

    recipe = read_plan(run).recipe
    epochs = recipe.epochs * recipe.members
    if not messages.is_terminal:
        yield lambda epoch, row: messages.print(f"epoch {epoch}/{epochs}  {_describe_epoch(row)}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    # The line fits into 80 columns.
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=8), TextColumn("{task.description}"))
    with Bars(*columns, console=messages) as bar:
        task = bar.add_task("synthesising images" if recipe.synthetic_copies else "starting Keras", total=epochs)
        yield lambda epoch, row: bar.update(task, completed=epoch, description=_describe_epoch(row))


@contextmanager
def progress_of_runs() -> Iterator["Announce"]:
    """Show the progress of several runs, one after another, each below the name of its folder."""
    with ExitStack() as bars:

        def announce(run: Run) -> "Progress":
            bars.close()
            messages.print(str(run.folder), markup=False)
            return bars.enter_context(progress(run))

        yield announce


def _describe_epoch(row: dict[str, float]) -> str:
    return (
        f"loss {row['loss']:.4f}  accuracy {percent(row['accuracy'])}  "
        f"validation {percent(row['val_accuracy'])}  {row['seconds']:.2f} s"
    )


def print_summary(metrics: dict[str, Any]) -> None:
    """Print the summary of a run. metrics: its `metrics.json`, and its folder as `run`."""
    from mnist_digits.evaluation import confused_pairs

    test, training = metrics["test"], metrics["training"]
    pairs = ", ".join(f"{truth} read as {read} ({count}×)" for truth, read, count in confused_pairs(test["confusion"]))
    print_facts(
        {
            "test accuracy": _accuracy(test),
            "test loss": f"{test['loss']:.4f}",
            "training": f"{training['seconds']:.1f} s for {training['epochs']} epochs, "
            f"compiling {training['compile_seconds']:.1f} s",
            "worst confused": pairs or "none",
            "report": str(Run(Path(metrics["run"])).report),
            "draw for it": shlex.join(["digits", "serve", "--open", "--model", metrics["run"]]),
            **{name: tracker["where"] for name, tracker in metrics.get("trackers", {}).items()},
        }
    )


def print_spread(summary: dict[str, Any]) -> None:
    """Print the summary of several seeds. summary: their `summary.json`, and its path as `summary`."""
    spreads = {}
    for name in ("test_accuracy", "validation_accuracy"):
        mean, sd, low, high = (percent(summary[name][key]) for key in ("mean", "sd", "min", "max"))
        spreads[name.replace("_", " ")] = f"{mean} ± {sd} ({low} to {high})"
    print_facts(
        {
            **spreads,
            "seeds": str(summary["count"]),
            "training": f"{summary['seconds']['mean']:.1f} s each",
            "parameters": f"{summary['parameters']:,}",
            "summary": summary["summary"],
        }
    )


def print_models(made: dict[str, Any]) -> None:
    """Print what was made. made: as of `make_models`, and the paths in the package, if they were installed."""
    table = Table("file", "size", "figure", "time", box=None, padding=(0, 2, 0, 0))
    for row in made["models"]:
        if "test_accuracy" in row:
            figure = f"{percent(row['test_accuracy'])} on the test images"
        else:
            figure = f"loss {row['validation_loss']:.4f} on pages of validation images"
        table.add_row(row["file"], f"{row['bytes'] / 1000:,.0f} kB", figure, f"{row['seconds']:,.0f} s")
    results.print(table)
    where = made.get("installed") or [made["folder"]]
    results.print(*("\n" + printable(path) for path in where), sep="", markup=False)


def print_metrics(metrics: dict[str, Any]) -> None:
    """Print the scores of one split and of each digit. metrics: as in `Metrics.to_json`."""
    results.print(
        f"accuracy {_accuracy(metrics)}  loss {metrics['loss']:.4f}  "
        f"calibration error {metrics['calibration_error']:.4f}  images {metrics['count']:,}"
    )
    table = Table("digit", "precision", "recall", "F1", "images", box=None)
    for row in metrics["per_class"]:
        table.add_row(
            str(row["digit"]), *(f"{row[name]:.4f}" for name in ("precision", "recall", "f1")), f"{row['count']:,}"
        )
    results.print(table)


def print_facts(facts: dict[str, str]) -> None:
    """Print names and values, a line each, in two columns; values are neither wrapped nor taken for markup."""
    width = max(map(len, facts))
    for name, value in facts.items():
        results.print(f"{name:<{width}}  {printable(value)}", markup=False)


def _accuracy(metrics: dict[str, Any]) -> str:
    low, high = metrics["interval95"]
    return f"{percent(metrics['accuracy'])} (95 % interval {percent(low)} to {percent(high)})"


def percent(fraction: float) -> str:
    """A fraction in per cent, with two decimals."""
    return f"{100 * fraction:.2f} %"


def print_comparison(comparison: dict[str, Any]) -> None:
    """Print a table of runs. comparison: the rows of `compare_runs`, as `runs`."""
    rows = comparison["runs"]
    table = Table("run", "accuracy", "95 % interval", "parameters", "s", "alone", "p", box=None, padding=(0, 1, 0, 0))
    for row in rows:
        low, high = row["interval95"]
        against = row.get("against_first")
        table.add_row(
            Text(printable(row["run"]), overflow="fold"),
            percent(row["accuracy"]),
            f"{100 * low:.2f}-{percent(high)}",
            f"{row['parameters']:,}",
            f"{row['seconds']:.0f}",
            f"{against['only_first']} : {against['only_second']}" if against else "",
            f"{against['p_value']:.1g}" if against else "",
        )
    results.print(table)
    results.print("\nalone: test images that only the first run reads correctly : that only this run reads correctly")
    results.print("p: p-value of McNemar's exact test")


BAR_LENGTH = 10
"""Length of the bar of a confidence of 100 %, in characters."""


def print_prediction(file: str, prediction: "Prediction", show: bool) -> None:
    """Print a line for a picture. show: below it, draw the network's input image."""
    if prediction.reason:
        found = f"–  {prediction.reason.replace('-', ' ')}"
    else:
        found = f"{prediction.digit}  {percent(prediction.confidence):>8}  {_bar(prediction.confidence)}"
    results.print(f"{found:<{13 + BAR_LENGTH}}  {printable(file)}", markup=False, emoji=False)
    if show:
        results.print(_drawing(prediction.image), markup=False)


def print_page(file: str, page: "Page") -> None:
    """Print the file's name, and below it the text lines of the page, with uncertain digits in yellow."""
    name = printable(file) + (f", page {page.number}" if page.number > 1 else "")
    results.print(name, markup=False, emoji=False, style="dim")
    if page.reason:
        results.print(f"  –  {page.reason}", markup=False)
    for line in page.lines:
        words = [[(str(digit.digit), "yellow" * digit.uncertain) for digit in word] for word in line.words]
        results.print(Text("  ") + Text(" ").join(Text.assemble(*word) for word in words))
    if page.doubtful:
        left_out = f"{100 * page.left_out:.0f} % of what looks like writing is in no digit"
        uncertain = f"{sum(digit.uncertain for digit in page.digits)} of {len(page.digits)} digits are uncertain"
        results.print(Text(f"  ?  doubtful: {left_out}, {uncertain}", "yellow"))


def _bar(fraction: float) -> str:
    """A bar of up to BAR_LENGTH characters, to an eighth of a character."""
    whole, eighths = divmod(round(8 * BAR_LENGTH * fraction), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()


def _drawing(image: "NDArray[np.uint8]") -> str:
    """An image, uint8 (28, 28), in a frame: two rows of pixels per line, as half blocks; dark where at least 128."""
    dark = image >= 128
    cells = dark[::2] + 2 * dark[1::2]
    lines = ["".join(" ▀▄█"[cell] for cell in row) for row in cells]
    edge = "─" * len(dark)
    return "\n".join([f"┌{edge}┐", *(f"│{line}│" for line in lines), f"└{edge}┘"])
