"""Documents that people photograph: tables, forms, pads, squared paper, sums, labels, round numbers and tight crops.

Each function fills a page, in which lines are printed apart from writing, so that a pen of any strength crosses them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from mnist_digits.dataset import Split
from mnist_digits.training.synthesis.digits import draw_non_digit
from mnist_digits.training.synthesis.drawing import Random
from mnist_digits.training.synthesis.page import OTHER, PAGE_PX, Page, WritingStyle
from mnist_digits.training.synthesis.typefaces import Typeface
from mnist_digits.training.synthesis.writing import (
    WORD_SHARES,
    WORDS,
    TextLine,
    draw_curve,
    draw_digit,
    print_word,
    write_lines,
    write_number,
    write_sign,
)

FORMATS = (
    "##+##=##", "#+#", "##-#=##", "#x##=###", "#×#=##", "##×##", "##÷#=#", "##:##", "##:##:##", "##.##.####",
    "##/##/##", "####-##-##", "#/##/####", "##/##", "#.##", "##,##", "#'###", "$##.##", "##€", "€##,##", "##%",
    "#/#", "##kg", "#x=##", "x=#", "y=##", "(##)", "#)", "No##", "#.", "##m", "##-##", "#:#", "+## ### ####",
    "###-####", "~##", "<##", "#²", "√##=#", "##/##/####", "#-#-##", "##-##-####", "##.##.##", "#.#.#", "##:## @@",
    "#,###,###", "#.###,##", "£##.##", "-#.#", "-##", "±#", "#±#", "##°C", "##°", "#;#;#", "##→##", "→##", "##✓",
    "✓ ##", "✗ #", "#·##", "*##", "##?", "#!", "##&#", "[##]", "{#;#}", "@##", "##@", "@-###", "##@##", "@@##", "#@#@",
    "## @", "@: ##", "@=##", "#@+#@", "##@@", "###@", "F", "# F", "F+F", "F=#", "##×#=###", "#+#+#=##", "#-#", "##,-",
)  # fmt: skip
"""Formats of lines with signs; # is a digit, @ a letter, F a fraction."""
BESIDE = "@@@+-✓✗%→*/,."
"""What stands beside a number in a table; @ is a letter."""
LONE_LETTERS = ("letter", "letter of another alphabet", "letter of no alphabet", "symbol", "turned digit")


def _stroke(page: Page, ends: Sequence[tuple[float, float]], width_px: float, opacity: float) -> None:
    """Print a straight line on the page."""
    drawn = np.zeros_like(page.lines, np.uint8)
    whole = max(1, round(width_px))
    first, last = (tuple(round(16 * value) for value in point) for point in ends)
    cv2.line(drawn, first, last, round(255 * opacity * min(1.0, width_px / whole)), whole, cv2.LINE_AA, 4)
    np.maximum(page.lines, drawn.astype(np.float32) / 255, out=page.lines)


def _line_style(style: WritingStyle, random: Random) -> tuple[float, float]:
    """Width in pixels and opacity of a document's lines."""
    return max(0.8, style.height_px * math.exp(random.uniform(math.log(0.015), math.log(0.09)))), random.uniform(
        0.25, 1
    )


def _grid(page: Page, xs: Sequence[float], ys: Sequence[float], width_px: float, opacity: float) -> None:
    for x in xs:
        _stroke(page, [(x, ys[0]), (x, ys[-1])], width_px, opacity)
    for y in ys:
        _stroke(page, [(xs[0], y), (xs[-1], y)], width_px, opacity)


def _centred_number(page: Page, style: WritingStyle, x: float, y: float, labels: Sequence[int], split: Split) -> None:
    """Write a number whose middle is at x."""
    drawn = [draw_digit(style, split, page.random, label) for label in labels]
    gap = max(-0.05, style.gap) * style.height_px
    left = x - (sum(ink.shape[1] for ink, _ in drawn) + gap * (len(drawn) - 1)) / 2
    for ink, label in drawn:
        uneven = 0.02 if style.typeface else style.unevenness
        middle = y + page.random.normal(0, uneven) * style.height_px
        page.put(ink, left + ink.shape[1] / 2, middle, label)
        left += ink.shape[1] + gap


