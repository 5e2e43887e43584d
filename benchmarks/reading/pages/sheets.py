"""What is written on a sheet of paper: rows of digits in one hand, and what is no digit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from benchmarks.reading.pages.clutter import Mark, draw_line, scatter
from benchmarks.reading.pages.handwriting import Hand, write_digit
from benchmarks.reading.pages.levels import Level, log_uniform

Random = np.random.Generator
ROW_FORMS = ("phone", "date", "number", "short", "apart")
DASH = np.array([[0.0, 0.0], [0.28, -0.02]])
DOT = np.array([[0.0, 0.0], [0.02, 0.02]])


@dataclass(frozen=True)
class Placed:
    """A digit on the sheet, or the dash or dot between two words."""

    mark: Mark
    label: int | None
    word: int
    """Counts the words of its row."""


@dataclass(frozen=True)
class Sheet:
    """What was written; all in pixels of the sheet. The first row stands on y = 0."""

    rows: list[list[Placed]]
    others: list[Mark]
    """What belongs to no row."""
    hand: Hand
    pitch: float
    """From one row to the next."""
    form: bool
    """Whether there is a printed box for each digit."""


@dataclass(frozen=True)
class Manner:
    """How a writer fills a page."""

    hand: Hand
    pitch: float
    """From one row to the next, in pixels, like everything here."""
    gap: float
    """Between neighbouring digits."""
    touching: float
    """The share of neighbours that touch."""
    cell: float | None
    """The width of a form's printed boxes, one for each digit; None where there are none."""
    between: np.ndarray | None
    """The dash or dot that some write between words: (n, 2), in heights."""
    slope: float
    """Of the rows, as a tangent."""
    bow: float
    """How far the rows' ends are below their middle."""


