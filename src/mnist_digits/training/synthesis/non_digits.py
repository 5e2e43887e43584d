"""Drawings that show no digit, by kind: letters, invented ones, symbols, shapes, scribbles, blots, fragments, ….

None may look like a digit to a person: no circle, no upright line, no O, l, S, Z or B.
"""

import functools
import math
import unicodedata
from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray

from mnist_digits.dataset import Split
from mnist_digits.training.synthesis.drawing import (
    CANVAS_PX,
    Ink,
    Random,
    blank,
    bounds,
    draw_line,
    enlarge,
    load_font,
    print_centred,
    smooth_noise,
)

LETTERS = "ACDEFGHJKLMNPQRTUVWXacdefhijkmnrtuvwxΓΔΞΠΣΨΩαγηκλμπψωЖИЛПЦШЩЪЫЮЯжилпцшщъыюя"
SYMBOLS = "+-=×÷?%&@#*$€£<>~^_:…§←→↑↓★♥♦♣♠✓✗∞√∑[]{}«»±≠≤≥¿☺☂☎✂"
LIKE_DIGITS = (
    "ՇՓՕօסةهߋႭႳესⴰⵀⵁⵔⵙⵚᐤꓳ𐌏𐌘וןإاߊߗⵏⵑᐟᑊꓲ𐌉ԶՀՁՉշႢᔐᔗᔘᕤᕥᖊᖍᙆꓜՅვკპჰԿՎկվߟႡႯႷႸჃᔦᔯᔰᖧՏႽჂნწᔆᕊꓢճႱხᑲᑳᑾᑿᒀᒁᒂᒃᖯꓖ𐌜ՂךלףרߣႤႨᒉᒒ"
    "ᒓᒣᒬᒭᔭᔮᔹᔺᔻᔼᔾꓶջອბგზ𐌚ԳգզցؤوງႩႺყᑫᑴᑵᕋᕌᕎᕏᕐᕴ"
)
"""Letters of other alphabets that could be taken for digits."""
ALPHABETS = {
    "Armenian": (0x531, 0x587),
    "Hebrew": (0x5D0, 0x5EA),
    "Arabic": (0x621, 0x64A),
    "N'Ko": (0x7CA, 0x7E7),
    "Lao": (0xE81, 0xEB0),
    "Asomtavruli": (0x10A0, 0x10C5),
    "Georgian": (0x10D0, 0x10F0),
    "Canadian syllabics": (0x1401, 0x1676),
    "Tifinagh": (0x2D30, 0x2D67),
    "Lisu": (0xA4D0, 0xA4F7),
    "Old Italic": (0x10300, 0x1031E),
}
"""First and last code points of the other alphabets that DejaVu Sans has."""
FONTS = (
    "DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic",
    "DejaVuSansMono", "DejaVuSerif-Bold", "DejaVuSans-BoldOblique",
)  # fmt: skip


def _print(text: str, random: Random) -> Ink:
    """Text in the middle of the canvas, as large as fits."""
    return _print_in(str(random.choice(FONTS)), text)


def _print_in(name: str, text: str) -> Ink:
    left, top, right, bottom = load_font(name, 60).getbbox(text)
    return print_centred(text, load_font(name, max(6, int(60 * 0.72 * CANVAS_PX / max(right - left, bottom - top, 1)))))


def _letter(split: Split, random: Random) -> Ink:
    return _print(str(random.choice(list(LETTERS))), random)


def _foreign(split: Split, random: Random) -> Ink:
    return _print_in("DejaVuSans", str(random.choice(_foreign_letters())))


