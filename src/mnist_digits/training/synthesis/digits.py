"""Single pictures made from MNIST's digits: digits in other writing styles, and pictures that show no digit.

A network that has seen only MNIST knows one kind of pen, one country's habits and no letters. Each digit is enlarged
and drawn with another stroke width, distorted, and at times broken, cropped or specked, or given the bar, slash, flag
or foot that other countries write. Non-digits are letters, symbols, shapes, scribbles, blots, fragments and numbers
of several digits, which the network must reject. Every drawing passes through `recognition`, as any picture does,
before the network sees it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset import Dataset, Split
from mnist_digits.recognition import find_ink, normalise
from mnist_digits.training.synthesis.drawing import (
    CANVAS_PX,
    Ink,
    Random,
    as_jpeg,
    blank,
    bounds,
    distort,
    draw_line,
    enlarge,
    map_on_all_cores,
    smooth_noise,
    stroke_width,
    uneven_light,
    with_stroke_width,
)
from mnist_digits.training.synthesis.non_digits import NON_DIGITS, NOT_WRITTEN

NON_DIGIT_LABEL = 10
"""Label of pictures that show no digit."""
DIGITS_PER_CHUNK = 1000
"""Digits that are drawn in one task, with a random generator of its own."""
LENGTHENED_SHARE = 0.35
"""Fraction of the digits whose upper or lower strokes are lengthened."""
BROAD_PEN_SHARE = 0.12
"""Fraction of the drawings whose pen is wider along one direction."""
PHOTOGRAPHED_SHARE = 0.3
"""Fraction of the drawings that are photographed on paper, and their ink found again."""

Images = NDArray[np.uint8]


def synthesise(data: Dataset, copies: int, seed: int) -> Dataset:
    """The dataset with pictures added to its training and validation split, drawn from the split's own images.

    copies: how often each digit is drawn anew, at least 1; half as many non-digits are added, labelled
    NON_DIGIT_LABEL. The result depends on the data and the seed alone, not on the number of processors.
    """
    splits = []
    for number, split in enumerate((data.train, data.validation)):
        tasks = [
            (_part(split, start, start + DIGITS_PER_CHUNK), copies, (seed, number, start))
            for start in range(0, len(split), DIGITS_PER_CHUNK)
        ]
        splits.append(_join([split, *map_on_all_cores(_synthesise_chunk, tasks)]))
    return replace(data, train=splits[0], validation=splits[1])


def draw_digits(split: Split, seed: int) -> Images:
    """Each digit of a split in another writing style, as the network sees it: uint8 (n, 28, 28)."""
    random = np.random.default_rng([seed, len(split), 1])
    drawn = (draw_digit(image, int(label), random) for image, label in zip(split.images, split.labels, strict=True))
    return np.stack([_as_network_input(ink, random) for ink in drawn])


def draw_non_digits(split: Split, count: int, seed: int) -> dict[str, Images]:
    """Each kind of non-digit → pictures of it as the network sees them, uint8 (count, 28, 28).

    split: digits that fragments and numbers of several digits are made of.
    """
    random = np.random.default_rng([seed, len(split)])
    return {
        kind: np.stack([_as_network_input(draw_non_digit(kind, split, random), random) for _ in range(count)])
        for kind in NON_DIGITS
    }


def _synthesise_chunk(task: tuple[Split, int, tuple[int, ...]]) -> Split:
    """Drawn digits, `copies` of each in the part, and half as many non-digits. task: part, copies, seed."""
    part, copies, seed = task
    random = np.random.default_rng(seed)
    digits = [
        _as_network_input(draw_digit(image, int(label), random), random)
        for _ in range(copies)
        for image, label in zip(part.images, part.labels, strict=True)
    ]
    kinds = random.choice(list(NON_DIGITS), len(digits) // 2)
    others = [_as_network_input(draw_non_digit(str(kind), part, random), random) for kind in kinds]
    labels = [*[part.labels] * copies, np.full(len(others), NON_DIGIT_LABEL, np.uint8)]
    return Split(np.stack(digits + others), np.concatenate(labels))


def _part(split: Split, start: int, stop: int) -> Split:
    return Split(split.images[start:stop], split.labels[start:stop])


def _join(parts: Iterable[Split]) -> Split:
    images, labels = zip(*((part.images, part.labels) for part in parts), strict=True)
    return Split(np.concatenate(images), np.concatenate(labels))


def _as_network_input(ink: Ink, random: Random) -> Images:
    """What recognition makes of a drawing, at times of its photograph: uint8 (28, 28)."""
    if random.random() < PHOTOGRAPHED_SHARE:
        found = find_ink(_photograph(ink, random))
        # From a photograph in which no ink is found nothing can be learned.
        ink = found if found.any() else ink
    return normalise(ink).image


def _photograph(ink: Ink, random: Random) -> Images:
    """The drawing on uneven, grainy paper in uneven light, slightly out of focus, as JPEG: uint8 (side, side).

    The side is between CANVAS_PX and a third of it, as where a whole page has to fit a small picture; but no stroke
    becomes thinner than about a pixel.
    """
    reduction = math.exp(min(0.0, random.uniform(math.log(1 / 3), 0.5)))
    side = round(CANVAS_PX * min(1.0, max(reduction, 1.2 / stroke_width(ink))))
    reduced = cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA)
    light = uneven_light(side, (110, 250), 0.25, random)
    clouds = cv2.resize(smooth_noise(random, 10), (side, side))
    paper = light + random.uniform(0, 6) * clouds + random.normal(0, random.uniform(0, 6), reduced.shape)
    picture = paper * (1 - random.uniform(0.35, 0.95) * reduced)
    blurred = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.3, 1.4 if side > CANVAS_PX / 2 else 0.9))
    if random.random() < 0.25:
        blurred = 255 - blurred
    return as_jpeg(blurred, int(random.integers(40, 96)))


def draw_digit(image: Images, label: int, random: Random) -> Ink:
    """A digit in another writing style.

    image: uint8 (28, 28). label: 0-9. Returns float32 (CANVAS_PX, CANVAS_PX) in [0, 1].
    """
    ink = _with_any_pen(_distort_randomly(draw_variant(image, label, random), random), random)
    for share, flaw in FLAWS:
        if random.random() < share:
            ink = flaw(ink, random)
    return ink


def draw_variant(image: Images, label: int, random: Random) -> Ink:
    """A digit on the canvas, at times in a form that other countries write, or with longer strokes.

    image: uint8 (28, 28). label: 0-9. Returns float32 (CANVAS_PX, CANVAS_PX) in [0, 1].
    """
    ink = enlarge(image)
    for share, variant in VARIANTS.get(label, ()):
        if random.random() < share:
            ink = variant(ink, random)
    return _lengthen(ink, random) if random.random() < LENGTHENED_SHARE else ink


def draw_non_digit(kind: str, split: Split, random: Random) -> Ink:
    """Something that is no digit, float32 (CANVAS_PX, CANVAS_PX) in [0, 1].

    kind: a key of NON_DIGITS. split: digits that fragments and numbers of several digits are made of.
    """
    ink = NON_DIGITS[kind](split, random)
    return ink if kind in NOT_WRITTEN else _with_any_pen(_distort_randomly(ink, random), random)


# Forms that other countries write.


def _slash_zero(ink: Ink, random: Random) -> Ink:
    left, top, right, bottom = bounds(ink)
    reach = random.uniform(-0.2, 0.15, 2) * (right - left)
    ends = [(left - reach[0], bottom + reach[0]), (right + reach[1], top - reach[1])]
    return draw_line(ink, ends, stroke_width(ink))


def _cross_seven(ink: Ink, random: Random) -> Ink:
    left, top, right, bottom = bounds(ink)
    y = round(top + random.uniform(0.42, 0.62) * (bottom - top))
    stem = np.flatnonzero(ink[min(y, CANVAS_PX - 1)] > 0.5)
    if not len(stem):
        return ink
    half, slope = random.uniform(0.22, 0.4) * (right - left), random.uniform(-0.3, 0.15)
    x = float(stem.mean())
    return draw_line(ink, [(x - half, y - half * slope), (x + half, y + half * slope)], stroke_width(ink))


def _flag_one(ink: Ink, random: Random) -> Ink:
    """A one with a flag at its head, and sometimes a foot."""
    _, top, _, bottom = bounds(ink)
    height, width = bottom - top, stroke_width(ink)
    rows = slice(top, top + max(2, height // 10)), slice(bottom - max(2, height // 10), bottom)
    head, heel = (float(np.average(np.arange(CANVAS_PX), weights=ink[part].sum(0) + 1e-6)) for part in rows)
    length, steepness = random.uniform(0.15, 0.5) * height, random.uniform(0.5, 1.5)
    angle = math.atan(steepness)
    flag = (head - length * math.cos(angle), top + length * math.sin(angle))
    ink = draw_line(ink, [(head, top + width / 3), flag], width)
    if random.random() < 0.5:
        half = random.uniform(0.15, 0.32) * height
        ink = draw_line(ink, [(heel - half, bottom - width / 3), (heel + half, bottom - width / 3)], width)
    return ink


Points = Sequence[tuple[float, float]]


def _written(strokes: Sequence[Points], random: Random) -> Ink:
    """Strokes by points in a box of 0 to 1, each point moved a little, drawn in the middle of the canvas."""
    ink, size = blank(), np.array([random.uniform(0.35, 0.5), 0.62])
    for points in strokes:
        moved = (np.array(points) + random.normal(0, 0.035, (len(points), 2)) - 0.5) * size + 0.5
        ink = draw_line(ink, list(map(tuple, _smooth(moved) * CANVAS_PX)), 4)
    return ink


def _smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth curve through points, float64 (n, 2): the spline of Catmull and Rom (1974)."""
    padded = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    p0, p1, p2, p3 = (padded[start : len(padded) - 3 + start, None] for start in range(4))
    t = np.linspace(0, 1, 10)[None, :, None]
    curve = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * (p1 - p2) + p3 - p0) * t**3
    return np.asarray(curve.reshape(-1, 2) / 2)


