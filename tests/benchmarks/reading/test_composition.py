import re

import cv2
import numpy as np
import pytest

from benchmarks.reading.pages.composition import WrittenPage, make_page, rotate
from benchmarks.reading.pages.levels import LEVELS
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier, find_ink, normalise


def bars_and_rings() -> tuple[np.ndarray, np.ndarray]:
    """Two images that anybody can tell apart: a bar for 1, a ring for 0."""
    images = np.zeros((2, 28, 28), np.uint8)
    cv2.ellipse(images[0], (14, 14), (6, 9), 0, 0, 360, 255, 2)
    cv2.line(images[1], (14, 4), (14, 23), 255, 2)
    return images, np.array([0, 1], np.uint8)


def digits_in(page: WrittenPage) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Each digit and its box."""
    pairs = (zip(line.text.replace(" ", ""), line.boxes, strict=True) for line in page.lines)
    return [(int(digit), box) for line in pairs for digit, box in line]


@pytest.fixture(scope="module")
def pages(small: Dataset) -> dict[str, list[WrittenPage]]:
    """Two pages of each level."""
    images, labels = small.train.images, small.train.labels
    return {level: [make_page(images, labels, level, seed) for seed in range(2)] for level in LEVELS}


@pytest.mark.parametrize("level", LEVELS)
def test_a_seed_gives_a_page(small: Dataset, pages: dict[str, list[WrittenPage]], level: str):
    page, other = pages[level]
    again = make_page(small.train.images, small.train.labels, level, 0)
    np.testing.assert_array_equal(page.pixels, again.pixels)
    assert page.lines == again.lines
    assert page.lines != other.lines


@pytest.mark.parametrize("level", LEVELS)
def test_a_page_has_lines_of_digits_and_a_box_for_each(pages: dict[str, list[WrittenPage]], level: str):
    for page in pages[level]:
        height, width, channels = page.pixels.shape
        assert (page.pixels.dtype, channels) == (np.uint8, 3)
        assert LEVELS[level].min_pixels * 0.9 <= height * width <= LEVELS[level].max_pixels
        assert page.lines
        for line in page.lines:
            assert re.fullmatch(r"\d+( \d+)*", line.text)
            assert len(line.boxes) == len(line.text.replace(" ", ""))
            assert all(0 <= x < x + w <= width and 0 <= y < y + h <= height for x, y, w, h in line.boxes)


@pytest.mark.parametrize("level", LEVELS)
def test_only_digits_that_were_given_are_written(small: Dataset, level: str):
    sevens = small.train.labels == 7
    page = make_page(small.train.images[sevens], small.train.labels[sevens], level, 0)
    assert {digit for digit, _ in digits_in(page)} == {7}


def test_a_clean_page_shows_what_its_lines_say():
    for seed in range(4):
        page = make_page(*bars_and_rings(), "clean", seed)
        ink = (page.pixels.min(2) < 150).astype(np.uint8)
        _, parts, sizes, _ = cv2.connectedComponentsWithStats(ink)
        whole = {number for number in range(1, len(sizes)) if sizes[number, cv2.CC_STAT_AREA] > 12}
        boxed = []
        for digit, (x, y, width, height) in digits_in(page):
            inside = parts[y : y + height, x : x + width]
            number = np.bincount(inside[inside > 0]).argmax()
            boxed.append(number)
            outlines, _ = cv2.findContours((parts == number).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            assert len(outlines) == (2 if digit == 0 else 1)
            left, top, wide, tall = sizes[number][:4]
            np.testing.assert_allclose((x, y, x + width, y + height), (left, top, left + wide, top + tall), atol=3)
        assert sorted(boxed) == sorted(whole)


def test_a_clean_page_is_read_from_top_to_bottom_and_from_left_to_right(small: Dataset):
    page = make_page(small.train.images, small.train.labels, "clean", 1)
    middles = [np.mean([y + height / 2 for _, y, _, height in line.boxes]) for line in page.lines]
    assert middles == sorted(middles)
    for line in page.lines:
        lefts = [x for x, *_ in line.boxes]
        assert lefts == sorted(lefts)


@pytest.mark.parametrize(("level", "least"), [("clean", 0.95), ("everyday", 0.8), ("hard", 0.5)])
def test_the_boxes_hold_the_digits_that_the_lines_name(mnist: Dataset, level: str, least: float):
    classifier = Classifier()
    right = []
    for seed in range(3):
        page = make_page(mnist.validation.images, mnist.validation.labels, level, seed)
        ink = find_ink(page.pixels)
        found = digits_in(page)
        images = np.stack([normalise(ink[y : y + h, x : x + w]).image for _, (x, y, w, h) in found])
        right += (classifier.probabilities(images).argmax(1) == [digit for digit, _ in found]).tolist()
    assert np.mean(right) >= least


def test_spaces_stand_where_words_are_apart():
    for seed in range(4):
        page = make_page(*bars_and_rings(), "clean", seed)
        for line in page.lines:
            words = line.text.split()
            ends = np.cumsum([len(word) for word in words])[:-1]
            gaps = [right[0] - left[0] - left[2] for left, right in zip(line.boxes, line.boxes[1:], strict=False)]
            within = [gap for place, gap in enumerate(gaps, 1) if place not in ends]
            between = [gap for place, gap in enumerate(gaps, 1) if place in ends]
            assert not within or not between or min(between) > max(within)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_boxes_turn_with_the_page(small: Dataset, quarters: int):
    page = make_page(small.train.images, small.train.labels, "clean", 5)
    turned = rotate(page, quarters)
    assert [line.text for line in turned.lines] == [line.text for line in page.lines]
    for (_, before), (_, after) in zip(digits_in(page), digits_in(turned), strict=True):
        crops = [p.pixels[y : y + h, x : x + w] for p, (x, y, w, h) in ((page, before), (turned, after))]
        np.testing.assert_array_equal(np.rot90(crops[0], quarters), crops[1])
