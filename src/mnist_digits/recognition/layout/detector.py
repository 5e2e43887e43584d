"""Ink of a page → where on it digits stand, and which of the ink is theirs, as a small network sees it.

Whether a stroke is a digit, the crook of a letter or a rest of ruling is told by what stands around it; so the network
sees the page as a whole, reduced to where its digits are some 24 pixels high. `training.spotting` makes it.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from mnist_digits.recognition.classifier import open_session
from mnist_digits.recognition.preprocessing.ink import equalise_ink

DETECTOR_PATH = Path(__file__).parents[1] / "models" / "detector.onnx"
"""The network that comes with the package."""

TALL = 24
"""Pixels that digits are high where the network looks at them."""

MOST_PIXELS = 1_500_000
"""Of the page as the network sees it."""

LARGEST = 2.0
"""How far a page with small writing is enlarged at most."""

FAINTEST = 0.2
"""Least heat of what may be a digit."""

SURE = 0.45
"""Heat from which on a digit is there for sure: that of a middle between two cells is shared by both."""

CELL = 4
"""Pixels along each side of a cell."""

STEP = 16
"""Sides of what the network sees are multiples of so many pixels."""


@dataclass(frozen=True)
class Detections:
    """The middles of what the network takes for digits."""

    places: np.ndarray
    """x, y in pixels of the page: float (n, 2)."""
    heat: np.ndarray
    """float32 (n, 10) in [0, 1]: how likely each digit is there."""

    def __len__(self) -> int:
        return len(self.places)

    @cached_property
    def strengths(self) -> np.ndarray:
        """How surely there is any digit: float32 (n,) in [0, 1]."""
        return np.minimum(1, self.heat.max(axis=1) / SURE)

    @property
    def clearness(self) -> float:
        """Mean heat, 0 to 1: of a page on its head it is about half of what it is upright."""
        return float(self.heat.max(axis=1).mean()) if len(self) else 0.0

    @property
    def evidence(self) -> float:
        """How much speaks for this being a page of digits, seen upright and at the right size: 0 or more."""
        return float((self.heat.max(axis=1) ** 2).sum()) if len(self) else 0.0


@dataclass(frozen=True)
class DetectorOutput:
    """What the network says of a page."""

    heat: np.ndarray
    """float32 (10, rows, columns) in [0, 1]: how likely each digit has its middle in a cell."""
    cover: np.ndarray
    """float32 (rows, columns) in [0, 1]: how much of a cell's ink belongs to digits."""
    cell: float
    """Pixels of the page along each side of a cell."""

    def covered(self, shape: tuple[int, ...]) -> np.ndarray:
        """The cover of each pixel of a page of this height and width: float32 (h, w)."""
        height, width = shape
        middle = 0.5 / self.cell - 0.5
        matrix = np.array([[1 / self.cell, 0, middle], [0, 1 / self.cell, middle]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(self.cover, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    @cached_property
    def spots(self) -> Detections:
        """Where digits have their middles."""
        highest = self.heat.max(axis=0)
        # Digits stand side by side: none is right above another.
        top = (highest >= FAINTEST) & (highest >= cv2.dilate(highest, np.ones((5, 3), np.uint8)))
        rows, columns = np.nonzero(top)
        return Detections((np.stack([columns, rows], 1) + 0.5) * self.cell, self.heat[:, rows, columns].T)


class Detector:
    """Marks digits on pages. Any number of threads may share one."""

    def __init__(self, path: Path = DETECTOR_PATH, threads: int = 1) -> None:
        """Load the network. Raises DataError when the file is missing or no model."""
        self._session = open_session(path, threads)

    def spot(self, ink: np.ndarray, height: float) -> DetectorOutput:
        """What it says of a page's ink, float32 (h, w) in [0, 1], whose writing is about so many pixels high."""
        scale = min(TALL / max(height, 1.0), math.sqrt(MOST_PIXELS / ink.size), LARGEST)
        size = [max(1, round(side * scale)) for side in ink.shape[::-1]]
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        seen = equalise_ink(cv2.resize(ink, size, interpolation=how))
        seen = np.pad(seen, [(0, -side % STEP) for side in seen.shape])
        (marks,) = self._session.run(["marks"], {"ink": seen[None, None]})
        return DetectorOutput(marks[0, :10], marks[0, 10], CELL / scale)
