"""The page in a photo: where its sheet of paper lies, so that the desk around it is not read."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.preprocessing.ink import MIN_SHADOW_LIGHT
from mnist_digits.recognition.preprocessing.mnist_format import square
from mnist_digits.recognition.results import Box

SKETCH_SIDE_PX = 256
"""Longest side of the reduced copy in which the page is searched."""

MIN_PAGE_SHARE = 0.08
"""Minimum area of a page, as a share of the picture."""

MAX_PAGE_SHARE = 0.97
"""A page that covers more of the picture than this is not cropped."""

CAMERA_NOISE = 8.0
"""Light, 0 to 255, added to every pixel before a logarithm or a ratio: in the dark, differences are noise."""

MIN_EDGE_SLOPE = 0.08
"""Change of the logarithm of light per pixel of the sketch, from which on there is an edge."""

MAX_EDGE_GAP_PX = 7
"""Width of a gap in an edge, in pixels of the sketch, that does not join the regions on both sides."""

MIN_SMOOTH_SHARE = 0.7
"""Minimum share of a page's area that is without edges, once the writing is removed."""

MAX_SHADE_COLOUR_CHANGE = 0.06
"""Sum of the differences of two colours, as shares of red, green and blue, up to which shade may have made them."""

WRITING_WINDOW_PX = 9
"""Side of the closing, in pixels of the sketch, that removes the writing."""


@dataclass(frozen=True)
class PagePlacement:
    """Where a page crop lies in the picture that it was made of."""

    quarter_turns: int
    """Counter-clockwise turns by 90° of the picture before it was reduced and cropped."""
    picture_size: tuple[int, int]
    """Width and height of the picture after these turns, in its own pixels."""
    reduction: float
    """Pixels of the picture per pixel of the crop, along each side."""
    corner: tuple[int, int]
    """x, y of the crop's upper left corner in the reduced picture."""

    def box_in_picture(self, box: Box) -> Box:
        """A box of the crop in pixels of the picture as displayed."""
        picture_width, picture_height = self.picture_size
        sides = zip(box[2:], self.picture_size, strict=True)
        width, height = (min(max(1, round(side * self.reduction)), most) for side, most in sides)
        x, y = box[0] + self.corner[0], box[1] + self.corner[1]
        # Place and size may both have been rounded up.
        left = min(round(x * self.reduction), picture_width - width)
        top = min(round(y * self.reduction), picture_height - height)
        for _ in range(self.quarter_turns):
            # Undo one counter-clockwise turn: the upper side becomes the right one.
            left, top = picture_height - top - height, left
            width, height, picture_width, picture_height = height, width, picture_height, picture_width
        return left, top, width, height


