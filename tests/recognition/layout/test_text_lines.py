import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_digits.recognition.layout.text_lines import TextLine, find_text_lines

HEIGHT, STEP = 20, 22


def middles(lines: list[int], slope: float, pitch: float, sag: float = 0, seed: int = 0) -> list[np.ndarray]:
    """For each line of so many digits their middles, float (n, 2) of x, y, from left to right."""
    random = np.random.default_rng(seed)
    reach = STEP * max(lines)
    placed = []
    for number, count in enumerate(lines):
        x = 66 + STEP * np.arange(count) + random.uniform(-2, 2, count)
        y = 300 + number * pitch + slope * (x - reach / 2) + sag * np.sin(np.pi * x / reach)
        placed.append(np.stack([x, y + random.uniform(-2, 2, count)], axis=1))
    return placed


def assert_lines(expected: list[np.ndarray], seed: int = 0) -> list[TextLine]:
    """They are found in whatever order their digits come."""
    centres = np.random.default_rng(seed).permutation(np.concatenate(expected))
    found = find_text_lines(centres, HEIGHT)
    assert len(found) == len(expected)
    for line, own in zip(found, expected, strict=True):
        np.testing.assert_array_equal(centres[line.members], own)
        assert np.abs(np.polyval(line.baseline, own[:, 0]) - own[:, 1]).max() < 0.5 * HEIGHT
    return found


@settings(max_examples=60)
@given(
    lines=st.lists(st.integers(5, 14), min_size=1, max_size=5),
    degrees=st.floats(-15, 15),
    pitch=st.floats(1.9 * HEIGHT, 4 * HEIGHT),
    seed=st.integers(0, 1000),
)
def test_lines_at_any_slope(lines: list[int], degrees: float, pitch: float, seed: int):
    slope = float(np.tan(np.radians(degrees)))
    expected = middles(lines, slope, pitch, seed=seed)
    for line, own in zip(assert_lines(expected, seed), expected, strict=True):
        assert line.slope_at(float(own[:, 0].mean())) == pytest.approx(slope, abs=0.1)


@settings(max_examples=20)
@given(sag=st.floats(-10, 10), seed=st.integers(0, 1000))
def test_curved_lines(sag: float, seed: int):
    (first, *_) = assert_lines(middles([16, 16, 16], 0, 2.5 * HEIGHT, sag, seed), seed)
    left, right = (first.slope_at(66 + STEP * place) for place in (0, 15))
    if abs(sag) > 5:
        assert (left - right) * sag > 0


@settings(max_examples=20)
@given(factor=st.floats(0.2, 8), right=st.floats(-500, 500), down=st.floats(-500, 500))
def test_size_and_place_of_the_page_do_not_matter(factor: float, right: float, down: float):
    centres = np.concatenate(middles([9, 4, 12], 0.1, 2.2 * HEIGHT, 4))
    found = find_text_lines(factor * centres + (right, down), factor * HEIGHT)
    for line, other in zip(found, find_text_lines(centres, HEIGHT), strict=True):
        np.testing.assert_array_equal(line.members, other.members)


def test_a_line_of_one_digit_lies_level():
    (line,) = assert_lines(middles([1], 0, 50))
    assert line.slope_at(60) == pytest.approx(0, abs=0.05)


def test_a_digit_belongs_to_one_line_at_most():
    random = np.random.default_rng(0)
    for count in (1, 2, 40, 700):
        centres = random.uniform(10, 40 * count**0.5, (count, 2))
        lines = find_text_lines(centres, HEIGHT)
        members = [int(digit) for line in lines for digit in line.members]
        assert len(set(members)) == len(members) > 0.8 * count
        assert set(members) <= set(range(count))
        for line in lines:
            assert len(line.members)
            assert (np.diff(centres[line.members, 0]) >= 0).all()


def test_no_digits_no_lines():
    assert find_text_lines(np.zeros((0, 2)), HEIGHT) == []
