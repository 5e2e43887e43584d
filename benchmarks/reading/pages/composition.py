"""Pictures of pages of handwritten digits, drawn from MNIST's, with their text and boxes as ground truth.

No page is stored: the same digits, level and seed give the same page. The levels are scans; photos of notes, forms and
boards taken with some care; and photos taken with none.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.reading.pages.clutter import Mark
from benchmarks.reading.pages.documents import DOCUMENTS, Writer, choose_writer
from benchmarks.reading.pages.levels import LEVELS, Level, Random
from benchmarks.reading.pages.photography import choose_camera, choose_materials, photograph
from benchmarks.reading.pages.sheets import Placed, Sheet, write_sheet

Box = tuple[int, int, int, int]
"""x, y, width, height, in pixels."""
Homography = NDArray[np.floating]
"""float (3, 3), from the sheet's coordinates to the picture's pixels."""
MIN_DIGITS_TO_ROTATE = 12
"""Number of digits below which a page is never rotated: with fewer, it may be ambiguous which way is up."""
SUBPIXEL_BITS = 4
"""Fractional bits of the coordinates that OpenCV draws with."""


@dataclass(frozen=True)
class WrittenLine:
    """The ground truth of a text line."""

    text: str
    """Digits, with a space between words."""
    boxes: tuple[Box, ...]
    """Boxes of the digits' ink in the picture, in the order of the text."""


@dataclass(frozen=True)
class WrittenPage:
    """A picture and its ground truth."""

    pixels: NDArray[np.uint8]
    """uint8 (h, w, 3), RGB."""
    lines: tuple[WrittenLine, ...]
    """From top to bottom of the page before it was rotated."""


def make_page(images: NDArray[np.uint8], labels: NDArray[np.uint8], level: str, seed: int) -> WrittenPage:
    """A random page of digits; the same arguments give the same page.

    images: uint8 (n, 28, 28), the digits to choose from. labels: uint8 (n,). level: one of LEVELS.
    """
    random = np.random.default_rng([seed, list(LEVELS).index(level)])
    chosen = LEVELS[level]
    if level == "documents":
        return _make_document(choose_writer(images, labels, chosen, random), chosen, seed)
    sheet = write_sheet(images, labels, chosen, random)
    return take_picture(sheet, chosen, random)


def _make_document(writer: Writer, level: Level, seed: int) -> WrittenPage:
    """A page of the kind whose turn it is; one in eight is a negative."""
    kind, random = list(DOCUMENTS)[seed % len(DOCUMENTS)], writer.random
    sheet = DOCUMENTS[kind](writer, level)
    if kind == "pad":
        level = replace(level, p_desk=0.8, max_slope_degrees=8)
    elif random.random() < 0.4:
        # A scan.
        level = replace(level, p_desk=0.0, max_slope_degrees=0.5, max_perspective=0.0)
    page = take_picture(sheet, level, random)
    if kind == "crop":
        page = _cropped(page, random)
    return replace(page, pixels=255 - page.pixels) if random.random() < 0.125 else page


