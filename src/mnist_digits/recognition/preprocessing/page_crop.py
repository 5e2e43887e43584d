"""The sheet of paper in a photo: where it lies, so that the desk around it is not read."""

from dataclasses import dataclass

import cv2
import numpy as np

from mnist_digits.recognition.preprocessing.ink import DARKEST_SHADOW
from mnist_digits.recognition.results import Box

SKETCH_PX = 256
"""Longest side of the reduced copy in which the sheet is searched."""

SMALLEST = 0.08
"""Share of the picture that a sheet covers at least."""

FAINT = 8.0
"""So much light, of 255, a camera adds to every pixel by its noise: in the dark, differences count less."""

EDGE = 0.08
"""Change of the logarithm of light from pixel to pixel of the sketch, from which it is an edge."""

GAP = 7
"""Pixels of the sketch for which an edge may be too faint to be seen."""

SMOOTH = 0.7
"""Share of a sheet that is without edges at least, once the writing is taken out."""

OTHER_COLOUR = 0.06
"""Sum of the differences of two colours, as shares of red, green and blue, that shade alone does not make."""


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
        x, y = box[0] + self.corner[0], box[1] + self.corner[1]
        left, top = round(x * self.reduction), round(y * self.reduction)
        width, height = (max(1, round(side * self.reduction)) for side in box[2:])
        picture_width, picture_height = self.picture_size
        for _ in range(self.quarter_turns):
            # Undo one counter-clockwise turn: the upper side becomes the right one.
            left, top = picture_height - top - height, left
            width, height, picture_width, picture_height = height, width, picture_height, picture_width
        return left, top, width, height


def crop_page(pixels: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of the picture with the sheet, and plain paper around it; and where its corner, (x, y), lies.

    pixels: uint8 (h, w) or (h, w, 3), which is returned as it is where it shows nothing but a sheet.
    """
    sketch = _reduced(pixels)
    sheet = _sheet(sketch)
    if sheet is None:
        return pixels, (0, 0)
    # The sheet's edge is no ink either.
    inside = cv2.erode(sheet, np.ones((7, 7), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
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


def _reduced(pixels: np.ndarray) -> np.ndarray:
    factor = max(1.0, max(pixels.shape[:2]) / SKETCH_PX)
    size = tuple(max(1, round(side / factor)) for side in pixels.shape[1::-1])
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _sheet(sketch: np.ndarray) -> np.ndarray | None:
    """Where the sheet is, uint8 (h, w) of 0 and 1; None where the picture shows nothing else."""
    # Without writing, and a little blurred against the grain of wood.
    plain = cv2.GaussianBlur(cv2.morphologyEx(sketch, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)), (3, 3), 0)
    labels, count = _smooth_regions(plain)
    areas = np.bincount(labels.ravel(), minlength=count)[1:]
    large = 1 + np.flatnonzero(areas > 0.01 * labels.size)
    eligible = areas[large - 1] > SMALLEST * labels.size
    if not eligible.any():
        return None
    colours = np.stack([np.atleast_1d(np.median(plain[labels == region], axis=0)) for region in large]) + FAINT
    main = int(np.argmax(colours.mean(axis=1) * eligible))
    kept = _is_paper(colours, colours[main])
    touched = _sides_touched(labels, large)
    free = ~touched[main]
    if free.sum() >= 3:
        # The sheet lies within the picture: what reaches the sides that it keeps off is no part of it.
        kept &= ~(touched & free).any(axis=1)
    mask = np.isin(labels, large[kept]).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    sheet = cv2.fillConvexPoly(np.zeros_like(mask), cv2.convexHull(np.concatenate(contours)), 1)
    # Where hardly any of it is smooth, as on a smeared board, it is no sheet that ends here.
    whole = mask.sum() > SMOOTH * sheet.sum()
    sheet = cv2.dilate(sheet, np.ones((GAP - 2, GAP - 2), np.uint8))
    return sheet if whole and sheet.mean() < 0.97 else None


def _smooth_regions(plain: np.ndarray) -> tuple[np.ndarray, int]:
    """Parts of the picture without an edge in them: their numbers from 1, int32 (h, w), and one more than the last."""
    light = np.log(plain.astype(np.float32) + FAINT)
    slope = cv2.magnitude(cv2.Scharr(light, -1, 1, 0), cv2.Scharr(light, -1, 0, 1)) / 32
    # Wood may be as light as paper, but not in every colour.
    slope = slope.reshape(*plain.shape[:2], -1).max(axis=2)
    # A gap in an edge must not join what lies on both sides.
    smooth = cv2.erode((slope < EDGE).view(np.uint8), np.ones((GAP, GAP), np.uint8))
    count, labels = cv2.connectedComponents(smooth, connectivity=4)
    return labels, count


def _sides_touched(labels: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Which regions come near the left, right, upper and lower side of the picture: bool (n, 4)."""
    strips = (labels[:, :4], labels[:, -4:], labels[:4], labels[-4:])
    return np.stack([np.isin(regions, strip) for strip in strips], axis=1)


def _is_paper(colours: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Which colours, float (n, 1 or 3), are the paper's or the paper's in shade: bool (n,)."""
    light = colours.mean(axis=1) > DARKEST_SHADOW * paper.mean()
    shares = colours / colours.sum(axis=1, keepdims=True)
    return light & (np.abs(shares - paper / paper.sum()).sum(axis=1) < OTHER_COLOUR)


def _continued(sketch: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The paper's colour and light carried on beyond its edge: uint8, as the sketch."""
    weight = inside.astype(np.float32)
    values = sketch.astype(np.float32) * (weight if sketch.ndim == 2 else weight[..., None])
    size = (31, 31)
    smooth, total = cv2.blur(values, size), cv2.blur(weight, size)
    far = values.sum(axis=(0, 1)) / max(float(weight.sum()), 1.0)
    total = total if sketch.ndim == 2 else total[..., None]
    return np.clip((smooth + 0.01 * far) / (total + 0.01), 0, 255).astype(np.uint8)
