"""Ink → 28×28 as MNIST made its images: a 20-pixel box, the centre of mass in the middle, strokes of its width.

MNIST began as bilevel scans, each scaled with its aspect kept to fit a box of 20×20 pixels, which left soft edges, and
placed in 28×28 by its centre of mass (LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to
document recognition", section III.A). This module does the same.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.results import IMAGE_SIDE_PX, Box

DIGIT_SIDE_PX = 20
"""Longest side of a digit in MNIST's images."""

WORKING_SIDE_PX = 4 * DIGIT_SIDE_PX
"""Longest side at which stroke widths are adjusted: fine enough to keep a loop open, small enough to be quick."""

MIN_STROKE_INK = 0.35
"""Ink, as a share of the full stroke, above which a pixel is part of a stroke."""

MIN_STROKE_WIDTH_PX, MAX_STROKE_WIDTH_PX = 1.5, 4.2
"""Strokes of other widths, in pixels of MNIST, are thickened or thinned: those of 4 % of its training images."""


@dataclass(frozen=True)
class Normalised:
    """A network's input, and what of the ink it was made of."""

    image: NDArray[np.uint8]
    """uint8 (28, 28), ink 255 on paper 0; all 0 when there is no ink."""
    box: Box
    """Of the ink that was used, in pixels of the ink map; four zeros when there is none."""
    components: int
    """Number of large components side by side: 0 when blank; more than 1 hints at several digits."""
    plain: NDArray[np.uint8] | None = None
    """uint8 (28, 28): the picture itself, for a second look where the ink is no digit; None of a part of a page."""


def normalise(ink: NDArray[np.float32]) -> Normalised:
    """The ink of one digit as MNIST would have made it.

    ink: float32 (h, w) in [0, 1], as `find_ink` returns it. Specks and dots beside the digit are left out; the
    components of a broken stroke are kept together. Raises ValueError when ink is anything else.
    """
    box = _extent(ink, MIN_STROKE_INK * _peak(ink))
    if not box[2]:
        return Normalised(np.zeros((IMAGE_SIDE_PX, IMAGE_SIDE_PX), np.uint8), box, 0)
    # A digit may be small among far specks: these are removed before all is reduced to WORKING_SIDE_PX.
    side = WORKING_SIDE_PX if max(box[2:]) <= 8 * WORKING_SIDE_PX else 4 * WORKING_SIDE_PX
    while True:
        crop, corner = _cut_out(ink, box)
        small, factor = _reduced(crop, side)
        kept, components = _without_specks(small)
        extent = _extent(kept, MIN_STROKE_INK)
        before, box = box, _in_full_size(extent, factor, corner, crop.shape)
        # What was removed has cost the rest resolution, which is therefore reduced again by itself.
        if factor == 1 or (side == WORKING_SIDE_PX and max(box[2:]) > 0.95 * max(before[2:])):
            return Normalised(_centred(_boxed(kept, max(extent[2:]))), box, components)
        side = WORKING_SIDE_PX


def square(side_px: int) -> NDArray[np.uint8]:
    """A square window for OpenCV's morphology: uint8 ones (side_px, side_px)."""
    return np.ones((side_px, side_px), np.uint8)


def stroke_width(ink: NDArray[np.float32]) -> float:
    """Mean width in pixels of the strokes, float32 (h, w): twice their area over the length of their outline.

    The outline is the total variation, so greys at the edges count for what they cover.
    """
    around = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    across, down = around[:-1, 1:] - around[:-1, :-1], around[1:, :-1] - around[:-1, :-1]
    return 2 * float(ink.sum()) / max(float(cv2.magnitude(across, down).sum()), 1e-6)


def _cut_out(ink: NDArray[np.float32], box: Box) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """The ink in a box with the soft edges around it, and x, y of its corner."""
    x, y, width, height = box
    margin = 1 + max(width, height) // (2 * DIGIT_SIDE_PX)
    left, top = max(0, x - margin), max(0, y - margin)
    return ink[top : y + height + margin, left : x + width + margin], (left, top)


def _in_full_size(extent: Box, factor: float, corner: tuple[int, int], shape: tuple[int, ...]) -> Box:
    """A box in a reduced crop, in pixels of the ink that the crop was cut out of. shape: (h, w) of the crop."""
    x, y, width, height = extent
    left, top = int(x * factor), int(y * factor)
    width, height = min(math.ceil(width * factor), shape[1] - left), min(math.ceil(height * factor), shape[0] - top)
    return corner[0] + left, corner[1] + top, width, height


