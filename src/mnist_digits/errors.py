"""The exceptions for what a user can mend. Each is one line: what was found, what was expected, what to do.

    DigitsError             exit status
      ├── UsageError        2: a command or function was asked for something that it does not offer
      ├── DataError         3: a file or folder is missing, damaged, of another kind, or cannot be written
      └── QualityError      4: a required quality was not met

Functions that take arrays raise ValueError for a wrong shape, dtype or range. Any other exception is a bug.
"""

from collections.abc import Iterable


def printable(text: object) -> str:
    r"""A text, or the name of a path, with every unprintable character escaped, such as `\x1b`.

    File names and messages of decoders may contain line feeds, control sequences of a terminal, marks that reverse
    the direction of writing, and bytes that are not UTF-8.
    """
    shown = str(text)
    # Nearly always, and then at once, which counts for the pictures in a report.
    if shown.isprintable():
        return shown
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in shown)


def install_command(extra: str) -> str:
    """The shell command that adds an extra to this installation, whether of a folder, a wheel or an index."""
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    try:
        origin = json.loads(distribution("mnist-digits").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    # PEP 610: where what was installed came from, unless that was an index.
    path = Path(unquote(urlsplit(origin.get("url", "")).path))
    if "dir_info" in origin:
        folder = "." if path == Path.cwd() else path
        return f"pip install {'-e ' * bool(origin['dir_info'].get('editable'))}'{folder}[{extra}]'"
    return f"pip install 'mnist-digits[{extra}]{' @ ' + origin['url'] if origin else ''}'"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean dense?` where one of the known names is much like this one; else nothing."""
    import difflib

    close = difflib.get_close_matches(name, list(known), 1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""


class DigitsError(Exception):
    """Base class of all errors that a user can mend; `exit_status` is that of the command `digits`."""

    exit_status = 1

    def __str__(self) -> str:
        """The message as one line that is safe to print."""
        return printable(super().__str__())


class UsageError(DigitsError):
    """A command or function was asked for something that it does not offer, or an extra is not installed."""

    exit_status = 2


class DataError(DigitsError):
    """A file or folder is missing, damaged, of another kind, or cannot be written."""

    exit_status = 3


class QualityError(DigitsError):
    """A required quality, such as an accuracy, was not met."""

    exit_status = 4
