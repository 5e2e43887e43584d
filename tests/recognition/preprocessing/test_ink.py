import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pictures import paper, photographed, strokes, written
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import find_ink
from mnist_digits.recognition.preprocessing import ink as ink_module
from mnist_digits.recognition.preprocessing.ink import equalise_ink, find_ink_and_lines

SIDE = 200
Random = np.random.Generator


def shaded(sheet: np.ndarray) -> np.ndarray:
    """Light that falls to half across the picture, and a shadow with a hard slanting edge."""
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    light = np.linspace(1, 0.5, SIDE)[:, None] * np.where(x + 0.4 * y > 130, 0.55, 1)
    return sheet * light[..., None]


def ruled(sheet: np.ndarray, pitch: int, colour: tuple[int, int, int], both: bool, slope: float = 0.04) -> np.ndarray:
    lines = np.zeros((SIDE, SIDE), np.uint8)
    for start in range(-SIDE, 2 * SIDE, pitch):
        ends = np.array([[-SIDE, start - slope * SIDE], [2 * SIDE, start + 2 * slope * SIDE]])
        for points in (ends, (ends * (1, -1))[:, ::-1] + (0, SIDE)) if both else (ends,):
            cv2.polylines(lines, [np.rint(points).astype(np.int32)], False, 1, 1)
    return np.where(lines[..., None] > 0, np.float32(colour), sheet)


