"""Sheets of writing composed from MNIST's digits: what a page's ink looks like, and where on it each digit stands.

A network that is to find digits among letters, symbols, scribbles, ruling and shadows must have seen them. Rows of
digits in one hand are set beside words in print, in block letters and in cursive loops, between lines and in boxes;
the sheet is photographed, and the ink found again, as it is with any picture.
"""

import functools
import math
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mnist_digits.dataset import Split
from mnist_digits.recognition.preprocessing.ink import equalise_ink, find_ink
from mnist_digits.training.synthesis import digits

SIDE = 288
"""Pixels along each side of a sheet."""

CELL = 4
"""Pixels along each side of the cells in which it is told what is a digit."""

MOST_DIGITS = 160
"""On a sheet."""

CHUNK = 50
"""Sheets that are composed together, from random numbers of their own."""

HEIGHTS = (13, 46)
"""Of the digits, in pixels."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzäéñøßΔΣΩαβγλμπЖИЛЯджилфя"
SYMBOLS = "+-=×÷?%&@#*$€£<>~^_:…§←→↑↓★✓✗√∑[]{}()/!;,.'\"°"
FONTS = (
    "DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono",
    "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol", "STIXGeneralBolIta",
)  # fmt: skip
"""Free fonts that come with Matplotlib."""

Random = np.random.Generator


@dataclass(frozen=True)
class Sheets:
    """Composed sheets and where their digits are."""

    ink: np.ndarray
    """uint8 (n, SIDE, SIDE): the ink as it was found, 255 = full stroke."""
    cover: np.ndarray
    """uint8 (n, SIDE / CELL, SIDE / CELL): how much of each cell digits cover, 255 = all of it."""
    digits: np.ndarray
    """float32 (n, MOST_DIGITS, 5) of label, middle x, middle y, width, height in pixels; beyond the last, label -1."""

    def __len__(self) -> int:
        return len(self.ink)


def compose(split: Split, count: int, seed: int) -> Sheets:
    """So many sheets from a split's digits: the same for the same seed, whatever the number of processors."""
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    with ProcessPoolExecutor(
        mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(split.images, split.labels)
    ) as pool:
        parts = list(pool.map(_compose_chunk, sizes, [(seed, number) for number in range(len(sizes))]))
    return Sheets(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


_split: list[np.ndarray] = []


def _start(images: np.ndarray, labels: np.ndarray) -> None:
    """Give a worker its digits once, instead of with every chunk."""
    cv2.setNumThreads(1)
    _split[:] = images, labels


def _compose_chunk(count: int, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    images, labels = _split
    sheets = [compose_one(images, labels, random) for _ in range(count)]
    ink, cover, digits = (np.stack(arrays) for arrays in zip(*sheets, strict=True))
    return ink, cover, digits


def compose_one(images: np.ndarray, labels: np.ndarray, random: Random) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One sheet: ink, uint8 (SIDE, SIDE), cover and digits, as in `Sheets`. images: uint8 (n, 28, 28)."""
    sheet = Sheet(random)
    hand = Hand.any(random)
    if random.random() > 0.05:
        _write_rows(sheet, hand, images, labels)
    for _ in range(random.integers(0, 5) if random.random() < 0.6 else 0):
        _clutter(sheet, hand, images, labels)
    sheet.warp()
    if random.random() < 0.03:
        sheet.turn()
    found = equalise_ink(find_ink(photograph(sheet, hand.height, random)))
    sheet.forget_unseen(found)
    cells = cv2.resize(np.minimum(sheet.digits_ink, found), (SIDE // CELL, SIDE // CELL), interpolation=cv2.INTER_AREA)
    return np.rint(255 * found).astype(np.uint8), np.rint(255 * cells).astype(np.uint8), sheet.table()


class Sheet:
    """What has been put on a sheet so far."""

    def __init__(self, random: Random) -> None:
        """An empty one."""
        self.random = random
        self.digits_ink = np.zeros((SIDE, SIDE), np.float32)
        self.other_ink = np.zeros((SIDE, SIDE), np.float32)
        self.found: list[tuple[int, float, float, float, float]] = []

    def put(self, ink: np.ndarray, x: float, y: float, label: int | None = None) -> None:
        """Ink, float32 (h, w), with its middle at x, y: a digit when it has a label."""
        height, width = ink.shape
        left, top = round(x - width / 2), round(y - height / 2)
        here = np.s_[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
        target = self.other_ink if label is None else self.digits_ink
        shown = target[here]
        part = ink[max(0, -top) : max(0, -top) + shown.shape[0], max(0, -left) : max(0, -left) + shown.shape[1]]
        if not part.size:
            return
        np.maximum(shown, part, out=shown)
        # A digit of which hardly half is on the sheet is nobody's to find.
        if label is not None and part.sum() > 0.7 * ink.sum():
            self.found.append((label, left + width / 2, top + height / 2, width, height))

    def warp(self) -> None:
        """See the sheet at an angle, more or less."""
        reach = 0.09 * SIDE * self.random.random() if self.random.random() < 0.5 else 1.0
        corners = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], np.float32)
        moved = (corners + self.random.uniform(-reach, reach, (4, 2))).astype(np.float32)
        self._apply(cv2.getPerspectiveTransform(corners, moved))

    def turn(self) -> None:
        """Lay the sheet on a side or on its head, where digits are not read."""
        ink = np.maximum(self.other_ink, self.digits_ink)
        np.copyto(self.other_ink, np.rot90(ink, int(self.random.integers(1, 4))))
        self.digits_ink[:] = 0
        self.found = []

    def _apply(self, matrix: np.ndarray) -> None:
        size = (SIDE, SIDE)
        for ink in (self.digits_ink, self.other_ink):
            np.copyto(ink, cv2.warpPerspective(ink, matrix, size, flags=cv2.INTER_LINEAR))
        warped: list[tuple[int, float, float, float, float]] = []
        for label, x, y, width, height in self.found:
            sides = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]) * (width / 2, height / 2) + (x, y)
            corners = cv2.perspectiveTransform(sides[None].astype(np.float32), matrix)[0]
            low, high = corners.min(axis=0), corners.max(axis=0)
            middle = (low + high) / 2
            if (middle > 0).all() and (middle < SIDE).all():
                (across, down), (width, height) = middle.tolist(), (high - low).tolist()
                warped.append((label, across, down, width, height))
        self.found = warped

    def forget_unseen(self, found: np.ndarray) -> None:
        """Keep those digits of which the ink that was found, float32 (SIDE, SIDE), shows most."""
        seen = []
        for digit in self.found:
            _, x, y, width, height = digit
            here = np.s_[
                max(0, round(y - height / 2)) : round(y + height / 2),
                max(0, round(x - width / 2)) : round(x + width / 2),
            ]
            ink = self.digits_ink[here]
            if (np.minimum(found[here], ink)).sum() > 0.4 * ink.sum():
                seen.append(digit)
        self.found = seen

    def table(self) -> np.ndarray:
        """The digits, float32 (MOST_DIGITS, 5)."""
        table = np.full((MOST_DIGITS, 5), -1, np.float32)
        for place, digit in zip(table, self.found, strict=False):
            place[:] = digit
        return table


@dataclass(frozen=True)
class Hand:
    """One person's writing with one pen."""

    height: float
    """Of the digits, in pixels."""
    pen: float
    """Width of strokes, in heights."""
    slant: float
    """Pixels to the side per pixel up."""
    uneven: float
    """Standard deviation of size and place, in heights."""
    gap: float
    """Between neighbours, in heights; below 0 they overlap."""

    @classmethod
    def any(cls, random: Random) -> "Hand":
        """Anybody's."""
        height = math.exp(random.uniform(*np.log(HEIGHTS)))
        pen = max(math.exp(random.uniform(math.log(0.035), math.log(0.17))), 1.1 / height)
        gap = random.uniform(-0.06, 0.12) if random.random() < 0.3 else random.uniform(0.05, 0.45)
        return cls(height, pen, random.normal(0, 0.12), random.uniform(0.02, 0.14), gap)

    def write(self, ink: np.ndarray, height: float, random: Random) -> np.ndarray:
        """A shape, ink (digits.SIDE, digits.SIDE), in this hand: float32 (h, w), so many pixels high."""
        left, top, right, bottom = digits.bounds(ink)
        scale = height / max(bottom - top, 1)
        # A one lies in a box of which only the height counts, a dash in one of which only the width does.
        scale = min(scale, 1.6 * self.height / max(right - left, 1))
        pen = self.pen * self.height * math.exp(random.normal(0, 0.08)) / scale
        ink = digits.with_stroke_width(self._bent(ink, random), min(pen, 16.0), random.uniform(1, 2.5))
        left, top, right, bottom = digits.bounds(ink)
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        return cv2.resize(ink[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)

    def _bent(self, ink: np.ndarray, random: Random) -> np.ndarray:
        side = digits.SIDE
        angle, slant = random.normal(0, 0.09), self.slant + random.normal(0, 0.05)
        wide = math.exp(random.normal(-0.08, 0.13))
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        matrix = turn @ np.array([[1, slant], [0, 1]]) @ np.diag([1 / wide, 1])
        place = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1) - (side - 1) / 2
        bent = cv2.resize(random.normal(0, 0.016 * side, (4, 4, 2)), (side, side), interpolation=cv2.INTER_CUBIC)
        source = (place @ matrix.T + (side - 1) / 2 + bent).astype(np.float32)
        return np.clip(cv2.remap(ink, source[..., 0], source[..., 1], cv2.INTER_LINEAR), 0, 1)


# Rows.


def _write_rows(sheet: Sheet, hand: Hand, images: np.ndarray, labels: np.ndarray) -> None:
    random = sheet.random
    slope = math.tan(math.radians(random.normal(0, 7) if random.random() < 0.5 else random.normal(0, 1.5)))
    bow = random.normal(0, 0.3) if random.random() < 0.3 else 0.0
    pitch = hand.height * random.uniform(1.1, 2.4)
    # Pages of digits alone, of some words, and of hardly anything but words.
    letters = float(random.choice([0.0, 0.25, 0.6, 0.95], p=[0.35, 0.35, 0.22, 0.08]))
    boxed = random.random() < 0.08
    y = random.uniform(-0.5, 1.0) * pitch - abs(slope) * SIDE / 2
    while y < SIDE + abs(slope) * SIDE / 2:
        start, stop = random.uniform(0, 0.4) * SIDE, random.uniform(0.5, 1.05) * SIDE
        row = Row(y, slope, bow * hand.height, boxed)
        _write_row(sheet, hand, row, start, stop, letters, images, labels)
        y += pitch * random.uniform(0.95, 1.15)


@dataclass(frozen=True)
class Row:
    """Where a row runs."""

    y: float
    """Of its middle, at the middle of the sheet."""
    slope: float
    bow: float
    boxed: bool
    """Whether each digit has a printed box."""

    def y_at(self, x: float) -> float:
        """Its middle."""
        across = x / SIDE - 0.5
        return self.y + self.slope * SIDE * across + self.bow * (4 * across**2 - 0.5)


def _write_row(
    sheet: Sheet, hand: Hand, row: Row, x: float, stop: float, letters: float, images: np.ndarray, labels: np.ndarray
) -> None:
    random = sheet.random
    while x < stop:
        if random.random() < letters:
            x = WORDS[int(random.choice(len(WORDS), p=WORD_SHARES))](sheet, hand, row, x)
        else:
            x = _number(sheet, hand, row, x, images, labels)
        # Now and then a unit or a name follows a number without a gap.
        if random.random() > 0.07:
            x += hand.height * random.uniform(0.5, 1.6)


def _number(sheet: Sheet, hand: Hand, row: Row, x: float, images: np.ndarray, labels: np.ndarray) -> float:
    """Some digits from x on, and where they end."""
    random = sheet.random
    pitch = 1.15 * hand.height
    for place in range(int(random.integers(1, 12))):
        if place and random.random() < 0.05:
            x = _glyph(sheet, hand, row, x, str(random.choice(list("+-=.,:/-()%"))), FONTS[0]) + hand.gap * hand.height
        index = random.integers(len(images))
        ink, label = digits.in_other_habits(images[index], int(labels[index]), random), int(labels[index])
        written = hand.write(ink, hand.height * max(0.5, random.normal(1, hand.uneven)), random)
        width = written.shape[1]
        if row.boxed:
            _box(sheet, x + pitch / 2, row.y_at(x), pitch, hand.height * 1.45)
            middle, x = x + pitch / 2, x + pitch
        else:
            middle = x + width / 2
            x += width + hand.height * max(-0.15, random.normal(hand.gap, 0.08))
        sheet.put(written, middle, row.y_at(middle) + random.normal(0, hand.uneven) * hand.height, label)
    return x


def _box(sheet: Sheet, x: float, y: float, width: float, height: float) -> None:
    corners = np.array([[x - width / 2, y - height / 2], [x + width / 2, y + height / 2]]).round().astype(int)
    cv2.rectangle(sheet.other_ink, tuple(map(int, corners[0])), tuple(map(int, corners[1])), 0.7, 1, cv2.LINE_AA)


def _printed_word(sheet: Sheet, hand: Hand, row: Row, x: float) -> float:
    """A word as a printer sets it."""
    random = sheet.random
    text = "".join(random.choice(list(LETTERS + SYMBOLS[:8]), int(random.integers(1, 9))))
    size = max(6, round(hand.height * random.uniform(0.6, 1.5)))
    font = _font(str(random.choice(FONTS)), size)
    left, top, right, bottom = font.getbbox(text, anchor="ls")
    if right <= left or bottom <= top:
        return x
    image = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), text, 255, font, anchor="ls")
    ink = np.asarray(image, np.float32) / 255
    baseline = row.y_at(x) + 0.5 * hand.height
    sheet.put(ink, x + ink.shape[1] / 2, baseline + (top + bottom) / 2)
    return x + ink.shape[1]


