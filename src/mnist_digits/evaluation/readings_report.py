"""Writes one page about what was read in pictures or on pages, with the worst ones as pictures."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.evaluation import figures
from mnist_digits.evaluation.metrics import confused_pairs
from mnist_digits.evaluation.readings import NONE_READ, NONE_WRITTEN, PictureScores, Score
from mnist_digits.evaluation.rendering import render
from mnist_digits.evaluation.report import FIGURE_DPI
from mnist_digits.files import write_text


@dataclass(frozen=True, eq=False)
class Example:
    """A picture that was read wrongly."""

    name: str
    png: bytes
    """It, small, as the content of a PNG file."""
    truth: str
    read: str
    """What was read, or why nothing was."""
    confidence: float | None
    """0 to 1; None for a page."""


def write_pictures_report(
    path: Path, scores: PictureScores, examples: Sequence[Example], facts: Mapping[str, Any], unreadable: int = 0
) -> None:
    """Write the page about pictures of one digit each.

    examples: the worst first. facts: name → value, such as the model and the folder. unreadable: files that are no
    pictures. Raises DataError when the page cannot be written.
    """
    confusion = scores.confusion.copy()
    text = render(
        "readings.html.jinja",
        title="pictures",
        accuracy=scores.accuracy,
        interval=scores.interval95,
        count=scores.count,
        unit="picture",
        numbers={"misread": scores.misread, "no digit found": scores.declined, "unreadable files": unreadable},
        pairs=confused_pairs(confusion[:, :NONE_READ]),
        confusion=_data_url(_png(confusion)),
        groups=[
            (name, part.count, part.accuracy, part.interval95, (part.misread, part.declined))
            for name, part in sorted(scores.groups.items(), key=lambda item: item[1].accuracy)
        ],
        group_columns=("pictures", "read correctly", "95 % interval", "misread", "no digit found"),
        examples=[(one, _data_url(one.png)) for one in examples],
        facts=facts,
    )
    write_text(path, text)


def write_pages_report(
    path: Path,
    total: Score,
    interval: tuple[float, float],
    confusion: NDArray[np.int64],
    groups: Mapping[str, Score],
    examples: Sequence[Example],
    facts: Mapping[str, Any],
) -> None:
    """Write the page about pages.

    confusion: of all pages, as `confuse_page` returns it. groups: the scores of each folder. Others as for
    `write_pictures_report`.
    """
    text = render(
        "readings.html.jinja",
        title="pages",
        accuracy=total.accuracy,
        interval=interval,
        count=total.digits,
        unit="digit",
        numbers={
            "misread digits": total.mistaken,
            "missed digits": total.missed,
            "digits read where none is": total.invented,
            f"of {total.rows:,} lines exact": total.exact,
        },
        pairs=confused_pairs(confusion[:NONE_WRITTEN, :NONE_READ]),
        confusion=_data_url(_png(confusion)),
        groups=[
            (name, part.digits, part.accuracy, None, (part.mistaken, part.missed, part.invented))
            for name, part in sorted(groups.items(), key=lambda item: item[1].accuracy)
        ],
        group_columns=("digits", "read correctly", "", "misread", "missed", "read where none is"),
        examples=[(one, _data_url(one.png)) for one in examples],
        facts=facts,
    )
    write_text(path, text)


def _png(confusion: NDArray[np.int64]) -> bytes:
    figure = figures.confusion_heatmap(confusion)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=FIGURE_DPI / 2, metadata={"Software": None})
    return file.getvalue()


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
