"""The exceptions for what a user can mend. Each is one line: what was found, what was expected, what to do.

    DigitsError             exit status
      ├── UsageError        2: a command or function was asked for something that it does not offer
      ├── DataError         3: a file or folder is missing, damaged, of another kind, or cannot be written
      └── QualityError      4: a required quality was not met

Functions that take arrays raise ValueError for a wrong shape, dtype or range. Any other exception is a bug.
"""


def printable(text: object) -> str:
    r"""A text, or the name of a path, with every unprintable character escaped, such as `\x1b`.

    File names and messages of decoders may contain line feeds, control sequences of a terminal, marks that reverse
    the direction of writing, and bytes that are not UTF-8.
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))


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
