"""What stands on a page beside the digits: words, scribbles, arrows, lines and smudges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.reading.pages.handwriting import Hand, crop
from benchmarks.reading.pages.levels import Level

Random = np.random.Generator

FONTS = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSans-Oblique.ttf", "STIXGeneral.ttf", "STIXGeneralItalic.ttf")
WORDS = (
    "Name", "Tel.", "Date", "Total", "Phone", "Amount", "Page", "Account", "Code", "Ref.", "Mobile", "Invoice",
    "Room", "Class", "Result", "Weight", "Height", "Order", "Call me", "Thanks", "Exercise", "Points", "Sum",
)  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """Some ink on a sheet."""

    ink: np.ndarray
    """float32 (h, w) in [0, 1]."""
    x: float
    """Of its left edge, in pixels of the sheet."""
    y: float
    """Of its upper edge."""
    printed: bool = False
    """Whether a printer did it and not the pen."""


def scatter(
    rows: Sequence[Sequence[Mark]], taken: Sequence[Mark], hand: Hand, level: Level, random: Random
) -> list[Mark]:
    """As much clutter as the level asks for, around the rows and clear of them, of what is taken and of each other."""
    count = int(random.integers(level.clutter[0], level.clutter[1] + 1))
    every = [*taken, *(mark for row in rows for mark in row)]
    others: list[Mark] = []
    for _ in range(count):
        kind = str(random.choice(list(KINDS), p=(0.4, 0.25, 0.1, 0.15, 0.1)))
        ink = KINDS[kind](hand, random)
        for _ in range(12):
            mark = _put(kind, ink, rows, hand, random)
            if not _meets(mark, every + others, hand.height * 0.2):
                others.append(mark)
                break
    return others


def _put(kind: str, ink: np.ndarray, rows: Sequence[Sequence[Mark]], hand: Hand, random: Random) -> Mark:
    """A mark somewhere: words often before a row, lines below one, all else anywhere around."""
    row = rows[random.integers(len(rows))]
    printed = kind == "word"
    first, last = row[0], row[-1]
    if kind == "word" and random.random() < 0.6:
        foot = first.y + first.ink.shape[0]
        return Mark(ink, first.x - ink.shape[1] - hand.height * random.uniform(0.5, 1.2), foot - ink.shape[0], printed)
    if kind == "line":
        foot = max(mark.y + mark.ink.shape[0] for mark in row)
        width = last.x + last.ink.shape[1] - first.x
        stretched = cv2.resize(ink, (max(8, round(width * random.uniform(0.6, 1.1))), ink.shape[0]))
        return Mark(stretched, first.x, foot + hand.height * random.uniform(0.22, 0.4))
    tall, wide = 2.0 * hand.height, 3.0 * hand.height
    x = random.uniform(min(r[0].x for r in rows) - wide, max(r[-1].x for r in rows) + wide)
    y = random.uniform(rows[0][0].y - tall, rows[-1][0].y + tall)
    return Mark(ink, float(x), float(y), printed)


def _meets(mark: Mark, others: Sequence[Mark], apart: float) -> bool:
    """Whether the mark's box comes nearer to another's than that."""
    bottom, right = mark.y + mark.ink.shape[0] + apart, mark.x + mark.ink.shape[1] + apart
    return any(
        mark.x - apart < other.x + other.ink.shape[1]
        and other.x < right
        and mark.y - apart < other.y + other.ink.shape[0]
        and other.y < bottom
        for other in others
    )


def word(hand: Hand, random: Random) -> np.ndarray:
    """A printed word, float32 (h, w)."""
    text = str(random.choice(WORDS)) + (":" if random.random() < 0.4 else "")
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / str(random.choice(FONTS))
    font = ImageFont.truetype(path, max(10, round(hand.height * random.uniform(0.5, 1.1))))
    left, top, right, bottom = font.getbbox(text)
    drawing = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(drawing).text((2 - left, 2 - top), text, fill=255, font=font)
    return crop(np.asarray(drawing, np.float32) / 255)


def scribble(hand: Hand, random: Random) -> np.ndarray:
    """A word written too fast to read: loops and waves."""
    length = int(random.integers(4, 10))
    time = np.linspace(0, length, 40 * length)
    tall = np.interp(time, range(length + 1), random.uniform(0.25, 0.9, length + 1))
    speed = np.interp(time, range(length + 1), random.uniform(0.3, 0.7, length + 1))
    phase = 2 * np.pi * time * 0.9 + random.uniform(0, 6)
    x = np.cumsum(speed) / 40 + 0.25 * np.sin(phase) + 0.3 * tall * np.cos(phase) * 0.5
    return draw_line(np.column_stack([x, 0.5 * tall * np.cos(phase)]) * hand.height * 0.8, hand)


def arrow(hand: Hand, random: Random) -> np.ndarray:
    """An arrow in any direction."""
    length, angle = hand.height * random.uniform(1.2, 2.5), random.uniform(0, 2 * np.pi)
    shape = np.array([[0, 0], [1, 0], [0.75, 0.18], [1, 0], [0.75, -0.18]]) * length
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return draw_line(shape @ turned.T, hand)


def line(hand: Hand, random: Random) -> np.ndarray:
    """An underline, not quite straight."""
    x = np.linspace(0, 6, 30)
    return draw_line(np.column_stack([x, 0.08 * np.cumsum(random.normal(0, 0.3, 30))]) * hand.height, hand)


def smudge(hand: Hand, random: Random) -> np.ndarray:
    """A faint blot."""
    side = max(8, round(hand.height * random.uniform(0.5, 1.5)))
    noise = cv2.GaussianBlur(random.standard_normal((side, side), np.float32), (0, 0), side / 8)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    round_ = np.clip(1.2 - 1.4 * np.hypot(x, y), 0, 1)
    return (0.35 * np.clip(noise / max(float(noise.std()), 1e-6) + 0.5, 0, 1) * round_).astype(np.float32)


def draw_line(points: np.ndarray, hand: Hand) -> np.ndarray:
    """A line through the points, (n, 2) x and y in pixels, with the writer's pen: float32 (h, w), cropped."""
    width = max(1, round(hand.height * hand.stroke))
    points = points - points.min(0) + width + 2
    side = np.ceil(points.max(0)).astype(int) + width + 3
    drawing = np.zeros((side[1], side[0]), np.uint8)
    cv2.polylines(drawing, [np.round(points * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)
    return crop(drawing.astype(np.float32) / 255)


KINDS: dict[str, Callable[[Hand, Random], np.ndarray]] = {
    "word": word,
    "scribble": scribble,
    "arrow": arrow,
    "line": line,
    "smudge": smudge,
}
