from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pictures import soft
from helpers.small_pages import SmallPage
from mnist_digits.errors import DataError
from mnist_digits.recognition.layout.detector import (
    CERTAIN_SCORE,
    FINER,
    INPUT_SIDE_STEP_PX,
    MAX_INPUT_PIXELS,
    MIN_SCORE,
    Detections,
    Detector,
    DetectorOutput,
)

HEIGHT = 56
WORDS = ("Many kept the", "names and paper", "where we met")
FONTS = [cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX]


def printed(font: int) -> np.ndarray:
    """Words without digits: ink, float32 (300, 700) in [0, 1]."""
    drawn = np.zeros((300, 700), np.uint8)
    for number, words in enumerate(WORDS):
        cv2.putText(drawn, words, (30, 80 + 80 * number), font, 2, 255, 3, cv2.LINE_AA)
    return drawn.astype(np.float32) / 255


def output_of(scores: np.ndarray, cell: float = 1.0) -> DetectorOutput:
    return DetectorOutput(scores, np.zeros(scores.shape[1:], np.float32), cell)


def same_places(one: np.ndarray, other: np.ndarray, within: float) -> bool:
    """Whether nearly all places, (n, 2), of either have one of the other so near: a digit more or less may be seen."""
    near = np.abs(one[:, None] - other).max(axis=2) <= within
    return near.any(axis=0).mean() >= 0.88 <= near.any(axis=1).mean() and abs(len(one) - len(other)) <= 2


@settings(max_examples=50)
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    cell=st.floats(1, 20),
    seed=st.integers(0, 1000),
)
def test_the_digit_mask_of_pixels_lies_between_that_of_its_cells(shape: tuple[int, int], cell: float, seed: int):
    digit_mask = np.random.default_rng(seed).random([int(np.ceil(side / cell)) for side in shape], np.float32)
    output = DetectorOutput(np.zeros((10, *digit_mask.shape), np.float32), digit_mask, FINER * cell)
    found = output.digit_mask_of_pixels(shape)
    assert found.shape == shape
    assert found.dtype == np.float32
    # Along each axis linear between the middles of cells, and as in the last beyond them.
    down, across = (
        [np.interp((np.arange(side) + 0.5) / cell, np.arange(count) + 0.5, unit) for unit in np.eye(count)]
        for side, count in zip(shape, digit_mask.shape, strict=True)
    )
    # OpenCV places pixels by a 32nd of a cell.
    np.testing.assert_allclose(found, np.array(down).T @ digit_mask @ np.array(across), atol=0.05)


@given(
    peaks=st.dictionaries(
        st.tuples(st.integers(0, 5), st.integers(0, 4)), st.tuples(st.integers(0, 9), st.floats(0.25, 1))
    ),
    cell=st.floats(1, 20),
)
def test_a_detection_for_each_peak(peaks: dict[tuple[int, int], tuple[int, float]], cell: float):
    scores = np.full((10, 40, 30), 0.01, np.float32)
    for (column, row), (digit, value) in peaks.items():
        x, y = 2 + 4 * column, 3 + 7 * row
        scores[digit, y - 2 : y + 3, x - 1 : x + 2] = 0.9 * value
        scores[digit, y, x] = value
    detections = output_of(scores, cell).detections
    expected = {(2.5 + 4 * column, 3.5 + 7 * row): peak for (column, row), peak in peaks.items()}
    assert len(detections) == len(expected)
    for place, own in zip(detections.centres / cell, detections.scores, strict=True):
        digit, value = expected.pop((round(place[0], 3), round(place[1], 3)))
        assert own.argmax() == digit
        assert own.max() == pytest.approx(value)


def test_neighbours_and_low_scores_are_no_detections():
    scores = np.zeros((10, 20, 20), np.float32)
    scores[3, 5, 5], scores[8, 7, 5] = 0.8, 0.7  # none is right above another
    scores[1, 5, 7] = 0.6  # beside it there may be one
    scores[1, 12, 12] = MIN_SCORE - 0.01
    assert output_of(scores).detections.centres.tolist() == [[5.5, 5.5], [7.5, 5.5]]


def test_scores_of_a_page():
    scores = np.zeros((3, 10), np.float32)
    scores[0, 4], scores[1, 2], scores[1, 3], scores[2, 9] = 0.9, CERTAIN_SCORE / 2, 0.1, CERTAIN_SCORE
    detections = Detections(np.zeros((3, 2)), scores)
    assert detections.presence.tolist() == pytest.approx([1, 0.5, 1])
    assert detections.mean_score == pytest.approx((0.9 + 1.5 * CERTAIN_SCORE) / 3)
    assert detections.total_score == pytest.approx(0.81 + 1.25 * CERTAIN_SCORE**2)
    assert detections.certain_score == pytest.approx(0.81 + CERTAIN_SCORE**2)


def test_where_nothing_is_seen_nothing_is_said(detector: Detector):
    for output in (output_of(np.zeros((10, 4, 5), np.float32)), detector.detect(np.zeros((90, 70), np.float32), 20)):
        detections = output.detections
        assert len(detections) == 0
        assert (detections.centres.shape, detections.scores.shape, detections.presence.shape) == ((0, 2), (0, 10), (0,))
        assert (detections.mean_score, detections.total_score, detections.certain_score) == (0, 0, 0)


