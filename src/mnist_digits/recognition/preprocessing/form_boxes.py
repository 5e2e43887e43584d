"""Boxes of forms, and cells of tables and squared paper: removed from the ink, without what is written in them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.preprocessing.mnist_format import MIN_STROKE_INK, square

MIN_RECTANGULARITY = 0.92
"""Minimum share of a cell's area inside the quadrilateral of its corners; for an ellipse it is at most 0.64."""

MIN_CELL_SIDE_PX = 10

MAX_CELL_SHARE = 0.3
"""Maximum area of a cell, as a share of the picture."""

MIN_CELLS_SHARE = 0.5
"""Minimum area of a component's cells, as a share of its convex hull: a form box is hardly more than lines."""


def remove_form_boxes(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """The ink, float32 (h, w) in [0, 1], without the lines of closed boxes."""
    # Dilated, so that small gaps in a line do not open the box.
    mask = cv2.dilate((ink > MIN_STROKE_INK).view(np.uint8), square(3))
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if hierarchy is None:
        return ink
    holes: dict[int, list[NDArray[np.int32]]] = {}
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True):
        if parent >= 0:
            holes.setdefault(parent, []).append(contour)
    lines = np.zeros_like(mask)
    for parent, own_holes in holes.items():
        cells = [cell for hole in own_holes if (cell := _cell(hole, ink.size)) is not None]
        if cells and _is_form_box(contours[parent], cells):
            cv2.drawContours(lines, [contours[parent], *own_holes], -1, 1, cv2.FILLED)
            # A digit that touches its box belongs to the same component, but lies within the cell.
            for cell in cells:
                cv2.fillConvexPoly(lines, cell, 0)
    return np.where(lines > 0, np.float32(0), ink)


def _cell(hole: NDArray[np.int32], picture_area: int) -> NDArray[np.int32] | None:
    """The convex hull of a hole in the ink, a contour; None unless it has four corners and the size of a cell."""
    _, _, width, height = cv2.boundingRect(hole)
    if min(width, height) < MIN_CELL_SIDE_PX or width * height > MAX_CELL_SHARE * picture_area:
        return None
    hull = cv2.convexHull(hole)
    corners = cv2.approxPolyDP(hull, 0.05 * cv2.arcLength(hull, True), True)
    rectangular = len(corners) == 4 and cv2.contourArea(corners) > MIN_RECTANGULARITY * cv2.contourArea(hull)
    return hull if rectangular else None


def _is_form_box(outline: NDArray[np.int32], cells: list[NDArray[np.int32]]) -> bool:
    """Whether a component, by its outer contour, is hardly more than lines around cells."""
    area = cv2.contourArea(cv2.convexHull(outline))
    return sum(cv2.contourArea(cell) for cell in cells) > MIN_CELLS_SHARE * area
