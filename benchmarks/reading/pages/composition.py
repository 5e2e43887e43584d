"""Pictures of pages full of handwritten digits, drawn from MNIST's, with what stands on them.

    python -m benchmarks.reading.pages.composition FOLDER    # some of each level, to look at

Nothing is stored: the same digits, level and seed give the same page. The levels are what people send: scans; photos
of notes, forms and boards taken with some care; and photos taken with none.
"""

import argparse
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.reading.pages.clutter import Mark
from benchmarks.reading.pages.levels import LEVELS, Level
from benchmarks.reading.pages.photography import choose_camera, choose_materials, photograph
from benchmarks.reading.pages.sheets import Placed, Sheet, write_sheet

Random = np.random.Generator
Box = tuple[int, int, int, int]
"""x, y, width, height, in pixels."""
ROTATED_NEEDS = 12
"""Digits on a page that lies on its side or its head: with fewer, nobody could tell which way is up."""


@dataclass(frozen=True)
class WrittenLine:
    """What stands in one line."""

    text: str
    """Digits, with a space wherever two words are apart."""
    boxes: tuple[Box, ...]
    """Of each digit's ink in the picture, in the order of the text."""


@dataclass(frozen=True)
class WrittenPage:
    """A picture and what stands in it."""

    pixels: np.ndarray
    """uint8 (h, w, 3), RGB."""
    lines: tuple[WrittenLine, ...]
    """From top to bottom as the writer held the page."""


def make_page(images: np.ndarray, labels: np.ndarray, level: str, seed: int) -> WrittenPage:
    """A page of digits.

    images: uint8 (n, 28, 28), MNIST's, to write the digits after. labels: uint8 (n,), theirs. level: one of LEVELS.
    The same arguments give the same page.
    """
    random = np.random.default_rng([seed, sorted(LEVELS).index(level)])
    chosen = LEVELS[level]
    sheet = write_sheet(images, labels, chosen, random)
    return take_picture(sheet, chosen, random)


def take_picture(sheet: Sheet, level: Level, random: Random) -> WrittenPage:
    """The sheet as a camera sees it."""
    marks = [one.mark for row in sheet.rows for one in row] + sheet.others
    ink, corner = lay_down([mark for mark in marks if not mark.printed], marks)
    printed, _ = lay_down([mark for mark in marks if mark.printed], marks)
    view, size = point_camera(ink.shape, sheet.hand.height, level, random)
    seen = [cv2.warpPerspective(layer, view, size, flags=cv2.INTER_AREA) for layer in (ink, printed)]
    to_picture = view @ np.array([[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1.0]])
    board = random.random() < level.boards and not sheet.form
    materials = choose_materials(sheet.hand, board, level, random)
    rules = draw_rules(sheet, to_picture, size, level, random)
    paper = draw_paper(marks, to_picture, size, sheet.hand.height, 0.0 if board else level.desks, random)
    camera = choose_camera(sheet.hand, materials, level, random)
    pixels = photograph(seen[0], seen[1], rules, paper, materials, camera, random)
    lines = tuple(_line(row, to_picture) for row in sheet.rows)
    page = WrittenPage(pixels, lines)
    enough = sum(len(line.boxes) for line in lines) >= ROTATED_NEEDS
    return turn(page, int(random.integers(1, 4))) if random.random() < level.turned and enough else page


def lay_down(marks: Sequence[Mark], every: Sequence[Mark]) -> tuple[np.ndarray, tuple[int, int]]:
    """The marks on a sheet large enough for `every` one: float32 (h, w), and where it begins, x and y."""
    left, top = (math.floor(min(side)) - 3 for side in zip(*((mark.x, mark.y) for mark in every), strict=True))
    right = math.ceil(max(mark.x + mark.ink.shape[1] for mark in every)) + 3
    bottom = math.ceil(max(mark.y + mark.ink.shape[0] for mark in every)) + 3
    sheet = np.zeros((bottom - top, right - left), np.float32)
    for mark in marks:
        x, y = round(mark.x) - left, round(mark.y) - top
        part = sheet[y : y + mark.ink.shape[0], x : x + mark.ink.shape[1]]
        np.maximum(part, mark.ink, out=part)
    return sheet, (left, top)


def point_camera(
    shape: Sequence[int], height: float, level: Level, random: Random
) -> tuple[np.ndarray, tuple[int, int]]:
    """From the sheet's pixels to the picture's, float64 (3, 3), and the picture's width and height.

    shape: of the sheet. height: of a digit.
    """
    corners = np.array([[0, 0], [shape[1], 0], [shape[1], shape[0]], [0, shape[0]]], float)
    angle = math.radians(random.uniform(-1, 1) * level.row_slope * 0.75)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    seen = corners @ rotation.T
    seen += random.uniform(-1, 1, (4, 2)) * level.perspective * np.ptp(seen, axis=0)
    extent = np.ptp(seen, axis=0)
    least = max(level.least_pixels, 1)
    margins = np.exp(random.uniform(math.log(0.3), math.log(3), (2, 2))) * height
    margins += extent * random.uniform(0, 0.15, (2, 2))
    size = extent + margins.sum(0)
    if size.prod() < least:
        margins += (math.sqrt(least / size.prod()) - 1) / 2 * size * random.uniform(0.9, 1.1)
    seen += margins[0] - seen.min(0)
    width, tall = np.ceil(extent + margins.sum(0)).astype(int)
    shrink = min(1.0, math.sqrt(level.most_pixels / (width * tall)))
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), (seen * shrink).astype(np.float32))
    return matrix, (int(width * shrink), int(tall * shrink))


