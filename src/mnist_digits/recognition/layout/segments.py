"""Ink of digits → segments: components, cut where they belong to several digits, each with its detection.

Where digits touch, each pixel's ink goes to the detection nearest to where the detector sees the centre of its digit
(Cheng et al. 2020, "Panoptic-DeepLab").
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.layout.detector import Detections
from mnist_digits.recognition.preprocessing.mnist_format import MIN_STROKE_INK, square
from mnist_digits.recognition.results import Box

PAGE_SIDE_PER_GAP_PX = 500
"""Vertical gaps of 2 pixels in a stroke are closed; by 2 more for each so many pixels of the page's longer side."""

MAX_SEGMENTED_COMPONENTS = 1000
"""Number of components, the largest, that are looked at: a page of specks would have too many."""

MAX_SPECK_HEIGHTS = 0.12
"""Longest side, in digit heights, of a dot or dirt."""

REACH_X_HEIGHTS, REACH_Y_HEIGHTS = 0.45, 0.8
"""Usual distance of a digit's outermost ink from its centre, in digit heights."""

MAX_DISTANCE_REACHES = 1.2
"""Maximum median distance of a segment's pixels from the centre of its detection, in units of these."""

MAX_VOTED_REACHES = 1.0
"""Distance, in units of these, of a detection from the centre to which a pixel's ink points, up to which it counts."""

MIN_OWN_SHARE = 0.85
"""Minimum share of a component's pixels nearest to one detection for all of them to belong to it."""

MAX_DISTANCES = 4_000_000
"""Number of distances, of pixels times detections, that are computed at once."""

FAR_REACHES = 4.0
"""Distance, in units of these reaches, beyond which no detection is looked for in a component of more distances."""


@dataclass(frozen=True)
class Segments:
    """Components, cut where they belong to several digits. Segment i is where `labels` is i + 1."""

    labels: NDArray[np.int32]
    """int32 (h, w), 0 where there is none."""
    boxes: NDArray[np.int_]
    """int (n, 4) of x, y, width, height."""
    detections: NDArray[np.int_]
    """Index of the detection that each belongs to: int (n,)."""
    components: NDArray[np.int_]
    """Number of the component that each is a part or the whole of: int (n,)."""

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def centres_x(self) -> NDArray[np.float64]:
        """X of the middle of each box: float (n,)."""
        return self.boxes[:, 0] + self.boxes[:, 2] / 2


Vote = Callable[[NDArray[np.int_]], NDArray[np.float64]]
"""From points, x and y in pixels of the page, int (n, 2), to the centres of the digits whose ink they hold."""


