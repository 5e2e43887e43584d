"""Single pictures made from MNIST's digits: digits in other writing styles, and pictures that show no digit.

A network that has seen only MNIST knows one kind of pen, one country's habits and no letters. Each digit is enlarged
and drawn with another pen, distorted, and at times broken, cropped or specked, or written as in other countries
(`habits.py`). Non-digits (`non_digits.py`) are letters, symbols, shapes, scribbles, blots, fragments, scenes and
numbers of several digits, which the network must reject. Every drawing passes through `recognition`, as any picture
does, before the network sees it; some as photographs, some damaged (`damage.py`).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset import Dataset, Split
from mnist_digits.recognition import find_ink, normalise
from mnist_digits.recognition.preprocessing.ruling import MIN_RULED_SIDE_PX
from mnist_digits.recognition.preprocessing.single_digit import plain_view
from mnist_digits.training.synthesis.damage import damage
from mnist_digits.training.synthesis.drawing import (
    CANVAS_PX,
    Ink,
    Random,
    as_jpeg,
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
from mnist_digits.training.synthesis.habits import VARIANTS
from mnist_digits.training.synthesis.non_digits import NON_DIGITS, NOT_WRITTEN, PHOTOGRAPHS

NON_DIGIT_LABEL = 10
"""Label of pictures that show no digit."""
DIGITS_PER_CHUNK = 1000
"""Digits that are drawn in one task, with a random generator of its own."""
LENGTHENED_SHARE = 0.35
"""Fraction of the digits whose upper or lower strokes are lengthened."""
BROAD_PEN_SHARE = 0.12
"""Fraction of the drawings whose pen is wider along one direction."""
BRUSH_SHARE = 0.1
"""Fraction of the drawings whose strokes swell and thin out, as a brush's do."""
VERY_BROAD_SHARE = 0.06
"""Fraction of the digits whose strokes are so wide that their loops nearly close."""
TURNED_SHARE = 0.12
"""Fraction of the digits that are turned far."""
PHOTOGRAPHED_SHARE = 0.3
"""Fraction of the drawings that are photographed on paper, and their ink found again."""
LARGE_SHARE = 0.2
"""Fraction of the photographs that are so large that ruled lines are searched on them."""
DAMAGED_SHARE, DAMAGED_NON_DIGITS_SHARE = 0.2, 0.15
"""Fraction of the digits, and of the non-digits, to learn from that are pictures damaged before their ink is found."""
PLAIN_SHARE = 0.3
"""Fraction of the photographs and damaged pictures to learn from that the network sees plainly, without finding ink."""
MIN_FOUND, MIN_LIKENESS = 0.6, 0.45
"""Least part of a drawing's longer side that has to be found in its picture, and least likeness, the cosine, of what is
found to a digit's own ink."""
NON_DIGITS_PER_DIGIT = 1.0
"""How many non-digits are drawn for each digit drawn."""

Images = NDArray[np.uint8]


