"""The three levels of difficulty of a page, and the distributions that each draws a page's properties from."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Random = np.random.Generator
Range = tuple[float, float]
"""Lower and upper limit."""


def log_uniform(limits: Range, random: Random) -> float:
    """A draw between the limits whose logarithm is uniformly distributed."""
    return float(np.exp(random.uniform(*np.log(limits))))


@dataclass(frozen=True)
class Level:
    """Distributions of a page's properties.

    A pair is the range of a uniform distribution, `max_…` the upper end of one that begins at 0 or is symmetric about
    it, `p_…` the probability that a page has a property. Lengths in heights are relative to the height of a digit.
    """

    # The writing.
    height_px: Range  # of the digits, log-uniform
    extent_px: float  # approximate upper limit of the writing's width and height
    lines: tuple[int, int]
    pitch: Range  # distance between lines, in heights
    gap: Range  # distance between neighbouring digits, in heights
    pen_width: Range  # in heights
    variation: Range  # see WritingStyle
    touching: Range  # share of neighbouring digits that touch or overlap
    max_slope_degrees: float  # of the page; lines slope by up to a third of it on the page
    max_bow: float  # distance of a line's ends from the height of its middle, in heights
    p_gaps: float  # in strokes
    p_two_columns: float
    p_form: float  # a printed box for each digit
    p_separators: float  # dashes or dots between words
    clutter: tuple[int, int]  # number of words, scribbles, arrows, underlines and smudges
    # The paper.
    p_ruled: float
    rule_opacity: Range
    p_board: float  # light writing on a dark board
    ink_opacity: Range
    grain: Range  # see Materials
    texture: Range  # see Materials
    # The camera.
    max_perspective: float  # displacement of the page's corners, as a share of its sides
    p_desk: float  # the page's edge is in the picture
    max_gradient: float  # brightness of the sides above that of the middle, as a share
    p_shadow: float
    shadow_depth: Range  # share of the light that is taken away
    shadow_edge: Range  # see Camera; log-uniform
    blur_px: Range  # standard deviation; less where strokes are narrow
    noise: Range  # standard deviation in grey levels; less where strokes are narrow or faint
    jpeg_quality: tuple[int, int]
    p_grey: float  # a picture without colours
    p_rotated: float  # a picture rotated by 90, 180 or 270 degrees
    min_pixels: float
    max_pixels: float


# fmt: off
_VALUES: dict[str, tuple[Any, Any, Any, Any]] = {
    #                     clean         everyday       hard           documents
    "height_px":         ((18, 120),    (24, 150),     (16, 200),  (13, 48)),
    "extent_px":         (1150,         1500,          1900,       1500),
    "lines":             ((2, 8),       (2, 8),        (2, 9),     (2, 8)),
    "pitch":             ((1.5, 2.6),   (1.4, 2.4),    (1.1, 1.9), (1.4, 2.4)),
    "gap":               ((0.14, 0.4),  (0.1, 0.35),   (0.06, 0.3), (0.1, 0.35)),
    "pen_width":         ((0.07, 0.14), (0.05, 0.14),  (0.035, 0.13), (0.06, 0.14)),
    "variation":         ((0.02, 0.08), (0.03, 0.1),   (0.05, 0.14), (0.03, 0.1)),
    "touching":          ((0.0, 0.0),   (0.0, 0.0),    (0.1, 0.2), (0.0, 0.0)),
    "max_slope_degrees": (0.5,          8,             15,         4),
    "max_bow":           (0.0,          0.25,          0.7,        0.1),
    "p_gaps":            (0.0,          0.0,           0.35,       0.0),
    "p_two_columns":     (0.0,          0.0,           0.2,        0.0),
    "p_form":            (0.0,          0.06,          0.1,        0.0),
    "p_separators":      (0.0,          0.06,          0.15,       0.0),
    "clutter":           ((0, 0),       (0, 0),        (1, 7),     (0, 0)),
    "p_ruled":           (0.0,          0.45,          0.6,        0.3),
    "rule_opacity":      ((0.2, 0.6),   (0.2, 0.6),    (0.35, 0.8), (0.2, 0.6)),
    "p_board":           (0.0,          0.12,          0.12,       0.0),
    "ink_opacity":       ((0.85, 1.0),  (0.65, 1.0),   (0.5, 0.95), (0.7, 1.0)),
    "grain":             ((0.0, 0.1),   (0.0, 0.35),   (0.0, 0.55), (0.0, 0.2)),
    "texture":           ((0.0, 1.0),   (0.5, 3.0),    (1.0, 5.0), (0.3, 2.0)),
    "max_perspective":   (0.0,          0.05,          0.1,        0.03),
    "p_desk":            (0.0,          0.3,           0.4,        0.3),
    "max_gradient":      (0.0,          0.3,           0.45,       0.2),
    "p_shadow":          (0.0,          0.4,           0.6,        0.3),
    "shadow_depth":      ((0.0, 0.0),   (0.15, 0.45),  (0.3, 0.6), (0.15, 0.4)),
    "shadow_edge":       ((0.02, 0.1),  (0.004, 0.08), (0.0005, 0.04), (0.004, 0.08)),
    "blur_px":           ((0.2, 0.6),   (0.4, 1.1),    (0.6, 1.8), (0.3, 0.8)),
    "noise":             ((0.5, 3.0),   (1.0, 6.0),    (3.0, 13.0), (0.5, 4.0)),
    "jpeg_quality":      ((75, 95),     (60, 90),      (35, 70),   (65, 95)),
    "p_grey":            (0.3,          0.05,          0.1,        0.2),
    "p_rotated":         (0.0,          0.0,           0.05,       0.0),
    "min_pixels":        (0.3e6,        0.2e6,         0.0,        0.0),
    "max_pixels":        (2e6,          6e6,           6e6,        6e6),
}
# fmt: on
LEVELS = {
    name: Level(**{field: values[number] for field, values in _VALUES.items()})
    for number, name in enumerate(("clean", "everyday", "hard", "documents"))
}
