"""What all benchmarks share: arguments, results, tables, fresh processes, and clocks."""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset import Split
from mnist_digits.files import atomic_write, read_json, write_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
PICTURES = ROOT / "docs" / "pictures"

Result = dict[str, Any]
Predict = Callable[[NDArray[np.uint8]], NDArray[np.floating]]
"""From images, uint8 (n, 28, 28), to probabilities, float (n, 10)."""
OnEpoch = Callable[[Predict], None]
"""Called after every epoch of a training."""


@dataclass(frozen=True)
class Setting:
    """A value that decides how much is measured."""

    full: Any
    tiny: Any
    """The value in tiny mode, which only shows that the benchmark runs."""
    help: str = ""
    """Text for the command line; without one, there is no option."""


@dataclass(frozen=True)
class Benchmark:
    """A measurement with a command line of its own."""

    results: Path
    """The JSON file that a full run writes; its stem is the benchmark's name."""
    description: str
    run: Callable[[argparse.Namespace], Result | Iterator[Result]]
    """Measures everything. A long run yields its result again and again, ever more complete; each is written."""
    as_table: Callable[[Result], str]
    """The result as Markdown."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    needs_small_set: bool = False
    """Whether tiny mode needs a small dataset; adds the option --data."""
    only: Iterable[str] = ()
    """Names of rows that can be measured alone, with the option --only; the results file keeps the others."""
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    flags: Sequence[str] = ()
    """Those of the added arguments whose results, like those of --tiny, are not the benchmark's own."""
    draw: "Callable[[Result], Figure] | None" = None
    picture: str = ""
    """Name of the drawn figure's file in docs/pictures."""
    parts: Iterable[str] = ()
    """Names of what is measured in a process of its own."""
    measure_part: Callable[[str, argparse.Namespace], Any] = lambda part, options: None
    """Measures a part, in such a process; returns JSON."""
    folder: str = ""
    """Name of the package below `benchmarks` whose module it is, if it is not of `benchmarks` itself."""

    @property
    def name(self) -> str:
        """As in `python -m benchmarks.NAME`."""
        return ".".join(filter(None, (self.folder, self.results.stem)))

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Parse the arguments, measure, write, draw, print the table."""
        options = self.parse(arguments)
        if options.part:
            print(json.dumps(self.measure_part(options.part, options)))
            return
        result = read_json(options.output) if options.table else self._measure(options)
        if self.draw:
            picture = PICTURES / self.picture if options.output == self.results else options.output.with_suffix(".png")
            with atomic_write(picture) as temporary:
                self.draw(result).savefig(temporary)
        print(self.as_table(result))

    def parse(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Options and settings by name, and the `command` that a result is stored with."""
        parser = self._create_parser()
        options = parser.parse_args(arguments)
        options.output = options.output.resolve()
        flags = [f"--{name}" for name in (*self.flags, "tiny") if getattr(options, name)]
        if flags and options.output == self.results and not (options.part or options.table):
            parser.error(f"{flags[0]} measures nothing worth keeping: name another --output")
        if self.needs_small_set and options.tiny and options.data is None:
            parser.error("--tiny takes too long on all of MNIST: name a small set with --data")
        changed = [
            f"--{name} {getattr(options, name)}"
            for name, setting in self.settings.items()
            if setting.help and getattr(options, name) != setting.full
        ]
        options.command = " ".join([f"python -m benchmarks.{self.name}", *changed, *flags])
        for name, setting in self.settings.items():
            if options.tiny or not setting.help:
                setattr(options, name, setting.tiny if options.tiny else setting.full)
        return options

    def _create_parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{self.name}",
            description=self.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name, setting in self.settings.items():
            if setting.help:
                described = f"{setting.help} (default: {setting.full})"
                parser.add_argument(f"--{name}", type=type(setting.full), default=setting.full, help=described)
        if self.only:
            parser.add_argument("--only", nargs="+", choices=self.only, metavar="NAME", help=", ".join(self.only))
        self.add_arguments(parser)
        if self.needs_small_set:
            parser.add_argument("--data", type=Path, help="a folder with four IDX files instead of MNIST")
        parser.add_argument("--table", action="store_true", help="measure nothing, print what was measured")
        parser.add_argument("--tiny", action="store_true", help="as little as shows that it runs, for the tests")
        parser.add_argument("--output", type=Path, default=self.results, help="the JSON file to write")
        parser.add_argument("--part", choices=list(self.parts), help=argparse.SUPPRESS)
        return parser

    def _measure(self, options: argparse.Namespace) -> Result:
        measured = self.run(options)
        result: Result = {}
        for result in [measured] if isinstance(measured, dict) else measured:
            write_json(options.output, {"command": options.command} | result)
        return result

    def run_part(self, part: str, options: argparse.Namespace, **environment: str) -> Any:
        """`measure_part` in a fresh process, so that imports and compilation count; with these variables set."""
        arguments = [f"--{name}={getattr(options, name)}" for name, one in self.settings.items() if one.help]
        if getattr(options, "data", None):
            arguments.append(f"--data={options.data}")
        if options.tiny:
            arguments.append("--tiny")
        variables = {**os.environ, "PYTHONPATH": _python_path(), "STARTED": repr(time.time()), **environment}
        command = [sys.executable, "-m", f"benchmarks.{self.name}", "--part", part, *arguments]
        return json.loads(subprocess.check_output(command, env=variables))


