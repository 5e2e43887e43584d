from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.small_pages import SmallPage, sure_digits, write_page
from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError
from mnist_digits.recognition import Classifier
from mnist_digits.recognition.layout.detector import (
    FAINTEST,
    MOST_PIXELS,
    STEP,
    SURE,
    TALL,
    Detections,
    Detector,
    DetectorOutput,
)

HEIGHT = 56
WORDS = ("Many kept the", "names and paper", "where we met")
FONTS = [cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX]


@pytest.fixture(scope="module")
def spotter() -> Detector:
    return Detector()


@pytest.fixture(scope="module")
def page(mnist: Dataset) -> SmallPage:
    return write_page(sure_digits(mnist.train, Classifier()), height=HEIGHT)


def soft(mask: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)


def printed(font: int) -> np.ndarray:
    """Words without digits: ink, float32 (300, 700) in [0, 1]."""
    drawn = np.zeros((300, 700), np.uint8)
    for number, words in enumerate(WORDS):
        cv2.putText(drawn, words, (30, 80 + 80 * number), font, 2, 255, 3, cv2.LINE_AA)
    return drawn.astype(np.float32) / 255


def marks_of(heat: np.ndarray, cell: float = 1.0) -> DetectorOutput:
    return DetectorOutput(heat, np.zeros(heat.shape[1:], np.float32), cell)


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
def test_the_cover_of_pixels_lies_between_that_of_cells(shape: tuple[int, int], cell: float, seed: int):
    cover = np.random.default_rng(seed).random([int(np.ceil(side / cell)) for side in shape], np.float32)
    found = DetectorOutput(np.zeros((10, *cover.shape), np.float32), cover, cell).covered(shape)
    assert found.shape == shape
    assert found.dtype == np.float32
    # Along each axis linear between the middles of cells, and as in the last beyond them.
    down, across = (
        [np.interp((np.arange(side) + 0.5) / cell, np.arange(count) + 0.5, unit) for unit in np.eye(count)]
        for side, count in zip(shape, cover.shape, strict=True)
    )
    # OpenCV places pixels by a 32nd of a cell.
    np.testing.assert_allclose(found, np.array(down).T @ cover @ np.array(across), atol=0.05)


@given(
    peaks=st.dictionaries(
        st.tuples(st.integers(0, 5), st.integers(0, 4)), st.tuples(st.integers(0, 9), st.floats(0.25, 1))
    ),
    cell=st.floats(1, 20),
)
def test_a_spot_for_each_peak(peaks: dict[tuple[int, int], tuple[int, float]], cell: float):
    heat = np.full((10, 40, 30), 0.01, np.float32)
    for (column, row), (digit, value) in peaks.items():
        x, y = 2 + 4 * column, 3 + 7 * row
        heat[digit, y - 2 : y + 3, x - 1 : x + 2] = 0.9 * value
        heat[digit, y, x] = value
    spots = marks_of(heat, cell).spots
    expected = {(2.5 + 4 * column, 3.5 + 7 * row): peak for (column, row), peak in peaks.items()}
    assert len(spots) == len(expected)
    for place, own in zip(spots.places / cell, spots.heat, strict=True):
        digit, value = expected.pop((round(place[0], 3), round(place[1], 3)))
        assert own.argmax() == digit
        assert own.max() == pytest.approx(value)


def test_neighbours_and_faint_heat_are_no_spots():
    heat = np.zeros((10, 20, 20), np.float32)
    heat[3, 5, 5], heat[8, 7, 5] = 0.8, 0.7  # none is right above another
    heat[1, 5, 7] = 0.6  # beside it there may be one
    heat[1, 12, 12] = FAINTEST - 0.01
    assert marks_of(heat).spots.places.tolist() == [[5.5, 5.5], [7.5, 5.5]]


def test_what_spots_say_of_a_page():
    heat = np.zeros((3, 10), np.float32)
    heat[0, 4], heat[1, 2], heat[1, 3], heat[2, 9] = 0.9, SURE / 2, 0.1, SURE
    spots = Detections(np.zeros((3, 2)), heat)
    assert spots.strengths.tolist() == pytest.approx([1, 0.5, 1])
    assert spots.clearness == pytest.approx((0.9 + 1.5 * SURE) / 3)
    assert spots.evidence == pytest.approx(0.81 + 1.25 * SURE**2)


