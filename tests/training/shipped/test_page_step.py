import cv2
import keras
import numpy as np
import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.training.shipped import page_step
from mnist_digits.training.synthesis.pages import CELL_PX, MASK_PX, MAX_DIGITS_PER_PAGE, OTHER, PAGE_PX, compose_page

CELLS, PARTS = PAGE_PX // CELL_PX, PAGE_PX // MASK_PX
Page = tuple[np.ndarray, ...]


@pytest.fixture(scope="module")
def pages(mnist: Dataset) -> Page:
    random = np.random.default_rng(0)
    composed = [compose_page(mnist.train, random) for _ in range(2)]
    return tuple(np.stack(arrays) for arrays in zip(*composed, strict=True))


def table(*digits: tuple[float, ...]) -> np.ndarray:
    rows = np.full((1, MAX_DIGITS_PER_PAGE, 5), -1, np.float32)
    for row, digit in zip(rows[0], digits, strict=False):
        row[:] = digit
    return rows


def targets(planes: np.ndarray, mask: np.ndarray, owners: np.ndarray, digits: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(page_step.targets(planes, mask, owners, digits))


def parts_of(target: np.ndarray, first: int) -> np.ndarray:
    """A plane of the digit mask's cells, (n, PARTS, PARTS), from the four channels that hold it."""
    planes = np.zeros((len(target), PARTS, PARTS), np.float32)
    for part in range(4):
        planes[:, part // 2 :: 2, part % 2 :: 2] = target[..., first + part]
    return planes


NONE = np.zeros((1, PARTS, PARTS), np.uint8)
AS_IT_IS = (-1, 0.5, 0.5)
"""Draws by which a page is not zoomed."""


def test_the_score_peaks_where_a_digit_has_its_centre():
    ink = np.zeros((1, PAGE_PX, PAGE_PX, 2), np.float32)
    target = targets(ink, NONE, NONE, table((3, 41, 102, 16, 24), (7, 1, 287, 10, 20)))
    score = target[0, ..., : page_step.CLASSES]
    assert score[102 // CELL_PX, 41 // CELL_PX, 3] == 1
    assert score[287 // CELL_PX, 0, 7] == 1
    assert (score == 1).sum() == 2
    # Lower than wide cells away, and nothing far away or for another digit.
    assert 0 < score[102 // CELL_PX, 41 // CELL_PX + 1, 3] < score[102 // CELL_PX + 1, 41 // CELL_PX, 3] < 1
    assert score[..., [0, 1, 2, 4, 5, 6, 8, 9, OTHER]].max() == 0
    assert score[40:60, 20:].max() == 0


def test_where_digits_overlap_the_nearer_one_counts(pages: Page):
    ink, lined_ink, *planes, digits = pages
    score = targets(np.stack([ink, lined_ink], -1) / np.float32(255), *planes, digits)[..., : page_step.CLASSES]
    wanted = np.zeros_like(score)
    for page, rows in enumerate(digits):
        for label, x, y, width, height in rows[rows[:, 0] >= 0]:
            column, row = (min(max(int(centre // CELL_PX), 0), CELLS - 1) for centre in (x, y))
            spread_x, spread_y = (min(max(0.14 * size / CELL_PX, 0.45), 1.4) for size in (width, height))
            for j in range(max(0, row - 3), min(CELLS, row + 4)):
                for i in range(max(0, column - 3), min(CELLS, column + 4)):
                    peak = np.exp(-(((j - row) / spread_y) ** 2 + ((i - column) / spread_x) ** 2) / 2)
                    wanted[page, j, i, int(label)] = max(wanted[page, j, i, int(label)], peak)
    assert (wanted > 0).any()
    np.testing.assert_allclose(score, wanted, atol=1e-5)


def test_the_digit_mask_counts_where_there_is_ink_with_lines():
    ink = np.zeros((1, PAGE_PX, PAGE_PX, 2), np.float32)
    ink[0, :MASK_PX, :MASK_PX, 0] = 1
    ink[0, :MASK_PX, : 2 * MASK_PX, 1] = 1
    mask = NONE.copy()
    mask[0, 0, 0], mask[0, 1, 2] = 255, 51
    target = targets(ink, mask, NONE, table())
    assert parts_of(target, page_step.CLASSES)[0, :2, :3].tolist() == [[1, 0, 0], pytest.approx([0, 0, 0.2])]
    # A cell without ink has little weight.
    weight = parts_of(target, page_step.CHANNELS)
    assert weight[0, 0, :3].tolist() == pytest.approx([1, 1, page_step.EMPTY_CELL_WEIGHT])


def test_the_ways_lead_from_a_digits_ink_to_its_centre(pages: Page):
    ink, lined_ink, mask, owners, digits = pages
    target = targets(np.stack([ink, lined_ink], -1) / np.float32(255), mask, owners, digits)
    right, down = (parts_of(target, page_step.CLASSES + first) for first in (4, 8))
    owned = parts_of(target, page_step.CHANNELS + 4)
    np.testing.assert_array_equal(owned > 0, owners > 0)
    places = np.argwhere(owners > 0)[::97]
    assert len(places) > 20
    for page, row, column in places:
        _, x, y, _, _ = digits[page, owners[page, row, column] - 1]
        way = [2 * page_step.FARTHEST_PX * (plane[page, row, column] - 0.5) for plane in (right, down)]
        found = MASK_PX * (np.array([column, row]) + 0.5) + way
        np.testing.assert_allclose(found, (x, y), atol=0.01)


def test_the_loss_is_least_for_the_truth(pages: Page):
    target = keras.ops.convert_to_numpy(page_step.batch_of(*pages)[1])
    truth, random = target[..., : page_step.CHANNELS], np.random.default_rng(0)
    best = float(page_step.loss(target, truth))
    near = np.clip(truth + random.normal(0, 0.1, truth.shape).astype(np.float32), 0, 1)
    assert best < min(float(page_step.loss(target, other)) for other in (near, 0 * truth, 0 * truth + 1))


@pytest.mark.parametrize(("draw", "quarters"), [(-1.0, 1), (0.0, 2), (0.99, 3)])
def test_what_is_turned_has_no_digits(pages: Page, draw: float, quarters: int):
    model = keras.Sequential([keras.layers.Input((None, None, 2)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd")
    # The first page is turned, the second is not.
    draws = np.array([[-1, draw, 1, *AS_IT_IS], [1, draw, 1, *AS_IT_IS]], np.float32)
    planes, target = map(keras.ops.convert_to_numpy, page_step.PageStep(model).prepare(pages, draws, 1.0))
    upright, wanted = map(keras.ops.convert_to_numpy, page_step.batch_of(*pages))
    np.testing.assert_array_equal(planes[0], np.rot90(upright[0], quarters))
    assert not target[0, ..., : page_step.CLASSES + 4].any()
    assert not target[0, ..., page_step.CHANNELS + 4 :].any()
    np.testing.assert_array_equal(planes[1], upright[1])
    np.testing.assert_array_equal(target[1], wanted[1])


def test_some_pages_are_seen_with_their_lines_alone(pages: Page):
    model = keras.Sequential([keras.layers.Input((None, None, 2)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd")
    draws = np.array([[1, 0, -1, *AS_IT_IS], [1, 0, 1, *AS_IT_IS]], np.float32)
    planes = keras.ops.convert_to_numpy(page_step.PageStep(model).prepare(pages, draws, 1.0)[0])
    for plane in (0, 1):
        np.testing.assert_array_equal(planes[0, ..., plane], pages[1][0] / np.float32(255))
    np.testing.assert_array_equal(planes[1, ..., 0], pages[0][1] / np.float32(255))


@pytest.mark.parametrize("places", [(-1, -1), (0.3, -0.6), (1, 1)])
def test_a_zoomed_page_is_a_part_of_it_enlarged(pages: Page, places: tuple[float, float]):
    model = keras.Sequential([keras.layers.Input((None, None, 2)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd")
    digits = pages[-1].copy()
    # Low, so that the page may be enlarged as far as any.
    digits[..., 3:] = np.where(digits[..., 3:] > 0, 12, -1)
    draws = np.array([[1, 0, 1, 1, *places]] * 2, np.float32)
    step = page_step.PageStep(model)
    planes, target = map(keras.ops.convert_to_numpy, step.prepare((*pages[:-1], digits), draws, 1.0))
    zoom = page_step.MAX_ZOOM
    left, top = ((place + 1) / 2 * PAGE_PX * (1 - 1 / zoom) for place in places)
    # In pixels' middles, as OpenCV counts.
    matrix = np.array([[1 / zoom, 0, left + 0.5 / zoom - 0.5], [0, 1 / zoom, top + 0.5 / zoom - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for page in range(2):
        for plane in range(2):
            source = pages[plane][page].astype(np.float32) / 255
            expected = cv2.warpAffine(source, matrix, (PAGE_PX, PAGE_PX), flags=flags)
            # OpenCV places points to a 32nd of a pixel.
            np.testing.assert_allclose(planes[page, ..., plane], expected, atol=0.05)
    wanted, seen = digits[digits[..., 0] >= 0], []
    moved = [((x - left) * zoom, (y - top) * zoom, label) for label, x, y, *_ in wanted]
    for x, y, label in moved:
        if min(x, y) >= 0 and max(x, y) < PAGE_PX:
            seen.append((x, y))
            assert (target[:, int(y / CELL_PX), int(x / CELL_PX), int(label)] == 1).any()
    assert 0 < len(seen) < len(wanted)
    # The ways lead to the same centres, also where these are beyond the page.
    right, down = (parts_of(target, page_step.CLASSES + first) for first in (4, 8))
    centres = np.array([(x, y) for x, y, _ in moved])
    for page, row, column in np.argwhere(parts_of(target, page_step.CHANNELS + 4) > 0)[::53]:
        way = [2 * page_step.FARTHEST_PX * (plane[page, row, column] - 0.5) for plane in (right, down)]
        if max(map(abs, way)) < page_step.FARTHEST_PX - 1:
            found = MASK_PX * (np.array([column, row]) + 0.5) + way
            assert np.abs(centres - found).max(axis=1).min() < 0.01


def test_a_page_of_high_digits_is_not_zoomed_further(pages: Page):
    model = keras.Sequential([keras.layers.Input((None, None, 2)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd")
    digits = pages[-1].copy()
    digits[..., 4] = np.where(digits[..., 0] >= 0, page_step.MAX_ZOOMED_HEIGHT_PX, -1)
    draws = np.array([[1, 0, 1, 1, 0.7, 0.7]] * 2, np.float32)
    planes = keras.ops.convert_to_numpy(page_step.PageStep(model).prepare((*pages[:-1], digits), draws, 1.0)[0])
    np.testing.assert_allclose(planes[..., 0], pages[0] / np.float32(255), atol=1e-6)
