import cv2
import numpy as np
import pytest

from helpers.pictures import soft, strokes
from mnist_digits.dataset import Dataset
from mnist_digits.recognition.preprocessing.form_boxes import remove_form_boxes

CELL = 90


def grid(rows: int, columns: int, apart: int = 0, thick: int = 2, slope: float = 0) -> np.ndarray:
    """Cells of a table, or, where they stand apart, boxes of a form: bool (h, w)."""
    lines = np.zeros((rows * (CELL + apart) + 100, columns * (CELL + apart) + 100), np.uint8)
    for row in range(rows):
        for column in range(columns):
            x, y = 50 + column * (CELL + apart), 50 + row * (CELL + apart)
            corners = np.array([[x, y], [x + CELL, y], [x + CELL, y + CELL], [x, y + CELL]], float)
            corners[:, 1] += slope * (corners[:, 0] - lines.shape[1] / 2)
            cv2.polylines(lines, [np.rint(corners).astype(np.int32)], True, 1, thick)
    return lines > 0


def fill(mask: np.ndarray, images: np.ndarray, columns: int, apart: int = 0) -> np.ndarray:
    """A digit in the middle of every cell: bool, as the mask."""
    digits = np.zeros_like(mask)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        x, y = (65 + place * (CELL + apart) for place in (column, row))
        digits[y : y + 60, x : x + 60] = strokes(image, 60)
    return digits


def tall(ink: np.ndarray) -> list[tuple[int, ...]]:
    """Boxes of the connected ink that is more than three pixels high."""
    stats = cv2.connectedComponentsWithStats((ink > 0.35).astype(np.uint8))[2][1:]
    return [tuple(box) for box in stats[:, :4].tolist() if box[3] > 3]


@pytest.mark.parametrize("apart", [0, 16])
@pytest.mark.parametrize("thick", [1, 2, 4])
@pytest.mark.parametrize("slope", [0, 0.03])
def test_digits_stay_and_boxes_go(mnist: Dataset, apart: int, thick: int, slope: float):
    lines = grid(2, 4, apart, thick, slope)
    digits = fill(lines, mnist.train.images[:8], 4, apart)
    assert not (lines & digits).any()
    found = remove_form_boxes(soft(lines | digits))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[digits], soft(lines | digits)[digits])
    # The steps of a sloping line may leave a hair, but nothing that could be a digit.
    assert tall(found) == tall(soft(digits))


def test_no_digit_is_taken_for_a_form_box(mnist: Dataset):
    for image in mnist.train.images[:600]:
        for side in (50, 120):
            ink = soft(np.pad(strokes(image, side), side))
            np.testing.assert_array_equal(remove_form_boxes(ink), ink)


@pytest.mark.parametrize("axes", [(20, 30), (14, 34), (30, 30)])
@pytest.mark.parametrize("thick", [1, 3, 8])
@pytest.mark.parametrize("lean", [0, 20])
def test_noughts_and_eights_stay(axes: tuple[int, int], thick: int, lean: int):
    mask = np.zeros((300, 400), np.uint8)
    cv2.ellipse(mask, (100, 150), axes, lean, 0, 360, 1, thick)
    for middle in (150 - axes[1], 150 + axes[1]):
        cv2.ellipse(mask, (270, middle), axes, lean, 0, 360, 1, thick)
    ink = soft(mask > 0)
    np.testing.assert_array_equal(remove_form_boxes(ink), ink)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (50, 60)])
@pytest.mark.parametrize("value", [0, 1])
def test_plain_ink_of_any_shape(shape: tuple[int, int], value: int):
    ink = np.full(shape, value, np.float32)
    np.testing.assert_array_equal(remove_form_boxes(ink), ink)


def test_the_ink_given_is_left_as_it_is():
    ink = soft(grid(1, 3))
    before = ink.copy()
    remove_form_boxes(ink)
    np.testing.assert_array_equal(ink, before)
