"""Ink of a page → connected components, and the ink that belongs to digits."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.layout.detector import Detections
from mnist_digits.recognition.preprocessing.mnist_format import MIN_STROKE_INK, square

MIN_COMPONENT_MASK = 0.5
"""Mean digit mask above which a component is taken for a digit or several."""

DIGIT_MASK_RANGE = (0.2, 0.5)
"""Digit mask up to which none, and from which on all of a pixel's ink is a digit's."""

CLEARED_MASK_RANGE = (0.15, 0.35)
"""The same of ink from which lines were removed."""

LINED_MASK_RANGE = (0.5, 0.8)
"""The same of what was removed with a line."""

MAX_HEIGHT_LOG_RATIO, MAX_DIGIT_ASPECT = 0.5, 1.5
"""A component has the size of a digit if the logarithm of its height over the digit height differs from 0 by less than
the first, and its width is less than so many digit heights."""

MIN_PRESENCE_OF_DIGIT = 0.4
"""A component of a digit's size is a digit's around a detection of more presence."""

MIN_MASKED_HEIGHTS, MIN_MASKED = 0.8, 0.4
"""Height, in digit heights, and share of its ink in the digit mask below which a component that is detected is a digit
all the same, and whole."""

MIN_DETECTED_SHARE = 0.8
"""Minimum share of components of a digit's size with a detection, for the others to be taken for overlooked digits."""

OVERLOOKED_SCORE = 0.27
"""Score of each of the ten digits for a component that was overlooked."""

MIN_OVERLOOKED_ASPECT = 0.35
"""Width over height above which an overlooked component may be a digit; a narrower one may be a rest of ruling."""

TORN_GAP_HEIGHTS = 0.125
"""Height and width, in digit heights, of gaps in a stroke that rough paper leaves."""

WRITING_HEIGHT_RANGE, MAX_WRITING_WIDTH = (0.4, 3.0), 10.0
"""In digit heights: what a component of writing, digits or not, may be high and at most wide."""


