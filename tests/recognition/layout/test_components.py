import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.small_pages import amid, inked
from mnist_digits.recognition.layout.components import (
    add_overlooked,
    find_components,
    ink_of_digits,
)

HEIGHT = 40
DIGITS = [(40, 60, 24, HEIGHT), (90, 62, 8, HEIGHT), (130, 58, 30, HEIGHT)]


@given(cells=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3))), seed=st.integers(0, 99))
def test_components_have_the_mean_of_their_digit_mask(cells: set[tuple[int, int]], seed: int):
    boxes = [(10 + 40 * i, 10 + 50 * j, 20, 30) for i, j in cells]
    ink, digit_mask = inked(*boxes, shape=(220, 220)), np.random.default_rng(seed).random((220, 220), np.float32)
    components = find_components(ink)
    assert len(components.sizes) == 1 + len(boxes)
    means = components.mean_mask(digit_mask)
    for x, y, width, height in boxes:
        window = np.s_[y : y + height, x : x + width]
        (number,) = np.unique(components.labels[window])
        assert tuple(components.sizes[number]) == (width, height)
        assert means[number] == pytest.approx(digit_mask[window].mean(), abs=1e-4)


@given(
    cells=st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 3)), st.sampled_from([0, 0.1, 0.7, 1]), min_size=1
    )
)
def test_ink_is_kept_where_the_digit_mask_is_high(cells: dict[tuple[int, int], float]):
    boxes = {(10 + 40 * i, 10 + 50 * j, 20, 30): digit_mask for (i, j), digit_mask in cells.items()}
    ink, digit_mask = inked(*boxes, shape=(220, 220)), np.zeros((220, 220), np.float32)
    for (x, y, width, height), value in boxes.items():
        digit_mask[y - 3 : y + height + 3, x - 3 : x + width + 3] = value
    expected = inked(*[box for box, value in boxes.items() if value > 0.5], shape=(220, 220))
    np.testing.assert_array_equal(ink_of_digits(ink, digit_mask), expected)


def test_strokes_come_back_from_a_line_where_digits_are():
    ink = inked((40, 60, 24, 40))
    lined = np.maximum(ink, inked((0, 75, 400, 2)))
    # The line runs through the digit, whose stroke there went with it.
    ink[75:77] = 0
    whole = inked((40, 60, 24, 40))
    np.testing.assert_array_equal(ink_of_digits(ink, whole, lined), whole)
    # Of what was removed more must be sure than of what was not.
    np.testing.assert_array_equal(ink_of_digits(ink, 0.4 * whole, lined), ink)
    assert not ink_of_digits(ink, np.zeros_like(ink), lined).any()


def test_what_is_overlooked_gets_a_detection_only_where_hardly_anything_is_no_digit():
    row = [(20 + 40 * i, 40, 24, 40) for i in range(8)]
    ink = inked(*row, (60, 150, 6, 40))
    components, detections = find_components(ink), amid(*row[:7])
    found = add_overlooked(detections, components, HEIGHT)
    # The last of the row; the line below might be anything.
    assert found.centres.tolist() == [*detections.centres.tolist(), [312, 60]]
    assert (found.scores[-1] == found.scores[-1, 0]).all()
    assert 0 < found.presence[-1] < 1
    assert add_overlooked(amid(*row[:5]), components, HEIGHT).centres.tolist() == amid(*row[:5]).centres.tolist()


def test_what_is_detected_is_a_digit_where_the_mask_leaves_little_of_it():
    # The last has a box of its own.
    x, y, width, height = DIGITS[-1]
    frame = [(x - 10, y - 8, width + 20, 2), (x - 10, y + height + 6, width + 20, 2)]
    frame += [(left, y - 8, 2, height + 16) for left in (x - 10, x + width + 8)]
    ink = inked(*DIGITS, *frame)
    digit_mask = np.zeros(ink.shape, np.float32)
    # Of the first nothing is in the mask, of the second its top, of the last all but its right.
    digit_mask[: 62 + HEIGHT // 3, 90:98] = 1
    digit_mask[:, 130:150] = 1
    components, detections = find_components(ink), amid(*DIGITS)
    found = components.boxes[components.are_masked_away(detections, digit_mask, HEIGHT)]
    assert sorted(map(tuple, found.tolist())) == DIGITS[:2]
    # Where nothing is detected, nothing is a digit.
    assert not components.are_masked_away(amid(DIGITS[-1]), digit_mask, HEIGHT).any()
