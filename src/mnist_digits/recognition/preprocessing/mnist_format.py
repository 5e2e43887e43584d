"""Ink → 28×28 as MNIST made its images: a 20-pixel box, the centre of mass in the middle, strokes of its width.

MNIST began as bilevel scans, each scaled to fit a box of 20×20 pixels with its aspect kept, which left
soft edges, and set into 28×28 by its centre of mass (LeCun, Bottou, Bengio and Haffner 1998,
"Gradient-based learning applied to document recognition", section III.A). So is it done here.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mnist_digits.recognition.results import IMAGE_SIDE_PX, Box

BOX = 20
"""Longest side of a digit in MNIST."""

WORK = 4 * BOX
"""Longest side at which strokes are mended: fine enough to keep a loop open, small enough to be quick."""

PRESENT = 0.35
"""Ink, as a share of the full stroke, from which a pixel belongs to the digit."""

THINNEST, THICKEST = 1.5, 4.2
"""Stroke width in MNIST's pixels, between which images are left alone: 96 of 100 of its training images are."""


@dataclass(frozen=True)
class Normalised:
    """A digit as the network wants it, and what was seen on the way."""

    image: np.ndarray
    """uint8 (28, 28), ink 255 on paper 0; all 0 when there is no ink."""
    box: Box
    """x, y, width, height, in pixels of the ink map, of the ink that was used; width 0 when there is none."""
    components: int
    """Number of large components side by side: 0 when blank; more than 1 hints at several digits."""


def normalise(ink: np.ndarray) -> Normalised:
    """One blob of ink, or a picture with one digit, as MNIST would have made it.

    ink: float32 (h, w) in [0, 1], as `find_ink` returns it. Specks and dots beside the digit are left
    out; pieces of a broken stroke are kept together. Raises ValueError when ink is anything else.
    """
    box = _extent(ink, PRESENT * _peak(ink))
    if not box[2]:
        return Normalised(np.zeros((IMAGE_SIDE_PX, IMAGE_SIDE_PX), np.uint8), box, 0)
    # A digit may be small among far specks: these are told apart before all is reduced to WORK pixels.
    side = WORK if max(box[2:]) <= 8 * WORK else 4 * WORK
    while True:
        crop, corner = _cut_out(ink, box)
        small, factor = _reduced(crop, side)
        kept, parts = _without_specks(small)
        extent = _extent(kept, PRESENT)
        before, box = box, _in_full_size(extent, factor, corner, crop.shape)
        # What was left out has cost the rest resolution: that is looked at again from nearer.
        if factor == 1 or (side == WORK and max(box[2:]) > 0.95 * max(before[2:])):
            return Normalised(_centred(_boxed(kept, max(extent[2:]))), box, parts)
        side = WORK


def _cut_out(ink: np.ndarray, box: Box) -> tuple[np.ndarray, tuple[int, int]]:
    """What the box holds, with the soft edges around it, and where its corner lies."""
    x, y, width, height = box
    margin = 1 + max(width, height) // (2 * BOX)
    left, top = max(0, x - margin), max(0, y - margin)
    return ink[top : y + height + margin, left : x + width + margin], (left, top)


def _in_full_size(extent: Box, factor: float, corner: tuple[int, int], shape: tuple[int, ...]) -> Box:
    """The extent found in a reduced crop, in pixels of what it was cut from; shape, (h, w), is the crop's own."""
    x, y, width, height = extent
    left, top = int(x * factor), int(y * factor)
    width, height = min(math.ceil(width * factor), shape[1] - left), min(math.ceil(height * factor), shape[0] - top)
    return corner[0] + left, corner[1] + top, width, height


def _peak(ink: np.ndarray) -> float:
    """The largest value, 0 of no pixels; ValueError when it is not ink."""
    if ink.ndim != 2 or ink.dtype != np.float32:
        raise ValueError(f"ink of {ink.dtype} {ink.shape}, expected float32 (h, w); make it with find_ink")
    low, high = float(ink.min(initial=0)), float(ink.max(initial=0))
    if not (low >= 0 and high <= 1):
        raise ValueError(f"ink from {low:g} to {high:g}, expected every value in [0, 1]")
    return high


