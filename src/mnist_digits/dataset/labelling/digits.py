"""The labelled digits of a folder, each as a picture of its own, cut out of its page where it stands on one."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset.labelling.journal import JOURNAL, NO_DIGIT, SKIPPED, Answer, Box, Journal, is_digit
from mnist_digits.dataset.pictures import Found, LabelledPicture
from mnist_digits.errors import DataError

MARGIN = 0.15
"""Paper around a digit that is cut out of its page, as a share of the longer side of its box."""

MULTIPAGE_SUFFIXES = (".tif", ".tiff")
"""Suffixes of files that may have several pages."""


def holds_labels(folder: Path) -> bool:
    """Whether somebody has labelled pictures of this folder."""
    return (folder / JOURNAL).is_file()


def labelled_digits(folder: Path, found: Found) -> Iterator[LabelledPicture]:
    """The pictures of `answered_digits` alone."""
    return (picture for picture, _ in answered_digits(folder, found))


def answered_digits(folder: Path, found: Found) -> Iterator[tuple[LabelledPicture, Answer]]:
    """The digits of a folder that have been labelled, sorted by file; those that are no digits are left out.

    The group of each is the folder that its file is in. Files that cannot be read, or are gone, are entered in `found`.
    Raises DataError as `Journal.standing`.
    """
    standing = Journal(folder).standing()
    digits = sorted((one for one in standing if is_digit(one.label)), key=lambda one: (one.file, one.page))
    found.what = f"{len(digits):,} labelled digits in {len({one.file for one in digits}):,} pictures"
    others = Counter(one.label for one in standing)
    for label, words in ((NO_DIGIT, "marked as no digit"), (SKIPPED, "skipped")):
        if others[label]:
            found.notes.append(f"{others[label]:,} {words} were left out")
    for file, answers in groupby(digits, key=lambda one: one.file):
        try:
            yield from _of_file(folder / file, list(answers))
        except DataError as error:
            found.unreadable.append(str(error))


def _of_file(path: Path, answers: list[Answer]) -> Iterator[tuple[LabelledPicture, Answer]]:
    from mnist_digits.recognition.preprocessing.documents import read_pages

    group = path.parent.name if "/" in answers[0].file else ""
    if path.suffix.lower() not in MULTIPAGE_SUFFIXES and all(one.box is None for one in answers):
        if not path.is_file():
            raise DataError(f"{path}: no such file any more")
        for one in answers:
            # Whoever wants the pixels opens the file: it may be one of a million.
            yield LabelledPicture(path, _value(one), str(path), group), one
        return
    wanted = {one.page for one in answers}
    for page, pixels in enumerate(read_pages(path), 1):
        for one in answers:
            if one.page == page:
                digit = cut_out(pixels, one.box, one.turns)
                yield LabelledPicture(digit, _value(one), _name(path, one), group), one
        if page >= max(wanted):
            break


def _value(answer: Answer) -> int:
    assert isinstance(answer.label, int)
    return answer.label


def _name(path: Path, answer: Answer) -> str:
    """For people: the file, and where in it."""
    page = f", page {answer.page}" if answer.page > 1 else ""
    return f"{path}{page}" + (f" at {answer.box[0]},{answer.box[1]}" if answer.box else "")


def cut_out(pixels: NDArray[np.uint8], box: Box | None, turns: int = 0) -> NDArray[np.uint8]:
    """A part of a picture with some paper around it, or all of it without a box, turned as often to the left.

    pixels: uint8 (h, w) or (h, w, 3). A box that lies outside of the picture gives its nearest pixel.
    """
    if box is not None:
        x, y, width, height = box
        margin = round(MARGIN * max(width, height))
        bottom, right = pixels.shape[0], pixels.shape[1]
        top, left = (min(max(0, place - margin), end - 1) for place, end in ((y, bottom), (x, right)))
        pixels = pixels[top : max(top + 1, y + height + margin), left : max(left + 1, x + width + margin)]
    return np.ascontiguousarray(np.rot90(pixels, turns))
