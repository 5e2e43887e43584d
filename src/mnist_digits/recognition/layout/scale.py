"""Ink of a page → what the detector sees on it, and how high its digits are.

The detector finds digits from half to twice as high as it is told, and its digit mask then tells their height. So a few
heights are tried, from the largest, which costs least, to the smallest.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.layout.detector import Detector, DetectorOutput

SEARCHED_HEIGHTS_PX = (280, 140, 70, 35, 17.5)
"""Digit heights for which a page is searched."""

BEST_RATIOS = (0.8, 1.6)
"""Measured digit height over the one that the detector was told, within which it is at its best."""

MIN_GAIN_OF_MEASURED = 0.85
"""Ratio of the scores of certain detections below which a measured height is not believed."""

CLEAR_MEAN_SCORE = 0.5
"""Mean score of detections above which a page is clear."""

MIN_DIGIT_HEIGHT_PX = 6

WIDTHS_PER_HEIGHT = (1 / 12, 1 / 0.6)
"""Ratios of width to height between which a component may be a digit."""


def detect_at_scale(
    detector: Detector,
    ink: NDArray[np.float32],
    heights: Sequence[float] = SEARCHED_HEIGHTS_PX,
    lined_ink: NDArray[np.float32] | None = None,
    legible: float = 0.0,
) -> tuple[DetectorOutput, float]:
    """The detector's output for a page's ink, float32 (h, w), and the digit height in pixels.

    heights: that are tried, in pixels, from large to small. lined_ink: as for `Detector.detect`. legible: height below
    which it is enough to know it.
    """
    best, told = detector.detect(ink, heights[0], lined_ink), heights[0]
    measured = measure_height(best)
    for height in heights[1:]:
        if measured > told / 2 and is_clear(best):
            # Smaller digits would have been seen as well.
            break
        output = detector.detect(ink, height, lined_ink)
        if _order(output) > _order(best):
            best, told, measured = output, height, measure_height(output)
    lowest, highest = (ratio * told for ratio in BEST_RATIOS)
    if lowest <= measured <= highest or not measured or (measured < legible and is_clear(best)):
        return best, measured or max(MIN_DIGIT_HEIGHT_PX, told)
    output = detector.detect(ink, measured, lined_ink)
    if output.detections.certain_score < MIN_GAIN_OF_MEASURED * best.detections.certain_score:
        # Pieces of strokes were measured.
        return best, min(max(lowest, measured), highest)
    return output, measure_height(output) or measured


def is_clear(output: DetectorOutput) -> bool:
    """Whether a page surely was detected at the right scale, and without anything that disturbs."""
    return output.detections.mean_score > CLEAR_MEAN_SCORE


def _order(output: DetectorOutput) -> tuple[float, float]:
    """By which outputs are compared: what is certainly detected, else all that is."""
    return output.detections.certain_score, output.detections.total_score


def measure_height(output: DetectorOutput) -> float:
    """The height of the digits that the detector sees on a page, in pixels; 0 if it sees none.

    It is a median over what is connected in their ink, weighted by squared height, so that specks do not matter.
    """
    width, height = output.digit_sizes.T
    narrowest, widest = WIDTHS_PER_HEIGHT
    possible = (height >= MIN_DIGIT_HEIGHT_PX) & (width > narrowest * height) & (width < widest * height)
    heights = np.sort(height[possible])
    weights = np.cumsum(heights**2)
    return float(heights[np.searchsorted(weights, weights[-1] / 2)]) if len(heights) else 0.0
