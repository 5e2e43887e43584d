"""A sheet of paper before it is photographed: text lines of digits in one writing style, form boxes, and clutter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.reading.pages.clutter import Mark, draw_line, scatter
from benchmarks.reading.pages.handwriting import WritingStyle, write_digit
from benchmarks.reading.pages.levels import Level, Random, log_uniform

LINE_FORMATS = ("phone", "date", "number", "short", "apart")
DASH = np.array([[0.0, 0.0], [0.28, -0.02]])
DOT = np.array([[0.0, 0.0], [0.02, 0.02]])
"""Separators between words: points of a line, (n, 2) x and y, in heights of a digit."""


@dataclass(frozen=True)
class Placed:
    """A digit on the sheet, or a separator between two words."""

    mark: Mark
    label: int | None
    """The digit, 0 to 9; None for a separator."""
    word: int
    """Index of the word in its line."""


@dataclass(frozen=True)
class Sheet:
    """The contents of a sheet, in pixels; the baseline of the first line is at y = 0."""

    lines: list[list[Placed]]
    others: list[Mark]
    """Form boxes and clutter."""
    style: WritingStyle
    pitch: float
    """Distance between lines."""
    form: bool
    """Whether there is a printed box for each digit."""


@dataclass(frozen=True)
class LineLayout:
    """How a writer arranges text lines; lengths in pixels."""

    style: WritingStyle
    pitch: float
    """Distance between lines."""
    gap: float
    """Distance between neighbouring digits."""
    touching: float
    """Share of neighbours that touch."""
    cell: float | None
    """Width of a form's boxes, one for each digit; None on a page that is no form."""
    separator: NDArray[np.float64] | None
    """DASH or DOT between words; None where there is only space."""
    slope: float
    """Of the lines, as a tangent."""
    bow: float
    """Distance of the lines' ends below their middle."""