def _cropped(page: WrittenPage, random: Random) -> WrittenPage:
    """The digits alone, filling a frame of thumbnail size."""
    boxes = np.array(page.lines[0].boxes)
    left, top = np.maximum(boxes[:, :2].min(0) - 1, 0)
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(0) + 1
    side = int(random.integers(28, 65))
    factor = side / max(right - left, bottom - top)
    size = (max(1, round((right - left) * factor)), max(1, round((bottom - top) * factor)))
    pixels = cv2.resize(page.pixels[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    moved = np.rint((boxes - (left, top, 0, 0)) * factor).astype(int).tolist()
    return WrittenPage(pixels, (WrittenLine(page.lines[0].text, tuple(map(tuple, moved))),))


def take_picture(sheet: Sheet, level: Level, random: Random) -> WrittenPage:
    """The sheet as a camera sees it."""
    marks = [one.mark for line in sheet.lines for one in line] + sheet.others
    ink, corner = draw_marks([mark for mark in marks if not mark.printed], marks)
    printed, _ = draw_marks([mark for mark in marks if mark.printed], marks)
    view, size = point_camera(ink.shape, sheet.style.height, level, random)
    seen = [cv2.warpPerspective(layer, view, size, flags=cv2.INTER_AREA) for layer in (ink, printed)]
    to_picture = view @ np.array([[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1.0]])
    board = random.random() < level.p_board and not sheet.form
    materials = choose_materials(sheet.style, board, level, random)
    rules = draw_rules(sheet, to_picture, size, level, random)
    paper = draw_paper(marks, to_picture, size, sheet.style.height, 0.0 if board else level.p_desk, random)
    camera = choose_camera(sheet.style, materials, level, random)
    pixels = photograph(seen[0], seen[1], rules, paper, materials, camera, random)
    lines = tuple(_describe_line(line, to_picture) for line in sheet.lines)
    page = WrittenPage(pixels, lines)
    enough = sum(len(line.boxes) for line in lines) >= MIN_DIGITS_TO_ROTATE
    return rotate(page, int(random.integers(1, 4))) if random.random() < level.p_rotated and enough else page


def _bounds(marks: Sequence[Mark]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the marks together."""
    left, top = min(mark.x for mark in marks), min(mark.y for mark in marks)
    return left, top, max(mark.right for mark in marks), max(mark.bottom for mark in marks)


def draw_marks(marks: Sequence[Mark], every: Sequence[Mark]) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Ink of the marks, float32 (h, w), on a sheet with room for `every` mark, and its upper left corner, x and y."""
    bounds = _bounds(every)
    left, top = (math.floor(side) - 3 for side in bounds[:2])
    right, bottom = (math.ceil(side) + 3 for side in bounds[2:])
    sheet = np.zeros((bottom - top, right - left), np.float32)
    for mark in marks:
        x, y = round(mark.x) - left, round(mark.y) - top
        part = sheet[y : y + mark.ink.shape[0], x : x + mark.ink.shape[1]]
        np.maximum(part, mark.ink, out=part)
    return sheet, (left, top)


def point_camera(
    shape: Sequence[int], height: float, level: Level, random: Random
) -> tuple[Homography, tuple[int, int]]:
    """A random homography, from pixels of the sheet, and the picture's width and height.

    shape: height and width of the sheet. height: of a digit.
    """
    corners = np.array([[0, 0], [shape[1], 0], [shape[1], shape[0]], [0, shape[0]]], float)
    angle = math.radians(random.uniform(-1, 1) * level.max_slope_degrees * 0.75)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    seen = corners @ rotation.T
    seen += random.uniform(-1, 1, (4, 2)) * level.max_perspective * np.ptp(seen, axis=0)
    extent = np.ptp(seen, axis=0)
    min_pixels = max(level.min_pixels, 1)
    margins = np.exp(random.uniform(math.log(0.3), math.log(3), (2, 2))) * height
    margins += extent * random.uniform(0, 0.15, (2, 2))
    size = extent + margins.sum(0)
    if size.prod() < min_pixels:
        margins += (math.sqrt(min_pixels / size.prod()) - 1) / 2 * size * random.uniform(0.9, 1.1)
    seen += margins[0] - seen.min(0)
    width, tall = np.ceil(extent + margins.sum(0)).astype(int)
    shrink = min(1.0, math.sqrt(level.max_pixels / (width * tall)))
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), (seen * shrink).astype(np.float32))
    return matrix, (int(width * shrink), int(tall * shrink))


def draw_rules(
    sheet: Sheet, to_picture: Homography, size: tuple[int, int], level: Level, random: Random
) -> NDArray[np.float32]:
    """Share of each pixel that a ruled line covers: float32 (h, w); squares, lines under the text lines, or none."""
    rules = np.zeros(size[::-1], np.uint8)
    if random.random() >= level.p_ruled or sheet.form:
        return rules.astype(np.float32)
    height = sheet.style.height
    squared = random.random() < 0.5
    step = height * random.uniform(0.55, 1.0) if squared else sheet.pitch
    start = random.uniform(0, step) if squared else height * 0.05
    width = max(1, round(height * random.uniform(0.012, 0.03)))
    # Only what the camera sees of the sheet: beyond the horizon, a homography mirrors everything.
    seen = _project(np.array([[0, 0], [size[0], 0], size, [0, size[1]]], float), np.linalg.inv(to_picture))
    (left, top), (right, bottom) = seen.min(0), seen.max(0)
    lines = [((left, y), (right, y)) for y in np.arange(start + step * ((top - start) // step), bottom, step)]
    if squared:
        lines += [((x, top), (x, bottom)) for x in np.arange(start + step * ((left - start) // step), right, step)]
    for ends in lines:
        first, last = _fixed_point(_project(np.array(ends), to_picture)).tolist()
        cv2.line(rules, first, last, 255, width, cv2.LINE_AA, SUBPIXEL_BITS)
    return rules.astype(np.float32) / np.float32(255)


def draw_paper(
    marks: Sequence[Mark], to_picture: Homography, size: tuple[int, int], height: float, p_desk: float, random: Random
) -> NDArray[np.float32]:
    """Share of each pixel that the sheet covers: float32 (h, w); 1 everywhere, or with probability `p_desk` with edges.

    height: of a digit, in the sheet's coordinates.
    """
    if random.random() >= p_desk:
        return np.ones(size[::-1], np.float32)
    left, top, right, bottom = _bounds(marks)
    near = height * random.uniform(0.4, 1.6, 4)
    left, top, right, bottom = left - near[0], top - near[1], right + near[2], bottom + near[3]
    corners = _project(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]), to_picture)
    paper = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(paper, [_fixed_point(corners)], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return paper.astype(np.float32) / np.float32(255)


def rotate(page: WrittenPage, quarters: int) -> WrittenPage:
    """The page rotated anticlockwise by a number of right angles; its lines keep their order."""
    height, width = page.pixels.shape[:2]
    lines = page.lines
    for _ in range(quarters):
        lines = tuple(
            WrittenLine(line.text, tuple((y, width - x - w, h, w) for x, y, w, h in line.boxes)) for line in lines
        )
        height, width = width, height
    return WrittenPage(np.ascontiguousarray(np.rot90(page.pixels, quarters)), lines)


def _describe_line(line: Sequence[Placed], to_picture: Homography) -> WrittenLine:
    digits = [one for one in line if one.label is not None]
    words = itertools.groupby(digits, key=lambda one: one.word)
    text = " ".join("".join(str(one.label) for one in word) for _, word in words)
    return WrittenLine(text, tuple(_box(one.mark, to_picture) for one in digits))


def _box(mark: Mark, to_picture: Homography) -> Box:
    """The box around a mark's ink in the picture."""
    rows, columns = np.nonzero(mark.ink > 0.3)
    outline = cv2.convexHull(np.column_stack([columns, rows]).astype(np.int32))[:, 0]
    seen = _project(outline + np.array([round(mark.x), round(mark.y)]), to_picture)
    (left, top), (right, bottom) = np.floor(seen.min(0)), np.ceil(seen.max(0)) + 1
    return int(left), int(top), int(right - left), int(bottom - top)


def _fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Points as OpenCV's drawing functions take them with SUBPIXEL_BITS."""
    return np.round(points * 2**SUBPIXEL_BITS).astype(np.int32)


def _project(points: NDArray[np.floating], matrix: Homography) -> NDArray[np.float64]:
    """Points, (n, 2) x and y, after a homography."""
    seen = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return seen[:, :2] / seen[:, 2:]