def _lettered_word(sheet: Sheet, hand: Hand, row: Row, x: float) -> float:
    """A word in separate letters, as people fill in forms."""
    random = sheet.random
    font, symbols = str(random.choice(FONTS[:2] + FONTS[3:8])), 0.1 if random.random() < 0.5 else 0.0
    alphabet = LETTERS.upper() if random.random() < 0.3 else LETTERS
    for _ in range(int(random.integers(2, 9))):
        character = str(random.choice(list(SYMBOLS if random.random() < symbols else alphabet)))
        x = _glyph(sheet, hand, row, x, character, font) + hand.height * max(-0.08, random.normal(hand.gap, 0.06))
    return x


def _glyph(sheet: Sheet, hand: Hand, row: Row, x: float, character: str, font: str) -> float:
    """A letter or symbol in the hand of the page, and where it ends."""
    random = sheet.random
    ink, height, middle = _drawn(character, font)
    height *= hand.height * math.exp(random.normal(0, hand.uneven))
    written = hand.write(ink, height, random)
    y = row.y_at(x) + hand.height * (middle + random.normal(0, hand.uneven))
    sheet.put(written, x + written.shape[1] / 2, y)
    return x + written.shape[1]


@functools.cache
def _drawn(character: str, font: str) -> tuple[np.ndarray, float, float]:
    """A character's shape, (digits.SIDE, digits.SIDE); its height and how far below a digit's middle its own is.

    Both in heights of a digit.
    """
    side, em = digits.SIDE, _font(font, 200)
    _, top_zero, _, bottom_zero = em.getbbox("5", anchor="ls")
    left, top, right, bottom = em.getbbox(character, anchor="ls")
    digit = bottom_zero - top_zero
    size = max(4, int(200 * 0.7 * side / max(right - left, bottom - top, 1)))
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).text((side / 2, side / 2), character, 255, _font(font, min(size, 120)), anchor="mm")
    ink = np.asarray(image, np.float32) / 255
    return ink, max(bottom - top, 1) / digit, ((top + bottom) - (top_zero + bottom_zero)) / 2 / digit


