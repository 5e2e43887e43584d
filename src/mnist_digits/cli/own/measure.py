"""`digits evaluate --pictures` and `--pages`: the whole way from a file to its digits, on labelled pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from mnist_digits.cli.output import percent, results
from mnist_digits.cli.own.data import say_found, say_progress
from mnist_digits.errors import DataError, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnist_digits.dataset import Found
    from mnist_digits.dataset.pages import LabelledPage
    from mnist_digits.dataset.pictures import LabelledPicture
    from mnist_digits.evaluation.readings import Score
    from mnist_digits.evaluation.readings_report import Example
    from mnist_digits.recognition import Page, Prediction

MAX_EXAMPLES = 60
"""Pictures that a report shows, the worst; of pages a tenth as many."""

THUMBNAIL_SIDE_PX, PAGE_SIDE_PX = 160, 900
"""Longest side of a picture, and of a page, in a report."""


MIN_PAGES = 10
"""Pages from which on the interval of the accuracy is drawn from them: digits of one page are not independent."""


@dataclass(frozen=True, eq=False)
class _Read:
    """A labelled picture, and what was read in it."""

    picture: "LabelledPicture"
    prediction: "Prediction"

    @property
    def is_right(self) -> bool:
        return self.prediction.digit == self.picture.label


def measure_pictures(source: Path, model: Path | None, report: Path | None) -> dict[str, Any]:
    """Scores on pictures of one digit each, as JSON; a report is written if one is asked for.

    model: a model.onnx, None for the shipped one. Raises DataError when there is nothing to read.
    """
    import numpy as np

    from mnist_digits.dataset import Found
    from mnist_digits.evaluation.readings import DECLINED, score_pictures
    from mnist_digits.recognition import Classifier

    found, classifier = Found(), Classifier(model)
    labels, digits, groups, wrong = [], [], [], []
    for one in _read_all(source, classifier, found):
        labels.append(one.picture.label)
        digits.append(DECLINED if one.prediction.digit is None else one.prediction.digit)
        groups.append(one.picture.group)
        wrong += [] if one.is_right else [one]
    if not labels:
        raise DataError(f"{source}: none of its pictures can be read: {(found.unreadable or ['there are none'])[0]}")
    found.what = found.what or f"{len(labels) + len(found.unreadable):,} pictures in a table"
    say_found(source, found)
    scores = score_pictures(np.array(labels), np.array(digits), groups)
    measured = {"model": str(classifier.path), "unreadable": len(found.unreadable), **scores.to_json()}
    if report:
        from mnist_digits.evaluation.readings_report import write_pictures_report

        facts = {"pictures": str(source), "model": str(model or "the shipped one"), **classifier.metadata}
        write_pictures_report(report, scores, _examples(wrong), facts, len(found.unreadable))
        measured["report"] = str(report)
    return measured


def _read_all(source: Path, classifier: Any, found: "Found") -> Iterator[_Read]:
    from mnist_digits.dataset.pictures import BATCH_PICTURES, prepare_batches, unreadable
    from mnist_digits.dataset.sources import labelled_pictures
    from mnist_digits.recognition import prepare_digit

    say, count = say_progress(), 0
    for batch, prepared in prepare_batches(labelled_pictures(source, found), prepare_digit):
        found.unreadable += [
            unreadable(one, error) for one, error in zip(batch, prepared, strict=True) if isinstance(error, DataError)
        ]
        kept = [(one, ready) for one, ready in zip(batch, prepared, strict=True) if not isinstance(ready, DataError)]
        predictions = classifier.classify_normalised([ready for _, ready in kept])
        yield from (_Read(one, prediction) for (one, _), prediction in zip(kept, predictions, strict=True))
        count += len(batch)
        if len(batch) == BATCH_PICTURES:
            say(count)


def _examples(wrong: Sequence[_Read]) -> "list[Example]":
    """The worst pictures: those that were surely misread first, then those that were not read."""
    from mnist_digits.evaluation.readings_report import Example
    from mnist_digits.recognition import read_picture

    worst = sorted(wrong, key=lambda one: (one.prediction.digit is None, -one.prediction.confidence))[:MAX_EXAMPLES]
    return [
        Example(
            one.picture.name,
            _reduced(read_picture(one.picture.picture), THUMBNAIL_SIDE_PX),
            str(one.picture.label),
            str(one.prediction.digit) if one.prediction.reason is None else one.prediction.reason.replace("-", " "),
            None if one.prediction.reason else one.prediction.confidence,
        )
        for one in worst
    ]


def _reduced(pixels: "NDArray[np.uint8]", side_px: int) -> bytes:
    """A picture, no larger than side_px, as the content of a PNG file."""
    import cv2

    from mnist_digits.recognition.visualise import as_png

    factor = side_px / max(pixels.shape[:2])
    if factor < 1:
        pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return as_png(pixels)


def print_pictures(measured: dict[str, Any]) -> None:
    """Print the scores on pictures, as `measure_pictures` returns them."""
    low, high = measured["interval95"]
    results.print(
        f"accuracy {percent(measured['accuracy'])} (95 % interval {percent(low)} to {percent(high)})  "
        f"pictures {measured['count']:,}  misread {measured['misread']:,}  no digit found {measured['declined']:,}"
    )
    _print_confusion(measured["confusion"], "pictures")
    _print_groups({name: (part["accuracy"], part["count"]) for name, part in measured["groups"].items()}, "pictures")
    if "report" in measured:
        results.print(f"report  {measured['report']}", markup=False)


def _print_confusion(confusion: list[list[int]], unit: str) -> None:
    """Print what each digit was read as, a line each; in an eleventh row, what was read where none is written."""
    table = Table("digit", "correct", unit, "read as", box=None)
    for digit, row in enumerate(confusion):
        if count := sum(row):
            others = sorted(((n, "none" if as_ == 10 else str(as_)) for as_, n in enumerate(row) if n and as_ != digit))
            words = ", ".join(f"{name} ({n}×)" for n, name in reversed(others))
            name, share = ("none", "–") if digit == 10 else (str(digit), percent(row[digit] / count))
            table.add_row(name, share, f"{count:,}", words)
    results.print(table)


def _print_groups(groups: dict[str, tuple[float, int]], unit: str) -> None:
    if not groups:
        return
    table = Table("group", "correct", unit, box=None)
    for name, (accuracy, count) in sorted(groups.items(), key=lambda item: item[1]):
        table.add_row(printable(name) or "–", percent(accuracy), f"{count:,}")
    results.print(table)


def measure_pages(folder: Path, model: Path | None, report: Path | None) -> dict[str, Any]:
    """Scores on pages of several lines, as JSON; a report is written if one is asked for.

    model: a model.onnx, None for the shipped one. Raises DataError when there is nothing to read.
    """
    import numpy as np

    from mnist_digits.dataset.pages import labelled_pages
    from mnist_digits.evaluation.readings import Score, confuse_page, score_page
    from mnist_digits.recognition import Reader

    reader, say = Reader(model), say_progress()
    pages: list[tuple[LabelledPage, Page, Score]] = []
    for page in labelled_pages(folder):
        read = _read_page(reader, page.path)
        pages.append((page, read, score_page(page.lines, [line.text for line in read.lines])))
        say(len(pages))
    scores = [score for _, _, score in pages]
    total = Score.total(scores)
    if not total.digits:
        raise DataError(f"{folder}: no digits in the lines of its pages; expected the digits that stand there")
    low, high = _interval(scores, total)
    names = sorted({page.group for page, _, _ in pages})
    groups = {name: Score.total(score for page, _, score in pages if page.group == name) for name in names}
    groups = {name: part for name, part in groups.items() if part.digits} if len(names) > 1 else {}
    confusions = [confuse_page(page.lines, [line.text for line in read.lines]) for page, read, _ in pages]
    confusion = np.sum(confusions, axis=0)
    measured = {
        "model": str(reader.classifier.path),
        "accuracy": total.accuracy,
        "interval95": [low, high],
        "pages": len(pages),
        **total.to_json(),
        "confusion": confusion.tolist(),
        "unreadable": sum(page.reason == "unreadable" for _, page, _ in pages),
        "groups": {name: {"accuracy": part.accuracy, **part.to_json()} for name, part in groups.items()},
    }
    if report:
        from mnist_digits.evaluation.readings_report import write_pages_report

        facts = {"pages": str(folder), "model": str(model or "the shipped one"), **reader.classifier.metadata}
        write_pages_report(report, total, (low, high), confusion, groups, _page_examples(pages), facts)
        measured["report"] = str(report)
    return measured


def _interval(scores: "Sequence[Score]", total: "Score") -> tuple[float, float]:
    """95 % interval of the accuracy: over the pages, where enough of them have errors; else over the digits."""
    from mnist_digits.evaluation.metrics import wilson_interval
    from mnist_digits.evaluation.readings import interval

    with_digits = [score for score in scores if score.digits]
    if len(with_digits) < MIN_PAGES or not total.edits:
        return wilson_interval(max(0, total.digits - total.edits), total.digits)
    return interval(with_digits)


def _read_page(reader: Any, path: Path) -> "Page":
    """The first page of a file; as unreadable where it cannot be opened, which is said."""
    from mnist_digits.cli.output import messages
    from mnist_digits.recognition import Page

    try:
        return reader.read(str(path))
    except DataError as error:
        messages.print(f"digits: {error}", markup=False)
        return Page.unreadable()


def _page_examples(pages: "Sequence[tuple[LabelledPage, Page, Score]]") -> "list[Example]":
    from mnist_digits.evaluation.readings_report import Example
    from mnist_digits.recognition import read_picture, visualise

    wrong = [one for one in pages if one[2].edits and one[1].reason != "unreadable"]
    worst = sorted(wrong, key=lambda one: -one[2].edits)[: MAX_EXAMPLES // 10]
    return [
        Example(
            str(page.path),
            _reduced(visualise.annotate(read_picture(str(page.path)), read), PAGE_SIDE_PX),
            "\n".join(page.lines),
            read.text or "nothing",
            None,
        )
        for page, read, _ in worst
    ]


def print_pages(measured: dict[str, Any]) -> None:
    """Print the scores on pages, as `measure_pages` returns them."""
    low, high = measured["interval95"]
    results.print(
        f"accuracy {percent(measured['accuracy'])} (95 % interval {percent(low)} to {percent(high)})  "
        f"digits {measured['digits']:,} on {measured['pages']:,} pages"
    )
    results.print(
        f"misread {measured['mistaken']:,}  missed {measured['missed']:,}  "
        f"read where none is {measured['invented']:,}  lines exact {measured['exact']:,} of {measured['rows']:,}"
    )
    _print_confusion(measured["confusion"], "digits")
    _print_groups({name: (part["accuracy"], part["digits"]) for name, part in measured["groups"].items()}, "digits")
    if "report" in measured:
        results.print(f"report  {measured['report']}", markup=False)
