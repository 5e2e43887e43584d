"""Documents that people photograph: tables of marks, ruled pads, forms, sums, serial numbers, sudoku and tight crops.

Each kind is a sheet of marks, so that `composition` photographs it as any other.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.reading.pages.clutter import Mark, draw_line
from benchmarks.reading.pages.handwriting import WritingStyle, crop, write_digit
from benchmarks.reading.pages.levels import Level, Random, log_uniform
from benchmarks.reading.pages.sheets import LineLayout, Placed, Sheet, place_after, write_sheet

NAMES = ("Adams", "Baker", "Carter", "Dunn", "Evans", "Fisher", "Grant", "Hughes", "Irving", "Jones", "Kelly", "Lewis")
TABLE_FONTS = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "STIXGeneral.ttf")
SERIAL_FONTS = ("DejaVuSansMono.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono-Bold.ttf", "DejaVuSerif.ttf")
GRADES = "ABCDEF"
SIGNS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "+": (((0, -0.35), (0.5, -0.35)), ((0.25, -0.6), (0.25, -0.1))),
    "-": (((0, -0.35), (0.4, -0.35)),),
    "=": (((0, -0.45), (0.5, -0.45)), ((0, -0.22), (0.5, -0.22))),
    "×": (((0, -0.5), (0.38, -0.12)), ((0.38, -0.5), (0, -0.12))),
    "/": (((0, 0.05), (0.35, -1.0)),),
    ":": (((0, -0.62), (0.02, -0.6)), ((0, -0.15), (0.02, -0.13))),
    ".": (((0, -0.02), (0.02, 0.0)),),
}
"""The strokes of each sign: points, x and y in heights of a digit, the baseline at 0."""
SUMS = ("##+##=##", "##-#=##", "#×##=###", "##/##/####", "##:##", "###.##", "##.##.##", "#.##+##.##")
"""Formats of lines with signs; # is a digit."""


@dataclass(frozen=True)
class Writer:
    """Who writes a document: digits to choose from, and a layout."""

    images: NDArray[np.uint8]
    """uint8 (n, 28, 28)."""
    labels: NDArray[np.uint8]
    """uint8 (n,)."""
    layout: LineLayout
    random: Random

    @property
    def height(self) -> float:
        """Of a digit, in pixels."""
        return self.layout.style.height

    def write(self, length: int, word: int, values: Sequence[int] | None = None) -> list[Placed]:
        """A number from x = 0 on the baseline y = 0; its digits at random, or these values."""
        line: list[Placed] = []
        for place in range(length):
            among = np.arange(len(self.labels))
            if values is not None and values[place] in self.labels:
                among = np.flatnonzero(self.labels == values[place])
            chosen = among[self.random.integers(len(among))]
            ink = write_digit(self.images[chosen], self.layout.style, self.random)
            left = place_after(line[-1].mark, ink, self.layout, self.random) if line else 0.0
            drop = self.height * self.layout.style.variation * self.random.normal(0, 0.5)
            line.append(Placed(Mark(ink, left, drop - ink.shape[0]), int(self.labels[chosen]), word))
        return line


def moved(line: Sequence[Placed], x: float, y: float) -> list[Placed]:
    """The marks of a line further to the right by x and down by y."""
    return [replace(one, mark=replace(one.mark, x=one.mark.x + x, y=one.mark.y + y)) for one in line]


def width_of(line: Sequence[Placed]) -> float:
    """Right edge of a line's last mark."""
    return line[-1].mark.right


def choose_writer(images: NDArray[np.uint8], labels: NDArray[np.uint8], level: Level, random: Random) -> Writer:
    """A random writer of documents."""
    height = log_uniform(level.height_px, random)
    pen_width = max(random.uniform(*level.pen_width), min(1.4 / height, 0.1))
    style = WritingStyle(height, pen_width, random.normal(0.12, 0.12), random.uniform(*level.variation))
    layout = LineLayout(
        style=style,
        pitch=height * random.uniform(1.45, 2.2),
        gap=height * random.uniform(0.06, 0.25),
        touching=0.0,
        cell=None,
        separator=None,
        slope=0.0,
        bow=0.0,
    )
    return Writer(images, labels, layout, random)


def rule(length: float, thickness: float, opacity: float, upright: bool = False) -> NDArray[np.float32]:
    """A printed line: float32 (h, w)."""
    shape = max(1, round(thickness)), max(1, round(length))
    return np.full(shape[::-1] if upright else shape, opacity, np.float32)


