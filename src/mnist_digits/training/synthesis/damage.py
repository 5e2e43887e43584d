"""Pictures of a drawing, damaged before its ink is found: crossed by lines, striped, erased, coarse, tilted, in fog.

What the ink code makes of such a picture is what the network gets to see of it; so it is learned from as that. The
kinds, strengths and shapes are this module's own. Lengths are in units of a 28th of the picture's side, which are the
pixels of MNIST.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.preprocessing.mnist_format import square
from mnist_digits.training.synthesis.drawing import Ink, Random, smooth_noise

SIDES_PX = (28, 62)
"""Range of the side of a damaged picture."""
TWICE_SHARE = 0.2
"""Fraction of the damaged pictures that are damaged in two ways."""
FINE = 4
"""Lines are drawn on so many times as many pixels, so that they may be of any width."""
MAX_ERASED = 0.35
"""Largest share of a drawing's ink that patches hide."""
MIN_WORN = 0.3
"""Least share of a drawing's ink that is left of worn strokes."""

Images = NDArray[np.uint8]


def damage(ink: Ink, random: Random) -> tuple[Images, Ink]:
    """A picture of a drawing, damaged in a random way or two, and where the drawing's own ink lies on it.

    ink: float32 (CANVAS_PX, CANVAS_PX) in [0, 1]. Returns uint8 (side, side), light on dark or dark on light, and
    float32 (side, side) in [0, 1].
    """
    side = round(math.exp(random.uniform(*np.log(SIDES_PX)))) if random.random() < 0.7 else SIDES_PX[0]
    own = picture = cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA)
    for _ in range(2 if random.random() < TWICE_SHARE else 1):
        change = _KINDS[random.choice(len(_KINDS), p=_SHARES)]
        picture = np.clip(change(picture, random), 0, 1).astype(np.float32)
        # What moves the strokes moves all that is on the picture.
        own = picture if change in MOVING else own
    paper, pen = random.uniform(0, 50) if random.random() < 0.5 else 0, random.uniform(150, 255)
    grey = np.rint(paper + (pen - paper) * picture).astype(np.uint8)
    return np.asarray(255 - grey if random.random() < 0.4 else grey, np.uint8), own


def _crossed(picture: Ink, random: Random) -> Ink:
    """A line across: straight, in waves or zigzags, whole, in dashes or dots."""
    side, pen = len(picture), math.exp(random.uniform(math.log(0.7), math.log(2.8)))
    x = np.linspace(random.uniform(-0.05, 0.2), random.uniform(0.8, 1.05), 120) * 28
    y = np.interp(x, [0, 28], random.uniform(0.12, 0.88, 2) * 28)
    if random.random() < 0.65:
        period = random.uniform(max(3.5, 2.5 * pen), 14)
        phase = x / period + random.random()
        triangle = 4 * np.abs(phase % 1 - 0.5) - 1
        wave = triangle if random.random() < 0.7 else np.sin(2 * math.pi * phase)
        y = y + random.uniform(0.8, 4.5) * wave
    points = np.stack([x, y] if random.random() < 0.8 else [y, x], 1) * (side * FINE / 28)
    drawn = np.zeros((side * FINE, side * FINE), np.uint8)
    for part in _dashes(points, random, side * FINE / 28) if random.random() < 0.35 else [points]:
        path = np.rint(part * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(drawn, [path], False, 255, max(1, round(pen * side * FINE / 28)), cv2.LINE_AA, shift=4)
    line = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.maximum(picture, line * random.uniform(0.55, 1))


def _dashes(points: NDArray[np.float64], random: Random, unit: float) -> list[NDArray[np.float64]]:
    """Parts of a line, float64 (n, 2) each, with gaps between them."""
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    pitch, share = random.uniform(2, 6) * unit, random.uniform(0.3, 0.65)
    starts = np.arange(-random.uniform(0, 1) * pitch, length[-1], pitch)
    spots = [np.linspace(start, start + share * pitch, 5) for start in starts]
    return [np.stack([np.interp(at, length, points[:, axis]) for axis in (0, 1)], 1) for at in spots]


def _striped(picture: Ink, random: Random) -> Ink:
    """A band across in negative, upright, level or slanting; or one half of the picture."""
    turn = random.choice([0, math.pi / 2, random.uniform(0, math.pi)], p=[0.6, 0.25, 0.15])
    place = (np.arange(len(picture)) + 0.5) * 28 / len(picture) - 14
    across = place * math.cos(turn) + place[:, None] * math.sin(turn)
    half = random.uniform(1, 6) if random.random() < 0.85 else 14
    middle = random.uniform(-9, 9) if half < 14 else random.choice([-1, 1]) * random.uniform(14, 20)
    return np.where(np.abs(across - middle) < half, 1 - picture, picture)


def _patched(picture: Ink, random: Random) -> Ink:
    """Patches without ink, or painted over, which leave enough of the strokes to be read."""
    side, hidden = len(picture), np.zeros(picture.shape, np.uint8)
    for _ in range(random.integers(1, 8)):
        patch = hidden.copy()
        middle = random.uniform(4, 24, 2) * side / 28
        half = random.uniform(1, 3.2, 2) * side / 28
        if random.random() < 0.7:
            start, stop = np.rint(middle - half).astype(int), np.rint(middle + half).astype(int)
            patch[max(0, start[1]) : stop[1], max(0, start[0]) : stop[0]] = 1
        else:
            cv2.ellipse(
                patch, np.rint(middle).astype(int).tolist(), np.ceil(half).astype(int).tolist(), 0, 0, 360, 1, -1
            )
        if float((picture * patch).sum()) <= MAX_ERASED * float(picture.sum()):
            hidden = patch
    level = 0.0 if random.random() < 0.75 else random.uniform(0.2, 1)
    return np.where(hidden > 0, np.float32(level), picture)


def _coarse(picture: Ink, random: Random) -> Ink:
    """Of 11 to 14 pixels a side, or 8 to 12 close around it, also of few greys; enlarged with edges or without."""
    side, few = len(picture), int(random.integers(11, 15))
    # Where the digit fills only the middle, its own pixels would be too few: a thumbnail is cut out close around it.
    if random.random() < 0.5:
        x, y, width, height = cv2.boundingRect((picture > 0.3).astype(np.uint8))
        longest, margin = max(width, height), round(random.uniform(0, 0.15) * side)
        if longest:
            top, left = max(0, y + (height - longest) // 2 - margin), max(0, x + (width - longest) // 2 - margin)
            picture = picture[top : top + longest + 2 * margin, left : left + longest + 2 * margin]
            few = int(random.integers(8, 13))
    how = cv2.INTER_AREA if random.random() < 0.85 else cv2.INTER_NEAREST
    small = cv2.resize(picture, (few, few), interpolation=how)
    if random.random() < 0.3:
        small = np.rint(small * 16) / np.float32(16)
    back = random.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC])
    return np.asarray(cv2.resize(small, (side, side), interpolation=int(back)), np.float32)