def draw_rules(sheet: Sheet, to_picture: np.ndarray, size: tuple[int, int], level: Level, random: Random) -> np.ndarray:
    """How much of a ruled line lies where: float32 (h, w) in [0, 1]; squares, lines under the rows, or none."""
    rules = np.zeros(size[::-1], np.uint8)
    if random.random() >= level.ruled or sheet.form:
        return rules.astype(np.float32)
    height = sheet.hand.height
    squared = random.random() < 0.5
    step = height * random.uniform(0.55, 1.0) if squared else sheet.pitch
    start = random.uniform(0, step) if squared else height * 0.05
    width = max(1, round(height * random.uniform(0.012, 0.03)))
    # As much of the sheet as the camera sees, and no more: far enough away, perspective turns everything round.
    seen = _project(np.array([[0, 0], [size[0], 0], size, [0, size[1]]], float), np.linalg.inv(to_picture))
    (left, top), (right, bottom) = seen.min(0), seen.max(0)
    lines = [((left, y), (right, y)) for y in np.arange(start + step * ((top - start) // step), bottom, step)]
    if squared:
        lines += [((x, top), (x, bottom)) for x in np.arange(start + step * ((left - start) // step), right, step)]
    for ends in lines:
        first, last = np.round(_project(np.array(ends), to_picture) * 16).astype(int).tolist()
        cv2.line(rules, first, last, 255, width, cv2.LINE_AA, 4)
    return rules.astype(np.float32) / 255


def draw_paper(
    marks: Sequence[Mark], to_picture: np.ndarray, size: tuple[int, int], height: float, desks: float, random: Random
) -> np.ndarray:
    """Where the sheet lies, float32 (h, w): 1 all over but in that share of pictures that show its edge."""
    if random.random() >= desks:
        return np.ones(size[::-1], np.float32)
    left, top = min(mark.x for mark in marks), min(mark.y for mark in marks)
    right = max(mark.x + mark.ink.shape[1] for mark in marks)
    bottom = max(mark.y + mark.ink.shape[0] for mark in marks)
    near = height * random.uniform(0.4, 1.6, 4)
    left, top, right, bottom = left - near[0], top - near[1], right + near[2], bottom + near[3]
    corners = _project(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]), to_picture)
    paper = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(paper, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return paper.astype(np.float32) / 255


def turn(page: WrittenPage, quarters: int) -> WrittenPage:
    """The page turned to the left by so many right angles; the lines stay as the writer wrote them."""
    height, width = page.pixels.shape[:2]
    lines = page.lines
    for _ in range(quarters):
        lines = tuple(
            WrittenLine(line.text, tuple((y, width - x - w, h, w) for x, y, w, h in line.boxes)) for line in lines
        )
        height, width = width, height
    return WrittenPage(np.ascontiguousarray(np.rot90(page.pixels, quarters)), lines)


def _line(row: Sequence[Placed], to_picture: np.ndarray) -> WrittenLine:
    digits = [one for one in row if one.label is not None]
    words = itertools.groupby(digits, key=lambda one: one.word)
    text = " ".join("".join(str(one.label) for one in word) for _, word in words)
    return WrittenLine(text, tuple(_box(one.mark, to_picture) for one in digits))


def _box(mark: Mark, to_picture: np.ndarray) -> Box:
    """What the camera makes of the box around a mark's ink."""
    rows, columns = np.nonzero(mark.ink > 0.3)
    outline = cv2.convexHull(np.column_stack([columns, rows]).astype(np.int32))[:, 0]
    seen = _project(outline + np.array([round(mark.x), round(mark.y)]), to_picture)
    (left, top), (right, bottom) = np.floor(seen.min(0)), np.ceil(seen.max(0)) + 1
    return int(left), int(top), int(right - left), int(bottom - top)


def _project(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points, (n, 2), as the camera sees them."""
    seen = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return seen[:, :2] / seen[:, 2:]


def show(page: WrittenPage) -> np.ndarray:
    """The picture with a box around each digit: uint8 (h, w, 3)."""
    shown = page.pixels.copy()
    for line in page.lines:
        for x, y, width, height in line.boxes:
            cv2.rectangle(shown, (x, y), (x + width, y + height), (255, 0, 200), 1)
    return shown


def main() -> None:
    """Draw a few pages of each level."""
    from mnist_digits.dataset import load_mnist

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=8, help="of each level (default: 8)")
    parser.add_argument("--boxes", action="store_true", help="draw a box around each digit")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    train = load_mnist().train
    for level in LEVELS:
        for seed in range(options.pages):
            page = make_page(train.images, train.labels, level, seed)
            Image.fromarray(show(page) if options.boxes else page.pixels).save(options.folder / f"{level}-{seed}.png")
            print(f"{level}-{seed}", page.pixels.shape, *(f"“{line.text}”" for line in page.lines))


if __name__ == "__main__":
    main()
