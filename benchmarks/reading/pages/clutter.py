"""Clutter: what is on a page besides digits. Words, scribbles, arrows, underlines and smudges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.reading.pages.handwriting import WritingStyle, crop
from benchmarks.reading.pages.levels import Level, Random

FONTS = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSans-Oblique.ttf", "STIXGeneral.ttf", "STIXGeneralItalic.ttf")
WORDS = (
    "Name", "Tel.", "Date", "Total", "Phone", "Amount", "Page", "Account", "Code", "Ref.", "Mobile", "Invoice",
    "Room", "Class", "Result", "Weight", "Height", "Order", "Call me", "Thanks", "Exercise", "Points", "Sum",
)  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """Ink at a position on a sheet, whose unit is a pixel."""

    ink: NDArray[np.float32]
    """float32 (h, w) in [0, 1]."""
    x: float
    """Left edge."""
    y: float
    """Upper edge."""
    printed: bool = False
    """Printed, not written with the pen."""

    @property
    def right(self) -> float:
        """Right edge."""
        return self.x + self.ink.shape[1]

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.y + self.ink.shape[0]


def scatter(
    lines: Sequence[Sequence[Mark]], taken: Sequence[Mark], style: WritingStyle, level: Level, random: Random
) -> list[Mark]:
    """Clutter around the text lines that overlaps neither them nor `taken` nor itself."""
    count = int(random.integers(level.clutter[0], level.clutter[1] + 1))
    occupied = [*taken, *(mark for line in lines for mark in line)]
    clutter: list[Mark] = []
    for _ in range(count):
        kind = str(random.choice(list(KINDS), p=(0.4, 0.25, 0.1, 0.15, 0.1)))
        ink = KINDS[kind](style, random)
        for _ in range(12):
            mark = _place(kind, ink, lines, style, random)
            if not _overlaps(mark, occupied + clutter, style.height * 0.2):
                clutter.append(mark)
                break
    return clutter


def _place(
    kind: str, ink: NDArray[np.float32], lines: Sequence[Sequence[Mark]], style: WritingStyle, random: Random
) -> Mark:
    """A mark at a random position: words often before a line, underlines below one, all others anywhere around."""
    line = lines[int(random.integers(len(lines)))]
    printed = kind == "word"
    first, last = line[0], line[-1]
    if kind == "word" and random.random() < 0.6:
        x = first.x - ink.shape[1] - style.height * random.uniform(0.5, 1.2)
        return Mark(ink, x, first.bottom - ink.shape[0], printed)
    if kind == "underline":
        width = last.right - first.x
        stretched = cv2.resize(ink, (max(8, round(width * random.uniform(0.6, 1.1))), ink.shape[0]))
        bottom = max(mark.bottom for mark in line)
        return Mark(stretched, first.x, bottom + style.height * random.uniform(0.22, 0.4))
    tall, wide = 2.0 * style.height, 3.0 * style.height
    x = random.uniform(min(one[0].x for one in lines) - wide, max(one[-1].x for one in lines) + wide)
    y = random.uniform(lines[0][0].y - tall, lines[-1][0].y + tall)
    return Mark(ink, float(x), float(y), printed)


def _overlaps(mark: Mark, others: Sequence[Mark], margin: float) -> bool:
    """Whether the mark's box, with a margin around it, overlaps another's."""
    return any(
        mark.x - margin < other.right
        and other.x < mark.right + margin
        and mark.y - margin < other.bottom
        and other.y < mark.bottom + margin
        for other in others
    )


def word(style: WritingStyle, random: Random) -> NDArray[np.float32]:
    """A printed word, float32 (h, w)."""
    text = str(random.choice(WORDS)) + (":" if random.random() < 0.4 else "")
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / str(random.choice(FONTS))
    font = ImageFont.truetype(path, max(10, round(style.height * random.uniform(0.5, 1.1))))
    left, top, right, bottom = font.getbbox(text)
    drawing = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(drawing).text((2 - left, 2 - top), text, fill=255, font=font)
    return crop(np.asarray(drawing, np.float32) / np.float32(255))


def scribble(style: WritingStyle, random: Random) -> NDArray[np.float32]:
    """An illegible word: loops and waves."""
    length = int(random.integers(4, 10))
    time = np.linspace(0, length, 40 * length)
    tall = np.interp(time, range(length + 1), random.uniform(0.25, 0.9, length + 1))
    speed = np.interp(time, range(length + 1), random.uniform(0.3, 0.7, length + 1))
    phase = 2 * np.pi * time * 0.9 + random.uniform(0, 6)
    x = np.cumsum(speed) / 40 + 0.25 * np.sin(phase) + 0.3 * tall * np.cos(phase) * 0.5
    return draw_line(np.column_stack([x, 0.5 * tall * np.cos(phase)]) * style.height * 0.8, style)


def arrow(style: WritingStyle, random: Random) -> NDArray[np.float32]:
    """An arrow in any direction."""
    length, angle = style.height * random.uniform(1.2, 2.5), random.uniform(0, 2 * np.pi)
    shape = np.array([[0, 0], [1, 0], [0.75, 0.18], [1, 0], [0.75, -0.18]]) * length
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return draw_line(shape @ turned.T, style)


def underline(style: WritingStyle, random: Random) -> NDArray[np.float32]:
    """An underline, not quite straight."""
    x = np.linspace(0, 6, 30)
    return draw_line(np.column_stack([x, 0.08 * np.cumsum(random.normal(0, 0.3, 30))]) * style.height, style)


def smudge(style: WritingStyle, random: Random) -> NDArray[np.float32]:
    """A faint blot."""
    side = max(8, round(style.height * random.uniform(0.5, 1.5)))
    noise = cv2.GaussianBlur(random.standard_normal((side, side), np.float32), (0, 0), side / 8)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    round_ = np.clip(1.2 - 1.4 * np.hypot(x, y), 0, 1)
    return (0.35 * np.clip(noise / max(float(noise.std()), 1e-6) + 0.5, 0, 1) * round_).astype(np.float32)


def draw_line(points: NDArray[np.floating], style: WritingStyle) -> NDArray[np.float32]:
    """A line through points, (n, 2) x and y in pixels, drawn with the writer's pen: float32 (h, w), cropped."""
    width = max(1, round(style.pen_width_px))
    points = points - points.min(0) + width + 2
    side = np.ceil(points.max(0)).astype(int) + width + 3
    drawing = np.zeros((side[1], side[0]), np.uint8)
    cv2.polylines(drawing, [np.round(points * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)
    return crop(drawing.astype(np.float32) / np.float32(255))


KINDS: dict[str, Callable[[WritingStyle, Random], NDArray[np.float32]]] = {
    "word": word,
    "scribble": scribble,
    "arrow": arrow,
    "underline": underline,
    "smudge": smudge,
}