def synthesise(data: Dataset, copies: int, seed: int) -> Dataset:
    """The dataset with pictures added to its training and validation split, drawn from the split's own images.

    copies: how often each digit is drawn anew, at least 1; NON_DIGITS_PER_DIGIT as many non-digits are added, labelled
    NON_DIGIT_LABEL; some of all are damaged. The result depends on the data and the seed alone, not on the number of
    processors.
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
        kind: np.stack(
            [_as_network_input(draw_non_digit(kind, split, random), random, kind in PHOTOGRAPHS) for _ in range(count)]
        )
        for kind in NON_DIGITS
    }


def _synthesise_chunk(task: tuple[Split, int, tuple[int, ...]]) -> Split:
    """Drawn digits, `copies` of each in the part, and NON_DIGITS_PER_DIGIT as many others. task: part, copies, seed."""
    part, copies, seed = task
    random = np.random.default_rng(seed)
    digits = [
        _to_learn_from(draw_digit(image, int(label), random), random, DAMAGED_SHARE, ink_is_digit=True)
        for _ in range(copies)
        for image, label in zip(part.images, part.labels, strict=True)
    ]
    kinds = random.choice(list(NON_DIGITS), round(NON_DIGITS_PER_DIGIT * len(digits)))
    others = [
        _to_learn_from(
            *(draw_non_digit(str(kind), part, random), random, DAMAGED_NON_DIGITS_SHARE),
            ink_is_digit=False,
            photograph=kind in PHOTOGRAPHS,
        )
        for kind in kinds
    ]
    labels = [*[part.labels] * copies, np.full(len(others), NON_DIGIT_LABEL, np.uint8)]
    return Split(np.stack(digits + others), np.concatenate(labels))


def _part(split: Split, start: int, stop: int) -> Split:
    return Split(split.images[start:stop], split.labels[start:stop])


def _join(parts: Iterable[Split]) -> Split:
    images, labels = zip(*((part.images, part.labels) for part in parts), strict=True)
    return Split(np.concatenate(images), np.concatenate(labels))


def _as_network_input(ink: Ink, random: Random, photograph: bool = False) -> Images:
    """What recognition makes of a drawing, at times, or always, of its photograph: uint8 (28, 28)."""
    if photograph or random.random() < PHOTOGRAPHED_SHARE:
        return _seen(_photograph(ink, random), ink)
    return normalise(ink).image


def _to_learn_from(ink: Ink, random: Random, damaged: float, *, ink_is_digit: bool, photograph: bool = False) -> Images:
    """The same for training: a share of the drawings is damaged, and some pictures are seen plainly, as in `classify`.

    Only here: the threshold of rejection is set by digits as people write and photograph them. ink_is_digit: whether
    ink that is found must be mainly the drawing's; if it is a stripe or noise, only the picture itself shows the digit.
    """
    if random.random() < damaged:
        picture, own = damage(ink, random)
    elif photograph or random.random() < PHOTOGRAPHED_SHARE:
        picture, own = _photograph(ink, random), ink
    else:
        return normalise(ink).image
    plain = plain_view(picture)
    if plain is not None and random.random() < PLAIN_SHARE:
        return plain
    return _seen(picture, ink, own if ink_is_digit else None)


def _seen(picture: Images, ink: Ink, own: Ink | None = None) -> Images:
    """What recognition makes of a drawing's picture, uint8 (28, 28).

    Where only a fragment is found, or mainly something else than the drawing's own ink, if that is given, nothing could
    be learned: then the picture itself, or else the drawing.
    """
    found = find_ink(picture)
    normalised = normalise(found)
    left, top, right, bottom = bounds(ink)
    large = max(normalised.box[2:]) * CANVAS_PX >= MIN_FOUND * len(picture) * max(right - left, bottom - top)
    if large and (own is None or _likeness(found, own) >= MIN_LIKENESS):
        return normalised.image
    plain = plain_view(picture)
    return normalise(ink).image if plain is None else plain


def _likeness(found: Ink, own: Ink) -> float:
    """The cosine between two inks, of which the second may be larger: 0 to 1."""
    own = cv2.resize(own, found.shape, interpolation=cv2.INTER_AREA)
    return float((found * own).sum()) / max(cv2.norm(found) * cv2.norm(own), 1e-6)


def _photograph(ink: Ink, random: Random) -> Images:
    """The drawing on uneven, grainy paper in uneven light, slightly out of focus, as JPEG: uint8 (side, side).

    The side is between CANVAS_PX and a third of it, as where a whole page has to fit a small picture; but no stroke
    becomes thinner than about a pixel.
    """
    # Rarely so large that ruled lines are searched, because finding ink takes several times as long then.
    smallest, limit = math.log(1 / 3), math.log(MIN_RULED_SIDE_PX / CANVAS_PX) - 0.01
    logarithm = random.uniform(limit, 0.1) if random.random() < LARGE_SHARE else random.uniform(smallest, limit)
    reduction = math.exp(min(0.0, logarithm))
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
    # A one that leans already would lie down.
    turned = _distort_randomly(draw_variant(image, label, random), random, TURNED_SHARE if label != 1 else 0)
    ink = _with_any_pen(turned, random, VERY_BROAD_SHARE)
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


def _distort_randomly(ink: Ink, random: Random, turned: float = 0.0) -> Ink:
    most = 38 if random.random() < turned else 14
    rotation, shear = math.radians(random.uniform(-most, most)), random.uniform(-0.25, 0.25)
    # Hasty writing is narrower more often than wider.
    wide, high = np.exp((random.uniform(-0.4, 0.2), random.uniform(-0.2, 0.2)))
    offsets = random.normal(0, random.uniform(0, 0.027) * CANVAS_PX, (5, 5, 2))
    return distort(ink, rotation, shear, (wide, high), offsets)


def _with_any_pen(ink: Ink, random: Random, very_broad: float = 0.0) -> Ink:
    """The same strokes 0.04 to 0.22 times as wide as the drawing is large, or wider: from a fine pen to a brush.

    very_broad: share of the drawings whose strokes are so wide that their loops nearly close.
    """
    left, top, right, bottom = bounds(ink)
    size = max(right - left, bottom - top, 1)
    wanted, edge = size * math.exp(random.uniform(math.log(0.04), math.log(0.22))), random.uniform(1, 3)
    if random.random() < BROAD_PEN_SHARE:
        ink = _with_broad_pen(ink, size * random.uniform(0.04, 0.14), random)
    kind = random.random()
    if kind < BRUSH_SHARE:
        return _with_brush(ink, size, random)
    if kind < BRUSH_SHARE + very_broad:
        return with_stroke_width(ink, _most(ink, size * random.uniform(0.2, 0.34)))
    # Most hands that write with a broad pen write large enough for it.
    if wanted > 0.12 * size and random.random() < 0.75:
        wanted = _most(ink, wanted)
    return with_stroke_width(ink, wanted, edge)


def _most(ink: Ink, wanted_px: float) -> float:
    """The stroke width, or as much of it as leaves a pixel of paper in the largest loop of the strokes."""
    paper = cv2.distanceTransform((ink <= 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    count, labels = cv2.connectedComponents((ink <= 0.5).astype(np.uint8), connectivity=4)
    if count < 3:
        return wanted_px
    inner = float(paper[(labels > 0) & (labels != labels[0, 0])].max(initial=0))
    return min(wanted_px, stroke_width(ink) + max(0.0, 2 * (inner - 0.8)))


def _with_brush(ink: Ink, size: float, random: Random) -> Ink:
    """Strokes as of a brush: they swell and thin out with its pressure, and its hairs leave streaks where it is dry."""
    fine = with_stroke_width(ink, size * random.uniform(0.045, 0.08))
    paper = cv2.distanceTransform((fine <= 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    pressure = np.clip(0.5 + 0.6 * smooth_noise(random, int(random.integers(3, 6))), 0, 1)
    painted = np.clip(0.5 + (size * random.uniform(0.05, 0.11) * pressure - paper) / random.uniform(1, 2) + fine, 0, 1)
    if random.random() < 0.35:
        angle, reach = random.uniform(0, math.pi), int(random.integers(7, 14)) | 1
        hairs, middle = np.zeros((reach, reach), np.float32), reach // 2
        dx, dy = round(middle * math.cos(angle)), round(middle * math.sin(angle))
        cv2.line(hairs, (middle - dx, middle - dy), (middle + dx, middle + dy), 1)
        streaks = cv2.filter2D(smooth_noise(random, CANVAS_PX), -1, hairs / np.sqrt(hairs.sum()))
        dry = np.clip(2 * (streaks - random.uniform(0.3, 1.2)), 0, 1) * (0.3 + 0.7 * (1 - pressure))
        painted = painted * (1 - random.uniform(0.3, 0.7) * dry)
    return np.asarray(painted, np.float32)


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
