"""`digits label`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mnist_digits.cli.app import command
from mnist_digits.cli.options import Model, onnx_of
from mnist_digits.cli.output import results
from mnist_digits.cli.own.data import say_found
from mnist_digits.errors import UsageError, printable

HOST = "127.0.0.1"
"""Only this machine reaches the page: whoever does may change the labels."""


@command(
    "digits label mine/ --open",
    "digits label mine/ --export mine-digits",
    "digits label mine/ --export mine.parquet",
)
def label(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures and pages, also in the folders below.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of the page; 0 takes any that is free.")
    ] = 0,
    model: Model = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    export: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write the labelled digits there instead, for others to use.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="folder|idx|parquet",
            help="Of the export. \\[default: parquet if OUT ends so, else a folder of pictures by class]",
        ),
    ] = None,
) -> None:
    """Say what stands in your pictures, in the browser: the reader's answers are there already.

    One key confirms or corrects a digit, the doubtful ones first. Each answer is saved
    at once in FOLDER/labels.jsonl; the pictures are never changed, and the next call
    goes on where this one ended. `digits teach`, `evaluate --pictures` and
    `train --data` take the FOLDER as it is.
    """
    if export:
        _export(folder, export, format_)
        return
    if format_:
        raise UsageError("--format without --export: name where to write with --export OUT")
    from mnist_digits.cli.serve import LOOPBACK_NAMES, open_page
    from mnist_digits.serving import Settings, server

    settings = Settings(host_names=LOOPBACK_NAMES, label=folder)
    with server.listen(HOST, port) as listener:
        address = f"http://{HOST}:{listener.getsockname()[1]}/#label"

        def announce() -> None:
            results.print(f"{address}  (Ctrl-C ends it)", markup=False)
            sys.stdout.flush()
            if open_:
                open_page(address)

        server.serve(server.Service(onnx_of(model), settings), listener, 1, announce)


def _export(folder: Path, out: Path, format_: str | None) -> None:
    from mnist_digits.dataset.labelling import export, kind_of

    found = export(folder, out, kind_of(out, format_))
    say_found(folder, found)
    results.print(printable(out), markup=False)