PICTURES: dict[str, Callable[[np.ndarray, Random], np.ndarray]] = {
    "dark on light": lambda mask, r: written(paper(r, SIDE), mask),
    "light on dark": lambda mask, r: written(paper(r, SIDE, (40, 60, 50)), mask, (225, 225, 220)),
    "light on dark in shadow": lambda mask, r: shaded(written(paper(r, SIDE, (70, 70, 75)), mask, (240, 240, 240))),
    "shadow": lambda mask, r: shaded(written(paper(r, SIDE), mask)),
    "blue pen on yellow": lambda mask, r: written(paper(r, SIDE, (240, 225, 90)), mask, (30, 60, 130)),
    "red pen": lambda mask, r: written(paper(r, SIDE), mask, (215, 60, 60)),
    "yellow pen": lambda mask, r: written(paper(r, SIDE), mask, (245, 225, 40)),
    "pencil": lambda mask, r: written(paper(r, SIDE), mask, (150, 150, 152)),
    "ruled paper": lambda mask, r: written(ruled(paper(r, SIDE), 40, (150, 170, 215), False), mask),
    "squared paper": lambda mask, r: written(ruled(paper(r, SIDE), 30, (160, 180, 215), True), mask),
    "darkly squared paper": lambda mask, r: written(ruled(paper(r, SIDE), 40, (90, 95, 110), True), mask),
    "noise": lambda mask, r: written(paper(r, SIDE), mask) + r.normal(0, 15, (SIDE, SIDE, 1)),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_ink_is_where_the_pen_went(mnist: Dataset, kind: str):
    random = np.random.default_rng(0)
    for image in mnist.train.images[:6]:
        mask = strokes(image, SIDE)
        ink = find_ink(photographed(PICTURES[kind](mask, random)))
        assert ink.shape == mask.shape
        assert ink.dtype == np.float32
        found = ink > 0.5
        assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.95


@pytest.mark.parametrize("kept", [0.6, 0.8])
def test_a_desk_in_view_makes_no_ink_of_a_shadow(mnist: Dataset, kept: float):
    random = np.random.default_rng(0)
    mask = np.hstack(
        [np.vstack([strokes(image, 80) for image in mnist.train.images[i : i + 4]]) for i in range(0, 12, 4)]
    )
    mask = np.pad(mask, ((20, 60), (40, 40)))
    sheet = written(random.normal(235, 2, (*mask.shape, 3)).astype(np.float32), mask)
    sheet[-45:] = random.normal(60, 2, (45, mask.shape[1], 1))
    shade = np.where(np.abs(np.arange(mask.shape[1]) - 200) < 60, kept, 1).astype(np.float32)[None]
    found = find_ink(photographed(sheet * cv2.GaussianBlur(shade, (0, 0), 6)[..., None]))[:-50] > 0.5
    assert 2 * (found & mask[:-50]).sum() / (found.sum() + mask[:-50].sum()) > 0.9


@pytest.mark.parametrize("chalk", [90, 110, 130])
@pytest.mark.parametrize("noise", [3, 6, 9])
def test_chalk_is_found_in_the_noise_of_a_dark_picture(mnist: Dataset, chalk: int, noise: float):
    random = np.random.default_rng(0)
    for image in mnist.train.images[:4]:
        mask = strokes(image, SIDE)
        board = written(paper(random, SIDE, (38, 38, 42)), mask, (chalk, chalk, chalk))
        found = find_ink(photographed(board + random.normal(0, noise, (SIDE, SIDE, 1)))) > 0.5
        assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.85


@pytest.mark.parametrize("kind", PICTURES)
def test_strokes_are_whole(mnist: Dataset, kind: str):
    mask = strokes(mnist.train.images[1], SIDE)
    ink = find_ink(photographed(PICTURES[kind](mask, np.random.default_rng(1))))
    areas = cv2.connectedComponentsWithStats((ink > 0.5).astype(np.uint8))[2][1:, 4]
    assert (areas > 0.02 * mask.sum()).sum() == 1


@pytest.mark.parametrize(
    "sheet",
    [
        lambda r: np.full((SIDE, SIDE), 255, np.uint8),
        lambda r: np.zeros((SIDE, SIDE, 3), np.uint8),
        lambda r: paper(r, SIDE),
        lambda r: paper(r, SIDE) * np.linspace(1, 0.7, SIDE)[:, None, None],
        lambda r: paper(r, SIDE) + r.normal(0, 15, (SIDE, SIDE, 1)),
        lambda r: ruled(paper(r, SIDE), 40, (150, 170, 215), False),
        # So steep that many lines only cut off a corner.
        lambda r: ruled(paper(r, SIDE), 25, (150, 170, 215), True, slope=0.5),
    ],
)
def test_empty_paper_has_no_ink(sheet: Callable[[Random], np.ndarray]):
    assert not find_ink(photographed(sheet(np.random.default_rng(0)))).any()


def test_mnist_images_are_ink_already(mnist: Dataset):
    for image in mnist.train.images[:100]:
        # The typical stroke becomes 1, and that is seldom the very darkest value.
        np.testing.assert_allclose(find_ink(image), image / 255, atol=0.1)


def test_the_ink_with_its_lines_is_that_without_them_and_the_lines(mnist: Dataset):
    mask = strokes(mnist.train.images[1], SIDE)
    sheet = written(ruled(paper(np.random.default_rng(0), SIDE), 40, (150, 170, 215), False), mask)
    ink, lined = find_ink_and_lines(photographed(sheet))
    np.testing.assert_array_equal(ink, find_ink(photographed(sheet)))
    # Both are on one scale, and a line is nowhere darker than what was there before.
    assert (lined >= ink).all()
    removed = (lined - ink) > 0.2
    assert removed.mean() > 0.01
    assert not (removed & cv2.erode(mask.astype(np.uint8), np.ones((3, 3))).astype(bool)).any()
    # Where nothing is removed, nothing is made twice.
    plain, same = find_ink_and_lines(photographed(written(paper(np.random.default_rng(0), SIDE), mask)))
    assert plain is same


def test_hair_lines_and_markers():
    picture = np.full((300, 300), 255, np.uint8)
    cv2.circle(picture, (150, 150), 90, 0, 1)
    np.testing.assert_array_equal(find_ink(picture) > 0.5, picture == 0)
    cv2.circle(picture, (150, 150), 90, 0, 60)
    assert (picture == 0).mean() > 1 / 3
    np.testing.assert_array_equal(find_ink(picture) > 0.5, picture == 0)


def test_table_around_the_page_is_no_ink(mnist: Dataset):
    random = np.random.default_rng(0)
    sheet = written(paper(random, SIDE), strokes(mnist.train.images[0], SIDE))
    sheet[:8] = sheet[:, :5] = 40
    ink = find_ink(photographed(sheet))
    assert ink[:10].max() == ink[:, :6].max() == 0
    assert ink.max() == 1


def test_page_of_many_digits(mnist: Dataset):
    random = np.random.default_rng(0)
    mask = np.vstack(
        [np.hstack([strokes(image, 40) for image in row]) for row in mnist.train.images[:400].reshape(20, 20, 28, 28)]
    )
    page = written(paper(random, 800), mask) * np.linspace(1, 0.6, 800)[None, :, None]
    found = find_ink(photographed(page)) > 0.5
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.93


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 3), (64, 3000), (70, 70, 3)])
def test_any_shape_and_content(shape: tuple[int, ...]):
    random = np.random.default_rng(0)
    for pixels in (random.integers(0, 256, shape, np.uint8), np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)):
        ink = find_ink(pixels)
        assert ink.shape == shape[:2]
        assert 0 <= ink.min() <= ink.max() <= 1
        assert ink.dtype == np.float32


