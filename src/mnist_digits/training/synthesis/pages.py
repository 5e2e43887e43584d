"""Whole pages composed from MNIST's digits, with the position of every digit: what the page detector is trained on.

Lines of digits in one writing style stand beside words in print, block letters and cursive, between ruling and in
boxes, with clutter of every kind. The page is photographed, and its ink found as that of any picture is.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mnist_digits.dataset import Split
from mnist_digits.recognition.preprocessing.ink import equalise_ink, find_ink
from mnist_digits.training.synthesis.digits import draw_non_digit, draw_variant
from mnist_digits.training.synthesis.drawing import (
    CANVAS_PX,
    Ink,
    Random,
    as_jpeg,
    bounds,
    distort,
    draw_light,
    draw_ruling,
    load_font,
    map_on_all_cores,
    print_centred,
    with_stroke_width,
)

PAGE_PX = 288
"""Side of a page."""
CELL_PX = 4
"""Side of the cells of the digit mask."""
MAX_DIGITS_PER_PAGE = 160
PAGES_PER_CHUNK = 50
"""Pages that are composed in one task, with a random generator of its own."""
DIGIT_HEIGHTS_PX = (13, 46)
"""Range of a page's mean digit height."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzäéñøßΔΣΩαβγλμπЖИЛЯджилфя"
SYMBOLS = "+-=×÷?%&@#*$€£<>~^_:…§←→↑↓★✓✗√∑[]{}()/!;,.'\"°"
FONTS = (
    "DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono",
    "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol", "STIXGeneralBolIta",
)  # fmt: skip
BLOCK_LETTER_FONTS = FONTS[:2] + FONTS[3:8]
NON_DIGIT_CLUTTER = ("letter", "symbol", "word", "shape", "scribble", "lines", "blot", "texture", "specks")


@dataclass(frozen=True)
class Pages:
    """Composed pages and where their digits are."""

    ink: NDArray[np.uint8]
    """(n, PAGE_PX, PAGE_PX): the ink found in the photograph, 255 = full stroke."""
    digit_mask: NDArray[np.uint8]
    """(n, PAGE_PX / CELL_PX, PAGE_PX / CELL_PX): how much of each cell is ink of digits, 255 = all of it."""
    digits: NDArray[np.float32]
    """(n, MAX_DIGITS_PER_PAGE, 5): label, centre x, centre y, width, height in pixels; unused rows are -1."""

    def __len__(self) -> int:
        return len(self.ink)


def compose(split: Split, count: int, seed: int) -> Pages:
    """`count` pages from a split's digits. They depend on the split and the seed, not on the number of processors."""
    sizes = [min(PAGES_PER_CHUNK, count - start) for start in range(0, count, PAGES_PER_CHUNK)]
    tasks = [(size, (seed, number)) for number, size in enumerate(sizes)]
    parts = map_on_all_cores(_compose_chunk, tasks, _start, split)
    return Pages(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


_split: Split
"""The digits of this process, which are sent once instead of with every chunk."""


def _start(split: Split) -> None:
    global _split
    _split = split


Composed = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]


def _compose_chunk(task: tuple[int, tuple[int, int]]) -> Composed:
    count, seed = task
    random = np.random.default_rng(seed)
    ink, digit_mask, digits = zip(*(compose_page(_split, random) for _ in range(count)), strict=True)
    return np.stack(ink), np.stack(digit_mask), np.stack(digits)


def compose_page(split: Split, random: Random) -> Composed:
    """One page: its ink, digit mask and digits, each without the first axis of `Pages`."""
    page = Page(random)
    style = WritingStyle.draw(random)
    if random.random() > 0.05:
        _write_lines(page, style, split)
    for _ in range(random.integers(0, 5) if random.random() < 0.6 else 0):
        _add_clutter(page, style, split)
    page.tilt()
    if random.random() < 0.03:
        page.turn()
    found = equalise_ink(find_ink(_photograph(page, style.height_px, random)))
    page.remove_unseen_digits(found)
    side = PAGE_PX // CELL_PX
    mask = cv2.resize(np.minimum(page.digit_ink, found), (side, side), interpolation=cv2.INTER_AREA)
    return np.rint(255 * found).astype(np.uint8), np.rint(255 * mask).astype(np.uint8), page.digit_table()


@dataclass(frozen=True)
class PlacedDigit:
    """A digit's label, and its centre and size in pixels of the page."""

    label: int
    x: float
    y: float
    width: float
    height: float


