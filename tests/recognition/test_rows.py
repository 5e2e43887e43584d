import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_digits.recognition.pieces import find_pieces
from mnist_digits.recognition.rows import find_rows

HEIGHT, WIDTH, STEP = 20, 12, 22


def place(rows: list[int], slope: float, pitch: float, sag: float = 0, seed: int = 0) -> tuple[np.ndarray, list]:
    """Ink of boxes in rows of so many, about alike; and for each row their middles, float (n, 2) of x, y."""
    random = np.random.default_rng(seed)
    reach = STEP * max(rows)
    rise = round(abs(slope) * reach + sag)
    ink = np.zeros((round(pitch * len(rows)) + 2 * rise + 140, reach + 120), np.float32)
    middles = []
    for number, count in enumerate(rows):
        x = 60 + STEP * np.arange(count) + WIDTH / 2
        y = 70 + rise + number * pitch + slope * (x - reach / 2) + sag * np.sin(np.pi * x / reach)
        x, y = np.rint(x), np.rint(y + random.uniform(-2, 2, count))
        for across, down in zip(x.astype(int), y.astype(int), strict=True):
            ink[down - HEIGHT // 2 : down + HEIGHT // 2, across - WIDTH // 2 : across + WIDTH // 2] = 1
        middles.append(np.stack([x, y], axis=1))
    return ink, middles


def assert_rows(ink: np.ndarray, middles: list) -> list:
    pieces = find_pieces(ink)
    found = find_rows(pieces)
    assert len(found) == len(middles)
    for row, expected in zip(found, middles, strict=True):
        np.testing.assert_array_equal(pieces.centres[row.members], expected)
        assert row.height == pytest.approx(HEIGHT, abs=1)
        assert np.abs(np.polyval(row.course, expected[:, 0]) - expected[:, 1]).max() < 0.5 * HEIGHT
    return found


@settings(max_examples=60)
@given(
    rows=st.lists(st.integers(5, 14), min_size=1, max_size=5),
    degrees=st.floats(-15, 15),
    pitch=st.floats(1.9 * HEIGHT, 4 * HEIGHT),
    seed=st.integers(0, 1000),
)
def test_rows_at_any_slope(rows: list[int], degrees: float, pitch: float, seed: int):
    slope = float(np.tan(np.radians(degrees)))
    ink, middles = place(rows, slope, pitch, seed=seed)
    for row, own in zip(assert_rows(ink, middles), middles, strict=True):
        assert row.slope_at(float(own[:, 0].mean())) == pytest.approx(slope, abs=0.1)


@settings(max_examples=20)
@given(sag=st.floats(-10, 10), seed=st.integers(0, 1000))
def test_curved_rows(sag: float, seed: int):
    ink, middles = place([16, 16, 16], 0, 2.5 * HEIGHT, abs(sag), seed)
    if sag < 0:
        ink, middles = ink[::-1].copy(), [own * (1, -1) + (0, len(ink)) for own in middles[::-1]]
    assert_rows(ink, middles)


def test_a_row_of_one_piece_lies_level():
    ink, middles = place([1], 0, 50)
    (row,) = assert_rows(ink, middles)
    assert row.slope_at(60) == pytest.approx(0, abs=0.05)


def test_a_piece_belongs_to_one_row_at_most():
    random = np.random.default_rng(0)
    for _ in range(8):
        ink = np.zeros((300, 300), np.float32)
        for x, y in random.integers(10, 270, (40, 2)):
            ink[y : y + random.integers(3, 25), x : x + random.integers(3, 25)] = 1
        pieces = find_pieces(ink)
        members = [int(piece) for row in find_rows(pieces) for piece in row.members]
        assert len(set(members)) == len(members)
        assert set(members) <= set(range(len(pieces)))
        for row in find_rows(pieces):
            assert (np.diff(pieces.centres[row.members, 0]) >= 0).all()


def test_no_pieces_no_rows():
    assert find_rows(find_pieces(np.zeros((50, 50), np.float32))) == []


def test_pieces_of_which_one_is_pale_and_the_other_fine():
    ink = np.zeros((200, 300), np.float32)
    ink[80:120, 80:110] = 0.4
    ink[80:120, 150:152] = ink[80:120, 170:172] = ink[80:82, 150:172] = 1
    assert all(len(row.members) for row in find_rows(find_pieces(ink)))
