"""The Typer application, and `main`, which turns errors into a line on stderr and an exit status."""

import errno
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from mnist_digits import __version__
from mnist_digits.cli.output import messages, results
from mnist_digits.errors import DataError, DigitsError, UsageError, install_command, printable

EXTRAS = {"optuna": "tune", "psycopg": "tune", "sqlalchemy": "tune", "pyarrow": "cluster", "ray": "cluster"}
"""Missing module → the extra that installs it; all other modules come with `train`."""

SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a command."""

END_AGAIN_S = 0.01
"""Time after which an end that was swallowed is tried again."""


class Commands(TyperGroup):
    """The subcommands. Errors in a command line, which may come from a pattern of file names, are safe to print."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """As Typer's, which reads what comes before the subcommand."""
        with _printable_mistakes():
            return super().make_context(*arguments, **options)

    def invoke(self, *arguments: Any, **options: Any) -> Any:
        """As Typer's, which reads the subcommand's part and runs it."""
        with _printable_mistakes():
            return super().invoke(*arguments, **options)


class Command(TyperCommand):
    """A subcommand, in whose help each example is a line of its own that can be copied, whatever the width."""

    def format_help(self, *arguments: Any) -> None:
        """As Typer's, which would fill lines with what is in the epilog."""
        examples, self.epilog = self.epilog or "", None
        super().format_help(*arguments)
        self.epilog = examples
        results.print(f" Examples:\n{textwrap.indent(examples, '   ')}\n", markup=False)


def command(*examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a function a subcommand of `digits`. examples: command lines, for its help."""
    return app.command(cls=Command, epilog="\n".join(examples))


@contextmanager
def _printable_mistakes() -> Iterator[None]:
    """Replace control characters in what Typer finds wrong with a command line."""
    try:
        yield
    except typer.TyperException as mistake:
        if hasattr(mistake, "message"):
            mistake.message = "\n".join(map(printable, mistake.message.split("\n")))
        raise


app = typer.Typer(
    cls=Commands,
    help="Train a digit classifier in seconds, see how well and why it works, and read real handwriting with it.",
    epilog="Start with: digits train dense",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
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

    Exit status: 0 done, 1 a bug (with its traceback), 2 wrong usage, 3 bad or missing input, or no room for the
    results, 4 a required quality was not met; ended by a signal, 128 and its number: 130 interrupted, 141 closed pipe.
    """
    _open_streams()
    _exit_on_signals()
    for stream in (sys.stdout, sys.stderr):
        # A terminal's encoding may lack characters of a file's name.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Accepted anywhere, because users append it to a command that has just failed.
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        # By this name the shell asks for completions, also of `python -m mnist_digits`.
        app(prog_name="digits")
    except DigitsError as error:
        if debug:
            raise
        messages.print(f"digits: {error}", markup=False)
        sys.exit(error.exit_status)
    except SystemExit as exit_:
        # Typer ends so when whoever reads the results, such as `head`, wants no more of them.
        if isinstance(exit_.__context__, BrokenPipeError):
            sys.exit(SIGNALLED + 13)
        raise
    except OSError as error:
        if debug or not _is_of_stdout(error):
            raise
        _give_up_stdout(error)
    except ModuleNotFoundError as error:
        if debug or (error.name or "").startswith("mnist_digits"):
            raise
        missing = (error.name or "").split(".")[0]
        extra = EXTRAS.get(missing, "train")
        messages.print(f"digits: {missing} is not installed; {install_command(extra)}", markup=False)
        sys.exit(UsageError.exit_status)


def _is_of_stdout(error: OSError) -> bool:
    """Whether results could not be written to stdout: errors of files have the file's name with them."""
    return not error.filename and error.errno in (errno.ENOSPC, errno.EIO, errno.EFBIG)


def _give_up_stdout(error: OSError) -> NoReturn:
    """Say what is wrong with stdout, and exit."""
    with suppress(OSError):
        messages.print(f"digits: standard output: {error.strerror}; expected room for the results")
    # What could not be written would be tried once more at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(DataError.exit_status)


def _open_streams() -> None:
    """Lead closed standard streams nowhere, lest the next file to be opened takes the place of one."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # It gets the lowest number that is free, which is the closed stream's.
            descriptor = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(descriptor, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115, PTH123


def _exit_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        # Windows has no SIGHUP, and nohup ignores it.
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda got, _: sys.exit(SIGNALLED + got))
    # Windows has no alarm.
    if hasattr(signal, "setitimer") and not isinstance(sys.unraisablehook, _EndAgain):
        sys.unraisablehook = _EndAgain(sys.unraisablehook)


@dataclass(frozen=True)
class _EndAgain:
    """Ends the command a moment later, where Python has dropped the exception that should have ended it.

    It drops all that is raised while it removes an object: a signal may come just then.
    """

    otherwise: Callable[[Any], Any]
    """What is done with any other exception that is dropped."""

    def __call__(self, dropped: Any) -> None:
        ended = dropped.exc_value
        here = threading.current_thread() is threading.main_thread()
        if not (here and isinstance(ended, (KeyboardInterrupt, SystemExit))):
            self.otherwise(dropped)
            return

        def end(*_: object) -> NoReturn:
            raise type(ended)(*ended.args)

        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, END_AGAIN_S)
