"""Pictures as they come from outside, drawn from MNIST's: the same digits in other hands, and what is no digit.

A network that has seen nothing but MNIST knows one pen, one country's habits, and no letters. Here every
digit is enlarged, written anew with a pen of another width, bent, slanted, now and then broken, cropped or
specked, with the bar, slash, flag or foot that other countries write; beside them stand letters, symbols,
shapes, scribbles, blots, fragments and numbers of several digits, which the network shall decline. All of it
goes the way of any picture, through `recognition`, before the network sees it.
"""

import functools
import math
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mnist_digits.dataset import Dataset, Split
from mnist_digits.recognition import find_ink, normalise

NO_DIGIT = 10
"""The label of what is no digit."""
SIDE = 84
"""Pixels along each side of the sheet on which everything is drawn: three to each of MNIST's."""
CHUNK = 1000
"""Digits that are redrawn together, from random numbers of their own."""
LENGTHENED = 0.35
"""Share of the digits whose upper or lower strokes are drawn out."""
PHOTOGRAPHED = 0.3
"""Share of the drawings that are put on paper and photographed, and found again."""

Random = np.random.Generator


def redraw(data: Dataset, copies: int, seed: int) -> Dataset:
    """The same training and validation images, and after them pictures drawn from each split's own images.

    copies: how often each digit is drawn anew, at least 1; there are half as many pictures of what is no
    digit, labelled NO_DIGIT. The same data and seed give the same pictures, whatever the number of processors.
    """
    # Spawned, because a process that runs TensorFlow or JAX must not be forked.
    with ProcessPoolExecutor(
        mp_context=multiprocessing.get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        splits = []
        for number, split in enumerate((data.train, data.validation)):
            starts = range(0, len(split), CHUNK)
            chunks = [
                (split.images[s : s + CHUNK], split.labels[s : s + CHUNK], copies, (seed, number, s)) for s in starts
            ]
            drawn = pool.map(_redraw_chunk, *zip(*chunks, strict=True))
            splits.append(_join([(split.images, split.labels), *drawn]))
    return replace(data, train=splits[0], validation=splits[1])


def draw_digits(images: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Each digit in another hand as the network sees it. images: uint8 (n, 28, 28); returns as many. labels: theirs."""
    random = np.random.default_rng([seed, len(images), 1])
    drawn = (draw_digit(image, int(label), random) for image, label in zip(images, labels, strict=True))
    return np.stack([_as_seen(ink, random) for ink in drawn])


def draw_others(images: np.ndarray, labels: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """Each kind of what is no digit → pictures of it as the network sees them, uint8 (count, 28, 28).

    images: uint8 (n, 28, 28), digits to break or to put side by side. labels: theirs.
    """
    random = np.random.default_rng([seed, len(images)])
    return {
        kind: np.stack([_as_seen(draw_other(kind, images, labels, random), random) for _ in range(count)])
        for kind in OTHERS
    }


def _redraw_chunk(
    images: np.ndarray, labels: np.ndarray, copies: int, seed: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures drawn from some digits, uint8 (m, 28, 28), and their labels, uint8 (m,)."""
    random = np.random.default_rng(seed)
    digits = [
        _as_seen(draw_digit(image, int(label), random), random)
        for _ in range(copies)
        for image, label in zip(images, labels, strict=True)
    ]
    kinds = random.choice(list(OTHERS), len(digits) // 2)
    others = [_as_seen(draw_other(str(kind), images, labels, random), random) for kind in kinds]
    return np.stack(digits + others), np.concatenate([*[labels] * copies, np.full(len(others), NO_DIGIT, np.uint8)])


def _join(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> Split:
    images, labels = zip(*parts, strict=True)
    return Split(np.concatenate(images), np.concatenate(labels))


def _as_seen(ink: np.ndarray, random: Random) -> np.ndarray:
    """What recognition makes of a drawing, uint8 (28, 28)."""
    if random.random() < PHOTOGRAPHED:
        found = find_ink(_photograph(ink, random))
        # What nobody could see is nothing to learn from.
        ink = found if found.any() else ink
    return normalise(ink).image


def _photograph(ink: np.ndarray, random: Random) -> np.ndarray:
    """The drawing on uneven, grainy paper in uneven light, a little out of focus, as JPEG: uint8 (side, side).

    The side is that of the sheet or down to a third of it, as where a whole page has to fit a small picture; but no
    stroke becomes thinner than a pixel.
    """
    reduction = math.exp(min(0.0, random.uniform(math.log(1 / 3), 0.5)))
    side = round(SIDE * min(1.0, max(reduction, 1.2 / _stroke_width(ink))))
    ink = cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[:side, :side] / side - 0.5
    light = random.uniform(110, 250) * (1 + random.uniform(-0.25, 0.25) * x + random.uniform(-0.25, 0.25) * y)
    clouds = cv2.resize(_smooth_noise(random, 10), (side, side))
    paper = light + random.uniform(0, 6) * clouds + random.normal(0, random.uniform(0, 6), ink.shape)
    picture = paper * (1 - random.uniform(0.35, 0.95) * ink)
    blurred = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.3, 1.4 if side > SIDE / 2 else 0.9))
    if random.random() < 0.25:
        blurred = 255 - blurred
    quality = int(random.integers(40, 96))
    _, encoded = cv2.imencode(".jpg", np.clip(blurred, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))


def draw_digit(image: np.ndarray, label: int, random: Random) -> np.ndarray:
    """A digit in another hand.

    image: uint8 (28, 28). label: 0-9. Returns ink, float32 (SIDE, SIDE) in [0, 1].
    """
    ink = _write(_bend(in_other_habits(image, label, random), random), random)
    for share, mishap in MISHAPS:
        if random.random() < share:
            ink = mishap(ink, random)
    return ink


def in_other_habits(image: np.ndarray, label: int, random: Random) -> np.ndarray:
    """A digit, uint8 (28, 28), enlarged, at times as other countries write it: float32 (SIDE, SIDE) in [0, 1]."""
    ink = _enlarge(image)
    if label in HABITS:
        share, habit = HABITS[label]
        if random.random() < share:
            ink = habit(ink, random)
    return _lengthen(ink, random) if random.random() < LENGTHENED else ink


def draw_other(kind: str, images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    """Something that is no digit, ink, float32 (SIDE, SIDE) in [0, 1]. kind: a key of OTHERS."""
    ink = OTHERS[kind](images, labels, random)
    return ink if kind in AS_DRAWN else _write(_bend(ink, random), random)


# Digits.


def _enlarge(image: np.ndarray) -> np.ndarray:
    enlarged = cv2.resize(image.astype(np.float32) / 255, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.clip(enlarged, 0, 1)


def bounds(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the ink; the whole sheet where there is none."""
    left, top, width, height = cv2.boundingRect((ink > 0.3).astype(np.uint8))
    return (left, top, left + width, top + height) if width else (0, 0, SIDE, SIDE)


def _line(ink: np.ndarray, points: Sequence[tuple[float, float]], width: float) -> np.ndarray:
    """The ink with a stroke through the points, (x, y) in pixels."""
    drawn = np.zeros(ink.shape, np.uint8)
    path = np.round(np.array(points) * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(drawn, [path], False, 255, max(1, round(width)), cv2.LINE_AA, shift=4)
    return np.maximum(ink, drawn.astype(np.float32) / 255)


def _stroke_width(ink: np.ndarray) -> float:
    """Pixels across the strokes: twice the mean distance to paper along their middle."""
    inside = cv2.distanceTransform((ink > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    middle = (inside > 0) & (inside >= cv2.dilate(inside, np.ones((3, 3))))
    return float(2 * inside[middle].mean()) if middle.any() else 1.0


def _slash_zero(ink: np.ndarray, random: Random) -> np.ndarray:
    left, top, right, bottom = bounds(ink)
    reach = random.uniform(-0.2, 0.15, 2) * (right - left)
    return _line(ink, [(left - reach[0], bottom + reach[0]), (right + reach[1], top - reach[1])], _stroke_width(ink))


def _cross_seven(ink: np.ndarray, random: Random) -> np.ndarray:
    left, top, right, bottom = bounds(ink)
    y = round(top + random.uniform(0.42, 0.62) * (bottom - top))
    stem = np.flatnonzero(ink[min(y, SIDE - 1)] > 0.5)
    if not len(stem):
        return ink
    half, slope = random.uniform(0.22, 0.4) * (right - left), random.uniform(-0.3, 0.15)
    x = float(stem.mean())
    return _line(ink, [(x - half, y - half * slope), (x + half, y + half * slope)], _stroke_width(ink))


def _flag_one(ink: np.ndarray, random: Random) -> np.ndarray:
    """A one with a flag at its head, and sometimes a foot."""
    _, top, _, bottom = bounds(ink)
    height, width = bottom - top, _stroke_width(ink)
    rows = slice(top, top + max(2, height // 10)), slice(bottom - max(2, height // 10), bottom)
    head, heel = (float(np.average(np.arange(SIDE), weights=ink[part].sum(0) + 1e-6)) for part in rows)
    length, steepness = random.uniform(0.15, 0.5) * height, random.uniform(0.5, 1.5)
    angle = math.atan(steepness)
    flag = (head - length * math.cos(angle), top + length * math.sin(angle))
    ink = _line(ink, [(head, top + width / 3), flag], width)
    if random.random() < 0.5:
        half = random.uniform(0.15, 0.32) * height
        ink = _line(ink, [(heel - half, bottom - width / 3), (heel + half, bottom - width / 3)], width)
    return ink


HABITS: dict[int, tuple[float, Callable[[np.ndarray, Random], np.ndarray]]] = {
    0: (0.08, _slash_zero),
    1: (0.4, _flag_one),
    7: (0.25, _cross_seven),
}
"""Digit → how often it is written the way of other countries, and how."""


def _lengthen(ink: np.ndarray, random: Random) -> np.ndarray:
    """The upper or the lower strokes drawn out at the others' expense, as in a nine with a long tail."""
    _, top, _, bottom = bounds(ink)
    place = np.arange(SIDE, dtype=np.float32)
    inside = np.clip((place - top) / max(bottom - top, 1), 0, 1)
    source = np.where(
        (place < top) | (place > bottom), place, top + (bottom - top) * inside ** math.exp(random.uniform(-0.6, 0.6))
    )
    x, y = np.meshgrid(place, source.astype(np.float32))
    return cv2.remap(ink, x, y, cv2.INTER_LINEAR)


def _bend(ink: np.ndarray, random: Random) -> np.ndarray:
    """The sheet turned, slanted, stretched and bent."""
    angle, slant = math.radians(random.uniform(-14, 14)), random.uniform(-0.25, 0.25)
    # Narrower more than wider: hasty writing is.
    wide, high = np.exp((random.uniform(-0.4, 0.2), random.uniform(-0.2, 0.2)))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = turn @ np.array([[1, slant], [0, 1]]) @ np.diag([1 / wide, 1 / high])
    place = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1) - (SIDE - 1) / 2
    bent = cv2.resize(
        random.normal(0, random.uniform(0, 0.027) * SIDE, (5, 5, 2)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )
    source = (place @ matrix.T + (SIDE - 1) / 2 + bent).astype(np.float32)
    return np.clip(cv2.remap(ink, source[..., 0], source[..., 1], cv2.INTER_LINEAR), 0, 1)


def _write(ink: np.ndarray, random: Random) -> np.ndarray:
    """The same strokes with a pen of another width: from a hair to a marker."""
    left, top, right, bottom = bounds(ink)
    size = max(right - left, bottom - top, 1)
    wanted = size * math.exp(random.uniform(math.log(0.02), math.log(0.18)))
    return with_stroke_width(ink, wanted, random.uniform(1, 3))


def with_stroke_width(ink: np.ndarray, wanted: float, softness: float = 1.0) -> np.ndarray:
    """Strokes made `wanted` pixels wide, with edges `softness` pixels wide.

    Thinned, every stroke keeps the same share of its own width; a hair line may break where strokes meet, as a pen's
    does.
    """
    solid = (ink > 0.5).astype(np.uint8)
    inside = cv2.distanceTransform(solid, cv2.DIST_L2, 3)
    width = _stroke_width(ink)
    if wanted >= width:
        outside = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 3)
        return np.clip(0.5 + ((wanted - width) / 2 + inside - outside) / softness, 0, 1).astype(np.float32)
    reach = 2 * math.ceil(width / 2) + 1
    ridge = cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    depth = inside - ridge * (1 - wanted / width)
    return np.clip(0.5 + depth / softness, 0, 1).astype(np.float32) * solid


def _break(ink: np.ndarray, random: Random) -> np.ndarray:
    """A narrow gap across a stroke."""
    rows, columns = np.nonzero(ink > 0.5)
    if not len(rows):
        return ink
    index = random.integers(len(rows))
    angle, reach = random.uniform(0, math.pi), 0.12 * SIDE
    x, y, dx, dy = columns[index], rows[index], reach * math.cos(angle), reach * math.sin(angle)
    gap = _line(np.zeros_like(ink), [(x - dx, y - dy), (x + dx, y + dy)], random.uniform(1, 5))
    return ink * (1 - gap)


def _speck(ink: np.ndarray, random: Random) -> np.ndarray:
    ink = ink.copy()
    for _ in range(random.integers(1, 4)):
        x, y = random.integers(SIDE // 8, SIDE * 7 // 8, 2)
        cv2.circle(ink, (int(x), int(y)), int(random.integers(1, 3)), 1.0, -1, cv2.LINE_AA)
    return ink


def _crop(ink: np.ndarray, random: Random) -> np.ndarray:
    """A few per cent cut off at one side."""
    left, top, right, bottom = bounds(ink)
    share, ink = random.uniform(0.03, 0.12), ink.copy()
    match random.integers(4):
        case 0:
            ink[: round(top + share * (bottom - top))] = 0
        case 1:
            ink[round(bottom - share * (bottom - top)) :] = 0
        case 2:
            ink[:, : round(left + share * (right - left))] = 0
        case _:
            ink[:, round(right - share * (right - left)) :] = 0
    return ink


def _link(ink: np.ndarray, random: Random) -> np.ndarray:
    """What is left of a stroke to a neighbour, where two digits were written without lifting the pen."""
    rows = np.flatnonzero((ink > 0.5).any(axis=1))
    if not len(rows):
        return ink
    y = int(random.choice(rows))
    columns = np.flatnonzero(ink[y] > 0.5)
    _, top, _, bottom = bounds(ink)
    length, rise = random.uniform(0.04, 0.16) * (bottom - top), random.uniform(-0.6, 0.6)
    x, side = (float(columns[0]), -1) if random.random() < 0.5 else (float(columns[-1]), 1)
    return _line(ink, [(x, y), (x + side * length, y - rise * length)], _stroke_width(ink))


MISHAPS: tuple[tuple[float, Callable[[np.ndarray, Random], np.ndarray]], ...] = (
    (0.10, _break),
    (0.08, _speck),
    (0.05, _crop),
    (0.08, _link),
)
"""How often each happens to a digit."""

# What is no digit. Nothing is drawn that a person could take for one: no circle, no upright line, no O, l, S, Z or B.

LETTERS = "ACEFHKLMNPRTUVWXadefhkmntuvwxΓΔΞΠΣΨΩαγηκλμπψωЖИЛПЦШЩЪЫЮЯжилпцшщъыюя"
SYMBOLS = "+-=×÷?%&@#*$€£<>~^_:…§←→↑↓★♥♦♣♠✓✗∞√∑[]{}«»±≠≤≥¿☺☂☎✂"
FONTS = (
    "DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic",
    "DejaVuSansMono", "DejaVuSerif-Bold", "DejaVuSans-BoldOblique",
)  # fmt: skip
"""Free fonts that come with Matplotlib."""


@functools.cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")), size)


def _print(text: str, random: Random) -> np.ndarray:
    """Text in the middle of the sheet, as large as fits."""
    name = str(random.choice(FONTS))
    size = 60
    left, top, right, bottom = _font(name, size).getbbox(text)
    size = max(6, int(size * 0.72 * SIDE / max(right - left, bottom - top, 1)))
    sheet = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(sheet).text((SIDE / 2, SIDE / 2), text, 255, _font(name, size), anchor="mm")
    return np.asarray(sheet, np.float32) / 255


def _letter(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    return _print(str(random.choice(list(LETTERS))), random)


def _symbol(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    return _print(str(random.choice(list(SYMBOLS))), random)


def _word(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    return _print("".join(random.choice(list(LETTERS), random.integers(2, 6))), random)


def _shape(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    """A polygon or star, outlined or filled."""
    corners, inner = int(random.integers(3, 9)), random.uniform(0.3, 0.6) if random.random() < 0.5 else 1.0
    # A polygon of many corners is a circle, and a circle is a zero.
    corners = corners if inner < 1 else min(corners, 4)
    angles = np.arange(2 * corners) * math.pi / corners + random.uniform(0, 2 * math.pi)
    radii = 0.36 * SIDE * np.where(np.arange(2 * corners) % 2, inner if inner < 1 else math.cos(math.pi / corners), 1)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] + SIDE / 2
    if random.random() < 0.4:
        sheet = np.zeros((SIDE, SIDE), np.float32)
        return cv2.fillPoly(sheet, [np.round(points).astype(np.int32)], 1.0, cv2.LINE_AA)
    return _line(np.zeros((SIDE, SIDE), np.float32), [*map(tuple, points), tuple(points[0])], 4)


def _scribble(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    """A long smooth stroke that crosses itself many times."""
    count = int(random.integers(9, 30))
    points = random.uniform(0.14, 0.86, (count, 2)) * SIDE
    if random.random() < 0.3:
        points[:, 0] = np.linspace(0.14, 0.86, count) * SIDE
        points[:, 1] = (np.where(np.arange(count) % 2, 0.18, 0.82) + random.normal(0, 0.05, count)) * SIDE
    smooth = cv2.GaussianBlur(np.repeat(points, 12, 0), (1, 0), sigmaX=0.1, sigmaY=random.uniform(3, 7))
    return _line(np.zeros((SIDE, SIDE), np.float32), list(map(tuple, smooth)), 4)


def _lines(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    """A line that lies rather than stands, or several that are parallel or cross."""
    ink = np.zeros((SIDE, SIDE), np.float32)
    count, base = int(random.integers(1, 6)), random.uniform(-0.6, 0.6)
    for _ in range(count):
        angle = base if count == 1 or random.random() < 0.5 else base + math.pi / 2
        x, y = random.uniform(0.27, 0.73, 2) * SIDE
        dx, dy = 0.38 * SIDE * math.cos(angle), 0.38 * SIDE * math.sin(angle)
        ink = _line(ink, [(x - dx, y - dy), (x + dx, y + dy)], 4)
    # Two strokes that cross at right angles could be a one with a foot, a seven or a four.
    return ink if count == 1 or count > 3 else _line(ink, [(0.12 * SIDE, SIDE / 2), (0.88 * SIDE, SIDE / 2)], 4)


def _smooth_noise(random: Random, cells: int) -> np.ndarray:
    """Standard normal noise that changes over SIDE / cells pixels, float32 (SIDE, SIDE)."""
    coarse = random.normal(size=(cells, cells)).astype(np.float32)
    noise = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return (noise - noise.mean()) / (noise.std() + 1e-6)


def _blot(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    wide, high = random.uniform(0.2, 0.38) * SIDE, random.uniform(0.13, 0.22) * SIDE
    # An upright blot could be a one in a broad pen.
    return np.clip((1 - (x / wide) ** 2 - (y / high) ** 2 + 0.35 * _smooth_noise(random, 6)) * 6, 0, 1).astype(
        np.float32
    )


def _texture(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    """What is left of a photograph that holds no writing: clouds of every size, or grains."""
    cells = [int(n) for n in (4, 8, 16, 28, 56)]
    weights = random.uniform(0, 1, len(cells)) * np.array([1, 1, 1, random.uniform(0, 1.5), random.uniform(0, 2)])
    clouds = sum(weight * _smooth_noise(random, n) for weight, n in zip(weights, cells, strict=True))
    level = np.quantile(clouds, random.uniform(0.3, 0.97))
    return np.clip((clouds - level) * random.uniform(1, 10), 0, 1).astype(np.float32)


def _fragment(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    """The upper or lower third of a digit that is not all one stroke."""
    round_ones = np.flatnonzero((labels != 1) & (labels != 7))
    ink = _enlarge(images[random.choice(round_ones)])
    _, top, _, bottom = bounds(ink)
    cut = round(random.uniform(0.2, 0.36) * (bottom - top))
    if random.random() < 0.5:
        ink[top + cut :] = 0
    else:
        ink[: bottom - cut] = 0
    left, top, right, bottom = bounds(ink)
    # What stands rather than lies could be a small one.
    return ink if right - left > 1.3 * (bottom - top) else _lines(images, labels, random)


def _specks(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    """Dots and spots here and there, as of dirt, or of what a photograph without writing is taken for."""
    ink = np.zeros((SIDE, SIDE), np.float32)
    largest = random.uniform(2, 9)
    for x, y in random.uniform(0.15, 0.85, (int(random.integers(3, 14)), 2)) * SIDE:
        axes = tuple(int(axis) for axis in np.ceil(random.uniform(0.3, 1, 2) * largest))
        cv2.ellipse(ink, (int(x), int(y)), axes, random.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
    return ink


def _several(images: np.ndarray, labels: np.ndarray, random: Random) -> np.ndarray:
    """Two to four digits side by side, apart, touching or overlapping."""
    count = int(random.choice([2, 2, 2, 3, 4]))
    parts = []
    for index in random.integers(0, len(images), count):
        ink = _enlarge(images[index])
        left, top, right, bottom = bounds(ink)
        height = round(60 * random.uniform(0.8, 1.1))
        width = max(8, round((right - left) * height / max(bottom - top, 1)))
        parts.append(cv2.resize(ink[top:bottom, left:right], (min(width, 68), height)))
    gap = random.uniform(-9, 12)
    sheet = np.zeros((76, 360), np.float32)
    x = 4.0
    for part in parts:
        height, width = part.shape
        start, y = round(x), int(random.integers(0, 76 - height + 1))
        sheet[y : y + height, start : start + width] = np.maximum(sheet[y : y + height, start : start + width], part)
        x = max(4.0, x + width + gap)
    used = sheet[:, : max(16, min(360, round(x - gap) + 4))]
    scale = (SIDE - 12) / max(used.shape)
    small = cv2.resize(used, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    ink = np.zeros((SIDE, SIDE), np.float32)
    top, left = (SIDE - small.shape[0]) // 2, (SIDE - small.shape[1]) // 2
    ink[top : top + small.shape[0], left : left + small.shape[1]] = small
    return ink


OTHERS: dict[str, Callable[[np.ndarray, np.ndarray, Random], np.ndarray]] = {
    "letter": _letter,
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
"""What is no digit, by kind."""
AS_DRAWN = ("blot", "texture", "specks")
"""The kinds that no pen wrote."""