def _extent(ink: np.ndarray, threshold: float) -> Box:
    """x, y, width, height of the pixels above the threshold; four zeros when there are none or it is 0."""
    if not threshold or not ink.size:
        return 0, 0, 0, 0
    x, y, width, height = cv2.boundingRect((ink > threshold).view(np.uint8))
    return x, y, width, height


def _reduced(crop: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """The crop with full strokes at 1 and no side longer than this, and by what factor it was reduced."""
    height, width = crop.shape
    factor = max(1.0, max(height, width) / side)
    if factor == 1:
        return np.minimum(crop / _full(crop), 1), factor
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    full = _full(small)
    if full < 0.75 * float(crop.max()):
        # Strokes thinner than a pixel would fade to grey: they are widened to one first.
        small = cv2.resize(cv2.dilate(crop, _square(math.ceil(factor))), size, interpolation=cv2.INTER_AREA)
        full = _full(small)
    return np.minimum(small / full, 1), factor


def _full(ink: np.ndarray) -> float:
    """The value that the well covered pixels reach."""
    inside = ink[ink > PRESENT * ink.max()]
    rank = -1 - len(inside) // 20
    return float(np.partition(inside, rank)[rank])


def _square(side: int) -> np.ndarray:
    return np.ones((side, side), np.uint8)


def _without_specks(ink: np.ndarray) -> tuple[np.ndarray, int]:
    """The ink, float32 (h, w), without what is no part of the digit; and how many large parts stand side by side."""
    mask = (ink > PRESENT).astype(np.uint8)
    # A stroke interrupted for less than its width is one stroke.
    reach = max(1, max(ink.shape) // 50)
    joined = cv2.dilate(mask, _square(2 * reach + 1))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    if count == 2:
        return ink, 1
    # At the picture's border a piece has not grown by as much, which is no matter.
    boxes = np.maximum(stats[1:, :4] + (reach, reach, -2 * reach, -2 * reach), 1)
    inside = mask > 0
    area = np.bincount(labels[inside], minlength=count)[1:]
    mass = np.bincount(labels[inside], ink[inside], minlength=count)[1:]
    kept = _belongs(boxes, area, mass / area)
    if not kept.all():
        allowed = np.concatenate([[False], kept])[labels]
        ink = ink * allowed
    return ink, _side_by_side(boxes[kept])


def _belongs(boxes: np.ndarray, area: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Which pieces are the digit's: bool (n,).

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
    # A dot is no longer than it is wide; the roof of a 5 is.
    long = length > 0.25 * length[main]
    large = (long & (area > 0.05 * area[main])) | (inside & (area > 0.02 * area[main]))
    # What is much paler than the digit is what a shadow or a smudge has left.
    return large & (strength > 0.65 * strength[main])


def _side_by_side(boxes: np.ndarray) -> int:
    """How many tall pieces, boxes (n, 4), share no column with a taller one."""
    count, taken = 0, np.zeros(int((boxes[:, 0] + boxes[:, 2]).max()), bool)
    tallest = boxes[:, 3].max()
    for x, _, width, height in boxes[np.argsort(-boxes[:, 3])]:
        if height < tallest / 2:
            break
        count += not taken[x : x + width].any()
        taken[x : x + width] = True
    return count


def _boxed(digit: np.ndarray, longest: int) -> np.ndarray:
    """A digit, float32 (h, w), of so many pixels, scaled to BOX pixels, its strokes of MNIST's width."""
    if longest == BOX and THINNEST <= stroke_width(digit) <= THICKEST:
        # The greys at its edges are MNIST's already.
        return digit
    # Bilevel but for its edges, as MNIST's scans were.
    fine = _scaled(digit, WORK / longest)
    bilevel = np.clip(4 * fine - 1.5, 0, 1)
    # Specks no larger than a pixel may be too pale for that.
    fine = bilevel if bilevel.any() else fine
    width = stroke_width(fine) * BOX / WORK
    target = min(max(width, THINNEST), THICKEST)
    if target != width:
        # Widening every stroke widens the box as well, which is then scaled back.
        growth = (target - width) / 2 / (1 - target / BOX)
        regrown = _regrown(fine, growth * WORK / BOX, target / 2 * WORK / BOX)
        # Thinned, dust would vanish.
        fine = regrown if regrown.any() else fine
    return _box_filled(fine)


def _box_filled(fine: np.ndarray) -> np.ndarray:
    """A digit of about WORK pixels, its box laid on whole pixels and reduced to BOX of them."""
    x, y, width, height = _extent(fine, 0.5 * float(fine.max()))
    tight = _scaled(fine[y : y + height, x : x + width], WORK / max(width, height))
    down, right = (-side % (WORK // BOX) for side in tight.shape)
    whole = cv2.copyMakeBorder(tight, down // 2, down - down // 2, right // 2, right - right // 2, cv2.BORDER_CONSTANT)
    return _scaled(whole, BOX / WORK)


def _scaled(digit: np.ndarray, factor: float) -> np.ndarray:
    """The array, float32 (h, w), enlarged or reduced, by averaging, to the nearest whole size."""
    height, width = digit.shape
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if size == (width, height):
        return digit
    return cv2.resize(digit, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def stroke_width(ink: np.ndarray) -> float:
    """Mean width in pixels of the strokes, float32 (h, w): twice their area over the length of their outline.

    The outline is the total variation, so greys at the edges count for what they cover.
    """
    around = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    across, down = around[:-1, 1:] - around[:-1, :-1], around[1:, :-1] - around[:-1, :-1]
    return 2 * float(ink.sum()) / max(float(cv2.magnitude(across, down).sum()), 1e-6)


def _regrown(ink: np.ndarray, growth: float, radius: float) -> np.ndarray:
    """Strokes wider by `growth` pixels on either side, or thinner when it is below 0.

    What is thinner than the rest is not lost: along the middle of every stroke, discs of `radius` stay.
    """
    border = max(1, math.ceil(growth) + 1)
    mask = cv2.copyMakeBorder((ink > 0.5).astype(np.uint8), border, border, border, border, cv2.BORDER_CONSTANT)
    if growth > 0:
        return np.clip(growth + 1 - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5), 0, 1)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    eroded = np.clip(depth + growth, 0, 1)
    ridge = (depth > cv2.dilate(depth, _square(3)) - 0.7) & (mask > 0)
    discs = np.clip(radius + 0.5 - cv2.distanceTransform(1 - ridge.astype(np.uint8), cv2.DIST_L2, 5), 0, 1)
    return np.maximum(eroded, np.minimum(discs, mask))


def _centred(digit: np.ndarray) -> np.ndarray:
    """float32 (h, w) in [0, 1] → uint8 (28, 28) with the centre of mass in its middle."""
    # Room for the frame wherever it comes to lie.
    pixels = cv2.copyMakeBorder(digit, IMAGE_SIDE_PX, IMAGE_SIDE_PX, IMAGE_SIDE_PX, IMAGE_SIDE_PX, cv2.BORDER_CONSTANT)
    x, y, width, height = _extent(pixels, PRESENT)
    moments = cv2.moments(pixels)
    # MNIST moves by whole pixels, so its boxes stay as sharp as they were scaled.
    left, top = (round(moments[m] / moments["m00"] - IMAGE_SIDE_PX / 2) for m in ("m10", "m01"))
    left, top = min(max(left, x + width - IMAGE_SIDE_PX), x), min(max(top, y + height - IMAGE_SIDE_PX), y)
    return np.rint(255 * pixels[top : top + IMAGE_SIDE_PX, left : left + IMAGE_SIDE_PX]).astype(np.uint8)