@functools.cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")), size)


def _cursive_word(sheet: Sheet, hand: Hand, row: Row, x: float) -> float:
    """A word in loops and arches, as people write when they do not lift the pen."""
    random = sheet.random
    count = int(random.integers(3, 14))
    step = hand.height * random.uniform(0.25, 0.65)
    tall = random.choice([0.5, 0.6, 1.1], count, p=[0.45, 0.3, 0.25]) * hand.height
    tall = np.where(random.random(count) < 0.12, -0.5 * hand.height, tall)
    # A cycloid: with a negative swing it makes arches, with a large one loops.
    swing = random.uniform(-0.5, 1.5) * random.uniform(0.5, 1.2, count)
    turn = np.arange(count * 14) / 14
    letter = turn.astype(int)
    along = x + step * (turn - swing[letter] / 6 * np.sin(2 * math.pi * turn))
    path = np.stack([along, -tall[letter] / 2 * (1 - np.cos(2 * math.pi * turn))], 1)
    baseline = row.y_at(x) + 0.45 * hand.height + row.slope * (path[:, 0] - x)
    path = np.stack([path[:, 0] - hand.slant * path[:, 1], path[:, 1] + baseline], 1)
    _stroke(sheet.other_ink, path, hand.pen * hand.height)
    return x + step * count


