"""The Typer application, and `main`, which turns errors into a line on stderr and an exit status."""

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from mnist_digits import __version__
from mnist_digits.cli.output import messages, results
from mnist_digits.errors import DigitsError, UsageError

EXTRAS = {"optuna": "tune", "psycopg": "tune", "sqlalchemy": "tune", "pyarrow": "cluster", "ray": "cluster"}
"""Missing module → the extra that installs it; all other modules come with `train`."""

app = typer.Typer(
    help="Train a digit classifier in seconds, see how well and why it works, and read real handwriting with it.",
    epilog="Start with: digits train dense",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def digits(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train a digit classifier in seconds, see how well and why it works, and read real handwriting with it."""
    if version:
        results.print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command. A DigitsError or a missing extra becomes one line on stderr.

    Exit status: 0 done, 1 a bug (with its traceback), 2 wrong usage, 3 bad or missing input, 4 a required quality was
    not met, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal's encoding may lack characters of a file's name.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Accepted anywhere, because users append it to a command that has just failed.
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except DigitsError as error:
        if debug:
            raise
        messages.print(f"digits: {error}", markup=False)
        sys.exit(error.exit_status)
    except ModuleNotFoundError as error:
        if debug or (error.name or "").startswith("mnist_digits"):
            raise
        missing = (error.name or "").split(".")[0]
        extra = EXTRAS.get(missing, "train")
        messages.print(f"digits: {missing} is not installed; pip install 'mnist-digits[{extra}]'", markup=False)
        sys.exit(UsageError.exit_status)