@dataclass(frozen=True)
class Components:
    """Connected components of a page's ink. Component i is where `labels` is i; 0 is the ground."""

    labels: NDArray[np.int32]
    """int32 (h, w)."""
    boxes: NDArray[np.int_]
    """int (n, 4) of x, y, width, height; of the ground, too."""
    inked: NDArray[np.int_]
    """Indices of the pixels with ink in the flattened page: int (m,)."""

    @property
    def sizes(self) -> NDArray[np.int_]:
        """Width and height: int (n, 2)."""
        return self.boxes[:, 2:]

    def have_digit_size(self, digit_height: float) -> NDArray[np.bool_]:
        """Which have the size of a digit: bool (n,). digit_height: in pixels."""
        width, height = self.sizes.T
        similar: NDArray[np.bool_] = np.abs(np.log(np.maximum(height, 1) / digit_height)) < MAX_HEIGHT_LOG_RATIO
        return similar & (width < MAX_DIGIT_ASPECT * digit_height)

    def are_detected(self, detections: Detections, digit_height: float) -> NDArray[np.bool_]:
        """Which have the size of a digit and a detection in their box: bool (n,). digit_height: in pixels."""
        return np.asarray(self._around(detections, digit_height).any(axis=1))

    def are_masked_away(
        self, detections: Detections, digit_mask: NDArray[np.float32], digit_height: float
    ) -> NDArray[np.bool_]:
        """Of which the digit mask leaves little, or nothing as high as a digit, where one is detected: bool (n,).

        digit_mask: of the page's pixels, float32 (h, w). digit_height: in pixels.
        """
        masked = self.inked[digit_mask.ravel()[self.inked] > DIGIT_MASK_RANGE[1]]
        labels, rows = self.labels.ravel()[masked], masked // self.labels.shape[1]
        top, bottom = np.full(len(self.boxes), self.labels.shape[0]), np.full(len(self.boxes), -1)
        np.minimum.at(top, labels, rows)
        np.maximum.at(bottom, labels, rows)
        share = np.bincount(labels, minlength=len(self.boxes)) / np.maximum(self.areas, 1)
        low = (bottom + 1 - top < MIN_MASKED_HEIGHTS * digit_height) | (share < MIN_MASKED)
        around = self._around(detections, digit_height)
        # What stands around another's digit is its box.
        alone = ~(around & ~low[:, None]).any(axis=0)
        away: NDArray[np.bool_] = low & (around & alone).any(axis=1)
        return away

    def _around(self, detections: Detections, digit_height: float) -> NDArray[np.bool_]:
        """Which have the size of a digit, and which detections are in their boxes: bool (n, detections)."""
        left, top, width, height = self.boxes.T[:, :, None]
        x, y = detections.centres.T
        around = (x >= left) & (x <= left + width) & (y >= top) & (y <= top + height)
        around &= self.have_digit_size(digit_height)[:, None]
        return np.asarray(around & (detections.presence > MIN_PRESENCE_OF_DIGIT))

    def look_like_writing(self, digit_height: float) -> NDArray[np.bool_]:
        """Which are neither specks nor pictures: bool (n,). digit_height: in pixels."""
        width, height = self.sizes.T / digit_height
        lowest, highest = WRITING_HEIGHT_RANGE
        like: NDArray[np.bool_] = (height > lowest) & (height < highest) & (width < MAX_WRITING_WIDTH)
        like[0] = False
        return like

    @property
    def areas(self) -> NDArray[np.int_]:
        """Number of pixels with ink, 0 of the ground: int (n,)."""
        return np.bincount(self.labels.ravel()[self.inked], minlength=len(self.boxes))

    def mean_mask(self, digit_mask: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean digit mask of each, float (n,) in [0, 1]. digit_mask: of the page's pixels, float32 (h, w)."""
        labels = self.labels.ravel()[self.inked]
        total = np.bincount(labels, digit_mask.ravel()[self.inked], len(self.boxes))
        mean: NDArray[np.float64] = total / np.maximum(self.areas, 1)
        return mean


def find_components(ink: NDArray[np.float32], digit_height: float | None = None) -> Components:
    """The connected components of a page's ink, float32 (h, w) in [0, 1].

    digit_height: in pixels; if given, gaps as rough paper leaves in strokes do not part components.
    """
    mask = (ink > MIN_STROKE_INK).view(np.uint8)
    side = max(3, int(TORN_GAP_HEIGHTS * digit_height) // 2 * 2 + 1) if digit_height else 1
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, square(side))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    return Components(labels, stats[:, :4].astype(int), np.flatnonzero(labels))


def add_overlooked(detections: Detections, components: Components, digit_height: float) -> Detections:
    """The detections and, on a page of hardly anything but digits, one for each component of their size without one.

    components: of all ink. digit_height: in pixels.
    """
    sized, detected = components.have_digit_size(digit_height), components.are_detected(detections, digit_height)
    wide = components.sizes[:, 0] > MIN_OVERLOOKED_ASPECT * components.sizes[:, 1]
    overlooked = 1 + np.flatnonzero((sized & ~detected & wide)[1:])
    if not len(overlooked) or detected.sum() < MIN_DETECTED_SHARE * (detected.sum() + len(overlooked)):
        return detections
    x, y, width, height = components.boxes[overlooked].T
    centres = np.stack([x + width / 2, y + height / 2], axis=1)
    scores = np.full((len(centres), detections.scores.shape[1]), OVERLOOKED_SCORE, np.float32)
    return Detections(np.concatenate([detections.centres, centres]), np.concatenate([detections.scores, scores]))


def ink_of_digits(
    ink: NDArray[np.float32], digit_mask: NDArray[np.float32], lined_ink: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The ink of digits alone, with what of it lay on lines that were removed: float32 (h, w) in [0, 1].

    ink, digit_mask: of the page's pixels. lined_ink: the ink with these lines; None where none were removed. float32
    (h, w) in [0, 1] each.
    """
    if lined_ink is None:
        return ink * _share(digit_mask, DIGIT_MASK_RANGE)
    return np.maximum(ink * _share(digit_mask, CLEARED_MASK_RANGE), lined_ink * _share(digit_mask, LINED_MASK_RANGE))


def _share(digit_mask: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.float32]:
    """Which share of a pixel's ink is a digit's, float32 (h, w) in [0, 1]. limits: masks of which none and all is."""
    lowest, highest = limits
    share: NDArray[np.float32] = np.clip((digit_mask - lowest) / (highest - lowest), 0, 1)
    return share
