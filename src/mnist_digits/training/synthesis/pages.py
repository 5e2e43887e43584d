"""Whole pages composed from MNIST's digits, with the position of every digit: what the page detector is trained on.

Lines of digits stand beside words in print, block letters and cursive, between ruling and in boxes, and in documents of
many kinds (`documents`), with clutter of every kind. The page is photographed, and its ink found as that of any picture
is, so that it holds what recognition's rules leave of ruling and boxes, and lacks what they take of strokes.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset import Split
from mnist_digits.recognition.layout.detector import CELL_PX, FINER
from mnist_digits.recognition.preprocessing.ink import equalise_ink, find_ink_and_lines
from mnist_digits.recognition.preprocessing.mnist_format import square
from mnist_digits.training.synthesis.documents import DOCUMENTS
from mnist_digits.training.synthesis.drawing import Ink, Random, as_jpeg, draw_light, draw_ruling, map_on_all_cores
from mnist_digits.training.synthesis.page import MAX_DIGITS_PER_PAGE, OTHER, PAGE_PX, Page, WritingStyle
from mnist_digits.training.synthesis.typefaces import Typeface
from mnist_digits.training.synthesis.writing import add_clutter

__all__ = ["CELL_PX", "MASK_PX", "MAX_DIGITS_PER_PAGE", "OTHER", "PAGE_PX", "Pages", "compose", "compose_page"]

MASK_PX = CELL_PX // FINER
"""Side of the cells of the digit mask."""
MIN_CELL_INK = 0.04
"""Mean ink below which a cell is empty."""
STROKE_BLUR_PX = 0.8
"""By which a digit's strokes are blurred to tell which of the ink found is theirs."""
MIN_CROPPED_DIGIT_PX = 20
"""Height above which a digit may be cropped tightly."""
PAGES_PER_CHUNK = 50
"""Pages that are composed in one task, with a random generator of its own."""


@dataclass(frozen=True)
class Pages:
    """Composed pages and where their digits are."""

    ink: NDArray[np.uint8]
    """(n, PAGE_PX, PAGE_PX): the ink found in the photograph, 255 = full stroke."""
    lined_ink: NDArray[np.uint8]
    """(n, PAGE_PX, PAGE_PX): the same before ruling and the picture's rim were removed."""
    digit_mask: NDArray[np.uint8]
    """(n, PAGE_PX / MASK_PX, PAGE_PX / MASK_PX): how much of a cell's ink with lines is of digits, 255 = all of it."""
    owners: NDArray[np.uint8]
    """(n, PAGE_PX / MASK_PX, PAGE_PX / MASK_PX): row in `digits`, from 1, of the digit whose ink a cell holds, or 0."""
    digits: NDArray[np.float32]
    """(n, MAX_DIGITS_PER_PAGE, 5): label, centre x, centre y, width, height in pixels; unused rows are -1.

    The label is OTHER of letters and signs."""

    def __len__(self) -> int:
        return len(self.ink)


def compose(split: Split, count: int, seed: int) -> Pages:
    """`count` pages from a split's digits. They depend on the split and the seed, not on the number of processors."""
    sizes = [min(PAGES_PER_CHUNK, count - start) for start in range(0, count, PAGES_PER_CHUNK)]
    tasks = [(size, (seed, number)) for number, size in enumerate(sizes)]
    parts = map_on_all_cores(_compose_chunk, tasks, _start, split)
    return Pages(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


_split: Split
"""The digits of this process, which are sent once instead of with every chunk."""


def _start(split: Split) -> None:
    global _split
    _split = split


Composed = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]


def _compose_chunk(task: tuple[int, tuple[int, int]]) -> Composed:
    count, seed = task
    random = np.random.default_rng(seed)
    pages = zip(*(compose_page(_split, random) for _ in range(count)), strict=True)
    ink, lined_ink, digit_mask, owners, digits = map(np.stack, pages)
    return ink, lined_ink, digit_mask, owners, digits


def compose_page(split: Split, random: Random) -> Composed:
    """One page: ink without and with lines, digit mask, owners and digits, each without the first axis of `Pages`."""
    page = Page(random)
    style = WritingStyle.draw(random)
    if random.random() < 0.06:
        style = replace(style, typeface=Typeface.choose(random))
    if random.random() > 0.04:
        list(DOCUMENTS)[int(random.choice(len(DOCUMENTS), p=list(DOCUMENTS.values())))](page, style, split)
    for _ in range(random.integers(0, 5) if random.random() < 0.5 else 0):
        add_clutter(page, style, split)
    if page.lines.any() and random.random() < 0.15:
        page.wear_lines()
    page.tilt()
    if random.random() < 0.03:
        page.turn()
    ink, lined = _found_inks(_photograph(page, style.height_px, random), page, random)
    page.remove_unseen_digits(lined)
    planes = [np.rint(255 * plane).astype(np.uint8) for plane in (ink, lined, _digit_mask(page, lined))]
    # Of a cell's pixels, any that is owned tells.
    owners = page.owner_table().reshape(PAGE_PX // MASK_PX, MASK_PX, PAGE_PX // MASK_PX, MASK_PX).max(axis=(1, 3))
    return planes[0], planes[1], planes[2], owners, page.digit_table()


def _digit_mask(page: Page, lined: Ink) -> Ink:
    """The digit mask as in `Pages`, but float32 in [0, 1]. lined: ink as found, float32 (PAGE_PX, PAGE_PX)."""
    # The photograph's blur has made strokes wider than they were drawn.
    strokes = cv2.GaussianBlur(cv2.dilate(page.digit_ink, square(3)), (0, 0), STROKE_BLUR_PX)
    side = PAGE_PX // MASK_PX
    digits, found = (
        cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA) for ink in (np.minimum(strokes, lined), lined)
    )
    return np.minimum(digits / np.maximum(found, MIN_CELL_INK / 2), 1)