def test_where_nothing_is_seen_nothing_is_said(spotter: Detector):
    for marks in (marks_of(np.zeros((10, 4, 5), np.float32)), spotter.spot(np.zeros((90, 70), np.float32), 20)):
        spots = marks.spots
        assert len(spots) == 0
        assert (spots.places.shape, spots.heat.shape, spots.strengths.shape) == ((0, 2), (0, 10), (0,))
        assert (spots.clearness, spots.evidence) == (0, 0)


def test_digits_are_found_where_they_are(spotter: Detector, page: SmallPage):
    marks = spotter.spot(soft(page.mask), HEIGHT)
    middles = np.array([(x + width / 2, y + height / 2) for x, y, width, height in page.boxes])
    assert same_places(marks.spots.places, middles, 0.3 * HEIGHT)
    nearest = [np.abs(marks.spots.places - middle).max(axis=1).argmin() for middle in middles]
    read = marks.spots.heat[nearest].argmax(axis=1)
    assert np.mean(read == [int(digit) for digit in page.text if digit.isdigit()]) > 0.9
    assert marks.spots.strengths.min() > 0.6
    assert marks.spots.clearness > 0.5
    assert marks.covered(page.mask.shape)[page.mask].mean() > 0.8


@pytest.mark.parametrize("font", FONTS)
def test_little_is_said_of_printed_words(spotter: Detector, font: int):
    ink = printed(font)
    marks = spotter.spot(ink, 45)
    letters = sum(len(words.replace(" ", "")) for words in WORDS)
    assert len(marks.spots) < 0.3 * letters
    assert marks.spots.evidence < 0.05 * letters
    assert marks.covered(ink.shape)[ink > 0.5].mean() < 0.15


def test_words_beside_digits(spotter: Detector, page: SmallPage):
    words = printed(FONTS[0])
    ink = np.zeros((page.mask.shape[0] + 300, max(700, page.mask.shape[1])), np.float32)
    ink[:300, :700] = words
    ink[300:, : page.mask.shape[1]] = soft(page.mask)
    marks = spotter.spot(ink, HEIGHT)
    cover = marks.covered(ink.shape)
    assert cover[:300][ink[:300] > 0.5].mean() < 0.2
    assert cover[300:][ink[300:] > 0.5].mean() > 0.8


@pytest.mark.parametrize(("right", "down"), [(3, 5), (16, 0), (37, 21), (0, 200)])
def test_spots_move_with_the_page(spotter: Detector, page: SmallPage, right: int, down: int):
    ink = soft(page.mask)
    still = spotter.spot(ink, HEIGHT).spots
    moved = spotter.spot(np.pad(ink, ((down, 0), (right, 0))), HEIGHT).spots
    assert same_places(moved.places - (right, down), still.places, 0.4 * HEIGHT)


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_spots_grow_with_the_page(spotter: Detector, page: SmallPage, factor: float):
    still, grown = (spotter.spot(soft(page.scaled(by).mask), by * HEIGHT) for by in (1, factor))
    assert grown.cell == pytest.approx(factor * still.cell)
    assert same_places(grown.spots.places / factor, still.spots.places, 0.3 * HEIGHT)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3, 7), (2000, 2500)])
@pytest.mark.parametrize("height", [0, 6, 900])
def test_pages_of_any_size(spotter: Detector, shape: tuple[int, int], height: float):
    marks = spotter.spot(np.zeros(shape, np.float32), height)
    assert marks.heat.shape == (10, *marks.cover.shape)
    assert 0 <= marks.heat.min() <= marks.heat.max() <= 1
    # All of the page is seen, in not much more pixels than are allowed.
    seen = np.array(marks.cover.shape) * marks.cell
    assert (seen > np.array(shape) - 2 * marks.cell).all()
    least = 4 * np.array(marks.cover.shape) - STEP
    assert least.prod() <= 1.01 * MOST_PIXELS or min(shape) < TALL


def test_a_missing_or_broken_file(tmp_path: Path):
    with pytest.raises(DataError, match="absent.onnx"):
        Detector(tmp_path / "absent.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match="broken.onnx"):
        Detector(tmp_path / "broken.onnx")
