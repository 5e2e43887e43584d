"""`digits read --output`: several processes, or a Ray cluster, read any number of pictures into a table."""

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
from mnist_digits.files import sole_use

if TYPE_CHECKING:
    from mnist_digits.recognition.bulk import Output

SECONDS_PER_MESSAGE = 30
"""Seconds between messages about the progress where there is no terminal."""

INTERRUPTED_STATUS = 130
"""Exit status after Ctrl-C."""


class Mode(StrEnum):
    """Whether a picture is a page to read, or shows one digit."""

    read = "read"
    predict = "predict"


_PANEL = "Millions of pictures"

OutputFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="NAME.parquet",
        rich_help_panel=_PANEL,
        help="Write a table: a folder of Parquet files. The same command continues it.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        rich_help_panel=_PANEL,
        help="Read on a Ray cluster: auto, host:port or ray://host:port. \\[default: this machine's cores]",
    ),
]
PictureMode = Annotated[
    Mode | None,
    typer.Option(
        "--mode",
        rich_help_panel=_PANEL,
        help="Whether the pictures are pages (read) or of one digit each (predict). \\[default: read]",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=_PANEL, help="Number of processes. \\[default: one per core]"),
]
PicturesPerFile = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        rich_help_panel=_PANEL,
        help="Number of rows in each Parquet file. \\[default: 100, with --mode predict 1000]",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", rich_help_panel=_PANEL, help="Replace an existing table.")]


@dataclass(frozen=True)
class Bulk:
    """The values of these options."""

    output: Path | None
    cluster: str | None
    mode: Mode | None
    workers: int | None
    pictures_per_file: int | None
    overwrite: bool

    def is_requested(self, others: dict[str, Any]) -> bool:
        """Whether --output is given.

        others: by name, the values of the command's options that do not go with --output. Raises UsageError for
        options that do not go together.
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
        """Begin or continue the table, finish it, and print its summary."""
        from mnist_digits.recognition.bulk import check_address

        assert self.output is not None
        if self.cluster:
            check_address(self.cluster)
        with sole_use(self.output):
            summary = self._fill(names, model, recursive)
        show(summary, _print_summary, as_json)

    def _fill(self, names: list[str], model: Path | None, recursive: bool) -> dict[str, Any]:
        """Read what is missing in the table; its summary."""
        from mnist_digits.recognition.bulk import read_here, read_on_cluster

        output = self._prepare(names, model, recursive)
        workers = self.workers or _cores()
        before = output.done()
        try:
            with _progress(output.pictures, before) as on_progress:
                if before == output.pictures:
                    messages.print(f"{output.folder} is finished; --overwrite reads it anew", markup=False)
                elif self.cluster:
                    # Ray prints messages about its machines to stdout, where results go.
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
            raise typer.Exit(INTERRUPTED_STATUS) from None
        return {"output": str(output.folder), **asdict(output.summary())}

    def _prepare(self, names: list[str], model: Path | None, recursive: bool) -> "Output":
        """The table to fill: the one that the same command has begun, or a new one."""
        from mnist_digits.recognition.bulk import Output, Settings, list_pictures

        assert self.output is not None
        settings = Settings.of(
            self.mode.value if self.mode else "read", names, recursive, self.pictures_per_file, model
        )
        begun = None if self.overwrite else Output.resume(self.output, settings)
        return begun or Output.create(self.output, settings, list_pictures(names, recursive), model)


def _cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _print_summary(summary: dict[str, Any]) -> None:
    unreadable = f", {summary['unreadable']:,} of them unreadable" if summary["unreadable"] else ""
    results.print(f"{summary['output']}: {summary['pictures']:,} pictures{unreadable}", markup=False)


@contextmanager
def _progress(pictures: int, before: int) -> Iterator[Callable[[int], None]]:
    """Show the progress: a bar on a terminal, a line every SECONDS_PER_MESSAGE elsewhere."""
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
        if time.monotonic() - said > SECONDS_PER_MESSAGE:
            said = time.monotonic()
            messages.print(f"{done:,} of {pictures:,} pictures, {_rate(done - before, start)}")

    return say


def _rate(pictures: int, start: float) -> str:
    return f"{pictures / max(time.monotonic() - start, 1e-9):,.1f} a second"