def crop_page(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The part of a picture with the page, plain paper around it; and x, y of its upper left corner.

    pixels: uint8 (h, w) or (h, w, 3), returned as they are when they show no edge of a page.
    """
    sketch = _reduced(pixels)
    page = _page_mask(sketch)
    if page is None:
        return pixels, (0, 0)
    # The edge of the page is removed as well, or it would be read as ink.
    inside = cv2.erode(page, square(7), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    left, top, width, height = cv2.boundingRect(inside)
    if not width:
        return pixels, (0, 0)
    window = np.s_[top : top + height, left : left + width]
    paper, inside = _continued(sketch, inside)[window], inside[window]
    factors = pixels.shape[0] / sketch.shape[0], pixels.shape[1] / sketch.shape[1]
    top, bottom, left, right = (
        round(value * factor)
        for value, factor in zip((top, top + height, left, left + width), np.repeat(factors, 2), strict=True)
    )
    result = pixels[top:bottom, left:right].copy()
    size = result.shape[1::-1]
    outside = cv2.resize(1 - inside, size, interpolation=cv2.INTER_LINEAR) > 0
    result[outside] = cv2.resize(paper, size, interpolation=cv2.INTER_LINEAR)[outside]
    return result, (left, top)


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy of which no side is longer than SKETCH_SIDE_PX."""
    factor = max(1.0, max(pixels.shape[:2]) / SKETCH_SIDE_PX)
    size = tuple(max(1, round(side / factor)) for side in pixels.shape[1::-1])
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _page_mask(sketch: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Where the page is, uint8 (h, w) of 0 and 1; None when the picture shows nothing else, or no page."""
    # Without writing, and slightly blurred against the grain of wood.
    plain = cv2.GaussianBlur(cv2.morphologyEx(sketch, cv2.MORPH_CLOSE, square(WRITING_WINDOW_PX)), (3, 3), 0)
    labels, count = _smooth_regions(plain)
    areas = np.bincount(labels.ravel(), minlength=count)[1:]
    large = 1 + np.flatnonzero(areas > 0.01 * labels.size)
    eligible = areas[large - 1] > MIN_PAGE_SHARE * labels.size
    if not eligible.any():
        return None
    colours = np.stack([np.atleast_1d(np.median(plain[labels == region], axis=0)) for region in large]) + CAMERA_NOISE
    main = int(np.argmax(colours.mean(axis=1) * eligible))
    kept = _is_paper(colours, colours[main])
    touched = _sides_touched(labels, large)
    free = ~touched[main]
    if free.sum() >= 3:
        # The page lies within the picture: regions that touch the sides it does not touch are no part of it.
        kept &= ~(touched & free).any(axis=1)
    mask = np.isin(labels, large[kept]).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    page = cv2.fillConvexPoly(np.zeros_like(mask), cv2.convexHull(np.concatenate(contours)), 1)
    # Where hardly any of it is smooth, as on a smeared board, the hull is not the outline of a page.
    smooth = mask.sum() > MIN_SMOOTH_SHARE * page.sum()
    page = cv2.dilate(page, square(MAX_EDGE_GAP_PX - 2))
    return page if smooth and page.mean() < MAX_PAGE_SHARE else None


def _smooth_regions(plain: NDArray[np.uint8]) -> tuple[NDArray[np.int32], int]:
    """Connected parts of a picture without an edge in them: labels from 1, int32 (h, w), and one more than the last."""
    light = np.log(plain.astype(np.float32) + CAMERA_NOISE)
    slope = cv2.magnitude(cv2.Scharr(light, -1, 1, 0), cv2.Scharr(light, -1, 0, 1)) / 32
    # Wood may be as light as paper, but not in every colour channel.
    slope = slope.reshape(*plain.shape[:2], -1).max(axis=2)
    smooth = cv2.erode((slope < MIN_EDGE_SLOPE).view(np.uint8), square(MAX_EDGE_GAP_PX))
    count, labels = cv2.connectedComponents(smooth, connectivity=4)
    return labels, count


def _sides_touched(labels: NDArray[np.int32], regions: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Which regions come near the left, right, upper and lower side of the picture: bool (n, 4)."""
    strips = (labels[:, :4], labels[:, -4:], labels[:4], labels[-4:])
    return np.stack([np.isin(regions, strip) for strip in strips], axis=1)


def _is_paper(colours: NDArray[np.floating], paper: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which colours, float (n, 1 or 3), are the paper's, in light or in shade: bool (n,)."""
    light: NDArray[np.bool_] = colours.mean(axis=1) > MIN_SHADOW_LIGHT * paper.mean()
    shares = colours / colours.sum(axis=1, keepdims=True)
    return light & (np.abs(shares - paper / paper.sum()).sum(axis=1) < MAX_SHADE_COLOUR_CHANGE)


def _continued(sketch: NDArray[np.uint8], inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The paper's colour and light extrapolated beyond its edge: uint8, as the sketch. inside: the page's mask."""
    weight = inside.astype(np.float32)
    values = sketch.astype(np.float32) * (weight if sketch.ndim == 2 else weight[..., None])
    size = (31, 31)
    smooth, total = cv2.blur(values, size), cv2.blur(weight, size)
    far = values.sum(axis=(0, 1)) / max(float(weight.sum()), 1.0)
    total = total if sketch.ndim == 2 else total[..., None]
    return np.clip((smooth + 0.01 * far) / (total + 0.01), 0, 255).astype(np.uint8)
