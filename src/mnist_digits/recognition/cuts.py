"""Pieces that may hold several digits → slices, cut where little ink is in the way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mnist_digits.recognition.pieces import Pieces
from mnist_digits.recognition.rows import Row

WORK = 32
"""Height in pixels at which cuts are searched."""

SIDEWAYS = 0.05
"""Cost of moving a column sideways, in full strokes, so that ways through empty paper stay straight."""

SWAY = 0.22
"""How far a cut may sway to either side, in heights."""

BETWEEN = 6.7
"""Least ink between two cuts, in full pixels at that height: where they differ only in empty paper, they cut alike."""

THICKEST = 0.6
"""Most ink that a cut may go through, in heights of its piece."""

MOST = 5
"""Cuts of a piece as wide as it is high; wider ones may have more."""

SMALLEST = 0.5
"""Height of a piece that is cut, in heights of its row."""


@dataclass(frozen=True)
class Atoms(Pieces):
    """Pieces, and in place of some of them their slices."""

    origins: np.ndarray
    """The piece that each is or was cut from: int (n,)."""
    thickness: np.ndarray
    """Ink that the cut on its left goes through, in heights of the piece: float (n,); 0 where there is none."""

    def sliced(self, members: np.ndarray) -> bool:
        """Whether any of them, int (m,), is less than a piece."""
        return bool((self.origins[members] != members).any())


def cut_pieces(ink: np.ndarray, pieces: Pieces, rows: Sequence[Row], chosen: np.ndarray) -> tuple[Atoms, list[Row]]:
    """Slice the chosen pieces: the atoms, which are the pieces and after them the slices, and rows of atoms.

    ink: float32 (h, w) in [0, 1]. chosen: bool (n,). Where a piece was cut, its row holds its slices instead.
    """
    labels, boxes = pieces.labels.copy(), list(pieces.boxes)
    origins, thickness = list(range(len(pieces))), [0.0] * len(pieces)
    cut_rows = []
    for row in rows:
        members: list[int] = []
        for piece in row.members:
            slices = _slices(ink, pieces, piece, row.height) if chosen[piece] else []
            for mask, box, cost in slices:
                x, y, width, height = pieces.boxes[piece]
                boxes.append(box)
                labels[y : y + height, x : x + width][mask] = len(boxes)
                origins.append(int(piece))
                thickness.append(cost)
                members.append(len(boxes) - 1)
            if not slices:
                members.append(int(piece))
        cut_rows.append(replace(row, members=_in_order(np.array(boxes), np.array(members, int))))
    atoms = Atoms(
        labels,
        np.array(boxes).reshape(-1, 4),
        pieces.strengths[origins],
        pieces.strokes[origins],
        pieces.height,
        np.array(origins),
        np.array(thickness),
    )
    return atoms, cut_rows


def _in_order(boxes: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Members, int (n,), by the middle of their boxes, int (m, 4)."""
    return members[np.argsort(boxes[members, 0] + boxes[members, 2] / 2, kind="stable")]


def _slices(
    ink: np.ndarray, pieces: Pieces, piece: int, row_height: float
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Of each slice where in the piece's box it is, bool (h, w), its own box, and what the cut on its left crosses."""
    x, y, width, height = pieces.boxes[piece]
    if height < SMALLEST * row_height or width < 0.35 * row_height:
        return []
    window = np.s_[y : y + height, x : x + width]
    own = pieces.labels[window] == piece + 1
    seams, costs = find_seams(ink[window] * own)
    if not len(seams):
        return []
    index = (np.arange(width) >= seams[:, :, None]).sum(axis=0)
    slices = []
    for number, cost in enumerate([0.0, *costs]):
        mask = own & (index == number)
        if not mask.any():
            continue
        left, top, wide, tall = cv2.boundingRect(mask.view(np.uint8))
        slices.append((mask, np.array([x + left, y + top, wide, tall]), float(cost)))
    return slices


def find_seams(ink: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ways from top to bottom through little ink, from left to right.

    ink: float32 (h, w) in [0, 1]. Returns columns, int (k, h), and the ink that each goes through, in heights,
    float (k,). Each moves at most a column sideways per row, at the size at which it is searched (dynamic
    programming, as in Avidan and Shamir 2007, "Seam carving").
    """
    height, width = ink.shape
    scale = WORK / height
    small = cv2.resize(ink, (max(3, round(width * scale)), WORK), interpolation=cv2.INTER_AREA)
    sway = round(SWAY * WORK)
    starts = np.arange(2, small.shape[1] - 2, 2)
    if not len(starts):
        return np.zeros((0, height), int), np.zeros(0)
    paths, costs = _cheapest_paths(small, starts, sway)
    chosen = _best_apart(small, paths, costs)
    rows = np.minimum((np.arange(height) * scale).astype(int), WORK - 1)
    columns = np.rint(paths[chosen][:, rows] * (width / small.shape[1])).astype(int)
    return columns, costs[chosen] / WORK


def _cheapest_paths(ink: np.ndarray, starts: np.ndarray, sway: int) -> tuple[np.ndarray, np.ndarray]:
    """For each start the path, int (k, h), that stays within `sway` columns of it, and its ink, float (k,)."""
    height, width = ink.shape
    offsets = np.arange(-sway, sway + 1)
    columns = starts[:, None] + offsets
    inside = (columns >= 0) & (columns < width)
    # A little for every column away from upright, so that seams in empty paper stay upright.
    drift = 0.01 * np.abs(offsets)
    price = np.where(inside, ink[:, np.clip(columns, 0, width - 1)], np.inf) + drift
    moves = np.zeros((height, *columns.shape), np.int8)
    # Room for the neighbours of the outermost columns, which no path may take.
    total = np.full((len(starts), len(offsets) + 2), np.inf)
    total[:, 1:-1] = price[0]
    for row in range(1, height):
        left, middle, right = total[:, :-2] + SIDEWAYS, total[:, 1:-1], total[:, 2:] + SIDEWAYS
        cheapest = np.minimum(np.minimum(left, right), middle)
        moves[row] = np.where(middle == cheapest, 0, np.where(left == cheapest, -1, 1))
        total[:, 1:-1] = cheapest + price[row]
    total = total[:, 1:-1]
    place = total.argmin(axis=1)
    each = np.arange(len(starts))
    paths = np.empty((len(starts), height), int)
    for row in range(height - 1, -1, -1):
        paths[:, row] = columns[each, place]
        place = np.clip(place + moves[row, each, place], 0, 2 * sway)
    return paths, np.stack([ink[np.arange(height), path] for path in paths]).sum(axis=1)


def _best_apart(ink: np.ndarray, paths: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Indices of the cheapest paths that lie apart and leave ink on both sides, from left to right."""
    height, width = ink.shape
    running = np.concatenate([np.zeros((height, 1)), np.cumsum(ink, axis=1)], axis=1)
    left = running[np.arange(height), paths].sum(axis=1)
    share = left / max(float(ink.sum()), 1e-6)
    least = 0.06 * height / max(width, height)
    order = [
        i for i in np.argsort(costs, kind="stable") if least < share[i] < 1 - least and costs[i] < THICKEST * height
    ]
    chosen: list[int] = []
    for i in order:
        if all(_ink_between(running, paths[i], paths[j]) > BETWEEN for j in chosen):
            chosen.append(int(i))
        if len(chosen) >= MOST * max(1, width / height):
            break
    return np.array(sorted(chosen, key=lambda i: left[i]), int)


def _ink_between(running: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    rows = np.arange(len(one))
    return float(np.abs(running[rows, one] - running[rows, other]).sum())
