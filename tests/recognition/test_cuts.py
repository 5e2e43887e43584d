import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits.dataset import Dataset
from mnist_digits.recognition.cuts import cut_pieces, find_seams
from mnist_digits.recognition.pieces import Pieces, find_pieces
from mnist_digits.recognition.rows import Row, find_rows
from pictures import strokes


@pytest.fixture(scope="module")
def pairs(mnist: Dataset) -> list[np.ndarray]:
    """Pairs of digits that are in one piece: ink, float32 (h, w)."""
    found = []
    for left, right in zip(mnist.train.images[:60:2], mnist.train.images[1:60:2], strict=True):
        masks = [strokes(image, 84) for image in (left, right)]
        for overlap in range(20, 60, 3):
            mask = np.zeros((164, 248 - overlap), bool)
            mask[40:124, 40:124] = masks[0]
            mask[40:124, 124 - overlap : 208 - overlap] |= masks[1]
            if cv2.connectedComponents(mask.astype(np.uint8))[0] == 2:
                found.append(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7))
                break
    assert len(found) > 20
    return found


def cut(ink: np.ndarray) -> tuple[Pieces, list[Row], tuple]:
    pieces = find_pieces(ink)
    rows = find_rows(pieces)
    return pieces, rows, cut_pieces(ink, pieces, rows, np.ones(len(pieces), bool))


@given(
    height=st.integers(24, 120),
    widths=st.tuples(st.integers(20, 70), st.integers(20, 70)),
    gap=st.floats(0.2, 0.6),
    lean=st.floats(-0.2, 0.2),
)
def test_a_white_gap_is_cut_without_touching_ink(height: int, widths: tuple[int, int], gap: float, lean: float):
    left, right = (round(share * height / 32) for share in widths)
    white = max(3, round(gap * height))
    rows = np.arange(height)[:, None]
    columns = np.arange(left + white + right)
    place = left + lean * (rows - height / 2)
    ink = ((columns < place) | (columns >= place + white)).astype(np.float32)
    seams, costs = find_seams(ink)
    assert seams.shape[1:] == (height,)
    cheapest = int(np.argmin(costs))
    assert costs[cheapest] < 0.05
    assert ink[np.arange(height), seams[cheapest]].sum() == 0


def test_seams_run_from_left_to_right_within_the_ink(pairs: list[np.ndarray]):
    for ink in pairs:
        x, y, width, height = cv2.boundingRect((ink > 0.35).astype(np.uint8))
        crop = ink[y : y + height, x : x + width]
        seams, costs = find_seams(crop)
        assert len(seams) == len(costs) > 0
        assert 0 <= seams.min() <= seams.max() <= width
        assert (costs >= 0).all()
        assert (np.diff(seams.mean(axis=1)) > 0).all()


def test_slices_partition_their_piece(pairs: list[np.ndarray]):
    for ink in pairs:
        pieces, _, (atoms, (row,)) = cut(ink)
        assert len(row.members) > 1
        np.testing.assert_array_equal(atoms.labels > 0, pieces.labels > 0)
        np.testing.assert_array_equal(np.unique(atoms.labels[atoms.labels > 0]), np.sort(row.members) + 1)
        for member in row.members:
            x, y, width, height = atoms.boxes[member]
            own = atoms.labels == member + 1
            assert own.sum() == own[y : y + height, x : x + width].sum()
            assert cv2.boundingRect(own.astype(np.uint8)) == (x, y, width, height)
            assert (pieces.labels[own] == atoms.origins[member] + 1).all()
            assert atoms.thickness[member] >= 0
        assert (np.diff(atoms.centres[row.members, 0]) >= 0).all()
        assert atoms.sliced(row.members)


def test_what_is_not_chosen_stays_whole(pairs: list[np.ndarray]):
    pieces = find_pieces(pairs[0])
    rows = find_rows(pieces)
    atoms, (row,) = cut_pieces(pairs[0], pieces, rows, np.zeros(len(pieces), bool))
    np.testing.assert_array_equal(row.members, rows[0].members)
    np.testing.assert_array_equal(atoms.labels, pieces.labels)
    assert not atoms.sliced(row.members)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (40, 3), (5, 400)])
def test_ink_of_any_shape(shape: tuple[int, int]):
    seams, costs = find_seams(np.ones(shape, np.float32))
    assert seams.shape == (len(costs), shape[0])
