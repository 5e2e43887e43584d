"""Ink of a page → where on it digits are, and which of the ink is theirs, by a small fully convolutional network.

Whether a stroke is a digit, part of a letter or a rest of ruling depends on what stands around it; so the network's
input is the whole page, scaled until its digits are about INPUT_DIGIT_HEIGHT_PX high. Where rules have removed lines,
it sees the page without and with them, for what looks like a one may be left of a box; elsewhere the same ink twice.
`training.shipped.detector` trains it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.preprocessing.ink import equalise_ink
from mnist_digits.recognition.preprocessing.mnist_format import MIN_STROKE_INK
from mnist_digits.recognition.session import MODELS, open_session

DETECTOR_PATH = MODELS / "detector.onnx"
"""The detector that is shipped with the package."""

INPUT_DIGIT_HEIGHT_PX = 34
"""Height of digits in the network's input."""

MAX_INPUT_PIXELS = 1_500_000
"""Larger pages are reduced, even if their digits become lower than INPUT_DIGIT_HEIGHT_PX."""

MAX_ENLARGEMENT = 2.0
"""Factor by which a page with small digits is enlarged at most."""

MIN_SCORE = 0.2
"""Minimum score of a detection."""

CERTAIN_SCORE = 0.45
"""Score at which a digit is certainly there: a centre between two cells has its score shared by both."""

MIN_SCORE_OF_LETTERS = 1.5
"""What scores so many times as high as a letter or sign as it does as a digit is none."""

MIN_LETTER_SCORE = 0.4
"""Score from which on a letter or sign parts the digits beside it, whether or not its ink touches theirs."""

CELL_PX = 4
"""Width and height of a cell of the output, in pixels of the input."""

FARTHEST_PX = 32
"""Largest way to a digit's centre, along x or y, that the output can tell, in pixels of the input."""

FINER = 2
"""Parts of the digit mask along each side of a cell."""

INPUT_SIDE_STEP_PX = 16
"""Width and height of the input are multiples of this."""


MARGIN_PX, MAX_CROP_SIDES_PX = 32, (160, 1000)
"""Blank margin around a page whose shorter and longer side, in the network's input, are below the second."""


@dataclass(frozen=True)
class Detections:
    """The digits that the network has detected on a page."""

    centres: NDArray[np.floating]
    """x, y in pixels of the page: float (n, 2)."""
    scores: NDArray[np.float32]
    """float32 (n, 10) in [0, 1]: how likely each digit is there."""

    def __len__(self) -> int:
        return len(self.centres)

    @cached_property
    def presence(self) -> NDArray[np.float32]:
        """How certainly there is any digit: float32 (n,) in [0, 1], 1 from CERTAIN_SCORE on."""
        return np.minimum(1, self.scores.max(axis=1) / CERTAIN_SCORE)

    @property
    def mean_score(self) -> float:
        """Mean of the detections' highest scores, 0 to 1: upside down, a page has about half of it."""
        return float(self.scores.max(axis=1).mean()) if len(self) else 0.0

    @property
    def total_score(self) -> float:
        """Sum of the squares of the detections' highest scores: highest for a page upright and at the right scale."""
        return float((self.scores.max(axis=1) ** 2).sum()) if len(self) else 0.0

    @property
    def certain_score(self) -> float:
        """The same sum, of the certain detections alone: in a texture none is."""
        highest = self.scores.max(axis=1, initial=0)
        return float((highest[highest >= CERTAIN_SCORE] ** 2).sum())


