import math

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from helpers.small_pages import write_page
from mnist_digits.recognition.preprocessing import ruling
from mnist_digits.recognition.preprocessing.ruling import remove_ruling

Digits = list[list[np.ndarray]]
NOISE = 5.0
TABLE = tuple(" ".join(f"{(7 * row + 13 * column) % 90 + 10}" for column in range(6)) for row in range(9))


@pytest.fixture(scope="module")
def marks(sure: Digits) -> np.ndarray:
    """Darkness of digits in rows and columns, 22 pixels high, each under another."""
    return np.where(write_page(sure, TABLE, height=22, margin=30, pitch=1.5).labels > 0, 200, 0).astype(np.uint8)


def ruled(darkness: np.ndarray, spacing: int, level: int = 190, margin: int = 8, thickness: int = 2) -> np.ndarray:
    """With level lines that end before the picture's edges, slightly sloping."""
    lines = np.zeros_like(darkness)
    height, width = lines.shape
    for y in range(margin, height - margin, spacing):
        cv2.line(lines, (margin, y), (width - margin, y + 4), level, thickness, cv2.LINE_AA)
    return cv2.max(lines, darkness)


def missing(before: np.ndarray, after: np.ndarray) -> float:
    """Share of the ink that is gone."""
    return 1 - (after[before > 100] > 100).mean()


def test_digits_under_one_another_are_no_ruling(marks: np.ndarray):
    np.testing.assert_array_equal(remove_ruling(marks, NOISE), marks)
    np.testing.assert_array_equal(remove_ruling(marks.T.copy(), NOISE), marks.T)


@pytest.mark.parametrize("upright", [False, True])
def test_many_lines_as_dark_as_the_pen_are_removed(marks: np.ndarray, upright: bool):
    page = ruled(marks, 33)
    found = remove_ruling(page.T.copy(), NOISE).T if upright else remove_ruling(page, NOISE)
    lines = (page > 100) & (cv2.dilate(marks, np.ones((5, 5), np.uint8)) == 0)
    assert lines.sum() > 1000
    assert (found[lines] > 100).mean() < 0.01
    assert missing(marks, found) < 0.12


def test_lines_of_a_part_of_the_picture_are_removed(marks: np.ndarray):
    pad = np.pad(ruled(marks, 33), ((150, 200), (200, 150)))
    found = remove_ruling(pad, NOISE)
    assert missing(np.pad(marks, ((150, 200), (200, 150))), found) < 0.12
    assert (found > 100).sum() < 1.1 * (marks > 100).sum()


@given(
    side=st.integers(64, 200),
    degrees=st.floats(43.5, 46.5),
    falling=st.booleans(),
    spacing=st.floats(10, 25),
    bow=st.floats(-0.03, 0.03),
)
@example(side=128, degrees=45.158, falling=True, spacing=14.0, bow=0.0209)
@example(side=90, degrees=44.927, falling=True, spacing=17.0, bow=-0.0166)
def test_lines_halfway_between_level_and_upright_are_followed(
    side: int, degrees: float, falling: bool, spacing: float, bow: float
):
    angle = math.radians(-degrees if falling else degrees)
    along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    way = np.linspace(-side, side, 80)[:, None]
    page = np.zeros((side, side), np.uint8)
    for offset in np.arange(-side, side, spacing):
        points = side / 2 + way * along + (offset + bow * way**2 / side) * across
        cv2.polylines(page, [np.rint(points * 16).astype(np.int32)], False, 110, 1, cv2.LINE_AA, 4)
    found = remove_ruling(page, NOISE)
    assert found.shape == page.shape
    assert (found <= page).all()


def test_a_few_dark_lines_may_be_strokes():
    drawing = np.zeros((300, 300), np.uint8)
    for x in (60, 120, 180, 240):
        cv2.line(drawing, (x, 60), (x - 10, 240), 220, 3, cv2.LINE_AA)
    np.testing.assert_array_equal(remove_ruling(drawing, NOISE), drawing)


def test_a_tally_of_many_strokes_is_no_ruling():
    drawing = np.zeros((120, 900), np.uint8)
    for x in range(60, 860, 50):
        cv2.line(drawing, (x, 15), (x - 3, 105), 220, 5, cv2.LINE_AA)
    np.testing.assert_array_equal(remove_ruling(drawing, NOISE), drawing)


def test_the_sides_of_boxes_go_with_their_lines():
    drawing = np.zeros((420, 420), np.uint8)
    for top in range(40, 400, 100):
        cv2.rectangle(drawing, (30, top), (390, top + 50), 200, 2)
        for x in range(75, 390, 45):
            cv2.line(drawing, (x, top), (x, top + 50), 200, 2)
    digit = drawing.copy()
    cv2.ellipse(digit, (98, 65), (12, 18), 0, 0, 360, 210, 4)
    found = remove_ruling(digit, NOISE)
    assert (found[45:90, 82:115] > 100).sum() > 0.9 * (digit[45:90, 82:115] > 100).sum()
    assert (found > 100).sum() < (digit[45:90, 82:115] > 100).sum() + 0.1 * (drawing > 100).sum()


@pytest.mark.parametrize("length", [1, 2, 3, 40])
def test_a_line_of_any_length_has_a_course(length: int):
    # Where two lines meet, what is followed between them is a pixel long.
    plane = np.zeros((60, 60), np.uint8)
    plane[20] = 180
    course = ruling._measured(plane, np.arange(5, 5 + length), np.full(length, 20.0), 180.0, False, 2)
    np.testing.assert_allclose(course.across, 20, atol=0.01)


def test_strokes_across_pale_ruling_stay_whole(marks: np.ndarray):
    found = remove_ruling(ruled(marks, 14, level=70, thickness=1), NOISE)
    assert missing(marks, found) < 0.03
    assert (found[marks == 0] > 60).mean() < 0.01


@given(st.integers(64, 400), st.integers(64, 400), st.floats(0, math.pi), st.floats(0.5, 1), st.integers(0, 2**31))
def test_lines_among_few_pixels_are_found_as_among_many(height: int, width: int, angle: float, kept: float, seed: int):
    random = np.random.default_rng(seed)
    page = np.zeros((height, width), np.uint8)
    page[random.integers(0, height, 60), random.integers(0, width, 60)] = 200
    reach = np.array([math.cos(angle), math.sin(angle)]) * 600
    for _ in range(random.integers(1, 3)):
        middle = random.integers(0, (width, height))
        line = np.zeros_like(page)
        cv2.line(line, *(tuple(map(int, middle + way)) for way in (-reach, reach)), 90, 1)
        page = cv2.max(page, np.where(random.random(page.shape) < kept, line, 0).astype(np.uint8))
    found = remove_ruling(page, NOISE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ruling, "MAX_SPARSE_SHARE", 0)
        np.testing.assert_array_equal(found, remove_ruling(page, NOISE))
