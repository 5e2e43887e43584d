import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays

from mnist_digits.dataset import Dataset
from mnist_digits.recognition import find_ink, normalise, prepare_digit
from mnist_digits.recognition.preprocessing.single_digit import plain_view


def test_the_network_sees_the_ink_and_the_picture_beside_it(small: Dataset):
    picture = small.test.images[0]
    prepared = prepare_digit(picture)
    np.testing.assert_array_equal(prepared.image, normalise(find_ink(picture)).image)
    np.testing.assert_array_equal(prepared.plain, picture)


def test_a_huge_picture_gives_the_digit_and_its_box_in_a_second(small: Dataset):
    digit = cv2.resize(255 - small.test.images[0], (1500, 1500), interpolation=cv2.INTER_CUBIC)
    picture = np.full((7001, 6997), 255, np.uint8)
    picture[4000:5500, 3000:4500] = digit
    start = time.process_time()
    prepared = prepare_digit(picture)
    assert time.process_time() - start < 2
    expected = normalise(find_ink(picture))
    # A centre of mass between two pixels may be rounded to either.
    shifted = [np.roll(prepared.image, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    assert min(np.abs(one.astype(int) - expected.image).mean() for one in shifted) < 2
    np.testing.assert_allclose(prepared.box, expected.box, atol=8)


def test_a_picture_and_its_negative_have_the_same_plain_view(small: Dataset):
    for picture in small.test.images[:20]:
        large = cv2.resize(picture, (90, 90), interpolation=cv2.INTER_CUBIC)
        view, negative = plain_view(large), plain_view(255 - large)
        assert view is not None
        assert negative is not None
        assert np.abs(view.astype(int) - negative).max() <= 1
        assert np.median(view) < 128


@pytest.mark.parametrize(
    ("shape", "seen"), [((28, 28), True), ((300, 280, 3), True), ((28, 90), False), ((90, 28), False), ((5, 5), False)]
)
def test_a_picture_of_more_than_a_digit_has_no_plain_view(shape: tuple[int, ...], seen: bool):
    picture = np.zeros(shape, np.uint8)
    picture[1:4, 1:4] = 255
    assert (plain_view(picture) is not None) == (seen and shape[0] < 100)


def test_nothing_is_seen_on_empty_paper():
    assert plain_view(np.full((60, 60), 200, np.uint8)) is None


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=60)))
def test_any_picture_gives_a_view_of_28_pixels_or_none(picture: np.ndarray):
    view = plain_view(picture)
    assert view is None or (view.dtype == np.uint8 and view.shape == (28, 28))
