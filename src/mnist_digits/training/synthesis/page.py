"""A page while it is composed: ink of digits and of all else, where they stand, and the style they are written in."""

import itertools
import math
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.training.synthesis.drawing import (
    CANVAS_PX,
    Ink,
    Random,
    bounds,
    distort,
    with_stroke_width,
)
from mnist_digits.training.synthesis.typefaces import Typeface

PAGE_PX = 288
"""Side of a page."""
MAX_DIGITS_PER_PAGE = 240
"""And letters and signs."""
OTHER = 10
"""Label of a letter or a sign."""
MIN_OWNED_INK = 0.2
"""Ink above which a pixel is a digit's."""
DIGIT_HEIGHTS_PX = (13, 46)
"""Range of a page's mean digit height."""


@dataclass(frozen=True)
class PlacedDigit:
    """A digit's label, or OTHER, and its centre and size in pixels of the page."""

    label: int
    x: float
    y: float
    width: float
    height: float
    number: int
    """By which the page tells whose ink a pixel holds, from 1."""


class Page:
    """A page while it is composed: ink of digits, whose it is, other ink, printed lines, and the digits' positions."""

    def __init__(self, random: Random) -> None:
        """An empty page. random: for all that is drawn on it."""
        self.random = random
        self.digit_ink: Ink = np.zeros((PAGE_PX, PAGE_PX), np.float32)
        self.other_ink: Ink = np.zeros((PAGE_PX, PAGE_PX), np.float32)
        self.lines: Ink = np.zeros((PAGE_PX, PAGE_PX), np.float32)
        self.owners = np.zeros((PAGE_PX, PAGE_PX), np.int16)
        """Number of the digit whose ink is the darkest; 0 where there is none, or that of a digit that is cut off."""
        self.digits: list[PlacedDigit] = []
        self._numbers = itertools.count(1)

    def put(self, ink: Ink, x: float, y: float, label: int | None = None) -> None:
        """Add ink, float32 (h, w), with its centre at x, y.

        label: of a digit, OTHER of a letter or a sign; None for anything else.
        """
        height, width = ink.shape
        left, top = round(x - width / 2), round(y - height / 2)
        is_other = label in (None, OTHER)
        target = self.other_ink if is_other else self.digit_ink
        window = np.s_[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
        shown = target[window]
        part = ink[max(0, -top) : max(0, -top) + shown.shape[0], max(0, -left) : max(0, -left) + shown.shape[1]]
        if not part.size:
            return
        # A digit that is cut off at the page's edge is not to be found.
        number = next(self._numbers) if label is not None and part.sum() > 0.7 * ink.sum() else 0
        if label is not None and number:
            self.digits.append(PlacedDigit(label, left + width / 2, top + height / 2, width, height, number))
        if not is_other:
            self.owners[window][part > np.maximum(shown, MIN_OWNED_INK)] = number
        np.maximum(shown, part, out=shown)

    def wear_lines(self) -> None:
        """Print the lines as dashes, or with gaps and pale places."""
        random = self.random
        if random.random() < 0.35:
            step = math.exp(random.uniform(math.log(3), math.log(14)))
            y, x = np.mgrid[:PAGE_PX, :PAGE_PX]
            self.lines *= (((x + y) / step) % 1 < random.uniform(0.35, 0.8)).astype(np.float32)
            return
        cells = int(random.integers(15, 100))
        rough = cv2.resize(random.normal(size=(cells, cells)), (PAGE_PX, PAGE_PX), interpolation=cv2.INTER_LINEAR)
        self.lines *= np.clip(random.uniform(0.3, 1.2) + rough, 0, 1).astype(np.float32)

    def tilt(self) -> None:
        """Apply a random perspective: the page as seen at an angle."""
        reach = 0.09 * PAGE_PX * self.random.random() if self.random.random() < 0.5 else 1.0
        corners = np.array([[0, 0], [PAGE_PX, 0], [PAGE_PX, PAGE_PX], [0, PAGE_PX]], np.float32)
        moved = (corners + self.random.uniform(-reach, reach, (4, 2))).astype(np.float32)
        matrix = np.asarray(cv2.getPerspectiveTransform(corners, moved), np.float64)
        for ink in (self.digit_ink, self.other_ink, self.lines):
            np.copyto(ink, cv2.warpPerspective(ink, matrix, (PAGE_PX, PAGE_PX), flags=cv2.INTER_LINEAR))
        owners = cv2.warpPerspective(self.owners, matrix, (PAGE_PX, PAGE_PX), flags=cv2.INTER_NEAREST)
        np.copyto(self.owners, owners)
        self.digits = [seen for digit in self.digits if (seen := _transformed(digit, matrix))]

    def turn(self) -> None:
        """Turn the page on a side or upside down, where digits are not read."""
        ink = np.maximum(self.other_ink, self.digit_ink)
        np.copyto(self.lines, np.rot90(self.lines, 2))
        np.copyto(self.other_ink, np.rot90(ink, int(self.random.integers(1, 4))))
        self.digit_ink[:] = 0
        self.owners[:] = 0
        self.digits = []

    def remove_unseen_digits(self, found: Ink) -> None:
        """Keep only digits of whose ink more than 40 % was found. found: float32 (PAGE_PX, PAGE_PX)."""
        self.digits = [digit for digit in self.digits if self._is_seen(digit, found)]

    def _is_seen(self, digit: PlacedDigit, found: Ink) -> bool:
        rows = slice(max(0, round(digit.y - digit.height / 2)), round(digit.y + digit.height / 2))
        columns = slice(max(0, round(digit.x - digit.width / 2)), round(digit.x + digit.width / 2))
        ink = (self.other_ink if digit.label == OTHER else self.digit_ink)[rows, columns]
        return bool(np.minimum(found[rows, columns], ink).sum() > 0.4 * ink.sum())

    def digit_table(self) -> NDArray[np.float32]:
        """The digits as in `Pages`, float32 (MAX_DIGITS_PER_PAGE, 5)."""
        table = np.full((MAX_DIGITS_PER_PAGE, 5), -1, np.float32)
        for row, digit in zip(table, self.digits, strict=False):
            row[:] = digit.label, digit.x, digit.y, digit.width, digit.height
        return table

    def owner_table(self) -> NDArray[np.uint8]:
        """Row of the digit table, from 1, whose ink a pixel holds, 0 for none: uint8 (PAGE_PX, PAGE_PX)."""
        rows = np.zeros(next(self._numbers), np.uint8)
        for row, digit in enumerate(self.digits[:MAX_DIGITS_PER_PAGE], 1):
            rows[digit.number] = row
        return rows[self.owners]


def _transformed(digit: PlacedDigit, matrix: NDArray[np.float64]) -> PlacedDigit | None:
    """The digit after a perspective transform; None when its centre is off the page."""
    half, centre = (digit.width / 2, digit.height / 2), (digit.x, digit.y)
    sides = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]) * half + centre
    corners = cv2.perspectiveTransform(sides[None].astype(np.float32), matrix)[0]
    low, high = corners.min(axis=0), corners.max(axis=0)
    middle = (low + high) / 2
    if not ((middle > 0).all() and (middle < PAGE_PX).all()):
        return None
    (x, y), (width, height) = middle.tolist(), (high - low).tolist()
    return PlacedDigit(digit.label, x, y, width, height, digit.number)


