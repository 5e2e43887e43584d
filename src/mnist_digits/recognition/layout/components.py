"""Ink of a page → strokes, each with the spot whose digit it belongs to or is a part of."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mnist_digits.recognition.layout.detector import Detections
from mnist_digits.recognition.preprocessing.mnist_format import MIN_STROKE_INK
from mnist_digits.recognition.results import Box

GAP = 500
"""Pixels of the page's longer side for each two by which a gap in a stroke, which is closed, may be higher than two."""

WHOLE = 0.5
"""Mean cover from which on connected ink belongs to digits as a whole; of other ink only what is covered does."""

SIMILAR, WIDEST, SEEN = 0.5, 1.5, 0.4
"""Whatever its cover, connected ink about a spot of this strength belongs to a digit, if the logarithm of its height
differs by less than this from a digit's and it is narrower than so many heights."""

ALMOST_ALL, PERHAPS = 0.8, 0.27
"""Share of what is of a digit's size that must have spots for the rest to get some, and the heat of these."""

TEAR = 0.125
"""Height of a gap, in heights of a digit, that a rough paper leaves in a stroke."""

SLIM = 0.35
"""Width of a line, in its heights, at most."""

COVERED = 0.25
"""Cover of a pixel, then."""

MOST = 1000
"""Connected pieces that are looked at; of a page of specks, the largest."""

SPECK = 0.12
"""Longest side, in heights of a digit, of what is a dot or dirt."""

WIDE, TALL = 0.45, 0.8
"""How far, in heights, a digit's ink reaches from its middle, across and down."""

REACH = 1.2
"""How far, in these, a stroke's middle may lie from the middle of its digit."""

OWN = 0.85
"""Share of connected ink that must be nearest to one spot to belong to it alone."""

SMALLEST = 6
"""Pixels that a digit is high at least."""


@dataclass(frozen=True)
class Segments:
    """Connected ink, cut where it belongs to several digits. Stroke i is where `labels` is i + 1."""

    labels: np.ndarray
    """int32 (h, w), 0 where there is none."""
    boxes: np.ndarray
    """int (n, 4) of x, y, width, height."""
    spots: np.ndarray
    """The spot to whose digit each is nearest: int (n,)."""
    pieces: np.ndarray
    """The connected ink of which each is a part or the whole: int (n,)."""

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def across(self) -> np.ndarray:
        """Middle of each from left to right: float (n,)."""
        return self.boxes[:, 0] + self.boxes[:, 2] / 2


@dataclass(frozen=True)
class Components:
    """Connected ink of a page. Piece i is where `labels` is i; 0 is where there is none."""

    labels: np.ndarray
    """int32 (h, w)."""
    boxes: np.ndarray
    """int (n, 4) of x, y, width, height of each, from number 0 on."""
    inked: np.ndarray
    """Where there is ink, in the page as one row of pixels: int (m,)."""

    @property
    def sizes(self) -> np.ndarray:
        """Width, height of each: int (n, 2)."""
        return self.boxes[:, 2:]

    def about(self, spots: Detections, height: float) -> np.ndarray:
        """Which are of a digit's size and have a spot in their box: bool (n,). height: of a digit, in pixels."""
        x, y, width, tall = self.boxes.T[:, :, None]
        across, down = spots.places.T
        around = (across >= x) & (across <= x + width) & (down >= y) & (down <= y + tall)
        found: np.ndarray = self.sized(height) & (around & (spots.strengths > SEEN)).any(axis=1)
        return found

    def sized(self, height: float) -> np.ndarray:
        """Which are of a digit's size: bool (n,). height: of a digit, in pixels."""
        _, _, width, tall = self.boxes.T
        alike: np.ndarray = np.abs(np.log(np.maximum(tall, 1) / height)) < SIMILAR
        return alike & (width < WIDEST * height)

    def covered(self, cover: np.ndarray) -> np.ndarray:
        """Mean cover of each, float (n,) in [0, 1]. cover: of the page's pixels, float32 (h, w)."""
        own = self.labels.ravel()[self.inked]
        total = np.bincount(own, cover.ravel()[self.inked], len(self.boxes))
        mean: np.ndarray = total / np.maximum(np.bincount(own, minlength=len(self.boxes)), 1)
        return mean


