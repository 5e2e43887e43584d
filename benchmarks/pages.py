"""Pictures of pages full of handwritten digits, drawn from MNIST's, with what stands on them.

    python benchmarks/pages.py FOLDER           # a few of each level, drawn from training digits, to look at

Nothing is stored: the same digits, level and seed give the same page. The levels are what people send: scans; photos
of notes, forms and boards taken with some care; and photos taken with none.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import clutter
import photography
from clutter import Mark
from handwriting import Hand, write_digit
from levels import LEVELS, Level, Range

Random = np.random.Generator
Box = tuple[int, int, int, int]
"""x, y, width, height, in pixels."""
ROW_FORMS = ("phone", "date", "number", "short", "apart")
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


@dataclass(frozen=True)
class Placed:
    """A digit on the sheet."""

    mark: Mark
    label: int
    word: int
    """Counts the words of its row."""


@dataclass(frozen=True)
class Sheet:
    """What was written, before anybody took a picture of it; all in pixels of the sheet."""

    rows: list[list[Placed]]
    others: list[Mark]
    """What is no digit."""
    hand: Hand
    pitch: float
    """From one row to the next."""
    first_baseline: float


def make_page(images: np.ndarray, labels: np.ndarray, level: str, seed: int) -> WrittenPage:
    """A page of digits.

    images: uint8 (n, 28, 28), MNIST's, to write the digits after. labels: uint8 (n,), theirs. level: one of LEVELS.
    The same arguments give the same page.
    """
    random = np.random.default_rng([seed, sorted(LEVELS).index(level)])
    chosen = LEVELS[level]
    sheet = write_sheet(images, labels, chosen, random)
    return take_picture(sheet, chosen, random)


# --- writing


def write_sheet(images: np.ndarray, labels: np.ndarray, level: Level, random: Random) -> Sheet:
    """Rows of digits in one hand, and on some pages what does not belong to them."""
    hand = choose_hand(level, random)
    pitch = hand.height * random.uniform(*level.pitch)
    widest = int(np.clip(level.widest / hand.height, 4, 14))
    count = int(np.clip(random.integers(level.rows[0], level.rows[1] + 1), 1, max(1, level.widest // pitch)))
    columns = 2 if random.random() < level.two_columns else 1
    spacing = random.uniform(*level.gaps)
    tilt, bow = (random.uniform(-1, 1) * most for most in (level.row_slope / 3, level.bow * hand.height))
    rows = []
    for number in range(count):
        lengths = [word for _ in range(columns) for word in (*choose_words(widest // columns, random), 0)][:-1]
        rows.append(write_row(images, labels, lengths, hand, spacing, level, random))
    rows = bring_into_place(rows, pitch, tilt, bow, hand, level, random)
    others = clutter.scatter([[one.mark for one in row] for row in rows], hand, level, random)
    return Sheet(rows, others, hand, pitch, 0.0)


def choose_hand(level: Level, random: Random) -> Hand:
    """Someone, with some pen."""
    height = _log_uniform(level.heights, random)
    # No pen is finer than a pixel or so in a picture that a person can read.
    stroke = max(random.uniform(*level.strokes), min(1.3 / height, 0.1))
    broken = random.uniform(0.05, 0.3) if random.random() < level.broken else 0.0
    return Hand(height, stroke, random.normal(0.12, 0.12), random.uniform(*level.uneven), broken)


def choose_words(widest: int, random: Random) -> list[int]:
    """How many digits each word of a row has, at most `widest` in all."""
    form = str(random.choice(ROW_FORMS, p=(0.3, 0.1, 0.3, 0.2, 0.1)))
    if form == "phone":
        words = random.integers(2, 5, random.integers(2, 5)).tolist()
    elif form == "date":
        words = [2, 2, int(random.choice([2, 4]))]
    elif form == "number":
        words = [int(random.integers(4, 12))]
    elif form == "short":
        words = [int(random.integers(1, 4))]
    else:
        words = [1] * int(random.integers(2, 6))
    kept = [min(word, widest - sum(words[:number])) for number, word in enumerate(words)]
    return [word for word in kept if word > 0]


def write_row(
    images: np.ndarray,
    labels: np.ndarray,
    words: Sequence[int],
    hand: Hand,
    gap: float,
    level: Level,
    random: Random,
) -> list[Placed]:
    """Digits one after another from x = 0, standing on y = 0. words: how many digits each has; 0 parts two columns."""
    touching = random.uniform(*level.touching)
    row: list[Placed] = []
    x, word = 0.0, 0
    for length in words:
        # The second column begins where the first would end at its widest, or at least well away from this row.
        if not length:
            x = max(x + 2.5 * hand.height, level.widest / 2)
        for place in range(length):
            chosen = random.integers(len(images))
            ink = write_digit(images[chosen], hand, random)
            near = row[-1].mark if place else None
            apart = hand.height * max(0.05, gap * random.uniform(0.6, 1.4))
            if near is not None and random.random() < touching:
                apart = -hand.height * random.uniform(0.0, 0.06)
            left = x if near is None else beside(near, ink, apart, hand.height)
            drop = hand.height * hand.uneven * random.normal(0, 0.5)
            row.append(Placed(Mark(ink, left, drop - ink.shape[0]), int(labels[chosen]), word))
            x = left + ink.shape[1]
        # Twice the gap and half a digit more: nobody takes that for a gap within a word.
        x += hand.height * (2 * gap + random.uniform(0.45, 1.0))
        word += 1
    return row


def beside(near: Mark, ink: np.ndarray, apart: float, height: float) -> float:
    """Where a digit's left edge goes, so that its stroke is so far from its neighbour's, which may be negative."""
    tall = min(len(near.ink), len(ink))
    before, after = near.ink[-tall:] > 0.5, ink[-tall:] > 0.5
    # Row by row from the foot: from the neighbour's box's right edge to its stroke, and from the digit's left edge.
    right = np.where(before.any(1), before[:, ::-1].argmax(1), height)
    left = np.where(after.any(1), after.argmax(1), height)
    reach = max(3, int(height / 8))
    spread = [cv2.erode(side.astype(np.float32), np.ones((reach, 1))).ravel() for side in (right, left)]
    between = float((spread[0] + spread[1]).min())
    return near.x + near.ink.shape[1] + apart - min(between, 0.2 * height)


def bring_into_place(
    rows: list[list[Placed]], pitch: float, tilt: float, bow: float, hand: Hand, level: Level, random: Random
) -> list[list[Placed]]:
    """Each row below the one before. tilt: of the rows, in degrees. bow: of their ends, in pixels."""
    widths = [row[-1].mark.x + row[-1].mark.ink.shape[1] for row in rows]
    widest = max(widths)
    alignment = random.choice([0.0, 0.5, 1.0], p=[0.75, 0.15, 0.1]) if level.two_columns == 0 else 0.0
    ragged = hand.height * random.uniform(0, 1) * level.uneven[1] * 5
    placed = []
    for number, (row, width) in enumerate(zip(rows, widths, strict=True)):
        start = alignment * (widest - width) + random.uniform(0, 1) * ragged
        base = pitch * number + hand.height * random.normal(0, level.uneven[0] / 2)
        slope = math.tan(math.radians(tilt + random.normal(0, level.row_slope / 20)))
        placed.append([_move(one, start, base, slope, bow, widest) for one in row])
    return placed


def _move(one: Placed, start: float, base: float, slope: float, bow: float, widest: float) -> Placed:
    x = one.mark.x + start
    along = (x + one.mark.ink.shape[1] / 2) / widest - 0.5
    y = one.mark.y + base + slope * along * widest + bow * (2 * along) ** 2
    return Placed(Mark(one.mark.ink, x, y), one.label, one.word)


# --- taking the picture


def take_picture(sheet: Sheet, level: Level, random: Random) -> WrittenPage:
    """The sheet as a camera sees it."""
    marks = [one.mark for row in sheet.rows for one in row] + sheet.others
    ink, corner = lay_down([mark for mark in marks if not mark.printed], marks)
    printed, _ = lay_down([mark for mark in marks if mark.printed], marks)
    view, size = point_camera(ink.shape, sheet.hand.height, level, random)
    seen = [cv2.warpPerspective(layer, view, size, flags=cv2.INTER_AREA) for layer in (ink, printed)]
    to_picture = view @ np.array([[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1.0]])
    materials = choose_materials(level, random)
    rules = draw_rules(sheet, to_picture, size, level, random)
    paper = draw_paper(marks, to_picture, size, sheet.hand.height, level, random)
    camera = choose_camera(sheet.hand, level, random)
    pixels = photography.photograph(seen[0], seen[1], rules, paper, materials, camera, random)
    lines = tuple(_line(row, to_picture) for row in sheet.rows)
    page = WrittenPage(pixels, lines)
    enough = sum(map(len, sheet.rows)) >= ROTATED_NEEDS
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
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    seen = corners @ turn.T
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
    """How much of a ruled line lies where: float32 (h, w) in [0, 1]; squares, lines on which the rows stand, or none."""
    rules = np.zeros(size[::-1], np.uint8)
    if random.random() >= level.ruled:
        return rules.astype(np.float32)
    height = sheet.hand.height
    squared = random.random() < 0.5
    step = height * random.uniform(0.55, 1.0) if squared else sheet.pitch
    start = sheet.first_baseline + (random.uniform(0, step) if squared else height * 0.05)
    width = max(1, round(height * random.uniform(0.012, 0.03)))
    far = 3 * max(size)
    lines = [((-far, start + step * n), (far, start + step * n)) for n in range(-int(far / step), int(far / step))]
    if squared:
        lines += [((start + step * n, -far), (start + step * n, far)) for n in range(-int(far / step), int(far / step))]
    for ends in lines:
        first, last = np.round(_project(np.array(ends), to_picture) * 16).astype(int).tolist()
        cv2.line(rules, first, last, 255, width, cv2.LINE_AA, 4)
    return rules.astype(np.float32) / 255


def draw_paper(
    marks: Sequence[Mark], to_picture: np.ndarray, size: tuple[int, int], height: float, level: Level, random: Random
) -> np.ndarray:
    """Where the sheet lies, float32 (h, w): 1 all over unless the picture shows its edge."""
    if random.random() >= level.desks:
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


def choose_materials(level: Level, random: Random) -> photography.Materials:
    """A pen and paper, or chalk and a board."""
    board = random.random() < level.boards
    plain = level.ruled == 0
    papers = photography.BOARDS if board else photography.PAPERS[: 1 if plain else None]
    pens = photography.CHALKS if board else photography.PENS[: 3 if plain else None]
    paper, pen = papers[random.integers(len(papers))], pens[random.integers(len(pens))]
    rules = photography.RULES[random.integers(len(photography.RULES))]
    grain = random.uniform(*level.grain)
    return photography.Materials(
        paper=paper,
        pen=pen,
        darkness=random.uniform(*level.darkness),
        grain=grain,
        texture=random.uniform(*level.texture),
        rules=(95, 110, 110) if board else rules,
        rule_strength=random.uniform(*level.rule_strengths),
        desk=photography.DESKS[random.integers(len(photography.DESKS))],
    )


def choose_camera(hand: Hand, level: Level, random: Random) -> photography.Camera:
    """A camera, and the light it works in."""
    stroke = hand.height * hand.stroke
    shadow = random.uniform(*level.shadow_depths) if random.random() < level.shadows else 0.0
    return photography.Camera(
        gradient=tuple(random.uniform(-1, 1, 2) * level.gradient),
        warmth=random.uniform(-0.04, 0.08) if level.gradient else 0.0,
        shadow=shadow,
        shadow_edge=_log_uniform(level.shadow_edges, random),
        # What blurs a thin stroke away leaves nothing to read.
        blur=min(random.uniform(*level.blur), 0.45 * stroke),
        noise=min(random.uniform(*level.noise), 4 * stroke),
        quality=int(random.integers(level.quality[0], level.quality[1] + 1)),
        grey=random.random() < level.grey,
    )


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
    words: list[str] = []
    for before, one in zip([None, *row], row, strict=False):
        words += [" "] if before is not None and before.word != one.word else []
        words.append(str(one.label))
    return WrittenLine("".join(words), tuple(_box(one.mark, to_picture) for one in row))


def _box(mark: Mark, to_picture: np.ndarray) -> Box:
    """What the camera makes of the box around a mark's ink."""
    rows, columns = np.nonzero(mark.ink > 0.3)
    outline = cv2.convexHull(np.column_stack([columns, rows]).astype(np.int32))[:, 0]
    # Each pixel reaches half a pixel beyond its middle.
    seen = _project(outline + (round(mark.x), round(mark.y)), to_picture)
    (left, top), (right, bottom) = np.floor(seen.min(0)), np.ceil(seen.max(0)) + 1
    return int(left), int(top), int(right - left), int(bottom - top)


def _project(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points, (n, 2), as the camera sees them."""
    seen = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return seen[:, :2] / seen[:, 2:]


def _log_uniform(limits: Range, random: Random) -> float:
    """Between the limits, where every doubling is as likely as any other."""
    return float(np.exp(random.uniform(*np.log(limits))))


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
