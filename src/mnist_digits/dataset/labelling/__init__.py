"""Labels that people give to the pictures of a folder: kept in the folder, read as a data set, exported."""

from mnist_digits.dataset.labelling.digits import holds_labels, labelled_digits
from mnist_digits.dataset.labelling.export import KINDS, Kind, export, kind_of
from mnist_digits.dataset.labelling.journal import (
    DELETED,
    JOURNAL,
    NO_DIGIT,
    SKIPPED,
    Answer,
    Journal,
    is_digit,
)

__all__ = [
    "DELETED",
    "JOURNAL",
    "KINDS",
    "NO_DIGIT",
    "SKIPPED",
    "Answer",
    "Journal",
    "Kind",
    "export",
    "holds_labels",
    "is_digit",
    "kind_of",
    "labelled_digits",
]
