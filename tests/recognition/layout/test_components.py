import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.small_pages import amid, inked
from mnist_digits.recognition.layout.components import (
    add_overlooked,
    find_components,
    ink_of_digits,
    typical_heights,
)

HEIGHT = 40
DIGITS = [(40, 60, 24, HEIGHT), (90, 62, 8, HEIGHT), (130, 58, 30, HEIGHT)]


def heights(ink: np.ndarray) -> list[float]:
    return typical_heights(find_components(ink).sizes[1:])


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
    np.testing.assert_array_equal(ink_of_digits(ink, ink, digit_mask), expected)


def test_strokes_come_back_from_a_line_where_digits_are():
    ink = inked((40, 60, 24, 40))
    lined = np.maximum(ink, inked((0, 75, 400, 2)))
    # The line runs through the digit, whose stroke there went with it.
    ink[75:77] = 0
    whole = inked((40, 60, 24, 40))
    np.testing.assert_array_equal(ink_of_digits(ink, lined, whole), whole)
    # Of what was removed more must be sure than of what was not.
    np.testing.assert_array_equal(ink_of_digits(ink, lined, 0.4 * whole), ink)
    assert not ink_of_digits(ink, lined, np.zeros_like(ink)).any()


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
    ink = inked(*DIGITS)
    digit_mask = np.zeros(ink.shape, np.float32)
    # Of the last, two thirds are in the mask; of the others nothing.
    digit_mask[:, 130:150] = 1
    components = find_components(ink)
    order = [DIGITS.index(tuple(map(int, box))) for box in components.boxes[1:]]
    assert components.are_unmasked(digit_mask)[1:].tolist() == [number < 2 for number in order]


@given(
    height=st.integers(8, 80), count=st.integers(1, 12), specks=st.integers(0, 60), right=st.integers(0, 30),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_writing_is_as_high_as_most_of_it(height: int, count: int, specks: int, right: int, seed: int):
    ink = inked(*[(right + 60 * number, 60, max(3, height // 2), height) for number in range(count)], shape=(200, 760))
    random = np.random.default_rng(seed)
    for x, y in random.integers(0, (750, 50), (specks, 2)):
        ink[y : y + 2, x : x + 2] = 1
    assert heights(ink) == [height]


def test_two_guesses_where_a_blot_weighs_more_than_the_writing():
    digits = [(10 + 30 * i, 10 + 40 * j, 10, 20) for i in range(12) for j in range(5)]
    assert heights(inked(*digits, (60, 220, 150, 200), shape=(430, 400))) == [200, 20]
    # A ruled line is too long for a digit.
    assert heights(inked(*digits, (0, 250, 400, 4), shape=(430, 400))) == [20]


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (40, 50)])
def test_a_height_of_any_ink(shape: tuple[int, int]):
    for value in (0, 1):
        (height,) = heights(np.full(shape, value, np.float32))
        assert height == max(6, value * shape[0])