def _tilted(picture: Ink, random: Random) -> Ink:
    """Seen from the side; as it was, where that would leave strokes outside of the picture."""
    side = len(picture)
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    moved = corners + np.clip(random.normal(0, 0.1, (4, 2)), -0.22, 0.22).astype(np.float32) * side
    matrix = cv2.getPerspectiveTransform(moved, corners)
    places = np.argwhere(picture > 0.5)[:, ::-1].astype(np.float32)
    if not len(places):
        return picture
    seen = cv2.perspectiveTransform(places[None], matrix)[0]
    if float(((seen >= 0) & (seen < side)).all(axis=1).mean()) < 0.93:
        return picture
    return np.asarray(cv2.warpPerspective(picture, matrix, (side, side)), np.float32)


def _fogged(picture: Ink, random: Random) -> Ink:
    """Behind fog, denser here than there."""
    cells = random.integers(2, 9, 2)
    clouds = cv2.resize(smooth_noise(random, int(cells[0])) + 0.5 * smooth_noise(random, int(cells[1])), picture.shape)
    dense = np.clip(random.uniform(0.2, 0.85) * (1 + random.uniform(0, 0.35) * clouds), 0, 0.93)
    return picture * (1 - dense) + dense * random.uniform(0.4, 1)


def _smeared(picture: Ink, random: Random) -> Ink:
    """Moved while it was taken, or far out of focus."""
    side = len(picture)
    if random.random() < 0.4:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), random.uniform(0.8, 2.2) * side / 28), np.float32)
    reach = random.uniform(2, 7) * side / 28
    size, angle = math.ceil(reach) // 2 * 2 + 1, random.uniform(0, math.pi)
    kernel, middle = np.zeros((size, size), np.float32), size // 2
    step = np.rint(np.array([math.cos(angle), math.sin(angle)]) * reach / 2).astype(int)
    cv2.line(kernel, (middle - int(step[0]), middle - int(step[1])), (middle + int(step[0]), middle + int(step[1])), 1)
    smeared = cv2.filter2D(picture, -1, kernel / kernel.sum())
    return smeared / max(float(smeared.max()), 0.1) * random.uniform(0.7, 1)


def _worn(picture: Ink, random: Random) -> Ink:
    """Only the cores of the strokes, which break here and there."""
    core = cv2.GaussianBlur(picture, (0, 0), len(picture) / 28)
    grain = cv2.resize(smooth_noise(random, 28), picture.shape)
    peak = cv2.dilate(core, square(round(len(picture) / 9) | 1))
    kept = core - peak * (random.uniform(0.5, 0.9) + 0.06 * grain)
    worn = np.clip(kept * 12, 0, 1) * picture
    return worn if float(worn.sum()) > MIN_WORN * float(picture.sum()) else picture


def _hollow(picture: Ink, random: Random) -> Ink:
    """Only the edges of the strokes."""
    return np.asarray(cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, square(2 if len(picture) < 40 else 3)), np.float32)


def _noisy(picture: Ink, random: Random) -> Ink:
    """Grain everywhere, or pixels lost to paper and ink."""
    if random.random() < 0.5:
        return picture + random.normal(0, random.uniform(0.04, 0.22), picture.shape).astype(np.float32)
    lost = random.random(picture.shape)
    share = random.uniform(0.01, 0.1)
    return np.where(lost < share / 2, np.float32(0), np.where(lost > 1 - share / 2, np.float32(1), picture))


KINDS: dict[Callable[[Ink, Random], Ink], int] = {
    _crossed: 8, _striped: 3, _patched: 3, _coarse: 4, _tilted: 3, _fogged: 2, _smeared: 2, _worn: 2, _hollow: 1,
    _noisy: 2,
}  # fmt: skip
"""Kind of damage → its weight: how many pictures have it, relative to others."""
MOVING = (_coarse, _tilted)
"""Kinds that may move the strokes."""
_KINDS = list(KINDS)
_SHARES = np.array(list(KINDS.values())) / sum(KINDS.values())