def _peak(ink: NDArray[np.float32]) -> float:
    """The largest value, 0 of no pixels. Raises ValueError when the array is not ink."""
    if ink.ndim != 2 or ink.dtype != np.float32:
        raise ValueError(f"ink of {ink.dtype} {ink.shape}, expected float32 (h, w); make it with find_ink")
    low, high = float(ink.min(initial=0)), float(ink.max(initial=0))
    if not (low >= 0 and high <= 1):
        raise ValueError(f"ink from {low:g} to {high:g}, expected every value in [0, 1]")
    return high


def _extent(ink: NDArray[np.float32], threshold: float) -> Box:
    """The box around the pixels above the threshold; four zeros when there are none or it is 0."""
    if not threshold or not ink.size:
        return 0, 0, 0, 0
    x, y, width, height = cv2.boundingRect((ink > threshold).view(np.uint8))
    return x, y, width, height


def _reduced(crop: NDArray[np.float32], side: int) -> tuple[NDArray[np.float32], float]:
    """The crop, full strokes scaled to 1 and reduced until no side is longer than this; and the factor of reduction."""
    height, width = crop.shape
    factor = max(1.0, max(height, width) / side)
    if factor == 1:
        return np.minimum(crop / _full_stroke(crop), 1), factor
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    full = _full_stroke(small)
    if full < 0.75 * float(crop.max()):
        # Strokes thinner than a reduced pixel would fade to grey: they are widened to one first.
        small = cv2.resize(cv2.dilate(crop, square(math.ceil(factor))), size, interpolation=cv2.INTER_AREA)
        full = _full_stroke(small)
    return np.minimum(small / full, 1), factor


def _full_stroke(ink: NDArray[np.float32]) -> float:
    """The 95th percentile of the ink in strokes."""
    inside = ink[ink > MIN_STROKE_INK * ink.max()]
    rank = -1 - len(inside) // 20
    return float(np.partition(inside, rank)[rank])


