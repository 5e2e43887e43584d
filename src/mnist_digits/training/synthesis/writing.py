"""Lines of writing on a page: numbers, words in print, block letters and cursive, single letters and signs."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mnist_digits.dataset import Split
from mnist_digits.training.synthesis.digits import draw_non_digit, draw_variant
from mnist_digits.training.synthesis.drawing import (
    CANVAS_PX,
    Ink,
    Random,
    load_font,
    print_centred,
)
from mnist_digits.training.synthesis.non_digits import LETTERS as UNLIKE_DIGITS
from mnist_digits.training.synthesis.page import OTHER, PAGE_PX, Page, WritingStyle

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzäéñøßΔΣΩαβγλμπЖИЛЯджилфя"
SYMBOLS = "+-=×÷?%&@#*$€£<>~^_:…§←→↑↓★✓✗√∑[]{}()/!;,.'\"°"
FONTS = (
    "DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono",
    "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol", "STIXGeneralBolIta",
)  # fmt: skip
BLOCK_LETTER_FONTS = FONTS[:2] + FONTS[3:8]
SIGN_STROKES: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "+": (((0, 0), (0.5, 0)), ((0.25, -0.25), (0.25, 0.25))),
    "-": (((0, 0), (0.42, 0)),),
    "~": (((0, 0), (0.15, -0.08), (0.3, 0.06), (0.45, 0)),),
    "=": (((0, -0.1), (0.5, -0.1)), ((0, 0.12), (0.5, 0.12))),
    "×": (((0, -0.2), (0.4, 0.2)), ((0.4, -0.2), (0, 0.2))),
    "x": (((0, -0.12), (0.4, 0.42)), ((0.4, -0.12), (0, 0.42))),
    "÷": (((0, 0), (0.5, 0)), ((0.25, -0.22), (0.26, -0.2)), ((0.25, 0.2), (0.26, 0.22))),
    "/": (((0, 0.55), (0.38, -0.55)),),
    ":": (((0, -0.15), (0.02, -0.13)), ((0, 0.3), (0.02, 0.32))),
    ";": (((0, -0.15), (0.02, -0.13)), ((0.04, 0.34), (-0.06, 0.58))),
    ".": (((0, 0.47), (0.02, 0.49)),),
    "·": (((0, 0), (0.02, 0.02)),),
    ",": (((0.05, 0.4), (0.06, 0.5), (-0.05, 0.68)),),
    "'": (((0.05, -0.6), (-0.01, -0.38)),),
    "(": (((0.2, -0.65), (0.02, -0.3), (0, 0.2), (0.18, 0.65)),),
    ")": (((0, -0.65), (0.18, -0.3), (0.2, 0.2), (0.02, 0.65)),),
    "<": (((0.4, -0.25), (0, 0), (0.4, 0.25)),),
    ">": (((0, -0.25), (0.4, 0), (0, 0.25)),),
    "→": (((0, 0), (0.8, 0)), ((0.6, -0.18), (0.8, 0), (0.6, 0.18))),
    "✓": (((0, 0.1), (0.18, 0.4), (0.65, -0.55)),),
    "✗": (((0, -0.4), (0.5, 0.4)), ((0.55, -0.45), (0, 0.45))),
    "_": (((0, 0.5), (0.6, 0.5)),),
    "%": (((0.5, -0.5), (0.1, 0.5)), ((0.1, -0.5), (0, -0.35), (0.12, -0.25), (0.2, -0.4), (0.1, -0.5)),
          ((0.5, 0.2), (0.4, 0.35), (0.5, 0.48), (0.6, 0.32), (0.5, 0.2))),
    "€": (((0.55, -0.4), (0.35, -0.5), (0.12, -0.2), (0.12, 0.2), (0.35, 0.5), (0.55, 0.4)),
          ((0, -0.1), (0.4, -0.1)), ((0, 0.1), (0.4, 0.1))),
}  # fmt: skip
"""Signs as a hand writes them: the points of each stroke, x to the right and y down from a digit's middle, in digit
heights."""
NON_DIGIT_CLUTTER = (
    "letter",
    "symbol",
    "word",
    "shape",
    "filled shape",
    "scribble",
    "lines",
    "blot",
    "texture",
    "specks",
)


@dataclass(frozen=True)
class TextLine:
    """Where a line of writing runs, and whether in boxes."""

    y: float
    """Its middle, at the page's middle, in pixels."""
    slope: float
    """Pixels down per pixel to the right."""
    bow_px: float
    """Height of its arc from the ends to the middle."""
    boxed: bool
    """Whether each digit has a printed box."""

    def y_at(self, x: float) -> float:
        """Its middle at x."""
        across = x / PAGE_PX - 0.5
        return self.y + self.slope * PAGE_PX * across + self.bow_px * (4 * across**2 - 0.5)