def _photograph(page: Page, digit_height_px: float, random: Random) -> NDArray[np.uint8]:
    """The page on its paper, with ruling, shadows, blur, noise and JPEG artefacts: uint8 (PAGE_PX, PAGE_PX)."""
    light = draw_light(PAGE_PX, random)
    if not page.lines.any() or random.random() < 0.15:
        light *= 1 - draw_ruling(PAGE_PX, digit_height_px, random)
    strength = random.uniform(0.3, 0.97)
    ink = np.maximum(page.digit_ink, page.other_ink * min(1.0, math.exp(random.normal(0, 0.15))))
    if random.random() < 0.06:
        # The other side of the sheet shows through.
        shift = tuple(int(part) for part in random.integers(-40, 40, 2))
        behind = cv2.GaussianBlur(np.roll(np.fliplr(ink), shift, (0, 1)), (0, 0), random.uniform(0.8, 2))
        light = light * (1 - random.uniform(0.05, 0.3) * behind)
    if random.random() < 0.4:
        # Pencil and dry pens leave the paper's grain open.
        ink = ink * np.clip(1 - random.uniform(0, 0.6) * np.abs(random.normal(0, 1, ink.shape)), 0, 1)
    picture = light * (1 - random.uniform(0.3, 0.97) * page.lines) if page.lines.any() else light
    picture = picture * (1 - strength * ink)
    if random.random() < 0.12:
        picture = _on_a_desk(picture, random)
    blur = random.uniform(0.3, 1.3) * (1 if digit_height_px > 20 else 0.7)
    picture = cv2.GaussianBlur(picture, (0, 0), blur)
    if random.random() < 0.2:
        # Small in the picture, and enlarged by recognition.
        small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        noisy = small + random.normal(0, math.exp(random.uniform(-1, 1.8)), small.shape)
        small = as_jpeg(noisy, int(random.integers(60, 97)))
        grey = cv2.resize(small, (PAGE_PX, PAGE_PX), interpolation=cv2.INTER_CUBIC)
        return np.asarray(255 - grey if random.random() < 0.12 else grey, np.uint8)
    picture += random.normal(0, math.exp(random.uniform(-1, 2.5)), picture.shape)
    if random.random() < 0.12:
        picture = 255 - picture
    return as_jpeg(picture, int(random.integers(35, 96)))


def _on_a_desk(picture: NDArray[np.float64], random: Random) -> NDArray[np.float64]:
    """The picture with the sheet's edge in it, straight or torn, and what it lies on: float64, as the picture."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * float(PAGE_PX)
    inward = np.where(random.random((4, 2)) < 0.4, 25, -8) + random.uniform(-8, 30, (4, 2))
    outline = corners + inward * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    along = np.linspace(0, 1, 60)[:, None]
    points = np.concatenate(
        [start + (end - start) * along for start, end in zip(outline, np.roll(outline, -1, 0), strict=True)]
    )
    if random.random() < 0.4:
        rough = cv2.GaussianBlur(random.normal(0, 1, points.shape), (1, 0), sigmaX=0.1, sigmaY=random.uniform(0.5, 4))
        points = points + rough / rough.std() * random.uniform(0.5, 3)
    sheet = np.zeros(picture.shape, np.uint8)
    cv2.fillPoly(sheet, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    inside = sheet / 255.0
    rim = 1 - random.uniform(0, 0.6) * (cv2.GaussianBlur(inside, (0, 0), 1.5) * (1 - inside)) * 4
    desk = draw_light(PAGE_PX, random) * random.uniform(0.15, 1.1) * np.clip(rim, 0, 1)
    return np.asarray(inside * picture + (1 - inside) * desk)


def _found_inks(photograph: NDArray[np.uint8], page: Page, random: Random) -> tuple[Ink, Ink]:
    """What recognition makes of the photograph, or of a crop as tight as the writing: float32 (PAGE_PX, PAGE_PX) each.

    The ink without and with lines.
    """
    window = _tight_window(page, random) if random.random() < 0.12 else np.s_[:, :]
    ink, lined = np.zeros((2, *photograph.shape), np.float32)
    for plane, found in zip((ink, lined), find_ink_and_lines(np.ascontiguousarray(photograph[window])), strict=True):
        plane[window] = equalise_ink(found)
    return ink, lined


def _tight_window(page: Page, random: Random) -> tuple[slice, slice]:
    """Rows and columns of one or two digits side by side, and hardly more; the page forgets all other digits."""
    digits = [digit for digit in page.digits if digit.label != OTHER and digit.height > MIN_CROPPED_DIGIT_PX]
    if not digits:
        return np.s_[:, :]
    first = digits[int(random.integers(len(digits)))]
    chosen = [first]
    if random.random() < 0.7:
        reach = 1.2 * first.height
        chosen += [one for one in digits if 0 < one.x - first.x < reach and abs(one.y - first.y) < 0.5 * reach][:1]
    margin = random.uniform(0.5, 4, 4)
    left = max(0, math.floor(min(one.x - one.width / 2 for one in chosen) - margin[0]))
    right = math.ceil(max(one.x + one.width / 2 for one in chosen) + margin[1])
    top = max(0, math.floor(min(one.y - one.height / 2 for one in chosen) - margin[2]))
    bottom = math.ceil(max(one.y + one.height / 2 for one in chosen) + margin[3])
    page.digits = chosen
    return slice(top, bottom), slice(left, right)
