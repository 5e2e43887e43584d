"""One writer's digits: MNIST's, enlarged and drawn with one pen, so that they look like strokes at any size.

A digit's strokes are found at three times MNIST's size and stored as a signed distance field, which can be enlarged
without visible steps; ink is where the distance to the centre line is less than half the pen's width.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.reading.pages.levels import Random

FIELD_SCALE = 3
"""Pixels of the distance field to a pixel of MNIST, along each side."""
MNIST_DIGIT_PX = 20
"""Longer side of a digit in MNIST."""
MIN_COMPONENT_SHARE = 0.06
"""Connected components with a smaller share of a digit's area are specks, which are removed."""
OUTSIDE_DISTANCE_PX = 60.0
"""Distance from a stroke, in pixels of the field, where there is none."""


@dataclass(frozen=True)
class WritingStyle:
    """How one writer writes on one page with one pen."""

    height: float
    """Height of a digit in pixels."""
    pen_width: float
    """As a share of the height."""
    slant: float
    """Offset of a digit's top to the right, as a share of the height."""
    variation: float
    """Relative variation of size, slant, angle and position between digits."""
    gaps: float = 0.0
    """Share of digits with a gap in the stroke."""

    @property
    def pen_width_px(self) -> float:
        """The pen's width in pixels."""
        return self.height * self.pen_width


def write_digit(image: NDArray[np.uint8], style: WritingStyle, random: Random) -> NDArray[np.float32]:
    """Ink of the digit in a writing style: float32 (h, w) in [0, 1], cropped to the ink. image: uint8 (28, 28)."""
    field = stroke_field(image, style.pen_width)
    scale = style.height * (1 + style.variation * random.normal(0, 0.5)) / MNIST_DIGIT_PX
    if random.random() < style.gaps:
        field = _break_stroke(field, random)
    side = int(np.ceil(image.shape[0] * scale * 1.6))
    slant = style.slant + random.normal(0, style.variation) - 0.8 * _slant(image)
    angle = random.normal(0, style.variation * 0.5)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    zoom = rotation @ [[1, -slant], [0, 1]] * scale / FIELD_SCALE
    shift = side / 2 - zoom @ np.full(2, (field.shape[0] - 1) / 2)
    matrix = np.column_stack([zoom, shift])
    drawn = cv2.warpAffine(field, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=-OUTSIDE_DISTANCE_PX)
    # With distances in pixels of the sheet, the edge of a stroke is one pixel wide at any size.
    return crop(np.clip(drawn * (scale / FIELD_SCALE) + 0.5, 0, 1))


def stroke_field(image: NDArray[np.uint8], pen_width: float) -> NDArray[np.float32]:
    """Signed distance from the edge of the stroke, positive inside: float32 (84, 84), in pixels of the field.

    image: uint8 (28, 28). pen_width: as a share of a digit's height.
    """
    large = cv2.resize(image, None, fx=FIELD_SCALE, fy=FIELD_SCALE, interpolation=cv2.INTER_CUBIC)
    inside = _remove_specks((cv2.GaussianBlur(large, (0, 0), 1.2) > 96).astype(np.uint8))
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    signed = depth - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    centre_line = thin(inside)
    if not centre_line.any():
        return np.full(large.shape, -OUTSIDE_DISTANCE_PX, np.float32)
    radius = pen_width * MNIST_DIGIT_PX * FIELD_SCALE / 2
    distance = cv2.distanceTransform(1 - centre_line, cv2.DIST_L2, 5)
    # The centre line alone would lose filled loops; the outline alone would break where it is made thinner.
    median_radius = float(np.median(depth[centre_line > 0]))
    field = np.maximum(radius - distance, signed - max(median_radius - radius, -1.0))
    return cv2.GaussianBlur(field, (0, 0), 1.0)


def thin(shape: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The shape thinned to lines one pixel wide (Zhang and Suen 1984). shape, result: uint8 (h, w) of 0 and 1."""
    shape = np.pad(shape, 1)
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            removed = _removable(shape, first)
            changed |= bool(removed.any())
            shape[1:-1, 1:-1][removed] = 0
    return shape[1:-1, 1:-1]


def _removable(shape: NDArray[np.uint8], first: bool) -> NDArray[np.bool_]:
    """Pixels that the first or second half of a pass removes: bool, without the border of the padded shape."""
    height, width = shape.shape
    # Clockwise from north.
    places = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    around = np.stack([shape[y : height - 2 + y, x : width - 2 + x] for y, x in places])
    count = around.sum(0, dtype=np.uint8)
    begins = ((around == 0) & (np.roll(around, -1, 0) == 1)).sum(0, dtype=np.uint8)
    north, east, south, west = around[0], around[2], around[4], around[6]
    enclosed = (north | west) & east & south if first else (east | south) & north & west
    return (shape[1:-1, 1:-1] == 1) & (count >= 2) & (count <= 6) & (begins == 1) & (enclosed == 0)


def _remove_specks(shape: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The shape, uint8 (h, w) of 0 and 1, without its smallest connected components."""
    _, components, statistics, _ = cv2.connectedComponentsWithStats(shape)
    areas = statistics[:, cv2.CC_STAT_AREA]
    large = areas >= MIN_COMPONENT_SHARE * areas[1:].sum()
    large[0] = False
    return large[components].astype(np.uint8)


def _slant(image: NDArray[np.uint8]) -> float:
    """A digit's slant to the right, as a share of its height, limited to the range of handwriting."""
    moments = cv2.moments(image)
    return float(np.clip(-moments["mu11"] / max(moments["mu02"], 1e-6), -0.6, 0.6))


def _break_stroke(field: NDArray[np.float32], random: Random) -> NDArray[np.float32]:
    """The field with a narrow gap at a random point of the stroke."""
    rows, columns = np.nonzero(field > 0)
    if not len(rows):
        return field
    chosen = random.integers(len(rows))
    y, x = np.mgrid[: field.shape[0], : field.shape[1]]
    distance = np.hypot(y - rows[chosen], x - columns[chosen])
    return np.minimum(field, distance - random.uniform(1.5, 3)).astype(np.float32)


def crop(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ink, (h, w), without empty margins; (0, 0) when there is none."""
    rows, columns = np.flatnonzero(ink.max(1) > 0.02), np.flatnonzero(ink.max(0) > 0.02)
    if not len(rows):
        return ink[:0, :0]
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
