"""Ink of a page → its connected pieces: digits, parts of digits, several that touch, and whatever else is there."""

from dataclasses import dataclass

import cv2
import numpy as np

from mnist_digits.recognition.normalise import PRESENT, Box, stroke_width

MOST = 1000
"""Pieces that are looked at; of a page of specks, the largest."""

SPECK = 0.15
"""Longest side, as a share of the writing's height, of what is a dot or dirt."""

GAP = 500
"""Pixels of the page's longer side for each two by which a gap in a stroke, which is closed, may be higher than two."""

TALLEST = 4.0
"""Height of a single piece, as a multiple of the writing's, beyond which it is a line or a drawing."""


@dataclass(frozen=True)
class Pieces:
    """Connected strokes of a page. Piece i is where `labels` is i + 1."""

    labels: np.ndarray
    """int32 (h, w), 0 where there is no piece."""
    boxes: np.ndarray
    """int (n, 4) of x, y, width, height."""
    strengths: np.ndarray
    """Mean ink of each: float (n,) in [0, 1]."""
    strokes: np.ndarray
    """Mean width in pixels of the strokes of each: float (n,)."""
    height: float
    """Typical height of the writing, in pixels; 0 where there is none."""

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def centres(self) -> np.ndarray:
        """Middle of every box: float (n, 2) of x, y."""
        return self.boxes[:, :2] + self.boxes[:, 2:] / 2


def find_pieces(ink: np.ndarray) -> Pieces:
    """The pieces of a page that may be writing.

    ink: float32 (h, w) in [0, 1]. Left out are specks, what lies along the page's border, and what is far
    larger than the writing.
    """
    mask = (ink > PRESENT).view(np.uint8)
    # Where a ruled line was taken out, a stroke along it may have gone as well: what is above belongs to what is below.
    upright = np.ones((3 + 2 * (max(ink.shape) // GAP), 1), np.uint8)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, upright)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    boxes, areas = stats[1:, :4].astype(int), stats[1:, 4]
    height = _writing_height(boxes)
    kept = np.flatnonzero(_is_writing(boxes, areas, height, ink.shape))
    kept = np.sort(kept[np.argsort(-areas[kept], kind="stable")[:MOST]])
    numbers = np.zeros(len(stats), np.int32)
    numbers[1 + kept] = np.arange(1, 1 + len(kept))
    labels = numbers[labels] * mask
    alone = [_alone(ink, labels, number, box) for number, box in enumerate(boxes[kept], 1)]
    strengths = np.array([float(piece[piece > 0].mean()) for piece in alone])
    strokes = np.array([stroke_width(piece) for piece in alone])
    return Pieces(labels, boxes[kept], strengths, strokes, height)


def _alone(ink: np.ndarray, labels: np.ndarray, number: int, box: np.ndarray) -> np.ndarray:
    """The ink in a box that belongs to the piece of this number in the labels, float32 (h, w)."""
    x, y, width, height = box
    window = np.s_[y : y + height, x : x + width]
    return ink[window] * (labels[window] == number)


def _writing_height(boxes: np.ndarray) -> float:
    """The median height, where tall pieces count more, of pieces that could be digits: int (n, 4) → pixels."""
    width, height = boxes[:, 2], boxes[:, 3]
    likely = (height >= 6) & (height > 0.6 * width) & (height < 12 * width)
    heights = np.sort(height[likely])
    if not len(heights):
        return float(height.max(initial=0))
    # Of a page of specks, those are most of the pieces; so digits count by their size.
    weights = np.cumsum(heights.astype(float) ** 2)
    return float(heights[np.searchsorted(weights, weights[-1] / 2)])


def _is_writing(boxes: np.ndarray, areas: np.ndarray, height: float, shape: tuple[int, ...]) -> np.ndarray:
    """Which pieces are neither specks nor lines nor along the page's border: bool (n,)."""
    x, y, width, tall = boxes.T
    longest, narrow = np.maximum(width, tall), np.minimum(width, tall)
    speck = (longest < max(3.0, SPECK * height)) | (areas < 4)
    margin = 1 + min(shape[:2]) // 100
    beside = (x <= margin) | (x + width >= shape[1] - margin)
    above = (y <= margin) | (y + tall >= shape[0] - margin)
    rim = (beside & (tall > 2.5 * width)) | (above & (width > 2.5 * tall))
    # Underlines and frames: far longer than writing and hardly inked.
    line = (longest > 3 * height) & ((narrow < 0.2 * height) | (areas < 0.04 * width * tall))
    return ~(speck | rim | line | (tall > TALLEST * height))


def cut_out(ink: np.ndarray, pieces: Pieces, members: np.ndarray, slope: float = 0.0) -> tuple[np.ndarray, Box]:
    """Ink of some pieces alone, float32 (h, w), and their common box.

    members: indices, int (m,). slope: of the row, which is turned level; in pixels down per pixel along.
    """
    x, y, width, height = box = joint_box(pieces.boxes[members])
    left, top = max(0, x - 2), max(0, y - 2)
    window = np.s_[top : y + height + 2, left : x + width + 2]
    labels = pieces.labels[window]
    own = np.logical_or.reduce([labels == 1 + member for member in members])
    # The soft edges of a stroke have no label; those of its neighbours' are not wanted.
    near = cv2.dilate(own.view(np.uint8), np.ones((3, 3), np.uint8))
    crop = ink[window] * (near & (own | (labels == 0)))
    return (_levelled(crop, slope) if abs(slope) > 0.05 else crop), box


def joint_box(boxes: np.ndarray) -> Box:
    """The smallest box around some boxes, int (n, 4)."""
    left, top = boxes[:, :2].min(axis=0)
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    return int(left), int(top), int(right - left), int(bottom - top)


def _levelled(crop: np.ndarray, slope: float) -> np.ndarray:
    """The crop turned about its middle so that a line of this slope lies level."""
    height, width = crop.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(np.arctan(slope))), 1.0)
    wide, high = (int(np.ceil(side)) for side in (width + abs(slope) * height, height + abs(slope) * width))
    turn[:, 2] += (wide - width) / 2, (high - height) / 2
    return np.clip(cv2.warpAffine(crop, turn, (wide, high), flags=cv2.INTER_LINEAR), 0, 1)