def _without_specks(ink: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """The ink, float32 (h, w), without components that are no part of the digit; and how many stand side by side."""
    mask = (ink > MIN_STROKE_INK).astype(np.uint8)
    # Components closer than a stroke's width are one interrupted stroke.
    reach = max(1, max(ink.shape) // 50)
    joined = cv2.dilate(mask, square(2 * reach + 1))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    if count == 2:
        return ink, 1
    # Boxes without what the dilation added; at the picture's border it added less, which does not matter.
    boxes = np.maximum(stats[1:, :4] + (reach, reach, -2 * reach, -2 * reach), 1)
    inside = mask > 0
    area = np.bincount(labels[inside], minlength=count)[1:]
    mass = np.bincount(labels[inside], ink[inside], minlength=count)[1:]
    kept = _belongs(boxes, area, mass / area)
    if not kept.all():
        allowed = np.concatenate([[False], kept])[labels]
        ink = ink * allowed
    return ink, _side_by_side(boxes[kept])


def _belongs(boxes: NDArray[np.int32], area: NDArray[np.int64], strength: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which components are parts of the digit: bool (n,).

    boxes: int (n, 4) of x, y, width, height. area: in pixels (n,). strength: mean ink (n,).
    """
    main = int(area.argmax())
    x, y, width, height = boxes.T
    length = np.maximum(width, height)
    reach = length[main] / 10
    inside = (
        (x + width > x[main] - reach)
        & (x < x[main] + width[main] + reach)
        & (y + height > y[main] - reach)
        & (y < y[main] + height[main] + reach)
    )
    # A dot is short; the detached upper stroke of a 5 is long.
    long = length > 0.25 * length[main]
    large = (long & (area > 0.05 * area[main])) | (inside & (area > 0.02 * area[main]))
    # Components much paler than the digit are remains of a shadow or a smudge.
    kept: NDArray[np.bool_] = large & (strength > 0.65 * strength[main])
    return kept


def _side_by_side(boxes: NDArray[np.int32]) -> int:
    """How many tall components, boxes (n, 4), share no column with a taller one."""
    count, taken = 0, np.zeros(int((boxes[:, 0] + boxes[:, 2]).max()), bool)
    tallest = boxes[:, 3].max()
    for x, _, width, height in boxes[np.argsort(-boxes[:, 3])]:
        if height < tallest / 2:
            break
        count += not taken[x : x + width].any()
        taken[x : x + width] = True
    return count


def _boxed(digit: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """A digit, float32 (h, w), scaled to DIGIT_SIDE_PX, its strokes to MNIST's width. longest: its longer side, px."""
    if longest == DIGIT_SIDE_PX and MIN_STROKE_WIDTH_PX <= stroke_width(digit) <= MAX_STROKE_WIDTH_PX:
        # It has MNIST's size already: scaling would only blur its edges.
        return digit
    # Bilevel but for its edges, as MNIST's scans were.
    fine = _scaled(digit, WORKING_SIDE_PX / longest)
    bilevel = np.clip(4 * fine - 1.5, 0, 1)
    # Specks no larger than a pixel may be too pale for that.
    fine = bilevel if bilevel.any() else fine
    width = stroke_width(fine) * DIGIT_SIDE_PX / WORKING_SIDE_PX
    target = min(max(width, MIN_STROKE_WIDTH_PX), MAX_STROKE_WIDTH_PX)
    if target != width:
        # Widening every stroke widens the box as well, which is then scaled back.
        growth = (target - width) / 2 / (1 - target / DIGIT_SIDE_PX)
        regrown = _regrown(fine, growth * WORKING_SIDE_PX / DIGIT_SIDE_PX, target / 2 * WORKING_SIDE_PX / DIGIT_SIDE_PX)
        # Specks would vanish when thinned.
        fine = regrown if regrown.any() else fine
    return _box_filled(fine)


def _box_filled(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """A digit of about WORKING_SIDE_PX, its box aligned to whole pixels and reduced to DIGIT_SIDE_PX."""
    x, y, width, height = _extent(fine, 0.5 * float(fine.max()))
    tight = _scaled(fine[y : y + height, x : x + width], WORKING_SIDE_PX / max(width, height))
    down, right = (-side % (WORKING_SIDE_PX // DIGIT_SIDE_PX) for side in tight.shape)
    whole = cv2.copyMakeBorder(tight, down // 2, down - down // 2, right // 2, right - right // 2, cv2.BORDER_CONSTANT)
    return _scaled(whole, DIGIT_SIDE_PX / WORKING_SIDE_PX)


def _scaled(digit: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """The array, float32 (h, w), enlarged, or reduced by averaging, to the nearest whole size."""
    height, width = digit.shape
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if size == (width, height):
        return digit
    return cv2.resize(digit, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def _regrown(ink: NDArray[np.float32], growth: float, radius: float) -> NDArray[np.float32]:
    """Strokes wider by `growth` pixels on either side, or thinner where it is below 0.

    Thinning keeps discs of `radius` along the middle of every stroke, so that its thinnest parts are not lost.
    """
    border = max(1, math.ceil(growth) + 1)
    mask = cv2.copyMakeBorder((ink > 0.5).astype(np.uint8), border, border, border, border, cv2.BORDER_CONSTANT)
    if growth > 0:
        return np.clip(growth + 1 - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5), 0, 1)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    eroded = np.clip(depth + growth, 0, 1)
    ridge = (depth > cv2.dilate(depth, square(3)) - 0.7) & (mask > 0)
    discs = np.clip(radius + 0.5 - cv2.distanceTransform(1 - ridge.astype(np.uint8), cv2.DIST_L2, 5), 0, 1)
    return np.maximum(eroded, np.minimum(discs, mask))


def _centred(digit: NDArray[np.float32]) -> NDArray[np.uint8]:
    """float32 (h, w) in [0, 1] → uint8 (28, 28) with the centre of mass in its middle."""
    # Margins, so that the window of 28×28 never leaves the array.
    margin = IMAGE_SIDE_PX
    pixels = cv2.copyMakeBorder(digit, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    x, y, width, height = _extent(pixels, MIN_STROKE_INK)
    moments = cv2.moments(pixels)
    # MNIST moves by whole pixels, so that edges stay as sharp as they were scaled.
    left, top = (round(moments[m] / moments["m00"] - IMAGE_SIDE_PX / 2) for m in ("m10", "m01"))
    left, top = min(max(left, x + width - IMAGE_SIDE_PX), x), min(max(top, y + height - IMAGE_SIDE_PX), y)
    return np.rint(255 * pixels[top : top + IMAGE_SIDE_PX, left : left + IMAGE_SIDE_PX]).astype(np.uint8)