WORDS: tuple[Callable[[Sheet, Hand, Row, float], float], ...] = (_printed_word, _lettered_word, _cursive_word)
WORD_SHARES = (0.3, 0.4, 0.3)


def _stroke(ink: np.ndarray, points: np.ndarray, width: float) -> None:
    """A pen's way through the points, (x, y) in pixels, on the ink."""
    drawn = np.zeros((2 * SIDE, 2 * SIDE), np.uint8)
    path = np.round(points * 32).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(drawn, [path], False, 255, max(1, round(2 * width)), cv2.LINE_AA, shift=4)
    np.maximum(ink, cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255, out=ink)


# What else is on the sheet.


def _clutter(sheet: Sheet, hand: Hand, images: np.ndarray, labels: np.ndarray) -> None:
    random = sheet.random
    if random.random() < 0.4:
        return _long_line(sheet, hand)
    kind = str(random.choice(["letter", "symbol", "word", "shape", "scribble", "lines", "blot", "texture", "specks"]))
    ink = digits.draw_other(kind, images, labels, random)
    size = max(4, round(hand.height * math.exp(random.uniform(-0.3, 1.6))))
    ink = cv2.resize(ink, (size, size), interpolation=cv2.INTER_AREA)
    x, y = random.uniform(0, SIDE, 2)
    here = np.s_[max(0, int(y) - size // 2) : int(y) + size // 2, max(0, int(x) - size // 2) : int(x) + size // 2]
    # What is scribbled over is nobody's to read.
    if sheet.digits_ink[here].max(initial=0) < 0.2:
        sheet.put(ink, x, y)
    return None


def _long_line(sheet: Sheet, hand: Hand) -> None:
    """An underline, an arrow's shaft, a margin, a crease, the paper's edge."""
    random = sheet.random
    angle = random.choice([0, math.pi / 2]) + random.normal(0, 0.12)
    length, middle = SIDE * random.uniform(0.15, 1.5), random.uniform(0, SIDE, 2)
    half = length / 2 * np.array([math.cos(angle), math.sin(angle)])
    points = np.linspace(middle - half, middle + half, 8) + random.normal(0, 0.004 * length, (8, 2))
    _stroke(sheet.other_ink, points, hand.pen * hand.height * math.exp(random.uniform(-1, 0.5)))


# The camera.


def photograph(sheet: Sheet, height: float, random: Random) -> np.ndarray:
    """The sheet on its paper, with ruling, shadows and the camera's faults: uint8 (SIDE, SIDE)."""
    light = _light(random)
    light *= 1 - _ruling(height, random)
    strength = random.uniform(0.3, 0.97)
    ink = np.maximum(sheet.digits_ink, sheet.other_ink * min(1.0, math.exp(random.normal(0, 0.15))))
    if random.random() < 0.4:
        # Pencil and dry pens leave the paper's grain open.
        ink = ink * np.clip(1 - random.uniform(0, 0.6) * np.abs(random.normal(0, 1, ink.shape)), 0, 1)
    picture = light * (1 - strength * ink)
    picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.3, 1.3) * (1 if height > 20 else 0.7))
    picture += random.normal(0, math.exp(random.uniform(-1, 2.5)), picture.shape)
    if random.random() < 0.12:
        picture = 255 - picture
    quality = int(random.integers(35, 96))
    _, encoded = cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))


