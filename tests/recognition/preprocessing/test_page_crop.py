import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pictures import paper, photographed, strokes, written
from mnist_digits.dataset import Dataset
from mnist_digits.recognition.preprocessing.page_crop import PagePlacement, crop_page

SIDE = 320
DESKS = [(95, 70, 50), (60, 60, 62), (190, 160, 120)]


@pytest.fixture(scope="module")
def sheet(mnist: Dataset) -> np.ndarray:
    """Sixteen digits on paper: uint8 (SIDE, SIDE, 3)."""
    mask = np.vstack([np.hstack([strokes(image, 60) for image in mnist.train.images[i : i + 4]]) for i in range(4)])
    return photographed(written(paper(np.random.default_rng(0), SIDE), np.pad(mask, 40)))


def laid_on(
    sheet: np.ndarray, colour: tuple[int, int, int], corner: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """The sheet with its corner, (x, y), there on a desk so large, (width, height)."""
    grain = np.random.default_rng(1).normal(0, 4, (size[1], size[0], 1))
    desk = photographed(np.float32(colour) + grain)
    desk[corner[1] : corner[1] + SIDE, corner[0] : corner[0] + SIDE] = sheet
    return desk


def test_without_a_desk_the_picture_is_returned(sheet: np.ndarray):
    for pixels in (sheet, cv2.cvtColor(sheet, cv2.COLOR_RGB2GRAY), np.full((40, 50), 255, np.uint8)):
        found, corner = crop_page(pixels)
        assert found is pixels
        assert corner == (0, 0)


@pytest.mark.parametrize("depth", [0.3, 0.5, 0.7])
def test_the_shaded_half_of_a_board_is_no_desk(sheet: np.ndarray, depth: float):
    # Of a board as dark as this, little light is left in a shadow.
    board = 36 + 0.4 * (255 - sheet.astype(np.float32))
    board[:, : SIDE // 2] *= depth
    pixels = photographed(board + np.random.default_rng(3).normal(0, 3, (SIDE, SIDE, 1)))
    assert crop_page(pixels)[0] is pixels


@settings(max_examples=20)
@given(x=st.integers(40, 300), y=st.integers(40, 300), colour=st.sampled_from(DESKS), grey=st.booleans())
def test_the_sheet_on_a_desk(sheet: np.ndarray, x: int, y: int, colour: tuple[int, int, int], grey: bool):
    pixels = laid_on(sheet, colour, (x, y), (700, 700))
    if grey:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    before = pixels.copy()
    found, (left, top) = crop_page(pixels)
    np.testing.assert_array_equal(pixels, before)
    assert found.dtype == np.uint8
    height, width = found.shape[:2]
    # Its edge may be gone, its writing and where that stands may not.
    for start, side, offset in ((left, width, x), (top, height, y)):
        assert offset - 4 <= start <= offset + 25
        assert offset + SIDE - 25 <= start + side <= offset + SIDE + 4
    inner = np.s_[y + 40 - top : y + 280 - top, x + 40 - left : x + 280 - left]
    np.testing.assert_array_equal(found[inner], pixels[y + 40 : y + 280, x + 40 : x + 280])


def test_beside_a_slanting_sheet_there_is_paper(sheet: np.ndarray):
    desk = laid_on(sheet, DESKS[0], (140, 140), (600, 600))
    turn = cv2.getRotationMatrix2D((300, 300), 12, 1)
    found, _ = crop_page(cv2.warpAffine(desk, turn, (600, 600), borderMode=cv2.BORDER_REPLICATE))
    rim = np.concatenate([found[:6].reshape(-1, 3), found[-6:].reshape(-1, 3), found[:, :6].reshape(-1, 3)])
    assert rim.min() > 180
    assert min(found.shape[:2]) > SIDE


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 3, 3), (30, 4000)])
def test_any_shape_and_content(shape: tuple[int, ...]):
    for pixels in (np.random.default_rng(0).integers(0, 256, shape, np.uint8), np.zeros(shape, np.uint8)):
        found, (x, y) = crop_page(pixels)
        assert found.ndim == len(shape)
        assert 0 < found.shape[0] <= shape[0] - y
        assert 0 < found.shape[1] <= shape[1] - x


def test_a_picture_without_a_smooth_part_is_returned():
    squares = np.where((np.indices((200, 200)) // 20).sum(axis=0) % 2, 230, 20).astype(np.uint8)
    found, corner = crop_page(squares)
    assert found is squares
    assert corner == (0, 0)


@given(
    width=st.integers(10, 60),
    height=st.integers(10, 60),
    turns=st.integers(0, 3),
    reduction=st.sampled_from([1.0, 2.0, 3.0]),
    data=st.data(),
)
def test_a_box_is_where_it_was_before_the_picture_was_turned_and_reduced(
    width: int, height: int, turns: int, reduction: float, data: st.DataObject
):
    left, top = data.draw(st.integers(0, width - 2)), data.draw(st.integers(0, height - 2))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    picture = np.zeros((height, width), np.uint8)
    picture[top:bottom, left:right] = 1
    turned = np.ascontiguousarray(np.rot90(picture, turns))
    corner = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    x, y, wide, tall = cv2.boundingRect(turned)
    size = round(turned.shape[1] * reduction), round(turned.shape[0] * reduction)
    placement = PagePlacement(turns, size, reduction, corner)
    found = placement.box_in_picture((x - corner[0], y - corner[1], wide, tall))
    assert found == tuple(round(side * reduction) for side in (left, top, right - left, bottom - top))


@given(
    sides=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    turns=st.integers(0, 3),
    reduction=st.floats(0.3, 4),
    shares=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_no_box_reaches_beyond_the_picture(
    sides: tuple[int, int], turns: int, reduction: float, shares: tuple[float, float, float, float]
):
    reduced = [max(1, int(side / reduction)) for side in sides]
    place = [int(share * (side - 1)) for share, side in zip(shares, reduced, strict=False)]
    size = [1 + int(share * (side - 1 - at)) for share, side, at in zip(shares[2:], reduced, place, strict=True)]
    left, top, width, height = PagePlacement(turns, sides, reduction, (0, 0)).box_in_picture((*place, *size))
    across, down = sides if turns % 2 == 0 else sides[::-1]
    assert 0 <= left < left + width <= across
    assert 0 <= top < top + height <= down
