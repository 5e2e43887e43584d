from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pictures import soft
from helpers.small_pages import SmallPage, inked
from mnist_digits.recognition.layout.detector import CELL_PX, Detector, DetectorOutput
from mnist_digits.recognition.layout.scale import MIN_DIGIT_HEIGHT_PX, detect_at_scale, measure_height

HEIGHT = 56


def seen_everywhere(ink: np.ndarray, px: float = 1.0) -> DetectorOutput:
    """The output of a detector that takes all ink for digits, and sees one in each cell.

    px: pixels of the page per pixel of the ink, float32 (h, w), along each side.
    """
    rows, columns = (-(-side // CELL_PX) for side in ink.shape)
    scores, mask = np.ones((10, rows, columns), np.float32), np.ones((2 * rows, 2 * columns), np.float32)
    return DetectorOutput(scores, mask, CELL_PX * px, ink=ink)


@given(
    height=st.integers(8, 80), count=st.integers(1, 12), specks=st.integers(0, 60), right=st.integers(0, 30),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_digits_are_as_high_as_most_of_their_ink(height: int, count: int, specks: int, right: int, seed: int):
    ink = inked(*[(right + 60 * number, 60, max(3, height // 2), height) for number in range(count)], shape=(200, 760))
    random = np.random.default_rng(seed)
    for x, y in random.integers(0, (750, 50), (specks, 2)):
        ink[y : y + 2, x : x + 2] = 1
    assert measure_height(seen_everywhere(ink)) == height
    assert measure_height(seen_everywhere(ink, 2.5)) == 2.5 * height


def test_what_is_no_digit_has_no_height():
    digits = [(10 + 30 * i, 10 + 40 * j, 10, 20) for i in range(12) for j in range(5)]
    ink = inked(*digits, (60, 220, 150, 200), shape=(430, 400))
    assert measure_height(seen_everywhere(ink)) == 200
    output = seen_everywhere(ink)
    output.digit_mask[220 // 2 :] = 0
    assert measure_height(output) == 20
    nothing = replace(output, scores=np.zeros_like(output.scores))
    assert measure_height(nothing) == 0


@settings(max_examples=12)
@given(factor=st.floats(0.3, 3))
def test_the_height_is_found_whatever_it_is(detector: Detector, page: SmallPage, factor: float):
    scaled = page.scaled(factor)
    output, height = detect_at_scale(detector, soft(scaled.mask))
    heights = [box[3] for box in scaled.boxes]
    assert height == pytest.approx(np.median(heights), rel=0.12)
    assert len(output.detections) == pytest.approx(len(scaled.boxes), abs=2)


def test_lines_and_boxes_do_not_count(detector: Detector, page: SmallPage):
    ink = soft(page.mask)
    expected = detect_at_scale(detector, ink)[1]
    ink[:, :: 2 * HEIGHT] = ink[20 :: 2 * HEIGHT] = 1
    assert detect_at_scale(detector, ink)[1] == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (40, 50)])
@pytest.mark.parametrize("value", [0, 1])
def test_a_height_of_any_ink(detector: Detector, shape: tuple[int, int], value: int):
    output, height = detect_at_scale(detector, np.full(shape, value, np.float32))
    assert height >= MIN_DIGIT_HEIGHT_PX
    assert output.detections.certain_score == 0