def write_sheet(images: NDArray[np.uint8], labels: NDArray[np.uint8], level: Level, random: Random) -> Sheet:
    """A random sheet. images: uint8 (n, 28, 28), the digits to choose from; labels: uint8 (n,)."""
    columns = 2 if random.random() < level.p_two_columns else 1
    layout = choose_layout(columns, level, random)
    height = layout.style.height
    max_digits = int(np.clip(level.extent_px / height, 4, 14))
    max_lines = max(1, int(level.extent_px // layout.pitch))
    count = min(int(random.integers(level.lines[0], level.lines[1] + 1)), max_lines)
    lines: list[list[Placed]] = [[] for _ in range(count)]
    for _ in range(columns):
        start = max(map(_right, lines)) + height * random.uniform(1.8, 5) if lines[0] else 0.0
        for number, line in enumerate(lines):
            words = choose_words(max_digits // columns, random)
            written = write_line(images, labels, words, layout, random)
            first = line[-1].word + 1 if line else 0
            lines[number] = line + [_shift(one, start, 0.0, first) for one in written]
    lines = arrange_lines(lines, layout, level, random)
    boxes = [] if layout.cell is None else draw_form_boxes(lines, layout, random)
    clutter = scatter([[one.mark for one in line] for line in lines], boxes, layout.style, level, random)
    return Sheet(lines, boxes + clutter, layout.style, layout.pitch, layout.cell is not None)


def choose_layout(columns: int, level: Level, random: Random) -> LineLayout:
    """A random writing style and layout, of a plain page or of a form."""
    height = log_uniform(level.height_px, random)
    # In a picture that a person can read, a stroke is at least about a pixel wide.
    pen_width = max(random.uniform(*level.pen_width), min(1.4 / height, 0.1))
    gaps = random.uniform(0.05, 0.3) if random.random() < level.p_gaps and height > 30 else 0.0
    style = WritingStyle(height, pen_width, random.normal(0.12, 0.12), random.uniform(*level.variation), gaps)
    form = random.random() < level.p_form
    separator = (DASH, DOT)[random.integers(2)] if random.random() < level.p_separators else None
    return LineLayout(
        style=style,
        pitch=height * (random.uniform(1.8, 2.6) if form else random.uniform(*level.pitch)),
        gap=height * random.uniform(*level.gap),
        touching=random.uniform(*level.touching),
        cell=height * random.uniform(1.15, 1.5) if form else None,
        separator=None if form else separator,
        slope=0.0 if form else math.tan(math.radians(random.uniform(-1, 1) * level.max_slope_degrees / 3)),
        # In bent lines of two columns, it would be ambiguous which halves belong together.
        bow=0.0 if form or columns > 1 else random.uniform(-1, 1) * level.max_bow * height,
    )


def choose_words(max_digits: int, random: Random) -> list[int]:
    """Number of digits of each word of a line, at most `max_digits` in all."""
    line_format = str(random.choice(LINE_FORMATS, p=(0.3, 0.1, 0.3, 0.2, 0.1)))
    if line_format == "phone":
        words = random.integers(2, 5, random.integers(2, 5)).tolist()
    elif line_format == "date":
        words = [2, 2, int(random.choice([2, 4]))]
    elif line_format == "number":
        words = [int(random.integers(4, 12))]
    elif line_format == "short":
        words = [int(random.integers(1, 4))]
    else:
        words = [1] * int(random.integers(2, 6))
    kept = [min(word, max_digits - sum(words[:number])) for number, word in enumerate(words)]
    return [word for word in kept if word > 0]


def write_line(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], words: Sequence[int], layout: LineLayout, random: Random
) -> list[Placed]:
    """A line of random digits from x = 0, on the baseline y = 0. words: number of digits of each."""
    line: list[Placed] = []
    for number, length in enumerate(words):
        x = _right(line) + choose_space(layout, random) if line else 0.0
        if line and layout.separator is not None:
            line.append(_place_separator(x, number - 1, layout, random))
            x = _right(line) + choose_space(layout, random) * 0.6
        for place in range(length):
            chosen = random.integers(len(images))
            ink = write_digit(images[chosen], layout.style, random)
            if layout.cell is not None:
                left = x + (place + 0.5) * layout.cell - ink.shape[1] / 2
            else:
                left = place_after(line[-1].mark, ink, layout, random) if place else x
            drop = layout.style.height * layout.style.variation * random.normal(0, 0.5)
            line.append(Placed(Mark(ink, left, drop - ink.shape[0]), int(labels[chosen]), number))
    return line


def choose_space(layout: LineLayout, random: Random) -> float:
    """Distance between two words: so much more than twice the gap that it cannot be mistaken for a gap in a word."""
    return 2 * layout.gap + layout.style.height * random.uniform(0.45, 1.0) + (layout.cell or 0.0)


def place_after(near: Mark, ink: NDArray[np.float32], layout: LineLayout, random: Random) -> float:
    """Left edge of a digit after another; if they are to touch, where their strokes meet or cross."""
    height = layout.style.height
    apart = max(0.05 * height, layout.gap * random.uniform(0.6, 1.4))
    if random.random() < layout.touching:
        apart = -height * random.uniform(0.0, 0.06)
    tall = min(len(near.ink), len(ink))
    before, after = near.ink[-tall:] > 0.5, ink[-tall:] > 0.5
    # By pixel row: from the neighbour's stroke to its box's right edge, and from the digit's left edge to its stroke.
    right = np.where(before.any(1), before[:, ::-1].argmax(1), height)
    left = np.where(after.any(1), after.argmax(1), height)
    reach = np.ones((max(3, int(height / 8)), 1))
    spread = [cv2.erode(side.astype(np.float32), reach).ravel() for side in (right, left)]
    between = float((spread[0] + spread[1]).min())
    return near.right + apart - min(between, 0.2 * height)


def arrange_lines(lines: list[list[Placed]], layout: LineLayout, level: Level, random: Random) -> list[list[Placed]]:
    """The lines, all written at y = 0, one below the other, with their alignment, slope and bow."""
    height, width = layout.style.height, max(map(_right, lines))
    alignment = random.choice([0.0, 0.5, 1.0], p=[0.75, 0.15, 0.1])
    ragged = 0.0 if layout.cell else height * random.uniform(0, 1) * level.variation[1] * 5
    arranged = []
    for number, line in enumerate(lines):
        start = alignment * (width - _right(line)) + random.uniform(0, 1) * ragged
        base = layout.pitch * number + height * random.normal(0, level.variation[0] / 2)
        degrees = 0.0 if layout.cell else random.normal(0, level.max_slope_degrees / 20)
        slope = layout.slope + math.tan(math.radians(degrees))
        # From -0.5 at the left end of the widest line to 0.5 at its right end.
        along = [(one.mark.x + start + one.mark.ink.shape[1] / 2) / width - 0.5 for one in line]
        drops = [slope * place * width + layout.bow * (2 * place) ** 2 for place in along]
        arranged.append([_shift(one, start, base + drop, 0) for one, drop in zip(line, drops, strict=True)])
    return arranged


def draw_form_boxes(lines: Sequence[Sequence[Placed]], layout: LineLayout, random: Random) -> list[Mark]:
    """A printed box around each digit."""
    assert layout.cell is not None
    width, height = round(layout.cell), round(layout.style.height * 1.4)
    box = np.zeros((height, width + 1), np.float32)
    thickness = max(1, round(layout.style.height * random.uniform(0.015, 0.04)))
    cv2.rectangle(box, (0, 0), (width, height - 1), random.uniform(0.35, 0.9), thickness)
    marks = []
    for line in lines:
        baseline = float(np.median([one.mark.bottom for one in line]))
        for one in line:
            centre = one.mark.x + one.mark.ink.shape[1] / 2
            marks.append(Mark(box, centre - layout.cell / 2, baseline - 0.5 * (height + layout.style.height), True))
    return marks


def _place_separator(x: float, word: int, layout: LineLayout, random: Random) -> Placed:
    assert layout.separator is not None
    height = layout.style.height
    ink = draw_line(layout.separator * height, layout.style)
    rise = height * random.uniform(0.4, 0.55) if layout.separator is DASH else ink.shape[0]
    return Placed(Mark(ink, x, -rise), None, word)


def _right(line: Sequence[Placed]) -> float:
    """Right edge of a line's last mark; 0 for an empty line."""
    return line[-1].mark.right if line else 0.0


def _shift(one: Placed, x: float, y: float, words: int) -> Placed:
    """The same with a mark further to the right by x and down by y, in a word with a higher index."""
    mark = replace(one.mark, x=one.mark.x + x, y=one.mark.y + y)
    return Placed(mark, one.label, one.word + words)