@functools.cache
def _foreign_letters() -> list[str]:
    """Letters of ALPHABETS that the font has; for others it would draw a box."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    codes = sorted(FT2Font(str(path)).get_charmap())
    inside = [code for code in codes if any(first <= code <= last for first, last in ALPHABETS.values())]
    return [
        chr(code) for code in inside if unicodedata.category(chr(code)).startswith("L") and chr(code) not in LIKE_DIGITS
    ]


def _symbol(split: Split, random: Random) -> Ink:
    return _print(str(random.choice(list(SYMBOLS))), random)


def _word(split: Split, random: Random) -> Ink:
    return _print("".join(random.choice(list(LETTERS), random.integers(2, 6))), random)


def _shape(split: Split, random: Random) -> Ink:
    """A polygon or star, outlined or filled."""
    corners, inner = int(random.integers(3, 9)), random.uniform(0.3, 0.6) if random.random() < 0.5 else 1.0
    # A polygon of many corners is a circle, and a circle is a zero.
    corners = corners if inner < 1 else min(corners, 4)
    angles = np.arange(2 * corners) * math.pi / corners + random.uniform(0, 2 * math.pi)
    inner_radius = inner if inner < 1 else math.cos(math.pi / corners)
    radii = 0.36 * CANVAS_PX * np.where(np.arange(2 * corners) % 2, inner_radius, 1)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] + CANVAS_PX / 2
    if random.random() < 0.4:
        ink = blank()
        cv2.fillPoly(ink, [np.round(points).astype(np.int32)], 1.0, cv2.LINE_AA)
        return ink
    return draw_line(blank(), [*map(tuple, points), tuple(points[0])], 4)


def _scribble(split: Split, random: Random) -> Ink:
    """A long smooth stroke that crosses itself many times, or a zigzag."""
    count = int(random.integers(9, 30))
    points = random.uniform(0.14, 0.86, (count, 2)) * CANVAS_PX
    if random.random() < 0.3:
        points[:, 0] = np.linspace(0.14, 0.86, count) * CANVAS_PX
        points[:, 1] = (np.where(np.arange(count) % 2, 0.18, 0.82) + random.normal(0, 0.05, count)) * CANVAS_PX
    smooth = cv2.GaussianBlur(np.repeat(points, 12, 0), (1, 0), sigmaX=0.1, sigmaY=random.uniform(3, 7))
    return draw_line(blank(), list(map(tuple, smooth)), 4)


def _lines(split: Split, random: Random) -> Ink:
    """A nearly horizontal line, or several that are parallel or cross."""
    ink = blank()
    count, base = int(random.integers(1, 6)), random.uniform(-0.6, 0.6)
    for _ in range(count):
        angle = base if count == 1 or random.random() < 0.5 else base + math.pi / 2
        x, y = random.uniform(0.27, 0.73, 2) * CANVAS_PX
        dx, dy = 0.38 * CANVAS_PX * math.cos(angle), 0.38 * CANVAS_PX * math.sin(angle)
        ink = draw_line(ink, [(x - dx, y - dy), (x + dx, y + dy)], 4)
    # Two strokes that cross at right angles could be a one with a foot, a seven or a four.
    if count in (2, 3):
        ink = draw_line(ink, [(0.12 * CANVAS_PX, CANVAS_PX / 2), (0.88 * CANVAS_PX, CANVAS_PX / 2)], 4)
    return ink


def _strokes(split: Split, random: Random) -> Ink:
    """A letter of no alphabet: four to seven straight or bent strokes between points of a grid."""
    ink, side = blank(), int(random.integers(3, 5))
    points = np.stack(np.meshgrid(np.linspace(0.2, 0.8, side), np.linspace(0.2, 0.8, side)), -1).reshape(-1, 2)
    points = (points + random.normal(0, 0.03, points.shape)) * CANVAS_PX
    for _ in range(random.integers(4, 8)):
        start, end = points[random.choice(len(points), 2, replace=False)]
        bend = random.normal(0, 0.15, 2) * CANVAS_PX if random.random() < 0.4 else np.zeros(2)
        along = np.linspace(0, 1, 9)[:, None]
        ink = draw_line(ink, list(map(tuple, start + (end - start) * along + 4 * bend * along * (1 - along))), 4)
    return ink


def _turned(split: Split, random: Random) -> Ink:
    """A digit in a mirror, on its side or on its head, where it is no other digit then."""
    labels, turn = TURNS[random.integers(len(TURNS))]
    image = split.images[random.choice(np.flatnonzero(np.isin(split.labels, labels)))]
    return np.ascontiguousarray(turn(enlarge(image)))


TURNS: tuple[tuple[tuple[int, ...], Callable[[Ink], Ink]], ...] = (
    ((3, 4, 6, 7, 9), np.fliplr),
    ((3, 4, 5, 6, 9), np.rot90),
    ((3, 4, 5, 6, 9), lambda ink: np.rot90(ink, 3)),
    ((3, 4, 7), lambda ink: np.rot90(ink, 2)),
)
"""Digits, and what makes something else of each of them."""


def _blot(split: Split, random: Random) -> Ink:
    y, x = np.mgrid[:CANVAS_PX, :CANVAS_PX] - CANVAS_PX / 2
    # Wider than high: an upright blot could be a one in a broad pen.
    wide, high = random.uniform(0.2, 0.38) * CANVAS_PX, random.uniform(0.13, 0.22) * CANVAS_PX
    inside = 1 - (x / wide) ** 2 - (y / high) ** 2 + 0.35 * smooth_noise(random, 6)
    return np.clip(inside * 6, 0, 1).astype(np.float32)


def _texture(split: Split, random: Random) -> Ink:
    """The ink found in a photograph without writing: clouds of every size, or grain."""
    cells = (4, 8, 16, 28, 56)
    weights = random.uniform(0, 1, len(cells)) * np.array([1, 1, 1, random.uniform(0, 1.5), random.uniform(0, 2)])
    clouds = sum(weight * smooth_noise(random, n) for weight, n in zip(weights, cells, strict=True))
    level = np.quantile(clouds, random.uniform(0.3, 0.97))
    return np.clip((clouds - level) * random.uniform(1, 10), 0, 1).astype(np.float32)


def _fragment(split: Split, random: Random) -> Ink:
    """The upper or lower third of a digit other than 1 and 7."""
    ink = enlarge(split.images[random.choice(np.flatnonzero((split.labels != 1) & (split.labels != 7)))])
    _, top, _, bottom = bounds(ink)
    cut = round(random.uniform(0.2, 0.36) * (bottom - top))
    if random.random() < 0.5:
        ink[top + cut :] = 0
    else:
        ink[: bottom - cut] = 0
    left, top, right, bottom = bounds(ink)
    # A fragment that is not clearly wider than high could be a small one.
    return ink if right - left > 1.3 * (bottom - top) else _lines(split, random)


def _specks(split: Split, random: Random) -> Ink:
    """Scattered dots and spots, as of dirt, or as found in a photograph without writing."""
    ink = blank()
    largest = random.uniform(2, 9)
    for x, y in random.uniform(0.15, 0.85, (int(random.integers(3, 14)), 2)) * CANVAS_PX:
        axes = tuple(int(axis) for axis in np.ceil(random.uniform(0.3, 1, 2) * largest))
        cv2.ellipse(ink, (int(x), int(y)), axes, random.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
    return ink


def _several(split: Split, random: Random) -> Ink:
    """Two to four digits side by side, apart, touching or overlapping."""
    count = int(random.choice([2, 2, 2, 3, 4]))
    parts = [_scaled_digit(split.images[index], random) for index in random.integers(0, len(split), count)]
    gap = random.uniform(-9, 12)
    strip = np.zeros((76, 360), np.float32)
    x = 4.0
    for part in parts:
        height, width = part.shape
        start, y = round(x), int(random.integers(0, 76 - height + 1))
        here = strip[y : y + height, start : start + width]
        np.maximum(here, part, out=here)
        x = max(4.0, x + width + gap)
    used = strip[:, : max(16, min(360, round(x - gap) + 4))]
    scale = (CANVAS_PX - 12) / max(used.shape)
    small = cv2.resize(used, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    ink = blank()
    top, left = (CANVAS_PX - small.shape[0]) // 2, (CANVAS_PX - small.shape[1]) // 2
    ink[top : top + small.shape[0], left : left + small.shape[1]] = small
    return ink


def _scaled_digit(image: NDArray[np.uint8], random: Random) -> Ink:
    """A digit without margins, 48 to 66 pixels high."""
    ink = enlarge(image)
    left, top, right, bottom = bounds(ink)
    height = round(60 * random.uniform(0.8, 1.1))
    width = max(8, round((right - left) * height / max(bottom - top, 1)))
    return np.asarray(cv2.resize(ink[top:bottom, left:right], (min(width, 68), height)), np.float32)


NON_DIGITS: dict[str, Callable[[Split, Random], Ink]] = {
    "letter": _letter,
    "letter of another alphabet": _foreign,
    "letter of no alphabet": _strokes,
    "turned digit": _turned,
    "symbol": _symbol,
    "word": _word,
    "shape": _shape,
    "scribble": _scribble,
    "lines": _lines,
    "blot": _blot,
    "texture": _texture,
    "specks": _specks,
    "fragment": _fragment,
    "several digits": _several,
}
"""Kind of non-digit → the function that draws it."""
NOT_WRITTEN = ("blot", "texture", "specks")
"""Kinds that are not strokes of a pen."""
