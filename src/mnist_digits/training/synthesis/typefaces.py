"""Printed digits: in fonts, outlined, as stencils, by a plotter, in seven segments, and in a matrix of dots."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from mnist_digits.training.synthesis.drawing import Ink, Random, load_font

FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif",
    "DejaVuSerif-Bold", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10", "cmb10",
)  # fmt: skip
PLOTTER_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)  # fmt: skip
LARGE_PX = 96
"""Height of the digits before they are scaled."""
SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")
"""The lit segments of each digit: a at the top, then clockwise, g in the middle."""
SEGMENT_ENDS = {
    "a": ((0, 0), (1, 0)), "b": ((1, 0), (1, 1)), "c": ((1, 1), (1, 2)), "d": ((0, 2), (1, 2)),
    "e": ((0, 1), (0, 2)), "f": ((0, 0), (0, 1)), "g": ((0, 1), (1, 1)),
}  # fmt: skip
"""Where each segment begins and ends: x in widths and y in half heights."""


@dataclass(frozen=True)
class Typeface:
    """How all printed digits of a page look."""

    shapes: tuple[Ink, ...]
    """The ten digits, each float32 (h, w), as high as they stand to each other."""

    @classmethod
    def choose(cls, random: Random) -> Self:
        """A random typeface."""
        kind = KINDS[int(random.choice(len(KINDS), p=KIND_SHARES))]
        shapes = kind(random)
        shear, wide = random.normal(0, 0.08), math.exp(random.normal(0, 0.15))
        return cls(tuple(_cropped(_changed(shape, shear, wide)) for shape in shapes))

    def draw(self, label: int, height_px: float) -> Ink:
        """A digit, float32 (h, w), of about this height."""
        shape = self.shapes[label]
        scale = height_px / max(one.shape[0] for one in self.shapes)
        size = (max(1, round(shape.shape[1] * scale)), max(1, round(shape.shape[0] * scale)))
        return np.asarray(cv2.resize(shape, size, interpolation=cv2.INTER_AREA), np.float32)


def _cropped(ink: Ink) -> Ink:
    left, top, width, height = cv2.boundingRect((ink > 0.3).astype(np.uint8))
    return ink[top : top + height, left : left + width] if width else ink


def _changed(ink: Ink, shear: float, wide: float) -> Ink:
    """The ink sheared, pixels to the side per pixel up, and made wider by a factor."""
    height, width = ink.shape
    reach = abs(shear) * height
    matrix = np.array([[wide, -shear, reach if shear > 0 else 0.0], [0, 1, 0]])
    return np.asarray(cv2.warpAffine(ink, matrix, (math.ceil(width * wide + reach), height)), np.float32)


def _printed(random: Random) -> list[Ink]:
    font = load_font(str(random.choice(FONTS)), round(LARGE_PX * 1.35))
    shapes = []
    for digit in "0123456789":
        image = font.getmask(digit, mode="L")
        shapes.append(np.asarray(np.array(image, np.float32).reshape(image.size[::-1]) / 255, np.float32))
    return shapes


def _plotted(random: Random) -> list[Ink]:
    font, thickness = int(random.choice(PLOTTER_FONTS)), int(random.integers(4, 20))
    shapes = []
    for digit in "0123456789":
        (width, height), below = cv2.getTextSize(digit, font, 4, thickness)
        image = np.zeros((height + below + 2 * thickness, width + 2 * thickness), np.uint8)
        cv2.putText(image, digit, (thickness, height + thickness), font, 4, 255, thickness, cv2.LINE_AA)
        shapes.append(np.asarray(image.astype(np.float32) / 255, np.float32))
    return shapes


def _outlined(random: Random) -> list[Ink]:
    """Only the outlines of bold digits."""
    width = int(random.integers(2, 6)) * 2 + 1
    nib = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    font = load_font(str(random.choice(["DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSansMono-Bold"])), 130)
    shapes = []
    for digit in "0123456789":
        image = font.getmask(digit, mode="L")
        ink = np.pad(np.array(image, np.float32).reshape(image.size[::-1]) / np.float32(255), 12)
        wide = cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))) if random.random() < 0.5 else ink
        shapes.append(np.asarray(wide - cv2.erode(wide, nib), np.float32))
    return shapes


def _stencilled(random: Random) -> list[Ink]:
    """With bridges: gaps across the strokes, upright or level."""
    shapes = _printed(random)
    half, upright, level = random.uniform(0.02, 0.06), random.random() < 0.8, random.random() < 0.3
    for ink in shapes:
        height, width = ink.shape
        middle, reach = width / 2 + random.normal(0, 0.03) * height, half * height
        if upright:
            ink[:, max(0, round(middle - reach)) : round(middle + reach)] = 0
        if level or not upright:
            middle = height * random.choice([0.35, 0.5, 0.65])
            ink[max(0, round(middle - reach)) : round(middle + reach)] = 0
    return shapes


def _segmented(random: Random) -> list[Ink]:
    """In seven segments; those that are not lit show faintly at times."""
    width, thick = random.uniform(0.42, 0.62), random.uniform(0.06, 0.14)
    gap, faint = random.uniform(0.0, 0.6) * thick, random.uniform(0.05, 0.2) if random.random() < 0.3 else 0.0
    scale = LARGE_PX * (1 - thick)
    shapes = []
    for lit in SEGMENTS:
        ink = np.zeros((LARGE_PX + 8, round(LARGE_PX * (width + thick)) + 8), np.float32)
        for name, ends in SEGMENT_ENDS.items():
            start, end = ((np.array(point) * (width, 0.5)) * scale + thick * LARGE_PX / 2 + 4 for point in ends)
            along = (end - start) / np.linalg.norm(end - start)
            cut = along * (gap + thick / 2) * LARGE_PX * 0.5
            value = 1.0 if name in lit else faint
            drawn = np.zeros_like(ink)
            across = np.array([-along[1], along[0]]) * thick * LARGE_PX / 2
            tip = along * thick * LARGE_PX * 0.35
            first, last = start + cut, end - cut
            outline = [first - tip, first + across, last + across, last + tip, last - across, first - across]
            cv2.fillPoly(drawn, [np.round(np.array(outline) * 16).astype(np.int32)], value, cv2.LINE_AA, 4)
            np.maximum(ink, drawn, out=ink)
        shapes.append(ink)
    return shapes


def _dotted(random: Random) -> list[Ink]:
    """In a matrix of dots."""
    pitch, radius = 14, random.uniform(0.35, 0.6)
    shapes = []
    for ink in _printed(random):
        columns = max(3, round(7 * ink.shape[1] / ink.shape[0]))
        cells = cv2.resize(ink, (columns, 7), interpolation=cv2.INTER_AREA) > 0.42
        drawn = np.zeros((7 * pitch, columns * pitch), np.float32)
        for row, column in zip(*np.nonzero(cells), strict=True):
            cv2.circle(drawn, (int((column + 0.5) * pitch), int((row + 0.5) * pitch)), round(radius * pitch), 1.0, -1)
        shapes.append(drawn)
    return shapes


KINDS: tuple[Callable[[Random], list[Ink]], ...] = (_printed, _plotted, _outlined, _stencilled, _segmented, _dotted)
KIND_SHARES = (0.45, 0.12, 0.08, 0.17, 0.12, 0.06)