def _lone_letter(page: Page, style: WritingStyle, x: float, y: float, split: Split) -> None:
    """Write something that is no digit, in the size of one."""
    random = page.random
    drawn = draw_non_digit(str(random.choice(LONE_LETTERS, p=[0.6, 0.08, 0.08, 0.14, 0.1])), split, random)
    height = style.height_px * random.uniform(0.65, 1.15)
    page.put(style.write(drawn, height, random), x, y, OTHER)


def _random_labels(count: int, random: Random) -> list[int]:
    return [int(label) for label in random.integers(0, 10, count)]


def _cell(page: Page, style: WritingStyle, x: float, y: float, content: str, width: float, split: Split) -> None:
    """Fill the cell of a table whose middle is at x, y."""
    random = page.random
    line = TextLine(y, 0.0, 0.0, False)
    if content == "number":
        count = int(random.integers(1, 4))
        _centred_number(page, style, x, y, _random_labels(count, random), split)
        if random.random() < 0.06:
            # A grade, a sign or a tick beside it.
            write_sign(page, style, line, x + 0.45 * (count + 0.5) * style.height_px, str(random.choice(list(BESIDE))))
    elif content == "letter":
        _lone_letter(page, style, x, y, split)
    elif content == "word":
        words = WORDS[int(random.choice(len(WORDS), p=WORD_SHARES))]
        words(page, replace(style, height_px=style.height_px * random.uniform(0.6, 1)), line, x - 0.4 * width)
    elif content == "print":
        size = style.height_px * random.uniform(0.5, 0.9)
        print_word(page, replace(style, height_px=size), line, x - 0.4 * width)


def table(page: Page, style: WritingStyle, split: Split) -> None:
    """Columns of numbers, of words and of grades, mostly between lines."""
    random = page.random
    pitch = style.height_px * random.uniform(1.15, 2.2)
    left, top = random.uniform(-1, 2) * style.height_px, random.uniform(-1, 2) * style.height_px
    xs = [left]
    contents: list[str] = []
    shares = [0.62, 0.13, 0.08, 0.17] if random.random() < 0.7 else [0.3, 0.4, 0.1, 0.2]
    while xs[-1] < PAGE_PX and len(contents) < 12:
        content = str(random.choice(["number", "letter", "word", "print"], p=shares))
        wide = random.uniform(1.6, 3.8) if content in ("number", "letter") else random.uniform(3, 7)
        xs.append(xs[-1] + wide * style.height_px)
        contents.append(content)
    rows = min(int(random.integers(2, 25)), math.ceil((PAGE_PX - top) / pitch))
    header, empty = random.random() < 0.4, random.choice([0.0, 0.3])
    for row in range(rows):
        y = top + pitch * (row + 0.5) + random.normal(0, 0.04) * style.height_px
        for column, content in enumerate(contents):
            if random.random() < empty:
                continue
            shown = "print" if header and row == 0 else content
            middle = (xs[column] + xs[column + 1]) / 2 + random.normal(0, 0.1) * style.height_px
            _cell(page, style, middle, y, shown, xs[column + 1] - xs[column], split)
    ys = [top + pitch * row for row in range(rows + 1)]
    width, opacity = _line_style(style, random)
    if random.random() < 0.75:
        kept = xs if random.random() < 0.75 else [xs[0], xs[-1]]
        _grid(page, kept, ys if random.random() < 0.85 else [ys[0], ys[min(1, rows)], ys[-1]], width, opacity)


def form(page: Page, style: WritingStyle, split: Split) -> None:
    """Boxes or combs, hardly larger than the digits: the pen crosses their lines."""
    random = page.random
    wide, tall = style.height_px * random.uniform(0.72, 1.4), style.height_px * random.uniform(0.95, 1.7)
    width, opacity = _line_style(style, random)
    comb, apart = random.random() < 0.2, random.choice([0.0, random.uniform(0.1, 0.5)], p=[0.7, 0.3]) * wide
    share = random.choice([1.0, 0.7])
    y = random.uniform(-0.5, 1.5) * tall
    while y < PAGE_PX:
        x = random.uniform(-0.5, 3) * wide
        while x < PAGE_PX:
            if random.random() < 0.5:
                x = print_word(page, style, TextLine(y, 0.0, 0.0, False), x) + 0.4 * style.height_px
            for _ in range(int(random.integers(1, 10))):
                if comb:
                    _stroke(page, [(x, y + tall / 2), (x + wide, y + tall / 2)], width, opacity)
                    _stroke(page, [(x, y + tall * 0.15), (x, y + tall / 2)], width, opacity)
                else:
                    _grid(page, [x, x + wide], [y - tall / 2, y + tall / 2], width, opacity)
                if random.random() < share:
                    away = random.normal(0, 0.07, 2) * style.height_px
                    if random.random() < 0.93:
                        ink, label = draw_digit(style, split, random)
                        page.put(ink, x + wide / 2 + away[0], y + away[1], label)
                    else:
                        _lone_letter(page, style, x + wide / 2 + away[0], y + away[1], split)
                x += wide + apart
                if random.random() < 0.06:
                    sign = str(random.choice(list("/-.:,")))
                    x = write_sign(page, style, TextLine(y, 0.0, 0.0, False), x, sign)
            x += random.uniform(0.5, 5) * wide
        y += tall + style.height_px * random.uniform(0.15, 1.5)