def test_pens_of_any_strength_are_evened(mnist: Dataset):
    masks = np.stack([np.pad(strokes(image, 100), 80) for image in mnist.train.images[:3]])
    strengths = np.float32([1, 0.7, 0.45])
    ink = np.hstack(masks.astype(np.float32) * strengths[:, None, None])
    before = ink.copy()
    found = equalise_ink(ink)
    np.testing.assert_array_equal(ink, before)
    np.testing.assert_allclose(found, np.hstack(masks), atol=0.02)


def test_evening_keeps_paper_and_what_is_hardly_ink():
    ink = np.zeros((300, 400), np.float32)
    ink[100:120, 100:200] = 0.05
    found = equalise_ink(ink)
    np.testing.assert_array_equal(found > 0, ink > 0)
    assert found.max() < 0.35


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (40, 20_000), (3, 700)])
def test_ink_of_any_shape_is_evened(shape: tuple[int, int]):
    ink = np.random.default_rng(0).random(shape, np.float32)
    found = equalise_ink(ink)
    assert found.shape == shape
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    assert (found >= ink - 1e-6).all()


def test_time_is_bounded(mnist: Dataset):
    random = np.random.default_rng(0)
    specks = np.full((1000, 1000), 255, np.uint8)
    specks[tuple(random.integers(0, 1000, (2, 10_000)))] = 0
    start = time.process_time()
    find_ink(specks)
    find_ink(random.integers(0, 256, (1000, 1000), np.uint8))
    assert time.process_time() - start < 2


def inks_of_any_picture(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is found where a drawing is looked at as if it were a photo."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ink_module, "_drawn_ink", lambda _: None)
        return find_ink_and_lines(pixels)


@st.composite
def drawings(draw: st.DrawFn) -> np.ndarray:
    """Strokes of one or two pens on even ground, with hard or soft edges; lines across; frames; labels in reverse."""
    height, width = draw(st.integers(20, 520)), draw(st.integers(20, 520))
    shorter = min(height, width)
    ground, level = draw(st.sampled_from([(255, 0), (0, 255), (240, 60), (30, 220), (255, 140), (100, 180)]))
    picture = np.full((height, width), ground, np.uint8)
    margin = draw(st.sampled_from([0, 2, shorter // 8, shorter // 4]))
    points = st.tuples(st.integers(margin, width - 1 - margin), st.integers(margin, height - 1 - margin))
    for _ in range(draw(st.integers(0, 4))):
        path = np.array(draw(st.lists(points, min_size=1, max_size=8)), np.int32)
        pen = draw(st.sampled_from([level, (level + ground) // 2]))
        thick = draw(st.sampled_from([1, 2, 5, max(1, shorter // 12), max(1, shorter // 5)]))
        line = draw(st.sampled_from([cv2.LINE_8, cv2.LINE_AA]))
        cv2.polylines(picture, [path], draw(st.booleans()), pen, thick, line)
    for row in draw(st.lists(st.integers(0, height - 1), max_size=8)):
        cv2.line(picture, (margin, row), (width - 1 - margin, row), (level + 3 * ground) // 4, 1)
    if draw(st.booleans()):
        top, left = (side // draw(st.integers(3, 6)) for side in (height, width))
        cv2.rectangle(picture, (left, top), (width - left, height - top), level, draw(st.sampled_from([1, 4, -1])))
        end = (width // 2, height - top - 3)
        cv2.line(picture, (width // 2, top + 3), end, ground, draw(st.sampled_from([2, max(1, shorter // 10)])))
    soft = draw(st.sampled_from([0.0, 0.6, shorter / 40 + 0.1]))
    picture = cv2.GaussianBlur(picture, (0, 0), soft) if soft else picture
    return np.dstack([picture] * 3) if draw(st.booleans()) else picture


@settings(max_examples=60)
@given(drawings())
def test_the_ink_of_a_drawing_is_found_quickly_and_is_the_same(picture: np.ndarray):
    for found, expected in zip(find_ink_and_lines(picture), inks_of_any_picture(picture), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_digits_on_even_ground_are_taken_for_drawings(mnist: Dataset):
    taken, count = 0, 40
    for image in mnist.train.images[:count]:
        for side in (28, 280, 448):
            large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
            for picture in (large, 255 - large):
                drawn = ink_module._drawn_ink(picture)
                taken += drawn is not None
                if drawn is not None:
                    np.testing.assert_array_equal(drawn, inks_of_any_picture(picture))
    assert taken > 0.9 * 6 * count
