import cv2
import numpy as np
import pytest

from mnist_digits.dataset import Dataset, Split
from mnist_digits.training.synthesis.pages import CELL_PX, MAX_DIGITS_PER_PAGE, PAGE_PX, Pages, compose, compose_page


@pytest.fixture(scope="module")
def pages(mnist: Dataset) -> Pages:
    """Pages enough to hold all that is rare: empty ones, words alone, and pages that lie on a side."""
    random, split = np.random.default_rng(0), Split(mnist.train.images[:500], mnist.train.labels[:500])
    composed = [compose_page(split, random) for _ in range(60)]
    return Pages(*(np.stack(arrays) for arrays in zip(*composed, strict=True)))


def enlarged(digit_mask: np.ndarray) -> np.ndarray:
    return cv2.resize(digit_mask, (PAGE_PX, PAGE_PX), interpolation=cv2.INTER_NEAREST)


def test_pages_depend_on_their_digits_and_seed_alone(mnist: Dataset):
    split = Split(mnist.train.images[:100], mnist.train.labels[:100])
    first, again, other = (compose(split, 3, seed) for seed in (1, 1, 2))
    assert (first.ink.shape, first.ink.dtype) == ((3, PAGE_PX, PAGE_PX), np.uint8)
    side = PAGE_PX // CELL_PX
    assert (first.digit_mask.shape, first.digit_mask.dtype) == ((3, side, side), np.uint8)
    assert (first.digits.shape, first.digits.dtype) == ((3, MAX_DIGITS_PER_PAGE, 5), np.float32)
    for name in ("ink", "digit_mask", "digits"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.ink, other.ink)


def test_every_digit_is_on_the_page_where_the_mask_is(pages: Pages):
    labels = pages.digits[..., 0]
    assert set(np.unique(labels)) == {*range(-1, 10)}
    assert (labels >= 0).sum() > 300
    for mask, digits in zip(pages.digit_mask, pages.digits, strict=True):
        covered = enlarged(mask) > 20
        for _, x, y, width, height in digits[digits[:, 0] >= 0]:
            assert 0 < x < PAGE_PX
            assert 0 < y < PAGE_PX
            rows = slice(max(0, int(y - height / 2)), int(y + height / 2) + 1)
            columns = slice(max(0, int(x - width / 2)), int(x + width / 2) + 1)
            assert covered[rows, columns].any()


def test_where_the_mask_is_there_is_ink_and_there_is_other_ink_besides(pages: Pages):
    other_shares = []
    for ink, digit_mask in zip(pages.ink, pages.digit_mask, strict=True):
        mask = enlarged(digit_mask)
        if (mask > 128).any():
            assert ink[mask > 128].mean() > 100
        other_shares.append(float(ink[mask < 5].sum(dtype=float)) / max(float(ink.sum(dtype=float)), 1))
    assert min(other_shares) < 0.1
    assert max(other_shares) > 0.9


def test_some_pages_have_no_digits(pages: Pages):
    no_digits = (pages.digits[..., 0] < 0).all(axis=1) & (pages.digit_mask.max(axis=(1, 2)) < 40)
    # Pages of words alone, empty ones, and those that are turned.
    assert 2 <= no_digits.sum() < 30
    assert pages.ink[no_digits].any(axis=(1, 2)).any()