def find_components(ink: np.ndarray, height: float | None = None) -> Components:
    """The connected ink of a page, float32 (h, w) in [0, 1].

    height: of its digits, in pixels; then small gaps, as rough paper leaves in strokes, part nothing.
    """
    mask = (ink > MIN_STROKE_INK).view(np.uint8)
    side = max(3, int(TEAR * height) // 2 * 2 + 1) if height else 1
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    return Components(labels, stats[:, :4].astype(int), np.flatnonzero(labels))


def with_overlooked(spots: Detections, pieces: Components, height: float) -> Detections:
    """The spots and, on a page of hardly anything but digits, what is of their size and has none: perhaps one, too.

    pieces: of all ink. height: of a digit, in pixels.
    """
    sized, seen = pieces.sized(height), pieces.about(spots, height)
    # A line is a one only if the spotter says so: it may be a rest of ruling or the paper's edge.
    wide = pieces.sizes[:, 0] > SLIM * pieces.sizes[:, 1]
    overlooked = 1 + np.flatnonzero((sized & ~seen & wide)[1:])
    if not len(overlooked) or seen.sum() < ALMOST_ALL * (seen.sum() + len(overlooked)):
        return spots
    x, y, width, tall = pieces.boxes[overlooked].T
    places = np.stack([x + width / 2, y + tall / 2], axis=1)
    heat = np.full((len(places), spots.heat.shape[1]), PERHAPS, np.float32)
    return Detections(np.concatenate([spots.places, places]), np.concatenate([spots.heat, heat]))


def ink_of_digits(
    ink: np.ndarray, pieces: Components, cover: np.ndarray, spots: Detections, height: float
) -> np.ndarray:
    """The ink, float32 (h, w) in [0, 1], without what is no digit's.

    pieces: its own. cover: float32 (h, w) in [0, 1]. height: of a digit, in pixels.
    """
    whole = (pieces.covered(cover) > WHOLE) | pieces.about(spots, height)
    # The soft edges of strokes are below what is present, and go with whatever is beside them.
    whole[0] = True
    return ink * (whole[pieces.labels] | (cover > COVERED))


def find_segments(ink: np.ndarray, spots: Detections, height: float) -> Segments:
    """The strokes of a page. ink: of digits, float32 (h, w) in [0, 1]. height: of a digit, in pixels."""
    mask = (ink > MIN_STROKE_INK).view(np.uint8)
    # Where a ruled line was taken out, a stroke along it may have gone as well: what is above belongs to what is below.
    upright = np.ones((3 + 2 * (max(ink.shape) // GAP), 1), np.uint8)
    _, connected, stats, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, upright))
    connected *= mask
    labels = np.zeros_like(connected)
    boxes: list[Box] = []
    owners: list[tuple[int, int]] = []
    for piece in _largest(stats, height):
        x, y, width, tall, _ = stats[piece]
        window = np.s_[y : y + tall, x : x + width]
        rows, columns = np.nonzero(connected[window] == piece)
        for spot, part in _parts(rows + y, columns + x, spots, height):
            own_rows, own_columns = rows[part], columns[part]
            left, top = own_columns.min(), own_rows.min()
            box = (x + left, y + top, np.ptp(own_columns) + 1, np.ptp(own_rows) + 1)
            boxes.append((int(box[0]), int(box[1]), int(box[2]), int(box[3])))
            owners.append((spot, piece))
            labels[window][own_rows, own_columns] = len(boxes)
    own = np.array(owners, int).reshape(-1, 2)
    return Segments(labels, np.array(boxes, int).reshape(-1, 4), own[:, 0], own[:, 1])


def _largest(stats: np.ndarray, height: float) -> Iterator[int]:
    """Numbers of the MOST largest pieces that are no specks, int (n, 5) of x, y, width, height, area."""
    longest = stats[:, 2:4].max(axis=1)
    longest[0] = 0
    order = np.argsort(-longest, kind="stable")[:MOST]
    return iter(np.sort(order[longest[order] >= max(2.0, SPECK * height)]).tolist())


def _parts(rows: np.ndarray, columns: np.ndarray, spots: Detections, height: float) -> Iterator[tuple[int, np.ndarray]]:
    """Of connected ink, pixels int (n,), the spots whose digits it belongs to, and which of it: bool (n,)."""
    if not len(rows):
        return
    x, y = spots.places.T
    near = np.flatnonzero(
        (x > columns.min() - 0.7 * height)
        & (x < columns.max() + 0.7 * height)
        & (y > rows.min() - height)
        & (y < rows.max() + height)
    )
    if not len(near):
        return
    across, down = (columns[:, None] - x[near]) / (WIDE * height), (rows[:, None] - y[near]) / (TALL * height)
    away = np.hypot(across, down)
    nearest, distance = away.argmin(axis=1), away.min(axis=1)
    counts = np.bincount(nearest, minlength=len(near))
    if counts.max() >= OWN * len(rows):
        if np.median(distance) <= REACH:
            yield int(near[counts.argmax()]), np.ones(len(rows), bool)
        return
    for index in np.flatnonzero(counts):
        part = (nearest == index) & (distance < 1.3 * REACH)
        if part.sum() > 3:
            yield int(near[index]), part


def cut_out(ink: np.ndarray, strokes: Segments, members: np.ndarray, slope: float = 0.0) -> tuple[np.ndarray, Box]:
    """Ink of some strokes alone, float32 (h, w), and their common box.

    members: indices, int (m,). slope: of the row, which is turned level; in pixels down per pixel along.
    """
    x, y, width, height = box = joint_box(strokes.boxes[members])
    left, top = max(0, x - 2), max(0, y - 2)
    window = np.s_[top : y + height + 2, left : x + width + 2]
    labels = strokes.labels[window]
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


def typical_heights(sizes: np.ndarray) -> list[float]:
    """How high, in pixels, the writing of a page may be: one or two guesses, the likelier first.

    sizes: width, height of its connected ink, int (n, 2). Each guess is a median over what could be a digit. In the
    first, tall pieces count by their area, so that specks do not matter; in the second by their height, so that a blot
    or a drawing hardly does.
    """
    width, height = sizes.T
    likely = np.sort(height[(height >= SMALLEST) & (height > 0.6 * width) & (height < 12 * width)]).astype(float)
    if not len(likely):
        return [float(max(SMALLEST, height.max(initial=0)))]
    guesses: list[float] = []
    for power in (2, 1):
        weights = np.cumsum(likely**power)
        guess = float(likely[np.searchsorted(weights, weights[-1] / 2)])
        if not guesses or max(guess / guesses[0], guesses[0] / guess) > 1.6:
            guesses.append(guess)
    return guesses
