import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits.recognition.pieces import Pieces, cut_out, find_pieces, joint_box

HEIGHT = 40


def inked(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (300, 400), strength: float = 1.0) -> np.ndarray:
    """Boxes filled with ink."""
    ink = np.zeros(shape, np.float32)
    for x, y, width, height in boxes:
        ink[y : y + height, x : x + width] = strength
    return ink


def as_set(pieces: Pieces) -> set[tuple[int, ...]]:
    return {tuple(map(int, box)) for box in pieces.boxes}


DIGITS = [(40, 60, 24, HEIGHT), (90, 62, 8, HEIGHT), (130, 58, 30, HEIGHT)]


@given(
    cells=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1),
    data=st.data(),
)
def test_a_piece_for_each_blot(cells: set[tuple[int, int]], data: st.DataObject):
    sizes = st.tuples(st.integers(12, 30), st.integers(30, 40))
    boxes = {(20 + 45 * i, 20 + 60 * j, *data.draw(sizes)) for i, j in cells}
    ink = inked(*boxes, shape=(280, 320), strength=data.draw(st.floats(0.5, 1, width=32)))
    pieces = find_pieces(ink)
    assert as_set(pieces) == boxes
    assert min(box[3] for box in boxes) <= pieces.height <= max(box[3] for box in boxes)
    np.testing.assert_array_equal(pieces.labels > 0, ink > 0)
    for number, (x, y, width, height) in enumerate(pieces.boxes, 1):
        assert (pieces.labels[y : y + height, x : x + width] == number).all()
    np.testing.assert_allclose(pieces.strengths, ink.max(), atol=1e-5)
    np.testing.assert_allclose(pieces.centres, [(x + w / 2, y + h / 2) for x, y, w, h in pieces.boxes])


@pytest.mark.parametrize(
    "other",
    [
        (200, 80, 2, 2),  # a speck
        (20, 130, 360, 2),  # an underline
        (0, 10, 3, 280),  # the paper's edge
        (30, 120, 330, 170),  # a drawing
    ],
)
def test_what_is_no_writing_is_left_out(other: tuple[int, int, int, int]):
    pieces = find_pieces(inked(*DIGITS, other))
    assert as_set(pieces) == set(DIGITS)
    assert len(np.unique(pieces.labels)) == 1 + len(DIGITS)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (60, 80)])
def test_no_ink_no_pieces(shape: tuple[int, int]):
    pieces = find_pieces(np.zeros(shape, np.float32))
    assert len(pieces) == 0
    assert pieces.height == 0
    assert pieces.boxes.shape == (0, 4)
    assert not pieces.labels.any()


def test_digits_among_specks_are_kept():
    ink = np.zeros((1000, 1000), np.float32)
    ink[tuple(np.random.default_rng(0).integers(0, 1000, (2, 3000)))] = 1
    ink[50:350, 50:450] = inked(*DIGITS)
    start = time.process_time()
    assert set(DIGITS) <= {(x - 50, y - 50, width, height) for x, y, width, height in as_set(find_pieces(ink))}
    assert time.process_time() - start < 3


def test_a_piece_is_cut_out_without_its_neighbours():
    ink = inked((40, 40, 6, 40), (40, 74, 30, 6), (52, 40, 20, 28))
    pieces = find_pieces(ink)
    assert len(pieces) == 2
    for own in range(2):
        crop, box = cut_out(ink, pieces, np.array([own]))
        assert box == joint_box(pieces.boxes[[own]])
        assert crop.sum() == (pieces.labels == own + 1).sum()
    crop, box = cut_out(ink, pieces, np.array([0, 1]))
    assert box == (40, 40, 32, 40)
    assert crop.sum() == ink.sum()


@pytest.mark.parametrize("slope", [-0.3, 0.3])
def test_a_sloping_piece_is_cut_out_level(slope: float):
    ink = np.zeros((200, 300), np.float32)
    x = np.arange(60, 200)
    for thick in range(12):
        ink[np.rint(100 + slope * (x - 130)).astype(int) + thick, x] = 1
    pieces = find_pieces(ink)
    crop, _ = cut_out(ink, pieces, np.array([0]), slope)
    inked_rows = (crop > 0.5).any(axis=1).sum()
    assert inked_rows < 18
    assert abs(crop.sum() / ink.sum() - 1) < 0.05


def test_a_joint_box_holds_all():
    assert joint_box(np.array([[5, 6, 10, 2], [1, 7, 3, 30]])) == (1, 6, 14, 31)