def _light(random: Random) -> np.ndarray:
    """What paper looks like in some light: float64 (SIDE, SIDE)."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    light = random.uniform(120, 245) * (1 + random.uniform(-0.3, 0.3) * x + random.uniform(-0.3, 0.3) * y)
    clouds = cv2.resize(random.normal(size=(12, 12)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(random.normal(size=(SIDE, SIDE)), (0, 0), random.uniform(0.4, 1.5))
    light += random.uniform(0, 4) * clouds + random.uniform(0, 4) * grain / grain.std()
    if random.random() < 0.4:
        # A shadow with a more or less sharp edge; or, darker or lighter, the desk beside the paper.
        depth = random.uniform(0.3, 0.85) if random.random() < 0.75 else random.uniform(0.15, 1.3)
        light *= 1 + (depth - 1) * _half_plane(random, math.exp(random.uniform(math.log(0.5), math.log(30))))
    return light


def _half_plane(random: Random, softness: float) -> np.ndarray:
    """1 beyond a line or a bow somewhere on the sheet, 0 before it: float (SIDE, SIDE).

    softness: of the edge, in pixels.
    """
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2.0
    angle = random.uniform(0, 2 * math.pi)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    bow = random.normal(0, 0.3) / SIDE if random.random() < 0.5 else 0.0
    return np.clip(0.5 + (along + bow * across**2 - random.uniform(-0.35, 0.5) * SIDE) / softness, 0, 1)


def _ruling(height: float, random: Random) -> np.ndarray:
    """How much darker printed lines make the paper, float (SIDE, SIDE) in [0, 1]."""
    lines = np.zeros((SIDE, SIDE), np.float32)
    if random.random() > 0.5:
        return lines
    pitch = height * random.uniform(0.45, 2.5)
    angle, squared = random.normal(0, 0.08), random.random() < 0.5
    width = 1 if random.random() < 0.8 else 2
    for turn in (angle, angle + math.pi / 2)[: 1 + squared]:
        across = np.array([-math.sin(turn), math.cos(turn)])
        along = np.array([math.cos(turn), math.sin(turn)]) * SIDE
        for offset in np.arange(-SIDE, SIDE, max(pitch, 5.0)) + random.uniform(0, pitch):
            middle = SIDE / 2 + across * offset
            ends = np.rint(16 * np.array([middle - along, middle + along])).astype(int)
            cv2.line(lines, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 1.0, width, cv2.LINE_AA, shift=4)
    return lines * random.uniform(0.08, 0.75)
