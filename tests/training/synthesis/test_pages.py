import cv2
import numpy as np
import pytest

from mnist_digits.dataset import Dataset, Split
from mnist_digits.training.synthesis.pages import CELL, MOST_DIGITS, SIDE, Sheets, compose, compose_one


@pytest.fixture(scope="module")
def sheets(mnist: Dataset) -> Sheets:
    random = np.random.default_rng(0)
    composed = [compose_one(mnist.train.images[:500], mnist.train.labels[:500], random) for _ in range(40)]
    return Sheets(*(np.stack(arrays) for arrays in zip(*composed, strict=True)))


def enlarged(cover: np.ndarray) -> np.ndarray:
    return cv2.resize(cover, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)


def test_sheets_depend_on_their_digits_and_seed_alone(mnist: Dataset):
    split = Split(mnist.train.images[:100], mnist.train.labels[:100])
    first, again, other = (compose(split, 3, seed) for seed in (1, 1, 2))
    assert (first.ink.shape, first.ink.dtype) == ((3, SIDE, SIDE), np.uint8)
    assert (first.cover.shape, first.cover.dtype) == ((3, SIDE // CELL, SIDE // CELL), np.uint8)
    assert (first.digits.shape, first.digits.dtype) == ((3, MOST_DIGITS, 5), np.float32)
    for name in ("ink", "cover", "digits"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.ink, other.ink)


def test_every_digit_is_told_with_its_place(sheets: Sheets):
    labels = sheets.digits[..., 0]
    assert set(np.unique(labels)) == {*range(-1, 10)}
    found = 0
    for cover, digits in zip(sheets.cover, sheets.digits, strict=True):
        mask = enlarged(cover) > 20
        for label, x, y, width, height in digits:
            if label < 0:
                continue
            found += 1
            assert 0 < x < SIDE
            assert 0 < y < SIDE
            here = np.s_[
                max(0, int(y - height / 2)) : int(y + height / 2) + 1,
                max(0, int(x - width / 2)) : int(x + width / 2) + 1,
            ]
            assert mask[here].any()
    assert found > 300


def test_where_digits_cover_a_sheet_there_is_ink_and_there_is_other_ink_besides(sheets: Sheets):
    shares = []
    for ink, cover in zip(sheets.ink, sheets.cover, strict=True):
        mask = enlarged(cover)
        if (mask > 128).any():
            assert ink[mask > 128].mean() > 100
        shares.append(float(ink[mask < 5].sum(dtype=float)) / max(float(ink.sum(dtype=float)), 1))
    assert min(shares) < 0.1
    assert max(shares) > 0.9


def test_what_lies_on_its_side_is_no_digit(mnist: Dataset):
    # Sheets of words alone, of nothing, and turned ones have no digits.
    random = np.random.default_rng(5)
    empty = 0
    for _ in range(60):
        _, cover, digits = compose_one(mnist.train.images[:300], mnist.train.labels[:300], random)
        empty += int((digits[:, 0] < 0).all() and cover.max() < 40)
    assert 2 <= empty < 30
