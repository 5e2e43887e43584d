"""One writer's digits: MNIST's, enlarged and written anew with one pen, so that they look like strokes.

The stroke that a digit consists of is found at three times MNIST's size and kept as distances, which enlarge without
steps; the pen draws all that is within half its width of it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

Random = np.random.Generator

FINE = 3
"""Pixels, along each side, to one of MNIST's, while the stroke is looked for."""
TALL = 20
"""MNIST's digits are that many of its pixels in height, or in width where they are wider than tall."""
SPECK = 0.06
"""A part with a smaller share of a digit's area than this is no part of it."""
FAR = 60.0
"""Where there is no digit near, in pixels of the enlarged image."""


@dataclass(frozen=True)
class Hand:
    """How one writer writes, on one page and with one pen."""

    height: float
    """Of a digit, in pixels."""
    stroke: float
    """The pen's width, as a share of the height."""
    slant: float
    """How far the top leans to the right, as a share of the height."""
    uneven: float
    """How much size, slant, angle and place vary from digit to digit, as a share."""
    broken: float = 0.0
    """The share of digits whose stroke the pen leaves out in one place."""


def write_digit(image: np.ndarray, hand: Hand, random: Random) -> np.ndarray:
    """The digit in that hand. image: uint8 (28, 28); returns ink, float32 (h, w) in [0, 1], cropped to the ink."""
    field = stroke_field(image, hand.stroke)
    scale = hand.height * (1 + hand.uneven * random.normal(0, 0.5)) / TALL
    if random.random() < hand.broken:
        field = _lift_pen(field, random)
    side = int(np.ceil(image.shape[0] * scale * 1.6))
    lean = hand.slant + random.normal(0, hand.uneven) - 0.8 * _lean(image)
    turn = random.normal(0, hand.uneven * 0.5)
    along = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, -lean], [0, 1]]
    zoom = along * scale / FINE
    shift = side / 2 - zoom @ np.full(2, (field.shape[0] - 1) / 2)
    matrix = np.column_stack([zoom, shift])
    drawn = cv2.warpAffine(field, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=-FAR)
    # Distances are in pixels of the sheet now, so the edge of the stroke is one pixel wide at any size.
    return crop(np.clip(drawn * (scale / FINE) + 0.5, 0, 1))


def stroke_field(image: np.ndarray, stroke: float) -> np.ndarray:
    """How far inside a pen's stroke each place lies, negative outside: float32 (84, 84), in its own pixels.

    image: uint8 (28, 28). stroke: the pen's width as a share of a digit's height.
    """
    large = cv2.resize(image, None, fx=FINE, fy=FINE, interpolation=cv2.INTER_CUBIC)
    inside = _without_specks((cv2.GaussianBlur(large, (0, 0), 1.2) > 96).astype(np.uint8))
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    signed = depth - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    middle = thin(inside)
    if not middle.any():
        return np.full(large.shape, -FAR, np.float32)
    radius = stroke * TALL * FINE / 2
    from_middle = cv2.distanceTransform(1 - middle, cv2.DIST_L2, 5)
    # The middle alone would lose loops that the writer filled; the old outline alone would break when thinned.
    usual = float(np.median(depth[middle > 0]))
    field = np.maximum(radius - from_middle, signed - max(usual - radius, -1.0))
    return cv2.GaussianBlur(field, (0, 0), 1.0)


def thin(shape: np.ndarray) -> np.ndarray:
    """The shape thinned to lines one pixel wide, after Zhang and Suen. shape: uint8 (h, w) of 0 and 1; returns one."""
    shape = np.pad(shape, 1)
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            removed = _removable(shape, first)
            changed |= bool(removed.any())
            shape[1:-1, 1:-1][removed] = 0
    return shape[1:-1, 1:-1]


def _removable(shape: np.ndarray, first: bool) -> np.ndarray:
    """Where one of the two halves of a pass takes pixels away: bool, without the frame of the padded shape."""
    height, width = shape.shape
    # Clockwise from north.
    places = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    around = np.stack([shape[y : height - 2 + y, x : width - 2 + x] for y, x in places])
    count = around.sum(0, dtype=np.uint8)
    begins = ((around == 0) & (np.roll(around, -1, 0) == 1)).sum(0, dtype=np.uint8)
    north, east, south, west = around[0], around[2], around[4], around[6]
    enclosed = (north | west) & east & south if first else (east | south) & north & west
    return (shape[1:-1, 1:-1] == 1) & (count >= 2) & (count <= 6) & (begins == 1) & (enclosed == 0)


def _without_specks(shape: np.ndarray) -> np.ndarray:
    """The shape, uint8 (h, w) of 0 and 1, without parts so small that on a page they would be dirt."""
    _, parts, found, _ = cv2.connectedComponentsWithStats(shape)
    areas = found[:, cv2.CC_STAT_AREA]
    large = areas >= SPECK * areas[1:].sum()
    large[0] = False
    return large[parts].astype(np.uint8)


def _lean(image: np.ndarray) -> float:
    """How far a digit's top leans to the right, as a share of its height, limited to what handwriting does."""
    moments = cv2.moments(image)
    return float(np.clip(-moments["mu11"] / max(moments["mu02"], 1e-6), -0.6, 0.6))


def _lift_pen(field: np.ndarray, random: Random) -> np.ndarray:
    """The field with a narrow gap across the stroke somewhere."""
    rows, columns = np.nonzero(field > 0)
    if not len(rows):
        return field
    chosen = random.integers(len(rows))
    y, x = np.mgrid[: field.shape[0], : field.shape[1]]
    distance = np.hypot(y - rows[chosen], x - columns[chosen])
    return np.minimum(field, distance - random.uniform(1.5, 3)).astype(np.float32)


def crop(ink: np.ndarray) -> np.ndarray:
    """The part of some ink, (h, w), that is not empty; (0, 0) when all is."""
    rows, columns = np.flatnonzero(ink.max(1) > 0.02), np.flatnonzero(ink.max(0) > 0.02)
    if not len(rows):
        return ink[:0, :0]
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