class Page:
    """A page while it is composed: ink of digits, other ink, and the digits' positions."""

    def __init__(self, random: Random) -> None:
        """An empty page. random: for all that is drawn on it."""
        self.random = random
        self.digit_ink: Ink = np.zeros((PAGE_PX, PAGE_PX), np.float32)
        self.other_ink: Ink = np.zeros((PAGE_PX, PAGE_PX), np.float32)
        self.digits: list[PlacedDigit] = []

    def put(self, ink: Ink, x: float, y: float, label: int | None = None) -> None:
        """Add ink, float32 (h, w), with its centre at x, y. label: of a digit; None for anything else."""
        height, width = ink.shape
        left, top = round(x - width / 2), round(y - height / 2)
        target = self.other_ink if label is None else self.digit_ink
        shown = target[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
        part = ink[max(0, -top) : max(0, -top) + shown.shape[0], max(0, -left) : max(0, -left) + shown.shape[1]]
        if not part.size:
            return
        np.maximum(shown, part, out=shown)
        # A digit that is cut off at the page's edge is not to be found.
        if label is not None and part.sum() > 0.7 * ink.sum():
            self.digits.append(PlacedDigit(label, left + width / 2, top + height / 2, width, height))

    def tilt(self) -> None:
        """Apply a random perspective: the page as seen at an angle."""
        reach = 0.09 * PAGE_PX * self.random.random() if self.random.random() < 0.5 else 1.0
        corners = np.array([[0, 0], [PAGE_PX, 0], [PAGE_PX, PAGE_PX], [0, PAGE_PX]], np.float32)
        moved = (corners + self.random.uniform(-reach, reach, (4, 2))).astype(np.float32)
        matrix = np.asarray(cv2.getPerspectiveTransform(corners, moved), np.float64)
        for ink in (self.digit_ink, self.other_ink):
            np.copyto(ink, cv2.warpPerspective(ink, matrix, (PAGE_PX, PAGE_PX), flags=cv2.INTER_LINEAR))
        self.digits = [seen for digit in self.digits if (seen := _transformed(digit, matrix))]

    def turn(self) -> None:
        """Turn the page on a side or upside down, where digits are not read."""
        ink = np.maximum(self.other_ink, self.digit_ink)
        np.copyto(self.other_ink, np.rot90(ink, int(self.random.integers(1, 4))))
        self.digit_ink[:] = 0
        self.digits = []

    def remove_unseen_digits(self, found: Ink) -> None:
        """Keep only digits of whose ink more than 40 % was found. found: float32 (PAGE_PX, PAGE_PX)."""
        self.digits = [digit for digit in self.digits if self._is_seen(digit, found)]

    def _is_seen(self, digit: PlacedDigit, found: Ink) -> bool:
        rows = slice(max(0, round(digit.y - digit.height / 2)), round(digit.y + digit.height / 2))
        columns = slice(max(0, round(digit.x - digit.width / 2)), round(digit.x + digit.width / 2))
        ink = self.digit_ink[rows, columns]
        return bool(np.minimum(found[rows, columns], ink).sum() > 0.4 * ink.sum())

    def digit_table(self) -> NDArray[np.float32]:
        """The digits as in `Pages`, float32 (MAX_DIGITS_PER_PAGE, 5)."""
        table = np.full((MAX_DIGITS_PER_PAGE, 5), -1, np.float32)
        for row, digit in zip(table, self.digits, strict=False):
            row[:] = digit.label, digit.x, digit.y, digit.width, digit.height
        return table


def _transformed(digit: PlacedDigit, matrix: NDArray[np.float64]) -> PlacedDigit | None:
    """The digit after a perspective transform; None when its centre is off the page."""
    half, centre = (digit.width / 2, digit.height / 2), (digit.x, digit.y)
    sides = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]) * half + centre
    corners = cv2.perspectiveTransform(sides[None].astype(np.float32), matrix)[0]
    low, high = corners.min(axis=0), corners.max(axis=0)
    middle = (low + high) / 2
    if not ((middle > 0).all() and (middle < PAGE_PX).all()):
        return None
    return PlacedDigit(digit.label, *middle.tolist(), *(high - low).tolist())


