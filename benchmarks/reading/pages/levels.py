"""How hard a page is to read, by level: every number that decides it."""

from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]
"""From, to."""


def log_uniform(limits: Range, random: np.random.Generator) -> float:
    """Between the limits, where every doubling is as likely as any other."""
    return float(np.exp(random.uniform(*np.log(limits))))


@dataclass(frozen=True)
class Level:
    """From what ranges a page's properties are drawn; the shares are those of pages, or of what the name says."""

    # The writing.
    heights: Range
    """Of the digits, in pixels; small ones are as frequent as large ones, by the octave."""
    widest: float
    """About how wide and high the writing gets, in pixels."""
    rows: tuple[int, int]
    pitch: Range
    """From row to row, in heights of a digit."""
    gaps: Range
    """Between neighbouring digits, in heights."""
    strokes: Range
    """The pen's width, in heights."""
    uneven: Range
    """See Hand."""
    touching: Range = (0.0, 0.0)
    """Share of neighbouring digits that touch or overlap."""
    row_slope: float = 0.5
    """Up to how many degrees the page is turned, either way."""
    bow: float = 0.0
    """Up to how many heights the ends of a row are above or below its middle."""
    broken: float = 0.0
    """Share of pages with gaps in strokes."""
    two_columns: float = 0.0
    forms: float = 0.0
    """Share of pages with a printed box for each digit."""
    separators: float = 0.0
    """Share of pages with dashes or dots between words."""
    clutter: tuple[int, int] = (0, 0)
    """How many words, scribbles, arrows, lines and smudges."""
    # The paper.
    ruled: float = 0.0
    rule_strengths: Range = (0.2, 0.6)
    boards: float = 0.0
    """Share of pages with light writing on a dark board."""
    darkness: Range = (0.85, 1.0)
    grain: Range = (0.0, 0.1)
    texture: Range = (0.0, 1.0)
    # The camera.
    perspective: float = 0.0
    """Up to how far a corner is out of place, as a share of the page's side."""
    desks: float = 0.0
    """Share of pages whose edge is in the picture."""
    gradient: float = 0.0
    """Up to how much brighter one side is than the middle."""
    shadows: float = 0.0
    shadow_depths: Range = (0.0, 0.0)
    shadow_edges: Range = (0.02, 0.1)
    blur: Range = (0.2, 0.6)
    """Standard deviation in pixels, where strokes are wide enough to bear it."""
    noise: Range = (0.5, 3.0)
    quality: tuple[int, int] = (75, 95)
    grey: float = 0.3
    turned: float = 0.0
    """Share of pages that lie on a side or upside down."""
    least_pixels: float = 0.0
    most_pixels: float = 6e6


LEVELS = {
    "clean": Level(
        heights=(18, 120),
        widest=1150,
        rows=(2, 8),
        pitch=(1.5, 2.6),
        gaps=(0.14, 0.4),
        strokes=(0.07, 0.14),
        uneven=(0.02, 0.08),
        least_pixels=0.3e6,
        most_pixels=2e6,
    ),
    "everyday": Level(
        heights=(24, 150),
        widest=1500,
        rows=(2, 8),
        pitch=(1.4, 2.4),
        gaps=(0.1, 0.35),
        strokes=(0.05, 0.14),
        uneven=(0.03, 0.1),
        row_slope=8,
        bow=0.25,
        forms=0.06,
        separators=0.06,
        ruled=0.45,
        boards=0.12,
        darkness=(0.65, 1.0),
        grain=(0.0, 0.35),
        texture=(0.5, 3.0),
        perspective=0.05,
        desks=0.3,
        gradient=0.3,
        shadows=0.4,
        shadow_depths=(0.15, 0.45),
        shadow_edges=(0.004, 0.08),
        blur=(0.4, 1.1),
        noise=(1.0, 6.0),
        quality=(60, 90),
        grey=0.05,
        least_pixels=0.2e6,
    ),
    "hard": Level(
        heights=(16, 200),
        widest=1900,
        rows=(2, 9),
        pitch=(1.1, 1.9),
        gaps=(0.06, 0.3),
        strokes=(0.035, 0.13),
        uneven=(0.05, 0.14),
        touching=(0.1, 0.2),
        row_slope=15,
        bow=0.7,
        broken=0.35,
        two_columns=0.2,
        forms=0.1,
        separators=0.15,
        clutter=(1, 7),
        ruled=0.6,
        rule_strengths=(0.35, 0.8),
        boards=0.12,
        darkness=(0.5, 0.95),
        grain=(0.0, 0.55),
        texture=(1.0, 5.0),
        perspective=0.1,
        desks=0.4,
        gradient=0.45,
        shadows=0.6,
        shadow_depths=(0.3, 0.6),
        shadow_edges=(0.0005, 0.04),
        blur=(0.6, 1.8),
        noise=(3.0, 13.0),
        quality=(35, 70),
        grey=0.1,
        turned=0.05,
    ),
}
