"""Damaged pictures: what each kind may do to a drawing, and that the digit can still be read."""

import cv2
import numpy as np
import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier
from mnist_digits.training.synthesis.damage import KINDS, MAX_ERASED, SIDES_PX, damage
from mnist_digits.training.synthesis.drawing import enlarge

BY_NAME = {kind.__name__.strip("_"): kind for kind in KINDS}


def drawing(mnist: Dataset, number: int, side: int = 28) -> np.ndarray:
    return cv2.resize(enlarge(mnist.validation.images[number]), (side, side), interpolation=cv2.INTER_AREA)


def test_pictures_depend_on_the_numbers_alone_and_have_several_sizes_and_both_polarities(mnist: Dataset):
    inks = [enlarge(image) for image in mnist.validation.images[:60]]
    first, again = (
        [damage(ink, random)[0] for ink in inks] for random in (np.random.default_rng(3), np.random.default_rng(3))
    )
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.uint8
        assert one.shape == (len(one), len(one))
        assert SIDES_PX[0] <= len(one) <= SIDES_PX[1]
    assert len({len(one) for one in first}) > 10
    assert 10 < sum(np.median(one) > 127 for one in first) < 50


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("side", SIDES_PX)
def test_every_kind_keeps_the_size_and_changes_most_drawings(name: str, side: int, mnist: Dataset):
    random, changed = np.random.default_rng(1), 0
    for number in range(20):
        before = drawing(mnist, number, side)
        after = BY_NAME[name](before.copy(), random)
        assert after.shape == before.shape
        assert np.isfinite(after).all()
        changed += not np.allclose(after, before, atol=0.02)
    assert changed >= 8


@pytest.mark.parametrize("name", BY_NAME)
def test_no_kind_fails_without_ink(name: str):
    random = np.random.default_rng(0)
    for _ in range(5):
        assert np.isfinite(BY_NAME[name](np.zeros((28, 28), np.float32), random)).all()


def test_a_line_across_hides_nothing_and_reaches_from_side_to_side(mnist: Dataset):
    random = np.random.default_rng(5)
    for number in range(30):
        before = drawing(mnist, number)
        after = BY_NAME["crossed"](before, random)
        assert (after >= before).all()
        rows, columns = np.nonzero(after > before + 0.1)
        assert max(np.ptp(rows), np.ptp(columns)) > 0.4 * 28


def test_a_band_is_a_negative_and_the_rest_is_as_it_was(mnist: Dataset):
    random = np.random.default_rng(6)
    for number in range(20):
        before = drawing(mnist, number)
        after = BY_NAME["striped"](before, random)
        assert (np.isclose(after, before) | np.isclose(after, 1 - before)).all()
        assert 0 < np.mean(~np.isclose(after, before)) < 0.95


def test_patches_leave_most_of_the_strokes(mnist: Dataset):
    random = np.random.default_rng(7)
    for number in range(40):
        before = drawing(mnist, number)
        left = np.minimum(BY_NAME["patched"](before, random), before)
        assert left.sum() >= (1 - MAX_ERASED) * before.sum() - 1e-3


def test_most_damaged_digits_can_still_be_read(mnist: Dataset):
    random, count = np.random.default_rng(8), 150
    pictures = [damage(enlarge(image), random)[0] for image in mnist.validation.images[:count]]
    read = np.array([one.probabilities.argmax() for one in Classifier().classify_many(pictures)])
    assert (read == mnist.validation.labels[:count]).mean() > 0.7


def test_the_digits_own_ink_is_told_apart_from_the_damage(mnist: Dataset):
    random, unmoved = np.random.default_rng(9), 0
    for image in mnist.validation.images[:60]:
        picture, own = damage(enlarge(image), random)
        assert own.shape == picture.shape
        assert 0 <= own.min() <= own.max() < 1.001
        plain = cv2.resize(enlarge(image), own.shape, interpolation=cv2.INTER_AREA)
        unmoved += np.allclose(own, plain, atol=0.01)
    # Two kinds in nine move the strokes.
    assert 30 < unmoved < 58