@dataclass(frozen=True)
class WritingStyle:
    """One person's writing with one pen."""

    height_px: float
    """Mean height of the digits."""
    pen: float
    """Stroke width, in digit heights."""
    slant: float
    """Pixels to the side per pixel up."""
    unevenness: float
    """Standard deviation of size and position, in digit heights."""
    gap: float
    """Space between neighbours, in digit heights; below 0 they overlap."""

    @classmethod
    def draw(cls, random: Random) -> Self:
        """A random style."""
        height = math.exp(random.uniform(*np.log(DIGIT_HEIGHTS_PX)))
        pen = max(math.exp(random.uniform(math.log(0.035), math.log(0.17))), 1.1 / height)
        gap = random.uniform(-0.06, 0.12) if random.random() < 0.3 else random.uniform(0.05, 0.45)
        return cls(height, pen, random.normal(0, 0.12), random.uniform(0.02, 0.14), gap)

    def write(self, ink: Ink, height_px: float, random: Random) -> Ink:
        """A shape, float32 (CANVAS_PX, CANVAS_PX), in this style, `height_px` high: float32 (h, w)."""
        left, top, right, bottom = bounds(ink)
        scale = height_px / max(bottom - top, 1)
        # A one is scaled by its height alone, a dash by its width alone.
        scale = min(scale, 1.6 * self.height_px / max(right - left, 1))
        pen = self.pen * self.height_px * math.exp(random.normal(0, 0.08)) / scale
        rotation, shear = random.normal(0, 0.09), self.slant + random.normal(0, 0.05)
        wide = math.exp(random.normal(-0.08, 0.13))
        ink = distort(ink, rotation, shear, (wide, 1.0), random.normal(0, 0.016 * CANVAS_PX, (4, 4, 2)))
        ink = with_stroke_width(ink, min(pen, 16.0), random.uniform(1, 2.5))
        left, top, right, bottom = bounds(ink)
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        return np.asarray(cv2.resize(ink[top:bottom, left:right], size, interpolation=cv2.INTER_AREA), np.float32)


# Lines of writing.


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


def _write_lines(page: Page, style: WritingStyle, split: Split) -> None:
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
                start = _write_number(page, style, line, start, split)
            # Now and then a unit or a name follows a number without a gap.
            if random.random() > 0.07:
                start += style.height_px * random.uniform(0.5, 1.6)
        y += pitch * random.uniform(0.95, 1.15)


def _write_number(page: Page, style: WritingStyle, line: TextLine, x: float, split: Split) -> float:
    """Write 1 to 11 digits from x on; returns where they end."""
    random = page.random
    pitch = 1.15 * style.height_px
    for place in range(int(random.integers(1, 12))):
        if place and random.random() < 0.05:
            separator = str(random.choice(list("+-=.,:/-()%")))
            x = _write_character(page, style, line, x, separator, FONTS[0]) + style.gap * style.height_px
        index = random.integers(len(split))
        label = int(split.labels[index])
        ink = draw_variant(split.images[index], label, random)
        written = style.write(ink, style.height_px * max(0.5, random.normal(1, style.unevenness)), random)
        if line.boxed:
            _draw_box(page, x + pitch / 2, line.y_at(x), pitch, style.height_px * 1.45)
            middle, x = x + pitch / 2, x + pitch
        else:
            middle = x + written.shape[1] / 2
            x += written.shape[1] + style.height_px * max(-0.15, random.normal(style.gap, 0.08))
        page.put(written, middle, line.y_at(middle) + random.normal(0, style.unevenness) * style.height_px, label)
    return x


def _draw_box(page: Page, x: float, y: float, width: float, height: float) -> None:
    corners = np.array([[x - width / 2, y - height / 2], [x + width / 2, y + height / 2]]).round().astype(int)
    cv2.rectangle(page.other_ink, tuple(map(int, corners[0])), tuple(map(int, corners[1])), 0.7, 1, cv2.LINE_AA)


def _print_word(page: Page, style: WritingStyle, line: TextLine, x: float) -> float:
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
    baseline = line.y_at(x) + 0.5 * style.height_px
    page.put(ink, x + ink.shape[1] / 2, baseline + (top + bottom) / 2)
    return x + ink.shape[1]


def _write_block_letters(page: Page, style: WritingStyle, line: TextLine, x: float) -> float:
    """Write a word in separate letters from x on, as people fill in forms; returns where it ends."""
    random = page.random
    font, symbol_share = str(random.choice(BLOCK_LETTER_FONTS)), 0.1 if random.random() < 0.5 else 0.0
    alphabet = LETTERS.upper() if random.random() < 0.3 else LETTERS
    for _ in range(int(random.integers(2, 9))):
        character = str(random.choice(list(SYMBOLS if random.random() < symbol_share else alphabet)))
        x = _write_character(page, style, line, x, character, font)
        x += style.height_px * max(-0.08, random.normal(style.gap, 0.06))
    return x


def _write_character(page: Page, style: WritingStyle, line: TextLine, x: float, character: str, font: str) -> float:
    """Write a letter or symbol from x on in the page's style; returns where it ends."""
    random = page.random
    ink, height, middle = _character_shape(character, font)
    height *= style.height_px * math.exp(random.normal(0, style.unevenness))
    written = style.write(ink, height, random)
    y = line.y_at(x) + style.height_px * (middle + random.normal(0, style.unevenness))
    page.put(written, x + written.shape[1] / 2, y)
    return x + written.shape[1]