def _python_path() -> str:
    """Where a fresh process finds this package, whatever its working folder."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def seconds_since_start() -> float:
    """Seconds since `Benchmark.run_part` started this process."""
    return time.time() - float(os.environ["STARTED"])


def describe_environment(*distributions: str) -> dict[str, Any]:
    """Versions, processor and devices, as JSON, with the versions of further installed distributions; starts Keras."""
    from mnist_digits.training import backend

    backend.start_keras()
    environment = backend.describe_environment()
    environment["versions"] |= backend.installed_versions(distributions)
    return environment


def measure_seconds(work: Callable[[], Any]) -> float:
    """Seconds of wall time that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Stopwatch:
    """Seconds of each epoch of a training; stands still while the test accuracy after an epoch is computed."""

    def __init__(self, test: Split | None = None) -> None:
        self.seconds: list[float] = []
        self.accuracies: list[float] = []
        self.paused = 0.0
        self._test = test
        self._start = time.perf_counter()

    def __call__(self, predict: Predict) -> None:
        """An epoch has ended."""
        stopped = time.perf_counter()
        self.seconds.append(stopped - self._start)
        if self._test is not None:
            self.accuracies.append(float((predict(self._test.images).argmax(1) == self._test.labels).mean()))
        self._start = time.perf_counter()
        self.paused += self._start - stopped


@contextmanager
def run_service(*options: str, log: IO[str] | None = None, **environment: str) -> Iterator[tuple[int, str]]:
    """`digits serve` on a free port: its process id and its address; it ends with the context.

    log: takes the service's stderr. environment: further variables.
    """
    command = [sys.executable, "-m", "mnist_digits", "serve", "--port", "0", *options]
    variables = {**os.environ, **environment}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        try:
            yield process.pid, found[0]
        finally:
            process.terminate()
            process.wait(60)


def as_markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right of each cell but the first of a row."""
    lines = [_as_row(header), "|---|" + "---:|" * (len(header) - 1), *map(_as_row, rows)]
    return "\n".join(lines)


def _as_row(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def as_percent(share: float, digits: int = 1) -> str:
    """A share as a percentage for people: `12.3 %`."""
    return f"{100 * share:.{digits}f} %"


@contextmanager
def new_figure(height: float) -> "Iterator[tuple[Figure, Axes]]":
    """An empty figure in the style of the project's reports, `height` inches high, and its axes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from mnist_digits.evaluation.figures import FIGURE_WIDTH_INCHES, STYLE

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(FIGURE_WIDTH_INCHES, height), layout="constrained")
        yield figure, figure.subplots()