def printed(text: str, height: float, font: str) -> NDArray[np.float32]:
    """Printed text whose capitals and digits have this height in pixels: float32 (h, w), cropped."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / font
    face = ImageFont.truetype(path, max(6, round(height * 1.37)))
    left, top, right, bottom = face.getbbox(text)
    drawing = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(drawing).text((2 - left, 2 - top), text, fill=255, font=face)
    return crop(np.asarray(drawing, np.float32) / np.float32(255))


def grid(xs: Sequence[float], ys: Sequence[float], thickness: float, opacity: float) -> list[Mark]:
    """The lines of a table, at these places."""
    level = [Mark(rule(xs[-1] - xs[0], thickness, opacity), xs[0], y, True) for y in ys]
    return level + [Mark(rule(ys[-1] - ys[0], thickness, opacity, upright=True), x, ys[0], True) for x in xs]


def marks_table(writer: Writer, level: Level) -> Sheet:
    """Names at the left, handwritten marks of two digits in cells, perhaps grades at the right."""
    random, height = writer.random, writer.height
    pitch = height * random.uniform(1.25, 2.0)
    rows, columns = int(random.integers(6, 17)), int(random.integers(3, 10))
    cell, font = height * random.uniform(2.3, 3.6), str(random.choice(TABLE_FONTS))
    names = random.random() < 0.7
    first = height * random.uniform(4, 6) if names else 0.0
    lines, others = [], []
    for row in range(rows):
        base = pitch * row
        line: list[Placed] = []
        for column in range(columns):
            number = writer.write(2, column)
            start = first + cell * (column + 0.5) - width_of(number) / 2 + height * random.normal(0, 0.08)
            line += moved(number, start, base + height * random.normal(0, 0.04))
        lines.append(line)
        if names:
            text = f"{NAMES[random.integers(len(NAMES))]} {GRADES[random.integers(6)]}."
            ink = printed(text, height * 0.75, font)
            others.append(Mark(ink, 0.2 * height, base - ink.shape[0], True))
    xs = [first + cell * column for column in range(columns + 1)]
    xs = [0.0, *xs] if names else xs
    if random.random() < 0.4:
        inks = [printed(GRADES[random.integers(6)], height * 0.85, font) for _ in range(rows)]
        others += [Mark(ink, xs[-1] + 0.8 * height, pitch * row - len(ink), True) for row, ink in enumerate(inks)]
        xs.append(xs[-1] + 2.2 * height)
    ys = [pitch * row - (pitch + height) / 2 for row in range(rows + 1)]
    others += grid(xs if random.random() < 0.8 else [xs[0], xs[-1]], ys, *_line(height, random))
    return Sheet(lines, others, writer.layout.style, pitch, True)


def pad(writer: Writer, level: Level) -> Sheet:
    """Numbers on a pad whose lines are as dark as the pen and end before its edge."""
    random, height = writer.random, writer.height
    step = height * random.uniform(0.45, 1.15)
    pitch = step * math.ceil(1.4 * height / step)
    lines = [
        moved(writer.write(int(random.integers(1, 6)), 0), 0.0, pitch * row) for row in range(random.integers(2, 6))
    ]
    width = max(map(width_of, lines)) + height * random.uniform(2, 6)
    start, left = -height - step * random.integers(1, 5), -height * random.uniform(1, 4)
    ys = np.arange(start, pitch * len(lines) + step * random.integers(0, 5), step)
    thickness = max(1.0, height * random.uniform(0.015, 0.05))
    ink = rule(width, thickness, random.uniform(0.75, 1.0))
    return Sheet(lines, [Mark(ink, left, y, True) for y in ys], writer.layout.style, pitch, True)


def form(writer: Writer, level: Level) -> Sheet:
    """A printed box for each digit, hardly larger than the digit: the pen crosses its lines."""
    random, height = writer.random, writer.height
    wide, tall = height * random.uniform(0.85, 1.2), height * random.uniform(1.05, 1.45)
    pitch, (thickness, opacity) = tall + height * random.uniform(0.3, 1.2), _line(height, random)
    lines, others = [], []
    for row in range(int(random.integers(2, 6))):
        line: list[Placed] = []
        length = int(random.integers(2, 9))
        for place in range(length):
            (digit,) = writer.write(1, 0)
            x = wide * (place + 0.5) - digit.mark.ink.shape[1] / 2 + height * random.normal(0, 0.05)
            line += moved([digit], x, pitch * row + height * random.normal(0, 0.05))
        lines.append(line)
        top = pitch * row - (tall + height) / 2
        others += grid([wide * place for place in range(length + 1)], [top, top + tall], thickness, opacity)
    return Sheet(lines, others, writer.layout.style, pitch, True)


def sums(writer: Writer, level: Level) -> Sheet:
    """Sums, dates, times and decimals, their signs written with the same pen."""
    random, style, pitch = writer.random, writer.layout.style, writer.layout.pitch
    lines = []
    for row in range(int(random.integers(1, 6))):
        line: list[Placed] = []
        word = 0
        for part in str(random.choice(SUMS)):
            x = width_of(line) + style.height * random.uniform(0.1, 0.3) if line else 0.0
            if part == "#":
                line += moved(writer.write(1, word), x, 0.0)
            else:
                line.append(Placed(_sign(part, x, style), None, word))
                word += 1
        lines.append(moved(line, 0.0, pitch * row))
    return Sheet(lines, [], style, pitch, True)


def serial(writer: Writer, level: Level) -> Sheet:
    """Printed or stencilled serial numbers."""
    random, style, pitch = writer.random, writer.layout.style, writer.layout.pitch
    font, stencilled = str(random.choice(SERIAL_FONTS)), random.random() < 0.3
    gap = style.height * random.uniform(0.08, 0.3)
    lines = []
    for row in range(int(random.integers(1, 5))):
        line: list[Placed] = []
        for _ in range(int(random.integers(4, 10))):
            digit = int(random.integers(10))
            ink = printed(str(digit), style.height, font).copy()
            if stencilled:
                middle, half = ink.shape[1] // 2, max(1, round(style.height * 0.03))
                ink[:, middle - half : middle + half] = 0
            x = width_of(line) + gap if line else 0.0
            line.append(Placed(Mark(ink, x, pitch * row - len(ink), True), digit, 0))
        lines.append(line)
    return Sheet(lines, [], style, pitch, True)


def sudoku(writer: Writer, level: Level) -> Sheet:
    """Nine by nine cells, some with a printed or written digit."""
    random, height = writer.random, writer.height
    cell = height * random.uniform(1.35, 1.9)
    share, written = random.uniform(0.3, 0.6), random.random() < 0.5
    lines = []
    for row in range(9):
        line: list[Placed] = []
        for column in np.flatnonzero(random.random(9) < share):
            if written:
                (one,) = writer.write(1, int(column))
            else:
                digit = int(random.integers(1, 10))
                ink = printed(str(digit), height, TABLE_FONTS[0])
                one = Placed(Mark(ink, 0.0, -float(len(ink)), True), digit, int(column))
            line += moved([one], cell * (column + 0.5) - width_of([one]) / 2, cell * row)
        if line:
            lines.append(line)
    places = [cell * place for place in range(10)]
    ys = [y - (cell + height) / 2 for y in places]
    thickness, opacity = _line(height, random)
    others = grid(places, ys, thickness, opacity) + grid(places[::3], ys[::3], 2.5 * thickness, opacity)
    return Sheet(lines, others, writer.layout.style, cell, True)


def zeros(writer: Writer, level: Level) -> Sheet:
    """Round numbers, whose zeros touch."""
    random, pitch = writer.random, writer.layout.pitch
    writer = replace(writer, layout=replace(writer.layout, touching=random.uniform(0.3, 1.0)))
    lines = []
    for row in range(int(random.integers(1, 6))):
        line: list[Placed] = []
        for word in range(int(random.integers(1, 3))):
            values = [int(random.integers(1, 10)), *[0] * int(random.integers(1, 4))]
            x = width_of(line) + writer.height if line else 0.0
            line += moved(writer.write(len(values), word, values), x, 0.0)
        lines.append(moved(line, 0.0, pitch * row))
    return Sheet(lines, [], writer.layout.style, pitch, True)


def small(writer: Writer, level: Level) -> Sheet:
    """An ordinary page of small digits."""
    return write_sheet(writer.images, writer.labels, replace(level, height_px=(9, 17), lines=(2, 12)), writer.random)


def tight_crop(writer: Writer, level: Level) -> Sheet:
    """One or two thick digits, as `composition` crops them."""
    style = replace(writer.layout.style, height=40.0, pen_width=writer.random.uniform(0.1, 0.24))
    layout = replace(writer.layout, style=style, gap=style.height * 0.08, touching=0.3)
    writer = replace(writer, layout=layout)
    return Sheet([writer.write(2, 0)], [], style, style.height, True)


def _line(height: float, random: Random) -> tuple[float, float]:
    """Thickness in pixels and opacity of a document's lines."""
    return max(1.0, height * random.uniform(0.02, 0.06)), random.uniform(0.4, 1.0)