@functools.cache
def _character_shape(character: str, font: str) -> tuple[Ink, float, float]:
    """A character's ink on the canvas, its height, and how far below a digit's middle its own is, in digit heights."""
    large = load_font(font, 200)
    _, digit_top, _, digit_bottom = large.getbbox("5", anchor="ls")
    left, top, right, bottom = large.getbbox(character, anchor="ls")
    digit = digit_bottom - digit_top
    size = max(4, int(200 * 0.7 * CANVAS_PX / max(right - left, bottom - top, 1)))
    ink = print_centred(character, load_font(font, min(size, 120)))
    return ink, max(bottom - top, 1) / digit, ((top + bottom) - (digit_top + digit_bottom)) / 2 / digit


def _write_cursive(page: Page, style: WritingStyle, line: TextLine, x: float) -> float:
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
    _draw_curve(page.other_ink, path, style.pen * style.height_px)
    return x + step * count


WORDS: tuple[Callable[[Page, WritingStyle, TextLine, float], float], ...] = (
    _print_word,
    _write_block_letters,
    _write_cursive,
)
WORD_SHARES = (0.3, 0.4, 0.3)


def _draw_curve(ink: Ink, points: NDArray[np.float64], width_px: float) -> None:
    """Draw a stroke through the points, (x, y) in pixels, on the page's ink; at twice its size, for thin pens."""
    drawn = np.zeros((2 * PAGE_PX, 2 * PAGE_PX), np.uint8)
    path = np.round(points * 32).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(drawn, [path], False, 255, max(1, round(2 * width_px)), cv2.LINE_AA, shift=4)
    halved = cv2.resize(drawn, (PAGE_PX, PAGE_PX), interpolation=cv2.INTER_AREA)
    np.maximum(ink, halved.astype(np.float32) / 255, out=ink)


# Clutter.


def _add_clutter(page: Page, style: WritingStyle, split: Split) -> None:
    random = page.random
    if random.random() < 0.4:
        return _draw_long_line(page, style)
    drawn = draw_non_digit(str(random.choice(NON_DIGIT_CLUTTER)), split, random)
    size = max(4, round(style.height_px * math.exp(random.uniform(-0.3, 1.6))))
    ink = np.asarray(cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA), np.float32)
    x, y = random.uniform(0, PAGE_PX, 2)
    here = np.s_[max(0, int(y) - size // 2) : int(y) + size // 2, max(0, int(x) - size // 2) : int(x) + size // 2]
    # Digits that are crossed out are not to be read; their labels would be wrong.
    if page.digit_ink[here].max(initial=0) < 0.2:
        page.put(ink, x, y)
    return None


def _draw_long_line(page: Page, style: WritingStyle) -> None:
    """An underline, an arrow's shaft, a margin, a crease or the paper's edge."""
    random = page.random
    angle = random.choice([0, math.pi / 2]) + random.normal(0, 0.12)
    length, middle = PAGE_PX * random.uniform(0.15, 1.5), random.uniform(0, PAGE_PX, 2)
    half = length / 2 * np.array([math.cos(angle), math.sin(angle)])
    points = np.linspace(middle - half, middle + half, 8) + random.normal(0, 0.004 * length, (8, 2))
    _draw_curve(page.other_ink, points, style.pen * style.height_px * math.exp(random.uniform(-1, 0.5)))


# The photograph.


def _photograph(page: Page, digit_height_px: float, random: Random) -> NDArray[np.uint8]:
    """The page on its paper, with ruling, shadows, blur, noise and JPEG artefacts: uint8 (PAGE_PX, PAGE_PX)."""
    light = draw_light(PAGE_PX, random) * (1 - draw_ruling(PAGE_PX, digit_height_px, random))
    strength = random.uniform(0.3, 0.97)
    ink = np.maximum(page.digit_ink, page.other_ink * min(1.0, math.exp(random.normal(0, 0.15))))
    if random.random() < 0.4:
        # Pencil and dry pens leave the paper's grain open.
        ink = ink * np.clip(1 - random.uniform(0, 0.6) * np.abs(random.normal(0, 1, ink.shape)), 0, 1)
    picture = light * (1 - strength * ink)
    picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.3, 1.3) * (1 if digit_height_px > 20 else 0.7))
    picture += random.normal(0, math.exp(random.uniform(-1, 2.5)), picture.shape)
    if random.random() < 0.12:
        picture = 255 - picture
    return as_jpeg(picture, int(random.integers(35, 96)))