def _open_four(ink: Ink, random: Random) -> Ink:
    """A four in two strokes that do not meet at the top, angular or round at the left."""
    left, knee = random.uniform(0, 0.3), (random.uniform(-0.05, 0.15), random.uniform(0.5, 0.68))
    end = (random.uniform(0.9, 1.2), knee[1] + random.uniform(-0.12, 0.08))
    top = left + random.uniform(0.4, 0.7)
    stem = [(top, random.uniform(-0.1, 0.35)), (top - random.uniform(0, 0.15), 0.7), (top - random.uniform(0, 0.25), 1)]
    if random.random() < 0.5:
        return _written([[(left, 0), knee], [knee, end], stem], random)
    return _written([[(left, 0), (knee[0], knee[1] - 0.15), (knee[0] + 0.2, knee[1]), end], stem], random)


def _looped_four(ink: Ink, random: Random) -> Ink:
    """A four in one stroke, which turns back above the bar and crosses it."""
    right, low = random.uniform(0.75, 1), random.uniform(0.5, 0.65)
    turn = [(right, low - 0.12), (right - 0.08, random.uniform(0.05, 0.3)), (right - 0.3, low)]
    return _written([[(random.uniform(0.25, 0.45), 0), (0.05, low), (0.4, low + 0.06), *turn, (0.45, 1)]], random)


