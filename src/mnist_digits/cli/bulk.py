"""What `digits read` does with --output: any number of pictures, by many processes, into a table."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_digits.cli.options import show
from mnist_digits.cli.output import messages, results
from mnist_digits.errors import UsageError

if TYPE_CHECKING:
    from mnist_digits.recognition.bulk import Output

SECONDS_A_LINE = 30
"""Between messages where there is no terminal."""

INTERRUPTED = 130
"""Exit status."""


class Mode(StrEnum):
    """What is looked for in each picture."""

    read = "read"
    predict = "predict"


_PANEL = "Millions of pictures"

OutputFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="NAME.parquet", rich_help_panel=_PANEL, help="Write a table: a folder of Parquet files, resumable."
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        rich_help_panel=_PANEL,
        help="Work on a Ray cluster: auto, host:port or ray://host:port. \\[default: this machine's cores]",
    ),
]
PictureMode = Annotated[
    Mode | None,
    typer.Option("--mode", rich_help_panel=_PANEL, help="Pages to read, or one digit each. \\[default: read]"),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=_PANEL, help="Processes. \\[default: one for each core]"),
]
PicturesPerFile = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", rich_help_panel=_PANEL, help="Rows of each file. \\[default: 100, with --mode predict 1000]"
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=_PANEL, help="Replace the table that is there, instead.")
]


@dataclass(frozen=True)
class Bulk:
    """The options of this kind."""

    output: Path | None
    cluster: str | None
    mode: Mode | None
    workers: int | None
    pictures_per_file: int | None
    overwrite: bool

    def wanted(self, others: dict[str, Any]) -> bool:
        """Whether there is an --output.

        others: the command's other options, which make no sense with it, by name. Raises UsageError for one
        that makes none here.
        """
        if self.output:
            for name in (name for name, given in others.items() if given):
                raise UsageError(f"{name} with --output: one is for a few pictures, the other for many; leave one out")
            return True
        for name, given in asdict(self).items():
            if given:
                raise UsageError(f"--{name.replace('_', '-')} goes with --output NAME.parquet; add it")
        return False

    def read(self, names: list[str], model: Path | None, recursive: bool, as_json: bool) -> None:
        """Begin the table or continue it, to its end; print what is in it."""
        from mnist_digits.recognition.bulk import check_address, read_here, read_on_cluster

        if self.cluster:
            check_address(self.cluster)
        output = self._prepare(names, model, recursive)
        workers = self.workers or _cores()
        before = output.done()
        try:
            with _progress(output.pictures, before) as on_progress:
                if before == output.pictures:
                    messages.print(f"{output.folder} is finished; --overwrite reads it anew", markup=False)
                elif self.cluster:
                    # Ray writes what befalls its machines to stdout, where results go.
                    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
                        read_on_cluster(output, self.cluster, self.workers, on_progress)
                else:
                    read_here(output, workers, on_progress)
        except KeyboardInterrupt:
            messages.print(
                f"interrupted: {output.done():,} of {output.pictures:,} pictures are in {output.folder}; "
                "the same command continues",
                markup=False,
            )
            raise typer.Exit(INTERRUPTED) from None
        summary = {"output": str(output.folder), **asdict(output.summary())}
        show(summary, _print_summary, as_json)

    def _prepare(self, names: list[str], model: Path | None, recursive: bool) -> "Output":
        """The table to fill: what was begun by the same command, or a new one."""
        from mnist_digits.recognition.bulk import Output, Settings, list_pictures

        assert self.output is not None
        settings = Settings.of(
            self.mode.value if self.mode else "read", names, recursive, self.pictures_per_file, model
        )
        begun = None if self.overwrite else Output.resume(self.output, settings)
        return begun or Output.create(self.output, settings, list_pictures(names, recursive), model)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _print_summary(summary: dict[str, Any]) -> None:
    unreadable = f", {summary['unreadable']:,} of them unreadable" if summary["unreadable"] else ""
    results.print(f"{summary['output']}: {summary['pictures']:,} pictures{unreadable}", markup=False)


@contextmanager
def _progress(pictures: int, before: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line now and then elsewhere; both on stderr."""
    if not messages.is_terminal:
        yield _lines(pictures, before)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    start = time.monotonic()
    columns = (MofNCompleteColumn(), BarColumn(bar_width=20), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=messages) as bar:
        task = bar.add_task("starting", total=pictures, completed=before)
        yield lambda done: bar.update(task, completed=done, description=_rate(done - before, start))


def _lines(pictures: int, before: int) -> Callable[[int], None]:
    start = said = time.monotonic()

    def say(done: int) -> None:
        nonlocal said
        if time.monotonic() - said > SECONDS_A_LINE:
            said = time.monotonic()
            messages.print(f"{done:,} of {pictures:,} pictures, {_rate(done - before, start)}")

    return say


def _rate(pictures: int, start: float) -> str:
    return f"{pictures / max(time.monotonic() - start, 1e-9):,.1f} a second"
