import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_digits.recognition.layout.text_lines import TextLine, find_text_lines

HEIGHT, STEP = 20, 22


def middles(rows: list[int], slope: float, pitch: float, sag: float = 0, seed: int = 0) -> list[np.ndarray]:
    """For each row of so many digits their middles, float (n, 2) of x, y, from left to right."""
    random = np.random.default_rng(seed)
    reach = STEP * max(rows)
    placed = []
    for number, count in enumerate(rows):
        x = 66 + STEP * np.arange(count) + random.uniform(-2, 2, count)
        y = 300 + number * pitch + slope * (x - reach / 2) + sag * np.sin(np.pi * x / reach)
        placed.append(np.stack([x, y + random.uniform(-2, 2, count)], axis=1))
    return placed


def assert_rows(expected: list[np.ndarray], seed: int = 0) -> list[TextLine]:
    """They are found in whatever order their digits come."""
    centres = np.random.default_rng(seed).permutation(np.concatenate(expected))
    found = find_text_lines(centres, HEIGHT)
    assert len(found) == len(expected)
    for row, own in zip(found, expected, strict=True):
        np.testing.assert_array_equal(centres[row.members], own)
        assert np.abs(np.polyval(row.baseline, own[:, 0]) - own[:, 1]).max() < 0.5 * HEIGHT
    return found


@settings(max_examples=60)
@given(
    rows=st.lists(st.integers(5, 14), min_size=1, max_size=5),
    degrees=st.floats(-15, 15),
    pitch=st.floats(1.9 * HEIGHT, 4 * HEIGHT),
    seed=st.integers(0, 1000),
)
def test_rows_at_any_slope(rows: list[int], degrees: float, pitch: float, seed: int):
    slope = float(np.tan(np.radians(degrees)))
    expected = middles(rows, slope, pitch, seed=seed)
    for row, own in zip(assert_rows(expected, seed), expected, strict=True):
        assert row.slope_at(float(own[:, 0].mean())) == pytest.approx(slope, abs=0.1)


@settings(max_examples=20)
@given(sag=st.floats(-10, 10), seed=st.integers(0, 1000))
def test_curved_rows(sag: float, seed: int):
    (first, *_) = assert_rows(middles([16, 16, 16], 0, 2.5 * HEIGHT, sag, seed), seed)
    left, right = (first.slope_at(66 + STEP * place) for place in (0, 15))
    if abs(sag) > 5:
        assert (left - right) * sag > 0


@settings(max_examples=20)
@given(factor=st.floats(0.2, 8), right=st.floats(-500, 500), down=st.floats(-500, 500))
def test_size_and_place_of_the_page_do_not_matter(factor: float, right: float, down: float):
    centres = np.concatenate(middles([9, 4, 12], 0.1, 2.2 * HEIGHT, 4))
    found = find_text_lines(factor * centres + (right, down), factor * HEIGHT)
    for row, other in zip(found, find_text_lines(centres, HEIGHT), strict=True):
        np.testing.assert_array_equal(row.members, other.members)


def test_a_row_of_one_digit_lies_level():
    (row,) = assert_rows(middles([1], 0, 50))
    assert row.slope_at(60) == pytest.approx(0, abs=0.05)


def test_a_digit_belongs_to_one_row_at_most():
    random = np.random.default_rng(0)
    for count in (1, 2, 40, 700):
        centres = random.uniform(10, 40 * count**0.5, (count, 2))
        rows = find_text_lines(centres, HEIGHT)
        members = [int(digit) for row in rows for digit in row.members]
        assert len(set(members)) == len(members) > 0.8 * count
        assert set(members) <= set(range(count))
        for row in rows:
            assert len(row.members)
            assert (np.diff(centres[row.members, 0]) >= 0).all()


def test_no_digits_no_rows():
    assert find_text_lines(np.zeros((0, 2)), HEIGHT) == []
