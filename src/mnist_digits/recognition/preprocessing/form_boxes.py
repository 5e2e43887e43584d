"""Boxes of forms, and cells of tables and squared paper: taken out, so that what is written in them stays."""

import cv2
import numpy as np

from mnist_digits.recognition.preprocessing.mnist_format import PRESENT

FOUR_CORNERS = 0.92
"""Share of a cell that the quadrilateral between its corners covers; the best one in an ellipse covers 0.64."""

SMALLEST = 10
"""Pixels along each side of a cell."""

LARGEST = 0.3
"""Share of the picture that a cell covers at most."""

HOLLOW = 0.5
"""Share of a frame that its cells cover at least."""


def remove_form_boxes(ink: np.ndarray) -> np.ndarray:
    """The ink, float32 (h, w) in [0, 1], without the lines of closed boxes."""
    # Small gaps in a line do not open the box.
    mask = cv2.dilate((ink > PRESENT).view(np.uint8), np.ones((3, 3), np.uint8))
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if hierarchy is None:
        return ink
    holes: dict[int, list[np.ndarray]] = {}
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True):
        if parent >= 0:
            holes.setdefault(parent, []).append(contour)
    lines = np.zeros_like(mask)
    for parent, own in holes.items():
        cells = [cell for hole in own if (cell := _cell(hole, ink.size)) is not None]
        if cells and _is_frame(contours[parent], cells):
            cv2.drawContours(lines, [contours[parent], *own], -1, 1, cv2.FILLED)
            # A digit that touches its box is part of the same piece, but lies within the cell.
            for cell in cells:
                cv2.fillConvexPoly(lines, cell, 0)
    return np.where(lines > 0, np.float32(0), ink)


def _cell(contour: np.ndarray, page: int) -> np.ndarray | None:
    """The convex hull of a hole in the ink, if it has four corners and a cell's size."""
    _, _, width, height = cv2.boundingRect(contour)
    if min(width, height) < SMALLEST or width * height > LARGEST * page:
        return None
    hull = cv2.convexHull(contour)
    corners = cv2.approxPolyDP(hull, 0.05 * cv2.arcLength(hull, True), True)
    return hull if len(corners) == 4 and cv2.contourArea(corners) > FOUR_CORNERS * cv2.contourArea(hull) else None


def _is_frame(outline: np.ndarray, cells: list[np.ndarray]) -> bool:
    """Whether a piece of ink is hardly more than lines around cells."""
    area = cv2.contourArea(cv2.convexHull(outline))
    return sum(cv2.contourArea(cell) for cell in cells) > HOLLOW * area