def pad(page: Page, style: WritingStyle, split: Split) -> None:
    """Writing between strong lines, level or in squares, which may end before the page does."""
    random = page.random
    step = max(6.0, style.height_px * random.uniform(0.4, 1.7))
    width, opacity = _line_style(style, random)
    edges = np.array([0, PAGE_PX, 0, PAGE_PX]) + (
        random.uniform(0, 60, 4) * [1, -1, 1, -1] if random.random() < 0.6 else 0
    )
    ys = np.arange(edges[2] + random.uniform(0, step), edges[3], step)
    xs = np.arange(edges[0] + random.uniform(0, step), edges[1], step)
    if random.random() < 0.35:
        _grid(page, list(xs), list(ys), width, opacity * 0.8)
    else:
        for y in ys:
            _stroke(page, [(edges[0], y), (edges[1], y)], width, opacity)
        if random.random() < 0.2:
            x = random.uniform(0.05, 0.3) * PAGE_PX
            _stroke(page, [(x, 0), (x, PAGE_PX)], width, opacity)
    # On the lines or regardless of them.
    pitch = step * math.ceil(1.2 * style.height_px / step) if random.random() < 0.6 else style.height_px * 1.7
    y = ys[0] - 0.45 * style.height_px
    while y < PAGE_PX:
        x = random.uniform(0, 0.5) * PAGE_PX
        while x < PAGE_PX * 0.95 and random.random() < 0.8:
            line = TextLine(y, random.normal(0, 0.01), 0.0, False)
            x = write_number(page, style, line, x, split, _random_labels(int(random.integers(1, 8)), random))
            x += style.height_px * random.uniform(0.8, 3)
        y += pitch


def puzzle(page: Page, style: WritingStyle, split: Split) -> None:
    """Square cells, some with a printed or a written digit: sudoku, magic squares, calendars."""
    random = page.random
    cell = style.height_px * random.uniform(1.2, 2.1)
    width, opacity = _line_style(style, random)
    left, top = random.uniform(-2, 1, 2) * cell
    count = math.ceil(PAGE_PX / cell) + 2
    xs, ys = [left + cell * n for n in range(count)], [top + cell * n for n in range(count)]
    _grid(page, xs, ys, width, opacity)
    if random.random() < 0.7:
        _grid(page, xs[::3], ys[::3], width * random.uniform(1.5, 3), min(1, opacity * 1.2))
    printed = replace(style, typeface=Typeface.choose(random))
    share, written = random.uniform(0.15, 0.7), float(random.choice([0.0, 0.5, 1.0]))
    for y in ys:
        for x in xs:
            if random.random() < share:
                own = style if random.random() < written else printed
                labels = _random_labels(1 if random.random() < 0.9 else 2, random)
                _centred_number(page, own, x + cell / 2, y + cell / 2, labels, split)


def sums(page: Page, style: WritingStyle, split: Split) -> None:
    """Sums, dates, times, prices and units, in lines or as columns to be added."""
    random = page.random
    if random.random() < 0.3:
        return _columns(page, style, split)
    y = random.uniform(0, 1) * style.height_px
    pitch = style.height_px * random.uniform(1.3, 2.4)
    while y < PAGE_PX + style.height_px:
        x = random.uniform(0, 0.4) * PAGE_PX
        while x < PAGE_PX:
            line = TextLine(y, random.normal(0, 0.02), 0.0, False)
            for part in str(random.choice(FORMATS)):
                if part == "#":
                    x = write_number(page, style, line, x, split, _random_labels(1, random))
                elif part == " ":
                    x += 0.4 * style.height_px
                elif part == "F":
                    x = _fraction(page, style, line, x, split)
                else:
                    x = write_sign(page, style, line, x, part)
            x += style.height_px * random.uniform(0.8, 4)
        y += pitch
    return None