def write_lines(page: Page, style: WritingStyle, split: Split) -> None:
    """Fill the page with lines of numbers and words."""
    random = page.random
    slope = math.tan(math.radians(random.normal(0, 7) if random.random() < 0.5 else random.normal(0, 1.5)))
    bow = random.normal(0, 0.3) if random.random() < 0.3 else 0.0
    pitch = style.height_px * random.uniform(1.1, 2.4)
    # Pages of digits alone, of some words, and of hardly anything but words.
    word_share = float(random.choice([0.0, 0.25, 0.6, 0.95], p=[0.35, 0.35, 0.22, 0.08]))
    boxed = random.random() < 0.08
    y = random.uniform(-0.5, 1.0) * pitch - abs(slope) * PAGE_PX / 2
    while y < PAGE_PX + abs(slope) * PAGE_PX / 2:
        start, stop = random.uniform(0, 0.4) * PAGE_PX, random.uniform(0.5, 1.05) * PAGE_PX
        line = TextLine(y, slope, bow * style.height_px, boxed)
        while start < stop:
            if random.random() < word_share:
                start = WORDS[int(random.choice(len(WORDS), p=WORD_SHARES))](page, style, line, start)
            else:
                start = write_number(page, style, line, start, split)
            # Now and then a unit or a name follows a number without a gap.
            if random.random() > 0.07:
                start += style.height_px * random.uniform(0.5, 1.6)
        y += pitch * random.uniform(0.95, 1.15)


def write_number(
    page: Page, style: WritingStyle, line: TextLine, x: float, split: Split, labels: Sequence[int] | None = None
) -> float:
    """Write digits from x on, 1 to 11 at random or these; returns where they end."""
    random = page.random
    pitch = 1.15 * style.height_px
    for place in range(int(random.integers(1, 12)) if labels is None else len(labels)):
        if place and labels is None and random.random() < 0.05:
            x = write_sign(page, style, line, x, str(random.choice(list("+-=.,:/-()%@@✓→×"))))
        ink, label = draw_digit(style, split, random, None if labels is None else labels[place])
        if line.boxed:
            draw_box(page, x + pitch / 2, line.y_at(x), pitch, style.height_px * 1.45)
            middle, x = x + pitch / 2, x + pitch
        else:
            middle = x + ink.shape[1] / 2
            x += ink.shape[1] + style.height_px * max(
                -0.2, random.normal(style.gap, 0.08 if style.gap > 0.05 else 0.05)
            )
        uneven = 0.02 if style.typeface else style.unevenness
        page.put(ink, middle, line.y_at(middle) + random.normal(0, uneven) * style.height_px, label)
    return x


def draw_digit(style: WritingStyle, split: Split, random: Random, label: int | None = None) -> tuple[Ink, int]:
    """A digit, at random or of this label, in the style: its ink, float32 (h, w), and label."""
    if style.typeface:
        label = int(random.integers(10)) if label is None else label
        return style.typeface.draw(label, style.height_px), label
    index = int(random.integers(len(split)))
    if label is not None:
        own = np.flatnonzero(split.labels == label)
        index = int(own[random.integers(len(own))]) if len(own) else index
    label = int(split.labels[index])
    ink = draw_variant(split.images[index], label, random)
    return style.write(ink, style.height_px * max(0.5, random.normal(1, style.unevenness)), random), label


def write_sign(page: Page, style: WritingStyle, line: TextLine, x: float, sign: str) -> float:
    """Write a sign, or a letter for @, from x on; returns where it ends, with a gap."""
    # Now and then a hasty sign touches its neighbours.
    touching = page.random.random() < 0.15
    gap = (page.random.uniform(-0.2, 0.04) if touching else max(0.04, style.gap)) * style.height_px
    if sign == "@":
        sign = str(page.random.choice(list(UNLIKE_DIGITS)))
    if sign in SIGN_STROKES and page.random.random() < 0.7 and not style.typeface:
        return _write_strokes(page, style, line, x + gap / 2, sign) + gap / 2
    return write_character(page, style, line, x + gap / 2, sign, FONTS[0]) + gap