def write_sheet(images: np.ndarray, labels: np.ndarray, level: Level, random: Random) -> Sheet:
    """Rows of digits in one hand, and on some pages what does not belong to them."""
    columns = 2 if random.random() < level.two_columns else 1
    manner = choose_manner(columns, level, random)
    height = manner.hand.height
    widest = int(np.clip(level.widest / height, 4, 14))
    count = int(min(random.integers(level.rows[0], level.rows[1] + 1), max(1, level.widest // manner.pitch)))
    rows: list[list[Placed]] = [[] for _ in range(count)]
    for _ in range(columns):
        start = max(map(_right, rows)) + height * random.uniform(1.8, 5) if rows[0] else 0.0
        for number, row in enumerate(rows):
            words = choose_words(widest // columns, random)
            written = write_row(images, labels, words, manner, random)
            first = row[-1].word + 1 if row else 0
            rows[number] = row + [_shift(one, start, 0.0, first) for one in written]
    rows = bring_into_place(rows, manner, level, random)
    frames = [] if manner.cell is None else draw_frames(rows, manner, random)
    others = scatter([[one.mark for one in row] for row in rows], frames, manner.hand, level, random)
    return Sheet(rows, frames + others, manner.hand, manner.pitch, manner.cell is not None)


def choose_manner(columns: int, level: Level, random: Random) -> Manner:
    """Someone, with some pen, on a plain page or in a form."""
    height = log_uniform(level.heights, random)
    # No pen is finer than a pixel or so in a picture that a person can read.
    stroke = max(random.uniform(*level.strokes), min(1.4 / height, 0.1))
    broken = random.uniform(0.05, 0.3) if random.random() < level.broken and height > 30 else 0.0
    hand = Hand(height, stroke, random.normal(0.12, 0.12), random.uniform(*level.uneven), broken)
    form = random.random() < level.forms
    between = (DASH, DOT)[random.integers(2)] if random.random() < level.separators else None
    return Manner(
        hand=hand,
        pitch=height * (random.uniform(1.8, 2.6) if form else random.uniform(*level.pitch)),
        gap=height * random.uniform(*level.gaps),
        touching=random.uniform(*level.touching),
        cell=height * random.uniform(1.15, 1.5) if form else None,
        between=None if form else between,
        slope=0.0 if form else math.tan(math.radians(random.uniform(-1, 1) * level.row_slope / 3)),
        # Of two columns nobody could tell which rows belong together, were they bent.
        bow=0.0 if form or columns > 1 else random.uniform(-1, 1) * level.bow * height,
    )


def choose_words(widest: int, random: Random) -> list[int]:
    """How many digits each word of a row has, at most `widest` in all."""
    form = str(random.choice(ROW_FORMS, p=(0.3, 0.1, 0.3, 0.2, 0.1)))
    if form == "phone":
        words = random.integers(2, 5, random.integers(2, 5)).tolist()
    elif form == "date":
        words = [2, 2, int(random.choice([2, 4]))]
    elif form == "number":
        words = [int(random.integers(4, 12))]
    elif form == "short":
        words = [int(random.integers(1, 4))]
    else:
        words = [1] * int(random.integers(2, 6))
    kept = [min(word, widest - sum(words[:number])) for number, word in enumerate(words)]
    return [word for word in kept if word > 0]


def write_row(
    images: np.ndarray, labels: np.ndarray, words: Sequence[int], manner: Manner, random: Random
) -> list[Placed]:
    """Digits one after another from x = 0, standing on y = 0. words: how many digits each has."""
    row: list[Placed] = []
    for number, length in enumerate(words):
        x = _right(row) + space(manner, random) if row else 0.0
        if row and manner.between is not None:
            row.append(_put_between(x, number - 1, manner, random))
            x = _right(row) + space(manner, random) * 0.6
        for place in range(length):
            chosen = random.integers(len(images))
            ink = write_digit(images[chosen], manner.hand, random)
            if manner.cell is not None:
                left = x + (place + 0.5) * manner.cell - ink.shape[1] / 2
            else:
                left = temporary(row[-1].mark, ink, manner, random) if place else x
            drop = manner.hand.height * manner.hand.uneven * random.normal(0, 0.5)
            row.append(Placed(Mark(ink, left, drop - ink.shape[0]), int(labels[chosen]), number))
    return row


def space(manner: Manner, random: Random) -> float:
    """Between two words: twice the gap and half a digit more, which nobody takes for a gap within a word."""
    return 2 * manner.gap + manner.hand.height * random.uniform(0.45, 1.0) + (manner.cell or 0.0)


def temporary(near: Mark, ink: np.ndarray, manner: Manner, random: Random) -> float:
    """Where the left edge of a digit goes that stands after another; where they touch, their strokes meet or cross."""
    height = manner.hand.height
    apart = max(0.05 * height, manner.gap * random.uniform(0.6, 1.4))
    if random.random() < manner.touching:
        apart = -height * random.uniform(0.0, 0.06)
    tall = min(len(near.ink), len(ink))
    before, after = near.ink[-tall:] > 0.5, ink[-tall:] > 0.5
    # Row by row: from the neighbour's stroke to its box's right edge, and from the digit's left edge to its stroke.
    right = np.where(before.any(1), before[:, ::-1].argmax(1), height)
    left = np.where(after.any(1), after.argmax(1), height)
    reach = np.ones((max(3, int(height / 8)), 1))
    spread = [cv2.erode(side.astype(np.float32), reach).ravel() for side in (right, left)]
    between = float((spread[0] + spread[1]).min())
    return near.x + near.ink.shape[1] + apart - min(between, 0.2 * height)


def bring_into_place(rows: list[list[Placed]], manner: Manner, level: Level, random: Random) -> list[list[Placed]]:
    """Each row below the one before, beginning where the writer begins."""
    height, widest = manner.hand.height, max(map(_right, rows))
    alignment = random.choice([0.0, 0.5, 1.0], p=[0.75, 0.15, 0.1])
    ragged = 0.0 if manner.cell else height * random.uniform(0, 1) * level.uneven[1] * 5
    placed = []
    for number, row in enumerate(rows):
        start = alignment * (widest - _right(row)) + random.uniform(0, 1) * ragged
        base = manner.pitch * number + height * random.normal(0, level.uneven[0] / 2)
        slope = manner.slope + (0.0 if manner.cell else math.tan(math.radians(random.normal(0, level.row_slope / 20))))
        # From -0.5 at the left end of the widest row to 0.5 at its right end.
        along = [(one.mark.x + start + one.mark.ink.shape[1] / 2) / widest - 0.5 for one in row]
        drops = [slope * place * widest + manner.bow * (2 * place) ** 2 for place in along]
        placed.append([_shift(one, start, base + drop, 0) for one, drop in zip(row, drops, strict=True)])
    return placed


def draw_frames(rows: Sequence[Sequence[Placed]], manner: Manner, random: Random) -> list[Mark]:
    """A printed box around each digit of a form."""
    assert manner.cell is not None
    width, height = round(manner.cell), round(manner.hand.height * 1.4)
    frame = np.zeros((height, width + 1), np.float32)
    line = max(1, round(manner.hand.height * random.uniform(0.015, 0.04)))
    cv2.rectangle(frame, (0, 0), (width, height - 1), random.uniform(0.35, 0.9), line)
    marks = []
    for row in rows:
        foot = float(np.median([one.mark.y + one.mark.ink.shape[0] for one in row]))
        for one in row:
            middle = one.mark.x + one.mark.ink.shape[1] / 2
            marks.append(Mark(frame, middle - manner.cell / 2, foot - 0.5 * (height + manner.hand.height), True))
    return marks


def _put_between(x: float, word: int, manner: Manner, random: Random) -> Placed:
    """The writer's mark between two words; it stands in no text."""
    assert manner.between is not None
    height = manner.hand.height
    ink = draw_line(manner.between * height, manner.hand)
    rise = height * random.uniform(0.4, 0.55) if manner.between is DASH else ink.shape[0]
    return Placed(Mark(ink, x, -rise), None, word)


def _right(row: Sequence[Placed]) -> float:
    """Where a row ends; 0 while it is empty."""
    return row[-1].mark.x + row[-1].mark.ink.shape[1] if row else 0.0


def _shift(one: Placed, x: float, y: float, words: int) -> Placed:
    mark = replace(one.mark, x=one.mark.x + x, y=one.mark.y + y)
    return Placed(mark, one.label, one.word + words)