def _fraction(page: Page, style: WritingStyle, line: TextLine, x: float, split: Split) -> float:
    """Write a number over another, with a line between them; returns where they end."""
    random = page.random
    width = style.height_px * random.uniform(0.8, 1.6)
    for side in (-1, 1):
        y = line.y_at(x) + side * style.height_px * random.uniform(0.6, 0.8)
        labels = _random_labels(1 if width < 1.2 * style.height_px else 2, random)
        _centred_number(page, replace(style, height_px=0.9 * style.height_px), x + width / 2, y, labels, split)
    ends = np.array([[x, line.y_at(x)], [x + width, line.y_at(x + width)]])
    draw_curve(page.other_ink, ends + random.normal(0, 0.6, (2, 2)), style.pen * style.height_px)
    return x + width + 0.3 * style.height_px


def _columns(page: Page, style: WritingStyle, split: Split) -> None:
    """Numbers under one another, with a sign, a line, and a result."""
    random = page.random
    x = random.uniform(1, 4) * style.height_px
    while x < PAGE_PX:
        y, digits = random.uniform(-1, 3) * style.height_px, int(random.integers(1, 6))
        pitch = style.height_px * random.uniform(1.1, 1.5)
        step = style.height_px * random.uniform(0.65, 1)
        rows = int(random.integers(2, 7))
        for row in range(rows + 1):
            length = int(random.integers(1, digits + 1))
            for place in range(length):
                ink, label = draw_digit(style, split, random)
                page.put(ink, x + step * (digits - place), y + pitch * row, label)
            if row == rows - 1:
                line = TextLine(y + pitch * row, 0.0, 0.0, False)
                write_sign(page, style, line, x - 0.3 * step, str(random.choice(list("+-×"))))
                level = y + pitch * (row + 0.5)
                ends = np.array([[x - 0.5 * step, level], [x + step * (digits + 0.5), level]])
                draw_curve(page.other_ink, ends + random.normal(0, 1, (2, 2)), style.pen * style.height_px)
        x += step * (digits + random.uniform(1.5, 4))


def label(page: Page, style: WritingStyle, split: Split) -> None:
    """Printed numbers, such as those on labels, meters, number plates and displays; at times with letters."""
    random = page.random
    style = replace(style, typeface=Typeface.choose(random), gap=random.uniform(0.04, 0.35))
    words = random.choice([0.0, 0.3])
    y, pitch = random.uniform(-0.5, 2) * style.height_px, style.height_px * random.uniform(1.2, 3)
    while y < PAGE_PX:
        x = random.uniform(-1, 5) * style.height_px
        while x < PAGE_PX and random.random() < 0.85:
            line = TextLine(y, 0.0, 0.0, False)
            if random.random() < words:
                x = print_word(page, style, line, x)
            else:
                x = write_number(page, style, line, x, split, _random_labels(int(random.integers(1, 11)), random))
            x += style.height_px * random.uniform(0.1, 1.5)
        y += pitch


def round_numbers(page: Page, style: WritingStyle, split: Split) -> None:
    """Numbers that end in zeros, which touch, overlap, or are joined by a stroke at their tops."""
    random = page.random
    style = replace(style, gap=random.uniform(-0.14, 0.06))
    habit = str(random.choice(["none", "joined", "looped"], p=[0.45, 0.35, 0.2]))
    y = random.uniform(-0.5, 1) * style.height_px
    while y < PAGE_PX:
        x = random.uniform(0, 0.4) * PAGE_PX
        while x < PAGE_PX:
            labels = [*_random_labels(int(random.integers(1, 3)), random), *[0] * int(random.integers(1, 6))]
            line = TextLine(y, random.normal(0, 0.02), 0.0, False)
            known = len(page.digits)
            x = write_number(page, style, line, x, split, labels) + style.height_px * random.uniform(0.5, 2)
            if habit == "joined":
                _join_tops(page, style, known)
            elif habit == "looped":
                _loop_tops(page, style, known)
        y += style.height_px * random.uniform(1.3, 2.2)