@dataclass(frozen=True)
class DetectorOutput:
    """The network's output for a page, which it divides into square cells."""

    scores: NDArray[np.float32]
    """float32 (10, rows, columns) in [0, 1]: how likely each digit has its centre in a cell."""
    digit_mask: NDArray[np.float32]
    """float32 (FINER rows, FINER columns) in [0, 1]: share of the ink that belongs to digits, in parts of the cells."""
    cell_px: float
    """Width and height of a cell, in pixels of the page."""
    ways: NDArray[np.float32] | None = None
    """float32 (2, FINER rows, FINER columns): along x and y, from a part of a cell to the centre of the digit whose ink
    it holds, in pixels of the page; None if unknown."""
    letters: NDArray[np.float32] | None = None
    """float32 (rows, columns) in [0, 1]: how likely a letter or a sign has its centre in a cell; None if unknown."""
    ink: NDArray[np.float32] | None = None
    """The page's ink without lines, as the network saw it, with cells of CELL_PX: float32 (h, w); None if unknown."""

    def digit_mask_of_pixels(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The digit mask, interpolated for each pixel of a page of this height and width: float32 (h, w)."""
        height, width = shape
        part_px = self.cell_px / FINER
        middle = 0.5 / part_px - 0.5
        matrix = np.array([[1 / part_px, 0, middle], [0, 1 / part_px, middle]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(self.digit_mask, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    @cached_property
    def digit_sizes(self) -> NDArray[np.float64]:
        """Width and height, in pixels of the page, of what is connected in the ink of digits: float (n, 2)."""
        if self.ink is None or not len(self.detections):
            return np.empty((0, 2))
        height, width = self.ink.shape
        part_px = CELL_PX // FINER
        digits = cv2.resize(
            (self.digit_mask > 0.5).view(np.uint8), None, fx=part_px, fy=part_px, interpolation=cv2.INTER_NEAREST
        )
        digits = digits[:height, :width] & (self.ink > MIN_STROKE_INK)
        sizes = cv2.connectedComponentsWithStats(digits)[2][1:, 2:4]
        return np.asarray(sizes * (self.cell_px / CELL_PX), float)

    def centres_of(self, points: NDArray[np.int_]) -> NDArray[np.float64]:
        """Where each point, x and y in pixels of the page, int (n, 2), has the centre of its digit: float (n, 2)."""
        if self.ways is None:
            return points.astype(float)
        part_px = self.cell_px / FINER
        columns, rows = np.minimum((points / part_px).astype(int), np.array(self.digit_mask.shape)[::-1] - 1).T
        return np.asarray(points + self.ways[:, rows, columns].T, float)

    @cached_property
    def detections(self) -> Detections:
        """The local maxima of the scores."""
        highest = self.scores.max(axis=0)
        # Taller than wide: digits stand side by side, but never so close above one another.
        peaks = (highest >= MIN_SCORE) & (highest >= cv2.dilate(highest, np.ones((5, 3), np.uint8)))
        if self.letters is not None:
            peaks &= MIN_SCORE_OF_LETTERS * highest > cv2.dilate(self.letters, np.ones((3, 3), np.uint8))
        rows, columns = np.nonzero(peaks)
        return Detections((np.stack([columns, rows], 1) + 0.5) * self.cell_px, self.scores[:, rows, columns].T)

    @cached_property
    def letter_centres(self) -> NDArray[np.floating]:
        """x, y in pixels of the page where a letter or a sign certainly has its centre: float (n, 2)."""
        if self.letters is None:
            return np.empty((0, 2))
        around = cv2.dilate(self.letters, np.ones((3, 3), np.uint8))
        digits = cv2.dilate(self.scores.max(axis=0), np.ones((3, 3), np.uint8))
        rows, columns = np.nonzero((self.letters >= np.maximum(around, MIN_LETTER_SCORE)) & (self.letters > digits))
        return (np.stack([columns, rows], 1) + 0.5) * self.cell_px

    def letter_scores(self, boxes: NDArray[np.int_]) -> NDArray[np.float32]:
        """How likely a letter or a sign has its centre about the middle of each box, int (n, 4): float32 (n,).

        1 for each where that is unknown.
        """
        if self.letters is None:
            return np.ones(len(boxes), np.float32)
        near = cv2.dilate(self.letters, np.ones((5, 5), np.uint8))
        middles = ((boxes[:, :2] + boxes[:, 2:] / 2) / self.cell_px).astype(int)
        columns, rows = np.clip(middles, 0, np.array(near.shape)[::-1] - 1).T
        scores: NDArray[np.float32] = near[rows, columns]
        return scores


class Detector:
    """Detects digits on pages. Any number of threads may share one."""

    def __init__(self, path: Path = DETECTOR_PATH, threads: int = 1) -> None:
        """Load the network. Raises DataError when the file is missing or no model."""
        self._session = open_session(path, threads)

    def detect(
        self, ink: NDArray[np.float32], digit_height: float, lined_ink: NDArray[np.float32] | None = None
    ) -> DetectorOutput:
        """The network's output for a page's ink, float32 (h, w) in [0, 1].

        digit_height: an estimate, in pixels; digits from half to twice as high are found as well. lined_ink: the ink
        with its lines; None where none were removed.
        """
        scale = min(
            INPUT_DIGIT_HEIGHT_PX / max(digit_height, 1.0), math.sqrt(MAX_INPUT_PIXELS / ink.size), MAX_ENLARGEMENT
        )
        size = [max(1, round(side * scale)) for side in ink.shape[::-1]]
        planes = [self._scaled(plane, size) for plane in ((ink,) if lined_ink is None else (ink, lined_ink))]
        shape = planes[0].shape
        # In training, what touches a page's edge was cut off by it: in a tight crop the digits do.
        margin = MARGIN_PX if min(shape) < MAX_CROP_SIDES_PX[0] and max(shape) < MAX_CROP_SIDES_PX[1] else 0
        page = np.stack([planes[0], planes[-1]])
        page = np.pad(page, [(0, 0), *((margin, margin + -side % INPUT_SIDE_STEP_PX) for side in shape)])
        # The model's file calls its output "marks": ten digits, letters and signs, then parts of the cell.
        (output,) = self._session.run(["marks"], {"ink": page[None]})
        corner, cells = margin // CELL_PX, [math.ceil(side / CELL_PX) for side in shape]
        own = output[0, :, corner : corner + cells[0], corner : corner + cells[1]]
        mask, *ways = (_by_parts(own[start:][: FINER**2]) for start in range(11, len(own), FINER**2))
        to_centres = (np.stack(ways) - 0.5) * (2 * FARTHEST_PX / scale)
        return DetectorOutput(own[:10], mask, CELL_PX / scale, to_centres, own[10], planes[0])

    @staticmethod
    def _scaled(ink: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float32]:
        """The ink, float32 (h, w), as wide and high as this, with all pens of full strength."""
        method = cv2.INTER_AREA if size[0] < ink.shape[1] else cv2.INTER_LINEAR
        return equalise_ink(cv2.resize(ink, size, interpolation=method))


def _by_parts(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Channels of a cell's parts, row by row, float32 (FINER², r, c), as a plane: float32 (FINER r, FINER c)."""
    _, rows, columns = channels.shape
    parts = channels.reshape(FINER, FINER, rows, columns).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(parts.reshape(FINER * rows, FINER * columns))