def _write_strokes(page: Page, style: WritingStyle, line: TextLine, x: float, sign: str) -> float:
    """Write a sign stroke by stroke from x on; returns where it ends. A slash slants more than the page's ones do."""
    random = page.random
    scale = 4 * style.height_px * math.exp(random.normal(0, 0.05 + style.unevenness))
    pen = max(4, round(4 * style.pen * style.height_px * math.exp(random.normal(0, 0.08))))
    slant = max(0.0, style.slant) if sign == "/" else style.slant + random.normal(0, 0.05)
    wide = scale * random.uniform(0.6, 1.3)
    strokes = []
    for stroke in SIGN_STROKES[sign]:
        points = np.array(stroke) + random.normal(0, 0.03, (len(stroke), 2))
        strokes.append(np.stack([wide * points[:, 0] - scale * slant * points[:, 1], scale * points[:, 1]], 1))
    every = np.concatenate(strokes)
    corner = every.min(axis=0) - pen
    columns, rows = (int(side) // 4 * 4 + 4 for side in np.ptp(every, axis=0) + 2 * pen)
    drawn = np.zeros((rows, columns), np.uint8)
    for points in strokes:
        cv2.polylines(drawn, [np.round(16 * (points - corner)).astype(np.int32)], False, 255, pen, cv2.LINE_AA, 4)
    ink = cv2.resize(drawn, (columns // 4, rows // 4), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    y = line.y_at(x) + random.normal(0, 0.5 * style.unevenness) * style.height_px + corner[1] / 4 + rows / 8
    page.put(ink, x + columns / 8, y, OTHER)
    return x + columns / 4


def draw_box(page: Page, x: float, y: float, width: float, height: float) -> None:
    """Print a box with its centre at x, y."""
    corners = np.array([[x - width / 2, y - height / 2], [x + width / 2, y + height / 2]]).round().astype(int)
    cv2.rectangle(page.lines, tuple(map(int, corners[0])), tuple(map(int, corners[1])), 0.7, 1, cv2.LINE_AA)


def print_word(page: Page, style: WritingStyle, line: TextLine, x: float) -> float:
    """Print a word from x on; returns where it ends."""
    random = page.random
    text = "".join(random.choice(list(LETTERS + SYMBOLS[:8]), int(random.integers(1, 9))))
    size = max(6, round(style.height_px * random.uniform(0.6, 1.5)))
    font = load_font(str(random.choice(FONTS)), size)
    left, top, right, bottom = font.getbbox(text, anchor="ls")
    if right <= left or bottom <= top:
        return x
    image = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), text, 255, font, anchor="ls")
    ink = np.asarray(image, np.float32) / np.float32(255)
    middle = line.y_at(x) + 0.5 * style.height_px + (top + bottom) / 2
    # Letter by letter, so that each is known.
    ends = [0, *(min(ink.shape[1], max(0, round(font.getlength(text[:end]) - left))) for end in range(1, len(text)))]
    for start, end in zip(ends, [*ends[1:], ink.shape[1]], strict=True):
        if end > start:
            page.put(ink[:, start:end], x + (start + end) / 2, middle, OTHER)
    return x + ink.shape[1]


def write_block_letters(page: Page, style: WritingStyle, line: TextLine, x: float) -> float:
    """Write a word in separate letters from x on, as people fill in forms; returns where it ends."""
    random = page.random
    font, symbol_share = str(random.choice(BLOCK_LETTER_FONTS)), 0.1 if random.random() < 0.5 else 0.0
    alphabet = LETTERS.upper() if random.random() < 0.3 else LETTERS
    for _ in range(int(random.integers(2, 9))):
        character = str(random.choice(list(SYMBOLS if random.random() < symbol_share else alphabet)))
        x = write_character(page, style, line, x, character, font)
        x += style.height_px * max(-0.08, random.normal(style.gap, 0.06))
    return x


def write_character(page: Page, style: WritingStyle, line: TextLine, x: float, character: str, font: str) -> float:
    """Write a letter or symbol from x on in the page's style; returns where it ends."""
    random = page.random
    ink, height, middle = character_shape(character, font)
    height *= style.height_px * math.exp(random.normal(0, style.unevenness))
    written = style.write(ink, height, random)
    y = line.y_at(x) + style.height_px * (middle + random.normal(0, style.unevenness))
    page.put(written, x + written.shape[1] / 2, y, OTHER)
    return x + written.shape[1]


@functools.cache
def character_shape(character: str, font: str) -> tuple[Ink, float, float]:
    """A character's ink on the canvas, its height, and how far below a digit's middle its own is, in digit heights."""
    large = load_font(font, 200)
    _, digit_top, _, digit_bottom = large.getbbox("5", anchor="ls")
    left, top, right, bottom = large.getbbox(character, anchor="ls")
    digit = digit_bottom - digit_top
    size = max(4, int(200 * 0.7 * CANVAS_PX / max(right - left, bottom - top, 1)))
    ink = print_centred(character, load_font(font, min(size, 120)))
    return ink, max(bottom - top, 1) / digit, ((top + bottom) - (digit_top + digit_bottom)) / 2 / digit


def write_cursive(page: Page, style: WritingStyle, line: TextLine, x: float) -> float:
    """Write a word in joined loops and arches from x on; returns where it ends."""
    random = page.random
    count = int(random.integers(3, 14))
    step = style.height_px * random.uniform(0.25, 0.65)
    tall = random.choice([0.5, 0.6, 1.1], count, p=[0.45, 0.3, 0.25]) * style.height_px
    tall = np.where(random.random(count) < 0.12, -0.5 * style.height_px, tall)
    # A cycloid: with a negative swing it makes arches, with a large one loops.
    swing = random.uniform(-0.5, 1.5) * random.uniform(0.5, 1.2, count)
    turn = np.arange(count * 14) / 14
    letter = turn.astype(int)
    along = x + step * (turn - swing[letter] / 6 * np.sin(2 * math.pi * turn))
    path = np.stack([along, -tall[letter] / 2 * (1 - np.cos(2 * math.pi * turn))], 1)
    baseline = line.y_at(x) + 0.45 * style.height_px + line.slope * (path[:, 0] - x)
    path = np.stack([path[:, 0] - style.slant * path[:, 1], path[:, 1] + baseline], 1)
    draw_curve(page.other_ink, path, style.pen * style.height_px)
    return x + step * count


WORDS: tuple[Callable[[Page, WritingStyle, TextLine, float], float], ...] = (
    print_word,
    write_block_letters,
    write_cursive,
)
WORD_SHARES = (0.3, 0.4, 0.3)


def draw_curve(ink: Ink, points: NDArray[np.float64], width_px: float) -> None:
    """Draw a stroke through the points, (x, y) in pixels, on the page's ink; at twice its size, for thin pens."""
    drawn = np.zeros((2 * PAGE_PX, 2 * PAGE_PX), np.uint8)
    path = np.round(points * 32).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(drawn, [path], False, 255, max(1, round(2 * width_px)), cv2.LINE_AA, shift=4)
    halved = cv2.resize(drawn, (PAGE_PX, PAGE_PX), interpolation=cv2.INTER_AREA)
    np.maximum(ink, halved.astype(np.float32) / 255, out=ink)


# Clutter.


def add_clutter(page: Page, style: WritingStyle, split: Split) -> None:
    """Add a long line, or a drawing that shows no digit, where there is room."""
    random = page.random
    if random.random() < 0.4:
        return draw_long_line(page, style)
    drawn = draw_non_digit(str(random.choice(NON_DIGIT_CLUTTER)), split, random)
    size = max(4, round(style.height_px * math.exp(random.uniform(-0.3, 1.6))))
    ink = np.asarray(cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA), np.float32)
    x, y = random.uniform(0, PAGE_PX, 2)
    here = np.s_[max(0, int(y) - size // 2) : int(y) + size // 2, max(0, int(x) - size // 2) : int(x) + size // 2]
    # Digits that are crossed out are not to be read; their labels would be wrong.
    if page.digit_ink[here].max(initial=0) < 0.2:
        page.put(ink, x, y)
    return None


def draw_long_line(page: Page, style: WritingStyle) -> None:
    """An underline, an arrow's shaft, a margin, a crease or the paper's edge."""
    random = page.random
    angle = random.choice([0, math.pi / 2]) + random.normal(0, 0.12)
    length, middle = PAGE_PX * random.uniform(0.15, 1.5), random.uniform(0, PAGE_PX, 2)
    half = length / 2 * np.array([math.cos(angle), math.sin(angle)])
    points = np.linspace(middle - half, middle + half, 8) + random.normal(0, 0.004 * length, (8, 2))
    draw_curve(page.other_ink, points, style.pen * style.height_px * math.exp(random.uniform(-1, 0.5)))


# The photograph.