def crowded(page: Page, style: WritingStyle, split: Split) -> None:
    """Two or three digits at a time, so broad, narrow or close that they run into one another.

    So are the numbers in small pictures that are filled by them.
    """
    random = page.random
    style = replace(style, pen=random.uniform(0.1, 0.3), slant=random.normal(0, 0.2))
    width, overlap = random.uniform(0.5, 1.0), random.uniform(-0.06, 0.22) * style.height_px
    pitch = style.height_px * random.uniform(1.3, 2)
    for y in np.arange(random.uniform(0, 1) * pitch, PAGE_PX, pitch):
        x = random.uniform(0, 1.5) * style.height_px
        while x < PAGE_PX:
            for _ in range(int(random.integers(2, 4))):
                ink, label = draw_digit(style, split, random)
                narrow = cv2.resize(
                    ink, (max(2, round(width * ink.shape[1])), ink.shape[0]), interpolation=cv2.INTER_AREA
                )
                middle = y + random.normal(0, 0.04) * style.height_px
                page.put(narrow, x + narrow.shape[1] / 2, middle, label)
                x += max(0.2 * style.height_px, narrow.shape[1] - overlap)
            x += style.height_px * random.uniform(0.5, 2)


def _join_tops(page: Page, style: WritingStyle, known: int) -> None:
    """Draw strokes from zero to zero among the digits from this one on."""
    for before, after in zip(page.digits[known:], page.digits[known + 1 :], strict=False):
        if before.label == after.label == 0 and page.random.random() < 0.8:
            start = (before.x, before.y - 0.46 * before.height)
            end = (after.x - 0.1 * after.width, after.y - 0.46 * after.height)
            middle = ((start[0] + end[0]) / 2, max(start[1], end[1]) + 0.08 * style.height_px)
            draw_curve(page.digit_ink, np.array([start, middle, end]), style.pen * style.height_px)


def _loop_tops(page: Page, style: WritingStyle, known: int) -> None:
    """Draw the loop in which a hasty zero ends, within its top or beside it, at the zeros from this one on."""
    random = page.random
    for zero in page.digits[known:]:
        if zero.label != 0 or random.random() < 0.2:
            continue
        size = np.array([zero.width, zero.height])
        reach = size * random.uniform((0.08, 0.06), (0.24, 0.13))
        turn = np.linspace(0, random.uniform(0.6, 1.1), 14) * 2 * math.pi + random.uniform(0, 2)
        middle = np.array([zero.x, zero.y]) + random.uniform((-0.1, -0.5), (0.35, -0.4)) * size
        points = middle + np.stack([np.cos(turn), np.sin(turn)], 1) * reach
        draw_curve(page.digit_ink, points, style.pen * style.height_px)


def letters(page: Page, style: WritingStyle, split: Split) -> None:
    """Single letters and signs in rows and columns with digits."""
    random = page.random
    share = float(random.choice([0.3, 0.6, 1.0]))
    step, pitch = (style.height_px * random.uniform(*limits) for limits in ((0.85, 2.2), (1.2, 2.2)))
    # Whole columns of letters, or letters anywhere.
    columns = random.random(math.ceil(PAGE_PX / step) + 1) < share if random.random() < 0.5 else None
    for y in np.arange(random.uniform(-0.5, 1) * pitch, PAGE_PX, pitch):
        for column, x in enumerate(np.arange(random.uniform(0, 1) * step, PAGE_PX, step)):
            if random.random() < 0.12:
                continue
            middle = y + random.normal(0, style.unevenness) * style.height_px
            if columns[column] if columns is not None else random.random() < share:
                _lone_letter(page, style, x, middle, split)
            else:
                ink, digit = draw_digit(style, split, random)
                page.put(ink, x, middle, digit)


def scattered(page: Page, style: WritingStyle, split: Split) -> None:
    """One to three short numbers alone: on a wide sheet, or where a crop leaves little of it."""
    random = page.random
    for _ in range(int(random.integers(1, 4))):
        x, y = random.uniform(0.2, 0.8, 2) * PAGE_PX
        _centred_number(page, style, x, y, _random_labels(int(random.integers(1, 4)), random), split)


DOCUMENTS: dict[Callable[[Page, WritingStyle, Split], None], float] = {
    write_lines: 0.22,
    table: 0.14,
    form: 0.15,
    pad: 0.09,
    puzzle: 0.04,
    sums: 0.12,
    label: 0.05,
    round_numbers: 0.07,
    crowded: 0.04,
    letters: 0.06,
    scattered: 0.02,
}
"""What fills a page, and how large a share of the pages it fills."""