@dataclass(frozen=True)
class WritingStyle:
    """One person's writing with one pen."""

    height_px: float
    """Mean height of the digits."""
    pen: float
    """Stroke width, in digit heights."""
    slant: float
    """Pixels to the side per pixel up."""
    unevenness: float
    """Standard deviation of size and position, in digit heights."""
    gap: float
    """Space between neighbours, in digit heights; below 0 they overlap."""
    typeface: Typeface | None = None
    """Of printed digits; None where they are handwritten."""

    @classmethod
    def draw(cls, random: Random) -> Self:
        """A random style."""
        height = math.exp(random.uniform(*np.log(DIGIT_HEIGHTS_PX)))
        pen = max(math.exp(random.uniform(math.log(0.035), math.log(0.17))), 1.1 / height)
        if random.random() < 0.12:
            pen = random.uniform(0.14, 0.3)
        gap = random.uniform(-0.06, 0.12) if random.random() < 0.3 else random.uniform(0.05, 0.45)
        return cls(height, pen, random.normal(0, 0.12), random.uniform(0.02, 0.14), gap)

    def write(self, ink: Ink, height_px: float, random: Random) -> Ink:
        """A shape, float32 (CANVAS_PX, CANVAS_PX), in this style, `height_px` high: float32 (h, w)."""
        left, top, right, bottom = bounds(ink)
        scale = height_px / max(bottom - top, 1)
        # A one is scaled by its height alone, a dash by its width alone.
        scale = min(scale, 1.6 * self.height_px / max(right - left, 1))
        pen = self.pen * self.height_px * math.exp(random.normal(0, 0.08)) / scale
        rotation, shear = random.normal(0, 0.09), self.slant + random.normal(0, 0.05)
        wide = math.exp(random.normal(-0.08, 0.13))
        ink = distort(ink, rotation, shear, (wide, 1.0), random.normal(0, 0.016 * CANVAS_PX, (4, 4, 2)))
        ink = with_stroke_width(ink, min(pen, 20.0), random.uniform(1, 2.5))
        left, top, right, bottom = bounds(ink)
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        return np.asarray(cv2.resize(ink[top:bottom, left:right], size, interpolation=cv2.INTER_AREA), np.float32)


# Lines of writing.
