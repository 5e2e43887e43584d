"""What can go wrong for a reason the user can mend: one line each, and an exit status."""


class DigitsError(Exception):
    """One line that says what was found, what was expected and what to do."""

    exit_status = 1


class UsageError(DigitsError):
    """The command or a recipe was asked for something it does not offer."""

    exit_status = 2


class DataError(DigitsError):
    """A file or folder is missing, damaged, of another kind, or cannot be written."""

    exit_status = 3


class QualityError(DigitsError):
    """A quality that was required has not been met."""

    exit_status = 4