def _open_nine(ink: Ink, random: Random) -> Ink:
    """A nine whose head does not close: at its top, or where it comes back to the stem."""
    stem = [(0.85, random.uniform(-0.05, 0.1)), (0.83, 0.5), (random.uniform(0.55, 0.85), 1)]
    head = [(0.4, 0.0), (0.05, random.uniform(0.15, 0.3)), (0.3, random.uniform(0.42, 0.52))]
    gap = random.uniform(0.12, 0.3)
    if random.random() < 0.5:
        return _written([[(0.85 - gap, 0.08), *head, (0.84, 0.35)], stem], random)
    return _written([[stem[0], *head, (0.85 - gap, 0.44)], stem], random)


def _tailed_nine(ink: Ink, random: Random) -> Ink:
    """A nine whose tail comes back across its stem."""
    head = [(0.8, 0.12), (0.45, 0), (0.1, 0.2), (0.4, 0.42), (0.82, 0.2)]
    tail = [(0.78, 0.7), (0.5, 1), (0.15, random.uniform(0.8, 0.95)), (0.4, 0.72), (random.uniform(0.85, 1.1), 0.6)]
    return _written([[*head, *tail]], random)


VARIANTS: dict[int, tuple[tuple[float, Callable[[Ink, Random], Ink]], ...]] = {
    0: ((0.08, _slash_zero),),
    1: ((0.4, _flag_one),),
    4: ((0.2, _open_four), (0.06, _looped_four)),
    7: ((0.25, _cross_seven),),
    9: ((0.12, _open_nine), (0.02, _tailed_nine)),
}
"""Digit → fractions of its drawings in forms that other hands and countries write, and the functions that draw them."""


# Writing styles.