def find_segments(
    ink: NDArray[np.float32], detections: Detections, digit_height: float, vote: Vote | None = None
) -> Segments:
    """The segments of a page. ink: of digits, float32 (h, w) in [0, 1]. digit_height: in pixels.

    vote: as the detector does; without it, a pixel belongs to the nearest detection.
    """
    mask = (ink > MIN_STROKE_INK).view(np.uint8)
    # Rough paper leaves gaps in a stroke: what is above one is joined with what is below.
    vertical = np.ones((3 + 2 * (max(ink.shape) // PAGE_SIDE_PER_GAP_PX), 1), np.uint8)
    _, connected, stats, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, vertical))
    connected *= mask
    labels = np.zeros_like(connected)
    boxes: list[Box] = []
    owners: list[tuple[int, int]] = []
    for component in _largest(stats, digit_height):
        x, y, width, height, _ = stats[component]
        window = np.s_[y : y + height, x : x + width]
        rows, columns = np.nonzero(connected[window] == component)
        for detection, part in _parts(rows + y, columns + x, detections, digit_height, vote):
            own_rows, own_columns = rows[part], columns[part]
            left, top = int(own_columns.min()), int(own_rows.min())
            boxes.append((int(x) + left, int(y) + top, int(np.ptp(own_columns)) + 1, int(np.ptp(own_rows)) + 1))
            owners.append((detection, component))
            labels[window][own_rows, own_columns] = len(boxes)
    own = np.array(owners, int).reshape(-1, 2)
    return Segments(labels, np.array(boxes, int).reshape(-1, 4), own[:, 0], own[:, 1])


def _largest(stats: NDArray[np.int32], digit_height: float) -> list[int]:
    """Numbers of the largest components that are no specks. stats: int (n, 5) of x, y, width, height, area."""
    longest = stats[:, 2:4].max(axis=1)
    longest[0] = 0
    order = np.argsort(-longest, kind="stable")[:MAX_SEGMENTED_COMPONENTS]
    largest: list[int] = np.sort(order[longest[order] >= max(2.0, MAX_SPECK_HEIGHTS * digit_height)]).tolist()
    return largest


def _parts(
    rows: NDArray[np.int_],
    columns: NDArray[np.int_],
    detections: Detections,
    digit_height: float,
    vote: Vote | None,
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The detections to which a component, pixels int (n,), belongs, and which of its pixels: bool (n,)."""
    if not len(rows):
        return
    x, y = detections.centres.T
    near = np.flatnonzero(
        (x > columns.min() - 0.7 * digit_height)
        & (x < columns.max() + 0.7 * digit_height)
        & (y > rows.min() - digit_height)
        & (y < rows.max() + digit_height)
    )
    if not len(near):
        return
    unit = np.array([REACH_X_HEIGHTS, REACH_Y_HEIGHTS]) * digit_height
    points = np.stack([columns, rows], axis=1)
    nearest, distance = _nearest(points, detections.centres[near], unit)
    if vote is not None:
        voted, away = _nearest(vote(points), detections.centres[near], unit)
        nearest = np.where(away < MAX_VOTED_REACHES, voted, nearest)
        distance = np.minimum(distance, away)
    counts = np.bincount(nearest[distance < np.inf], minlength=len(near))
    if counts.max() >= MIN_OWN_SHARE * len(rows):
        if np.median(distance) <= MAX_DISTANCE_REACHES:
            yield int(near[counts.argmax()]), np.ones(len(rows), bool)
        return
    for index in np.flatnonzero(counts):
        part = (nearest == index) & (distance < 1.3 * MAX_DISTANCE_REACHES)
        if part.sum() > 3:
            yield int(near[index]), part


def _nearest(
    points: NDArray[np.int_] | NDArray[np.float64], centres: NDArray[np.floating], unit: NDArray[np.float64]
) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """The nearest of some centres, float (m, 2), to each point, (n, 2): its index, (n,), and distance, (n,).

    unit: of distances, along x and y, in pixels, float (2,).

    Where there are many of both, centres farther than FAR_REACHES are not looked for, and the distance is infinite:
    time and memory then grow with the points, not with their product.
    """
    if len(points) * len(centres) <= MAX_DISTANCES:
        distances = np.hypot(*np.moveaxis((points[:, None] - centres) / unit, -1, 0))
        return distances.argmin(axis=1), distances.min(axis=1)
    nearest, distance = np.zeros(len(points), int), np.full(len(points), np.inf)
    side = FAR_REACHES * unit
    cells = np.floor(points / side).astype(int)
    order = np.lexsort(cells.T)
    starts = np.flatnonzero(np.any(np.diff(cells[order], axis=0, prepend=cells[order[:1]] - 1), axis=1))
    for own in np.split(order, starts[1:]):
        corner = side * cells[own[0]]
        around = np.flatnonzero(np.all((centres >= corner - side) & (centres <= corner + 2 * side), axis=1))
        for part in np.array_split(own, 1 + len(own) * len(around) // MAX_DISTANCES) if len(around) else ():
            distances = np.hypot(*np.moveaxis((points[part][:, None] - centres[around]) / unit, -1, 0))
            nearest[part], distance[part] = around[distances.argmin(axis=1)], distances.min(axis=1)
    distance[distance > FAR_REACHES] = np.inf
    return nearest, distance


def cut_out(
    ink: NDArray[np.float32], segments: Segments, members: NDArray[np.int_], slope: float = 0.0
) -> tuple[NDArray[np.float32], Box]:
    """The ink of some segments alone, float32 (h, w), and their common box.

    members: indices, int (m,). slope: of the text line, in pixels down per pixel along; the ink is turned level.
    """
    x, y, width, height = box = joint_box(segments.boxes[members])
    left, top = max(0, x - 2), max(0, y - 2)
    window = np.s_[top : y + height + 2, left : x + width + 2]
    labels = segments.labels[window]
    own = np.logical_or.reduce([labels == 1 + member for member in members])
    # The soft edges of strokes have no label: those next to other segments are left out.
    near = cv2.dilate(own.view(np.uint8), square(3))
    crop = ink[window] * (near & (own | (labels == 0)))
    return (_levelled(crop, slope) if abs(slope) > 0.05 else crop), box


def joint_box(boxes: NDArray[np.int_]) -> Box:
    """The smallest box around some boxes, int (n, 4)."""
    left, top = boxes[:, :2].min(axis=0)
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    return int(left), int(top), int(right - left), int(bottom - top)


def _levelled(crop: NDArray[np.float32], slope: float) -> NDArray[np.float32]:
    """The crop turned about its middle so that a line of this slope becomes level."""
    height, width = crop.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(np.arctan(slope))), 1.0)
    new_width, new_height = (int(np.ceil(side)) for side in (width + abs(slope) * height, height + abs(slope) * width))
    turn[:, 2] += (new_width - width) / 2, (new_height - height) / 2
    return np.clip(cv2.warpAffine(crop, turn, (new_width, new_height), flags=cv2.INTER_LINEAR), 0, 1)