def _sign(part: str, x: float, style: WritingStyle) -> Mark:
    """A sign from x on, on the baseline y = 0."""
    strokes = [np.array(stroke) * style.height for stroke in SIGNS[part]]
    inks = [draw_line(stroke, style) for stroke in strokes]
    half = style.pen_width_px / 2
    tops = [round(float(stroke[:, 1].min()) - half) for stroke in strokes]
    lefts = [round(float(stroke[:, 0].min())) for stroke in strokes]
    top, bottom = min(tops), max(y + len(ink) for y, ink in zip(tops, inks, strict=True))
    right = max(left + ink.shape[1] for left, ink in zip(lefts, inks, strict=True))
    joint = np.zeros((bottom - top, right), np.float32)
    for y, left, ink in zip(tops, lefts, inks, strict=True):
        window = joint[y - top : y - top + len(ink), left : left + ink.shape[1]]
        cv2.max(window, ink, dst=window)
    return Mark(joint, x, float(top))


DOCUMENTS: dict[str, Callable[[Writer, Level], Sheet]] = {
    "marks": marks_table,
    "pad": pad,
    "form": form,
    "sums": sums,
    "serial": serial,
    "sudoku": sudoku,
    "zeros": zeros,
    "small": small,
    "crop": tight_crop,
}
"""The kinds of documents, which take turns."""