def _lengthen(ink: Ink, random: Random) -> Ink:
    """The upper or the lower strokes stretched and the others compressed, as in a nine with a long tail."""
    _, top, _, bottom = bounds(ink)
    row = np.arange(CANVAS_PX, dtype=np.float32)
    height = np.clip((row - top) / max(bottom - top, 1), 0, 1)
    stretched = top + (bottom - top) * height ** math.exp(random.uniform(-0.6, 0.6))
    source = np.where((row < top) | (row > bottom), row, stretched)
    x, y = np.meshgrid(row, source.astype(np.float32))
    return np.asarray(cv2.remap(ink, x, y, cv2.INTER_LINEAR), np.float32)


def _distort_randomly(ink: Ink, random: Random) -> Ink:
    rotation, shear = math.radians(random.uniform(-14, 14)), random.uniform(-0.25, 0.25)
    # Hasty writing is narrower more often than wider.
    wide, high = np.exp((random.uniform(-0.4, 0.2), random.uniform(-0.2, 0.2)))
    offsets = random.normal(0, random.uniform(0, 0.027) * CANVAS_PX, (5, 5, 2))
    return distort(ink, rotation, shear, (wide, high), offsets)


def _with_any_pen(ink: Ink, random: Random) -> Ink:
    """The same strokes 0.02 to 0.22 times as wide as the drawing is large: from a fine pen to a marker or a brush."""
    left, top, right, bottom = bounds(ink)
    size = max(right - left, bottom - top, 1)
    wanted = size * math.exp(random.uniform(math.log(0.02), math.log(0.22)))
    if random.random() < BROAD_PEN_SHARE:
        ink = _with_broad_pen(ink, size * random.uniform(0.04, 0.14), random)
    return with_stroke_width(ink, wanted, random.uniform(1, 3))


def _with_broad_pen(ink: Ink, width_px: float, random: Random) -> Ink:
    """Strokes as of a flat pen or brush, which is wider along one direction."""
    nib, angle = np.zeros((13, 13), np.uint8), random.uniform(0, math.pi)
    dx, dy = width_px / 2 * math.cos(angle), width_px / 2 * math.sin(angle)
    cv2.line(nib, (round(6 - dx), round(6 - dy)), (round(6 + dx), round(6 + dy)), 1)
    return np.asarray(cv2.dilate(ink, nib), np.float32)


# Flaws of written digits.


def _break(ink: Ink, random: Random) -> Ink:
    """A narrow gap across a stroke."""
    rows, columns = np.nonzero(ink > 0.5)
    if not len(rows):
        return ink
    index = random.integers(len(rows))
    angle, reach = random.uniform(0, math.pi), 0.12 * CANVAS_PX
    x, y, dx, dy = columns[index], rows[index], reach * math.cos(angle), reach * math.sin(angle)
    gap = draw_line(np.zeros_like(ink), [(x - dx, y - dy), (x + dx, y + dy)], random.uniform(1, 5))
    return ink * (1 - gap)


def _speck(ink: Ink, random: Random) -> Ink:
    ink = ink.copy()
    for _ in range(random.integers(1, 4)):
        x, y = random.integers(CANVAS_PX // 8, CANVAS_PX * 7 // 8, 2)
        cv2.circle(ink, (int(x), int(y)), int(random.integers(1, 3)), 1.0, -1, cv2.LINE_AA)
    return ink


def _crop(ink: Ink, random: Random) -> Ink:
    """3 to 12 % cut off at one side."""
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


def _link(ink: Ink, random: Random) -> Ink:
    """The rest of a stroke to a neighbouring digit, as where two digits were written without lifting the pen."""
    rows = np.flatnonzero((ink > 0.5).any(axis=1))
    if not len(rows):
        return ink
    y = int(random.choice(rows))
    columns = np.flatnonzero(ink[y] > 0.5)
    _, top, _, bottom = bounds(ink)
    length, rise = random.uniform(0.04, 0.16) * (bottom - top), random.uniform(-0.6, 0.6)
    x, side = (float(columns[0]), -1) if random.random() < 0.5 else (float(columns[-1]), 1)
    return draw_line(ink, [(x, y), (x + side * length, y - rise * length)], stroke_width(ink))


FLAWS: tuple[tuple[float, Callable[[Ink, Random], Ink]], ...] = (
    (0.10, _break),
    (0.08, _speck),
    (0.05, _crop),
    (0.08, _link),
)
"""Fraction of the digits that have each flaw, and the function that draws it."""