def test_boxes_around_a_letter_have_its_score():
    scores, letters = np.zeros((10, 20, 30), np.float32), np.zeros((20, 30), np.float32)
    letters[8, 12] = 0.7
    output = DetectorOutput(scores, np.zeros((40, 60), np.float32), 4.0, letters=letters)
    boxes = np.array([[44, 28, 12, 12], [52, 36, 2, 2], [100, 60, 8, 8], [200, 200, 5, 5]])
    assert output.letter_scores(boxes).tolist() == pytest.approx([0.7, 0.7, 0, 0])
    assert output.letter_scores(boxes[:0]).shape == (0,)
    # Of an output that tells nothing of letters, any may be one.
    assert output_of(scores).letter_scores(boxes).tolist() == [1, 1, 1, 1]


def test_digits_are_found_where_they_are(detector: Detector, page: SmallPage):
    output = detector.detect(soft(page.mask), HEIGHT)
    middles = np.array([(x + width / 2, y + height / 2) for x, y, width, height in page.boxes])
    assert same_places(output.detections.centres, middles, 0.3 * HEIGHT)
    nearest = [np.abs(output.detections.centres - middle).max(axis=1).argmin() for middle in middles]
    read = output.detections.scores[nearest].argmax(axis=1)
    assert np.mean(read == [int(digit) for digit in page.text if digit.isdigit()]) > 0.9
    assert output.detections.presence.min() > 0.6
    assert output.detections.mean_score > 0.5
    assert output.digit_mask_of_pixels(page.mask.shape)[page.mask].mean() > 0.8
    # Nearly all ink points to the middle of the digit that it belongs to.
    x, y, width, height = np.array(page.boxes).T[..., None]
    points = np.argwhere(page.mask)[::50, ::-1]
    inside = (points[:, 0] >= x) & (points[:, 0] < x + width) & (points[:, 1] >= y) & (points[:, 1] < y + height)
    pointed = output.centres_of(points)
    away = np.hypot(pointed[:, 0] - middles[:, :1], pointed[:, 1] - middles[:, 1:])
    assert (away[inside] < 0.3 * HEIGHT).mean() > 0.9


@pytest.mark.parametrize("font", FONTS)
def test_little_is_said_of_printed_words(detector: Detector, font: int):
    ink = printed(font)
    output = detector.detect(ink, 45)
    letters = sum(len(words.replace(" ", "")) for words in WORDS)
    assert len(output.detections) < 0.3 * letters
    assert output.detections.total_score < 0.05 * letters
    assert output.digit_mask_of_pixels(ink.shape)[ink > 0.5].mean() < 0.15


def test_words_beside_digits(detector: Detector, page: SmallPage):
    words = printed(FONTS[0])
    ink = np.zeros((page.mask.shape[0] + 300, max(700, page.mask.shape[1])), np.float32)
    ink[:300, :700] = words
    ink[300:, : page.mask.shape[1]] = soft(page.mask)
    output = detector.detect(ink, HEIGHT)
    digit_mask = output.digit_mask_of_pixels(ink.shape)
    assert digit_mask[:300][ink[:300] > 0.5].mean() < 0.2
    assert digit_mask[300:][ink[300:] > 0.5].mean() > 0.8


@pytest.mark.parametrize(("right", "down"), [(3, 5), (16, 0), (37, 21), (0, 200)])
def test_detections_move_with_the_page(detector: Detector, page: SmallPage, right: int, down: int):
    ink = soft(page.mask)
    still = detector.detect(ink, HEIGHT).detections
    moved = detector.detect(np.pad(ink, ((down, 0), (right, 0))), HEIGHT).detections
    assert same_places(moved.centres - (right, down), still.centres, 0.4 * HEIGHT)


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_detections_grow_with_the_page(detector: Detector, page: SmallPage, factor: float):
    still, grown = (detector.detect(soft(page.scaled(by).mask), by * HEIGHT) for by in (1, factor))
    assert grown.cell_px == pytest.approx(factor * still.cell_px)
    assert same_places(grown.detections.centres / factor, still.detections.centres, 0.3 * HEIGHT)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3, 7), (2000, 2500)])
@pytest.mark.parametrize("height", [0, 6, 900])
def test_pages_of_any_size(detector: Detector, shape: tuple[int, int], height: float):
    output = detector.detect(np.zeros(shape, np.float32), height)
    assert (output.scores.shape[0], *np.multiply(output.scores.shape[1:], FINER)) == (10, *output.digit_mask.shape)
    assert 0 <= output.scores.min() <= output.scores.max() <= 1
    # All of the page is seen, in not much more pixels than are allowed.
    cells = np.array(output.scores.shape[1:])
    seen = cells * output.cell_px
    assert (seen > np.array(shape) - 2 * output.cell_px).all()
    least = 4 * cells - INPUT_SIDE_STEP_PX
    assert least.prod() <= 1.01 * MAX_INPUT_PIXELS


def test_a_missing_or_broken_file(tmp_path: Path):
    with pytest.raises(DataError, match="absent.onnx"):
        Detector(tmp_path / "absent.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match="broken.onnx"):
        Detector(tmp_path / "broken.onnx")
