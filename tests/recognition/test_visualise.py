import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from helpers.small_pages import SmallPage, write_page
from mnist_digits.recognition import Page, Reader, Reading, visualise
from mnist_digits.recognition.results import Digit, Line


@pytest.fixture(scope="module")
def page(sure: list[list[np.ndarray]]) -> SmallPage:
    return write_page(sure, ["3141", "59"])


@pytest.fixture(scope="module")
def reading(reader: Reader, page: SmallPage) -> Reading:
    return reader.follow(page.pixels())


def with_confidence(page: Page, confidence: float) -> Page:
    lines = (tuple(replace(digit, confidence=confidence) for digit in line.digits) for line in page.lines)
    return replace(page, lines=tuple(Line((digits,)) for digits in lines))


def changed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one != other).any(axis=2)


def test_a_box_around_each_digit(page: SmallPage, reading: Reading):
    pixels = page.pixels()
    before = pixels.copy()
    drawn = visualise.annotate(pixels, reading.to_page())
    np.testing.assert_array_equal(pixels, before)
    assert drawn.shape == pixels.shape
    assert drawn.dtype == np.uint8
    differs = changed(drawn, pixels)
    for x, y, width, height in page.boxes:
        # The box stands clear of the ink that it shows.
        for side in (np.s_[y : y + height, x - 6 : x], np.s_[y : y + height, x + width : x + width + 6]):
            assert differs[side].any(axis=1).all()
        for side in (np.s_[y - 6 : y, x : x + width], np.s_[y + height : y + height + 6, x : x + width]):
            assert differs[side].any(axis=0).all()
        assert differs[y + 3 : y + height - 3, x + 3 : x + width - 3].mean() < 0.02


def test_uncertain_digits_have_another_colour(page: SmallPage, reading: Reading):
    pixels, found = page.pixels(), reading.to_page()
    sure, unsure = (visualise.annotate(pixels, with_confidence(found, confidence)) for confidence in (0.999, 0.3))
    np.testing.assert_array_equal(changed(sure, pixels), changed(unsure, pixels))
    boxes = changed(sure, unsure)
    assert boxes.sum() > 0.9 * changed(sure, pixels).sum()
    assert not {tuple(colour) for colour in sure[boxes]} & {tuple(colour) for colour in unsure[boxes]}


def test_grey_pictures_and_digits_at_the_border():
    digit = Digit(7, 0.5, (0, 0, 3, 4), np.full(10, 0.1, np.float32), np.zeros((28, 28), np.uint8))
    page = Page((Line(((digit,),)),), None)
    for shape in ((4, 3), (1, 1), (40, 30)):
        assert visualise.annotate(np.zeros(shape, np.uint8), page).shape == (*shape, 3)
    plain = visualise.annotate(np.full((5, 6), 9, np.uint8), Page((), "blank"))
    assert (plain == 9).all()


def test_stages_are_pictures_in_order(page: SmallPage, reading: Reading):
    pixels = page.pixels()
    made = visualise.stages(pixels, reading)
    assert list(made) == sorted(made)
    assert [int(name.split("-")[0]) for name in made] == list(range(1, 1 + len(made)))
    for picture in made.values():
        assert picture.dtype == np.uint8
        assert picture.ndim == 2 or picture.shape[2] == 3
    np.testing.assert_array_equal(made["1-picture"], pixels)
    ink = made["3-ink"]
    assert ink[page.mask].mean() < 60
    assert ink[~page.mask].mean() > 240
    colours = made["5-strokes"]
    assert len({tuple(np.median(colours[page.labels == label], axis=0)) for label in range(1, 7)}) == 6
    np.testing.assert_array_equal(list(made.values())[-1], visualise.annotate(pixels, reading.to_page()))


@pytest.mark.parametrize("pixels", [np.full((1, 1), 9, np.uint8), np.full((90, 80, 3), 200, np.uint8)])
def test_a_blank_page_has_stages_too(reader: Reader, pixels: np.ndarray):
    made = visualise.stages(pixels, reader.follow(pixels))
    assert all(picture.dtype == np.uint8 and picture.size for picture in made.values())


def test_a_png_is_what_was_drawn():
    random = np.random.default_rng(0)
    for shape in ((5, 7), (5, 7, 3)):
        picture = random.integers(0, 256, shape, np.uint8)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(visualise.as_png(picture)))), picture)
