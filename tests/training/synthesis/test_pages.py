import cv2
import numpy as np
import pytest

from mnist_digits.dataset import Dataset, Split
from mnist_digits.training.synthesis.documents import DOCUMENTS
from mnist_digits.training.synthesis.page import Page, WritingStyle
from mnist_digits.training.synthesis.pages import (
    MASK_PX,
    MAX_DIGITS_PER_PAGE,
    MIN_CELL_INK,
    OTHER,
    PAGE_PX,
    Pages,
    compose,
    compose_page,
)
from mnist_digits.training.synthesis.typefaces import KINDS, Typeface


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
    side = PAGE_PX // MASK_PX
    for plane in (first.digit_mask, first.owners):
        assert (plane.shape, plane.dtype) == ((3, side, side), np.uint8)
    assert (first.digits.shape, first.digits.dtype) == ((3, MAX_DIGITS_PER_PAGE, 5), np.float32)
    for name in ("ink", "lined_ink", "digit_mask", "owners", "digits"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.ink, other.ink)


def test_every_digit_is_on_the_page_where_the_mask_is(pages: Pages):
    labels = pages.digits[..., 0]
    assert set(np.unique(labels)) == {*range(-1, 10), OTHER}
    assert ((labels >= 0) & (labels < OTHER)).sum() > 300
    for mask, digits in zip(pages.digit_mask, pages.digits, strict=True):
        covered = enlarged(mask) > 20
        for _, x, y, width, height in digits[(digits[:, 0] >= 0) & (digits[:, 0] < OTHER)]:
            assert 0 < x < PAGE_PX
            assert 0 < y < PAGE_PX
            rows = slice(max(0, int(y - height / 2)), int(y + height / 2) + 1)
            columns = slice(max(0, int(x - width / 2)), int(x + width / 2) + 1)
            assert covered[rows, columns].any()


def test_ink_is_owned_by_the_digit_in_whose_box_it_lies(pages: Pages):
    inside, count = 0, 0
    for owners, digits in zip(pages.owners, pages.digits, strict=True):
        rows, columns = np.nonzero(owners)
        label, x, y, width, height = digits[owners[rows, columns].astype(int) - 1].T
        assert ((label >= 0) & (label < OTHER)).all()
        away = [np.abs(MASK_PX * (cells + 0.5) - centre) for cells, centre in ((columns, x), (rows, y))]
        inside += int(((away[0] <= width / 2 + MASK_PX) & (away[1] <= height / 2 + MASK_PX)).sum())
        count += len(rows)
    # A perspective's box is of the middles of the sides; corners may reach beyond.
    assert inside > 0.99 * count > 20_000
    owned = pages.owners > 0
    assert pages.digit_mask[owned].mean() > 3 * pages.digit_mask[~owned].mean()


def test_where_the_mask_is_there_is_ink_and_there_is_other_ink_besides(pages: Pages):
    other_shares, means = [], []
    for lined, digit_mask in zip(pages.lined_ink, pages.digit_mask, strict=True):
        mask = enlarged(digit_mask)
        if (mask > 230).sum() > 1000:
            means.append(lined[mask > 230].mean())
            # Thin strokes fill little of a cell.
            assert means[-1] > 255 * MIN_CELL_INK / 2
        other_shares.append(float(lined[mask < 5].sum(dtype=float)) / max(float(lined.sum(dtype=float)), 1))
    assert np.median(means) > 20
    assert min(other_shares) < 0.1
    assert max(other_shares) > 0.9


def test_lines_that_were_removed_are_shown_beside_the_ink(pages: Pages):
    removed = (pages.lined_ink.astype(int) - pages.ink).clip(0)
    ruled = (removed > 128).mean(axis=(1, 2)) > 0.005
    assert 3 < ruled.sum() < len(pages) - 3
    # They are lines, and no digits; most pages are of ink alone.
    assert enlarged(np.median(pages.digit_mask[ruled], axis=0)).mean() < 128
    assert (pages.ink == pages.lined_ink).all(axis=(1, 2)).sum() > len(pages) / 4


def test_some_pages_have_no_digits(pages: Pages):
    labels = pages.digits[..., 0]
    no_digits = ((labels < 0) | (labels == OTHER)).all(axis=1) & (pages.digit_mask.max(axis=(1, 2)) < 40)
    # Pages of words alone, empty ones, and those that are turned.
    assert 2 <= no_digits.sum() < 30
    assert pages.ink[no_digits].any(axis=(1, 2)).any()


@pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda kind: kind.__name__)
def test_every_kind_of_document_holds_digits_that_lie_in_their_ink(mnist: Dataset, kind):
    random, split = np.random.default_rng(2), Split(mnist.train.images[:500], mnist.train.labels[:500])
    for _ in range(3):
        page = Page(random)
        kind(page, WritingStyle.draw(random), split)
        digits = [mark for mark in page.digits if mark.label != OTHER]
        if digits:
            break
    assert digits
    assert {digit.label for digit in digits} <= set(range(10))
    for digit in digits:
        rows = slice(max(0, int(digit.y - digit.height / 2)), int(digit.y + digit.height / 2) + 1)
        columns = slice(max(0, int(digit.x - digit.width / 2)), int(digit.x + digit.width / 2) + 1)
        assert page.digit_ink[rows, columns].max() > 0.3
    # Lines, letters and signs are no ink of digits.
    others = page.digit_ink.copy()
    for digit in digits:
        reach = (digit.height / 2 + 2, digit.width / 2 + 2)
        top, left = (max(0, int(place - half)) for place, half in zip((digit.y, digit.x), reach, strict=True))
        others[top : int(digit.y + reach[0]) + 1, left : int(digit.x + reach[1]) + 1] = 0
    assert (others > 0.3).mean() < 0.02


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_printed_digits_are_ten_different_shapes_of_the_height_asked_for(kind: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mnist_digits.training.synthesis.typefaces.KIND_SHARES", np.eye(len(KINDS))[kind])
    typeface = Typeface.choose(np.random.default_rng(0))
    drawn = [typeface.draw(digit, 30) for digit in range(10)]
    assert max(len(ink) for ink in drawn) == 30
    assert all(ink.min() >= 0 and 0.35 < ink.max() < 1.001 for ink in drawn)
    images = [cv2.resize(ink, (20, 30)) for ink in drawn]
    apart = [np.abs(one - other).mean() for one in images for other in images if one is not other]
    assert min(apart) > 0.03
