"""Drawings that show no digit, by kind: letters, invented ones, symbols, shapes, scribbles, blots, fragments, ….

None may look like a digit to a person: no circle, no upright line, no O, l, S, Z or B.
"""

import functools
import math
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray

from mnist_digits.dataset import Split
from mnist_digits.training.synthesis.drawing import (
    CANVAS_PX,
    Ink,
    Random,
    blank,
    bounds,
    draw_line,
    enlarge,
    load_font,
    print_centred,
    smooth_curve,
    smooth_noise,
)

LETTERS = "ACDEFGHJKLMNPQRTUVWXacdefhkmnrtuvwxΓΔΞΠΣΨΩαγηκλμπψωЖИЛПЦШЩЪЫЮЯжилпцшщъыюя"
SYMBOLS = "+-=×÷%&@#*$€£<>~^_:…§←→↑↓★♥♦♣♠✓✗∞√∑[]{}«»±≠≤≥¿☺☂☎✂"
LIKE_DIGITS = (
    "ՇՓՕօסةهߋႭႳესⴰⵀⵁⵔⵙⵚᐤꓳ𐌏𐌘וןإاߊߗⵏⵑᐟᑊꓲ𐌉ԶՀՁՉշႢᔐᔗᔘᕤᕥᖊᖍᙆꓜՅვკპჰԿՎկվߟႡႯႷႸჃᔦᔯᔰᖧՏႽჂნწᔆᕊꓢճႱხᑲᑳᑾᑿᒀᒁᒂᒃᖯꓖ𐌜ՂךלףרߣႤႨᒉᒒ"
    "ᒓᒣᒬᒭᔭᔮᔹᔺᔻᔼᔾꓶջອბგზ𐌚ԳգզցؤوງႩႺყᑫᑴᑵᕋᕌᕎᕏᕐᕴტיຮԴأլՑ"
)
"""Letters of other alphabets that could be taken for digits."""
ALPHABETS = {
    "Armenian": (0x531, 0x587),
    "Hebrew": (0x5D0, 0x5EA),
    "Arabic": (0x621, 0x64A),
    "N'Ko": (0x7CA, 0x7E7),
    "Lao": (0xE81, 0xEB0),
    "Asomtavruli": (0x10A0, 0x10C5),
    "Georgian": (0x10D0, 0x10F0),
    "Canadian syllabics": (0x1401, 0x1676),
    "Tifinagh": (0x2D30, 0x2D67),
    "Lisu": (0xA4D0, 0xA4F7),
    "Old Italic": (0x10300, 0x1031E),
}
"""First and last code points of the other alphabets that DejaVu Sans has."""
FONTS = (
    "DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic",
    "DejaVuSansMono", "DejaVuSerif-Bold", "DejaVuSans-BoldOblique",
)  # fmt: skip


HANDWRITTEN = {
    "A": "0,1 .5,0 1,1|.2,.6 .8,.6", "C": "~.95,.15 .5,0 .1,.3 .1,.7 .5,1 .95,.85", "E": "1,0 0,0 0,1 1,1|0,.5 .8,.5",
    "F": "1,0 0,0 0,1|0,.5 .7,.5", "H": "0,0 0,1|1,0 1,1|0,.5 1,.5", "K": "0,0 0,1|.9,0 0,.55 1,1",
    "M": "0,1 .1,0 .5,.7 .9,0 1,1", "N": "0,1 0,0 1,1 1,0", "P": "0,1 0,0|~0,0 .8,.05 .8,.45 0,.55",
    "Q": "~.5,0 .05,.4 .45,1 .95,.6 .5,0|.6,.7 1.1,1.15", "R": "0,1 0,0|~0,0 .8,.05 .8,.4 0,.5|.3,.5 .9,1",
    "T": "0,0 1,0|.5,0 .5,1", "U": "~0,0 .02,.7 .5,1 .98,.7 1,0", "V": "0,0 .5,1 1,0",
    "W": "0,0 .25,1 .5,.3 .75,1 1,0", "X": "0,0 1,1|1,0 0,1",
    "a": "~.9,.2 .4,0 .05,.5 .4,.95 .88,.5|~.9,.05 .88,.8 1.15,1", "e": "~.1,.5 .9,.45 .5,0 .05,.5 .5,1 1,.8",
    "f": "~.95,.05 .55,.1 .45,.5 .45,1|.05,.45 .9,.45", "h": "0,0 0,1|~0,.65 .5,.45 .9,.6 .9,1",
    "k": "0,0 0,1|.8,.4 0,.7 .8,1", "m": "0,0 0,1|~0,.3 .25,0 .5,.3 .5,1|~.5,.3 .8,0 1,.3 1,1",
    "n": "0,0 0,1|~0,.35 .5,0 .95,.3 .95,1", "u": "~0,0 .05,.8 .5,1 .9,.6|.9,0 .9,1", "w": "~0,0 .2,1 .5,.3 .8,1 1,0",
    "x": "~0,0 .5,.5 1,1|~1,0 .5,.5 0,1", "Δ": "0,1 .5,0 1,1 0,1", "Π": "0,1 0,0 1,0 1,1",
    "Σ": "1,0 0,0 .6,.5 0,1 1,1", "Ψ": "~0,0 .1,.5 .5,.6 .9,.5 1,0|.5,0 .5,1",
    "Ω": "~0,1 .35,.95 .02,.5 .5,0 .98,.5 .65,.95 1,1", "λ": ".1,0 .9,1|.5,.45 0,1",
    "π": "0,.1 1,0|.3,.1 .2,1|~.7,.1 .7,.8 1,1", "ω": "~.2,0 0,.6 .25,1 .5,.5 .75,1 1,.6 .8,0",
    "μ": "0,0 0,1.3|~0,.6 .4,.9 .8,.5|.8,0 .85,.9", "Ж": "0,0 1,1|1,0 0,1|.5,0 .5,1",
    "Ш": "0,0 0,1 1,1 1,0|.5,0 .5,1", "И": "0,0 0,1 1,0 1,1", "Ц": "0,0 0,.9 .9,.9 1,1.1|.9,0 .9,.9",
    "Ю": "0,0 0,1|0,.5 .4,.5|~.7,0 .4,.5 .7,1 1,.5 .7,0", "Я": "1,1 1,0|~1,0 .2,.05 .2,.45 1,.5|.6,.5 .05,1",
    "П": "0,1 .05,0 .95,0 1,1", "א": "0,0 1,1|~.9,0 .85,.4 .6,.5|~.4,.45 .1,.6 .15,1",
    "ש": "0,0 .15,1 .9,1 1,0|.5,0 .4,1", "ת": ".1,0 1,0 1,1|~.3,0 .3,.8 0,1",
    "ア": "0,0 1,0 .6,.45|~.5,.3 .5,.7 .15,1", "カ": "0,.3 1,.3 .9,1 .7,.9|~.45,0 .4,.6 0,1",
    "キ": ".1,.3 .9,.2|0,.65 1,.55|.4,0 .6,1", "サ": "0,.3 1,.3|.3,0 .3,.65|~.75,0 .75,.6 .4,1",
    "ホ": "0,.25 1,.25|.5,0 .5,1|.25,.5 0,.85|.75,.5 1,.85",
    "あ": "0,.2 1,.15|~.4,0 .35,.5 .45,1|~.75,.4 .5,.9 .1,.9 .2,.6 .7,.5 1,.75 .7,1",
    "は": "0,0 .05,1|.4,.3 1,.25|~.7,0 .7,.7 .5,1 .4,.8 .7,.8 1,1", "ん": "~.6,0 0,1 .4,.5 .5,1 1,.7",
    "ふ": "~.4,0 .6,.3 .4,.5 .6,.9 .3,1|0,.6 .15,.9|.85,.6 1,.9", "大": "0,.35 1,.35|~.5,0 .45,.6 0,1|~.5,.4 .7,.8 1,1",
    "木": "0,.3 1,.3|.5,0 .5,1|.5,.3 0,.8|.5,.3 1,.8", "田": "0,0 1,0 1,1 0,1 0,0|.5,0 .5,1|0,.5 1,.5",
    "山": "0,.3 0,1 1,1 1,.3|.5,0 .5,1", "文": ".5,0 .5,.2|0,.25 1,.25|~.75,.25 .5,.7 0,1|~.25,.25 .5,.7 1,1",
    "五": "0,0 1,0|.5,0 .35,1|.1,.45 .8,.45 .75,1|0,1 1,1", "가": "0,.1 .5,.1 .1,.9|.8,0 .8,1|.8,.5 1.05,.5",
    "노": "0,0 0,.4 1,.4|.5,.4 .5,.8|0,.85 1,.85",
    "하": "0,.2 .6,.2|.3,0 .3,.1|~.3,.4 .05,.7 .3,1 .55,.7 .3,.4|.8,0 .8,1|.8,.5 1.05,.5",
    "क": "0,0 1,0|.5,0 .5,1|~.5,.4 .1,.35 .1,.75 .5,.7|~.5,.4 .9,.3 .9,.6 .8,.8",
    "म": "0,0 1,0|.8,0 .8,1|~.25,0 .25,.6 .05,.75 .3,.8 .8,.55",
    "ش": "~1,.2 .95,.5 .8,.5 .75,.2|~.75,.4 .6,.5 .5,.2|~.5,.4 .4,.7 .2,.9 0,.6|.6,-.1 .65,-.1|.8,-.1 .85,-.1",
    "ج": "~.1,.2 .5,.1 .9,.15|~.9,.15 .2,.4 .2,.9 .9,1|.5,.6 .55,.6",
}  # fmt: skip
"""Letters as a hand writes them: strokes of points x,y in a box of 0 to 1, with corners, or after ~ as a curve."""


def _handwritten(split: Split, random: Random) -> Ink:
    """A letter stroke by stroke, each point moved a little."""
    text = HANDWRITTEN[str(random.choice(list(HANDWRITTEN)))]
    wild, strokes = random.uniform(0.02, 0.06), []
    for stroke in text.split("|"):
        points = np.array([[float(value) for value in point.split(",")] for point in stroke.strip("~").split()])
        strokes.append(
            (points + random.normal(0, wild, points.shape), stroke.startswith("~") or random.random() < 0.15)
        )
    return _pen_strokes(strokes, random)


def _pen_strokes(strokes: Sequence[tuple[NDArray[np.float64], bool]], random: Random) -> Ink:
    """Strokes through points, float64 (n, 2), each with corners or as a curve, as large as fits the canvas."""
    drawn = [smooth_curve(points) if smooth and len(points) > 2 else points for points, smooth in strokes]
    every = np.concatenate(drawn)
    size = np.maximum(np.ptp(every, axis=0), 0.05)
    # Of any proportions between tall and wide, but not so narrow that strokes become an upright line.
    size = size / max(size) * (random.uniform(0.75, 1), 1)
    scale = 0.64 * CANVAS_PX * np.maximum(size, 0.45) / np.maximum(np.ptp(every, axis=0), 0.05)
    middle, ink = (every.max(axis=0) + every.min(axis=0)) / 2, blank()
    for points in drawn:
        ink = draw_line(ink, list(map(tuple, (points - middle) * scale + CANVAS_PX / 2)), 4)
    return ink


def _invented(split: Split, random: Random) -> Ink:
    """A letter of an invented alphabet: three to five lines, arcs, hooks, waves and loops, mostly joined."""
    strokes: list[tuple[NDArray[np.float64], bool]] = []
    for _ in range(random.integers(3, 6)):
        start = random.uniform(0, 1, 2)
        if strokes and random.random() < 0.7:
            before = strokes[random.integers(len(strokes))][0]
            start = before[random.integers(len(before))]
        points, smooth = STROKES[random.integers(len(STROKES))](random), random.random() < 0.85
        angle = random.choice([0, 0.5, 1, 1.5]) * math.pi + random.normal(0, 0.25)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        points = points @ turn.T * random.uniform(0.5, 1) + start
        # Kept within the letter's box, as writing is within its line.
        strokes.append((points + np.clip(0.5 - points.mean(axis=0), -0.15, 0.15), smooth))
    if random.random() < 0.3:
        spots = random.uniform(0, 1, (int(random.integers(1, 4)), 1, 2))
        strokes += [(spot + np.array([[0, 0], [0.03, 0.03]]), False) for spot in spots]
    return _pen_strokes(strokes, random)


STROKES: tuple[Callable[[Random], NDArray[np.float64]], ...] = (
    lambda random: np.array([[0, 0], [1, 0]]),
    lambda random: np.array([[0, 0], [0.5, random.uniform(-0.5, 0.5)], [1, 0]]),
    lambda random: np.array([[0, 0], [0.7, 0], [0.9, 0.15], [0.8, random.uniform(0.25, 0.5)]]),
    lambda random: np.array([[0, 0], [0.25, 0.25], [0.5, 0], [0.75, -0.25], [1, 0]]),
    lambda random: np.array([[0, 0], [0.6, 0.1], [0.7, -0.3], [0.4, -0.3], [0.5, 0.1], [1, 0.2]]),
    lambda random: np.array([[0, 0], [0.3, 0.5], [0.6, 0]]),
)
"""Kinds of strokes, from the left to the right: float64 (n, 2)."""


def _scene(split: Split, random: Random) -> Ink:
    """What a photograph without writing shows: shaded surfaces with edges, textures and details of every size."""
    y, x = np.mgrid[:CANVAS_PX, :CANVAS_PX] / CANVAS_PX - 0.5
    tone = random.uniform(0.2, 0.8) + random.normal(0, 0.4) * x + random.normal(0, 0.4) * y
    for _ in range(random.integers(2, 12)):
        tone = np.where(_surface(random), _shade(random, x, y), tone)
    tone = tone + 0.25 * random.random() ** 2 * smooth_noise(random, int(random.integers(3, 20)))
    tone = cv2.GaussianBlur(tone, (0, 0), math.exp(random.uniform(math.log(0.4), math.log(4))))
    low, high = np.quantile(tone, (0.01, 0.99))
    return np.clip((tone - low) / max(high - low, 0.02), 0, 1).astype(np.float32)


def _surface(random: Random) -> NDArray[np.bool_]:
    """What part of a picture a thing covers: a polygon, an ellipse, a beam or a blotch, bool (CANVAS_PX, CANVAS_PX)."""
    covered, middle = np.zeros((CANVAS_PX, CANVAS_PX), np.uint8), random.uniform(-0.1, 1.1, 2) * CANVAS_PX
    size = CANVAS_PX * math.exp(random.uniform(math.log(0.03), math.log(0.7)))
    match random.choice(4, p=[0.35, 0.25, 0.3, 0.1]):
        case 0:
            angles = np.sort(random.uniform(0, 2 * math.pi, int(random.integers(3, 8))))
            corners = np.stack([np.cos(angles), np.sin(angles)], 1) * size * random.uniform(0.4, 1, (len(angles), 1))
            cv2.fillPoly(covered, [np.rint(corners + middle).astype(np.int32)], 1)
        case 1:
            axes = np.ceil(size * random.uniform(0.3, 1, 2)).astype(int).tolist()
            cv2.ellipse(covered, np.rint(middle).astype(int).tolist(), axes, random.uniform(0, 180), 0, 360, 1, -1)
        case 2:
            # Lying, because an upright beam is a one.
            reach = np.sort(np.abs(random.normal(0, 0.6, 2)))[::-1] * CANVAS_PX * random.choice([-1, 1], 2)
            ends = np.rint([middle - reach, middle + reach]).astype(int)
            cv2.line(covered, ends[0].tolist(), ends[1].tolist(), 1, int(random.integers(1, 14)))
        case _:
            return np.asarray(smooth_noise(random, int(random.integers(3, 24))) > random.uniform(0.4, 2))
    return covered > 0


def _shade(random: Random, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tones of a surface: even, shaded to one side, striped, or mottled, float64 (CANVAS_PX, CANVAS_PX)."""
    tone = random.uniform(0, 1) + random.normal(0, 0.4) * x + random.normal(0, 0.4) * y
    if random.random() < 0.2:
        angle, period = random.uniform(0, math.pi), random.uniform(0.05, 0.3)
        tone = tone + random.uniform(0.1, 0.4) * np.sin(
            2 * math.pi / period * (x * math.cos(angle) + y * math.sin(angle))
        )
    if random.random() < 0.4:
        tone = tone + random.uniform(0, 0.2) * smooth_noise(random, int(random.integers(8, CANVAS_PX)))
    return np.asarray(tone)


def _print(text: str, random: Random) -> Ink:
    """Text in the middle of the canvas, as large as fits."""
    return _print_in(str(random.choice(FONTS)), text)


def _print_in(name: str, text: str) -> Ink:
    left, top, right, bottom = load_font(name, 60).getbbox(text)
    return print_centred(text, load_font(name, max(6, int(60 * 0.72 * CANVAS_PX / max(right - left, bottom - top, 1)))))


def _letter(split: Split, random: Random) -> Ink:
    return _print(str(random.choice(list(LETTERS))), random)


def _foreign(split: Split, random: Random) -> Ink:
    return _print_in("DejaVuSans", str(random.choice(_foreign_letters())))


@functools.cache
def _foreign_letters() -> list[str]:
    """Letters of ALPHABETS that the font has; for others it would draw a box."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    codes = sorted(FT2Font(str(path)).get_charmap())
    inside = [code for code in codes if any(first <= code <= last for first, last in ALPHABETS.values())]
    return [
        chr(code) for code in inside if unicodedata.category(chr(code)).startswith("L") and chr(code) not in LIKE_DIGITS
    ]


def _symbol(split: Split, random: Random) -> Ink:
    return _print(str(random.choice(list(SYMBOLS))), random)


def _word(split: Split, random: Random) -> Ink:
    return _print("".join(random.choice(list(LETTERS), random.integers(2, 6))), random)


def _corners(random: Random) -> NDArray[np.float64]:
    """The corners of a polygon or star on the canvas, float64 (n, 2)."""
    corners, inner = int(random.integers(3, 9)), random.uniform(0.3, 0.6) if random.random() < 0.5 else 1.0
    # A polygon of many corners is a circle, and a circle is a zero.
    corners = corners if inner < 1 else min(corners, 4)
    angles = np.arange(2 * corners) * math.pi / corners + random.uniform(0, 2 * math.pi)
    inner_radius = inner if inner < 1 else math.cos(math.pi / corners)
    radii = 0.36 * CANVAS_PX * np.where(np.arange(2 * corners) % 2, inner_radius, 1)
    return np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] + CANVAS_PX / 2


def _outline(split: Split, random: Random) -> Ink:
    """The outline of a polygon or star."""
    points = _corners(random)
    return draw_line(blank(), [*map(tuple, points), tuple(points[0])], 4)


def _filled(split: Split, random: Random) -> Ink:
    """A filled polygon or star. Thinned as a pen's strokes are, an upright one would become a one."""
    ink = blank()
    cv2.fillPoly(ink, [np.round(_corners(random)).astype(np.int32)], 1.0, cv2.LINE_AA)
    return ink


def _scribble(split: Split, random: Random) -> Ink:
    """A long smooth stroke that crosses itself many times, or a zigzag."""
    count = int(random.integers(9, 30))
    points = random.uniform(0.14, 0.86, (count, 2)) * CANVAS_PX
    if random.random() < 0.3:
        points[:, 0] = np.linspace(0.14, 0.86, count) * CANVAS_PX
        points[:, 1] = (np.where(np.arange(count) % 2, 0.18, 0.82) + random.normal(0, 0.05, count)) * CANVAS_PX
    smooth = cv2.GaussianBlur(np.repeat(points, 12, 0), (1, 0), sigmaX=0.1, sigmaY=random.uniform(3, 7))
    return draw_line(blank(), list(map(tuple, smooth)), 4)


def _lines(split: Split, random: Random) -> Ink:
    """A nearly horizontal line, or several that are parallel or cross."""
    ink = blank()
    count, base = int(random.integers(1, 6)), random.uniform(-0.4, 0.4)
    for _ in range(count):
        angle = base if count == 1 or random.random() < 0.5 else base + math.pi / 2
        x, y = random.uniform(0.27, 0.73, 2) * CANVAS_PX
        dx, dy = 0.38 * CANVAS_PX * math.cos(angle), 0.38 * CANVAS_PX * math.sin(angle)
        ink = draw_line(ink, [(x - dx, y - dy), (x + dx, y + dy)], 4)
    # Two strokes that cross at right angles could be a one with a foot, a seven or a four.
    if count in (2, 3):
        ink = draw_line(ink, [(0.12 * CANVAS_PX, CANVAS_PX / 2), (0.88 * CANVAS_PX, CANVAS_PX / 2)], 4)
    return ink


def _strokes(split: Split, random: Random) -> Ink:
    """A letter of no alphabet: four to seven straight or bent strokes between points of a grid."""
    ink, side = blank(), int(random.integers(3, 5))
    points = np.stack(np.meshgrid(np.linspace(0.2, 0.8, side), np.linspace(0.2, 0.8, side)), -1).reshape(-1, 2)
    points = (points + random.normal(0, 0.03, points.shape)) * CANVAS_PX
    for _ in range(random.integers(4, 8)):
        start, end = points[random.choice(len(points), 2, replace=False)]
        bend = random.normal(0, 0.15, 2) * CANVAS_PX if random.random() < 0.4 else np.zeros(2)
        along = np.linspace(0, 1, 9)[:, None]
        ink = draw_line(ink, list(map(tuple, start + (end - start) * along + 4 * bend * along * (1 - along))), 4)
    return ink


def _turned(split: Split, random: Random) -> Ink:
    """A digit in a mirror, on its side or on its head, where it is no other digit then."""
    labels, turn = TURNS[random.integers(len(TURNS))]
    image = split.images[random.choice(np.flatnonzero(np.isin(split.labels, labels)))]
    return np.ascontiguousarray(turn(enlarge(image)))


TURNS: tuple[tuple[tuple[int, ...], Callable[[Ink], Ink]], ...] = (
    ((3, 4, 7, 9), np.fliplr),
    ((3, 4), np.rot90),
    ((3, 4), lambda ink: np.rot90(ink, 3)),
    ((3,), lambda ink: np.rot90(ink, 2)),
)
"""Digits, and what makes something else of each of them, however it is slanted.

Left out is what many hands turn into another digit: a six in a mirror is a two with a loop; a six or nine on its side
another six or nine, a five on its side a six or an open four; a seven on its head a one with a foot, or a two; and a
four on its head another four.
"""


def _blot(split: Split, random: Random) -> Ink:
    y, x = np.mgrid[:CANVAS_PX, :CANVAS_PX] - CANVAS_PX / 2
    # Wider than high: an upright blot could be a one in a broad pen.
    wide, high = random.uniform(0.2, 0.38) * CANVAS_PX, random.uniform(0.13, 0.22) * CANVAS_PX
    inside = 1 - (x / wide) ** 2 - (y / high) ** 2 + 0.35 * smooth_noise(random, 6)
    return np.clip(inside * 6, 0, 1).astype(np.float32)


def _texture(split: Split, random: Random) -> Ink:
    """The ink found in a photograph without writing: clouds of every size, or grain."""
    cells = (4, 8, 16, 28, 56)
    weights = random.uniform(0, 1, len(cells)) * np.array([1, 1, 1, random.uniform(0, 1.5), random.uniform(0, 2)])
    clouds = sum(weight * smooth_noise(random, n) for weight, n in zip(weights, cells, strict=True))
    level = np.quantile(clouds, random.uniform(0.3, 0.97))
    return np.clip((clouds - level) * random.uniform(1, 10), 0, 1).astype(np.float32)


def _fragment(split: Split, random: Random) -> Ink:
    """The upper or lower third of a digit other than 1 and 7."""
    ink = enlarge(split.images[random.choice(np.flatnonzero((split.labels != 1) & (split.labels != 7)))])
    _, top, _, bottom = bounds(ink)
    cut = round(random.uniform(0.2, 0.36) * (bottom - top))
    if random.random() < 0.5:
        ink[top + cut :] = 0
    else:
        ink[: bottom - cut] = 0
    left, top, right, bottom = bounds(ink)
    # A fragment that is not clearly wider than high could be a small one.
    return ink if right - left > 1.3 * (bottom - top) else _lines(split, random)


def _specks(split: Split, random: Random) -> Ink:
    """Scattered dots and spots, as of dirt, or as found in a photograph without writing."""
    ink = blank()
    largest = random.uniform(2, 9)
    for x, y in random.uniform(0.15, 0.85, (int(random.integers(3, 14)), 2)) * CANVAS_PX:
        axes = tuple(int(axis) for axis in np.ceil(random.uniform(0.3, 1, 2) * largest))
        cv2.ellipse(ink, (int(x), int(y)), axes, random.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
    return ink


def _several(split: Split, random: Random) -> Ink:
    """Two to four digits side by side, apart, touching or overlapping."""
    count = int(random.choice([2, 2, 2, 3, 4]))
    parts = [_scaled_digit(split.images[index], random) for index in random.integers(0, len(split), count)]
    gap = random.uniform(-9, 12)
    strip = np.zeros((76, 360), np.float32)
    x = 4.0
    for part in parts:
        height, width = part.shape
        start, y = round(x), int(random.integers(0, 76 - height + 1))
        here = strip[y : y + height, start : start + width]
        np.maximum(here, part, out=here)
        x = max(4.0, x + width + gap)
    used = strip[:, : max(16, min(360, round(x - gap) + 4))]
    scale = (CANVAS_PX - 12) / max(used.shape)
    small = cv2.resize(used, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    ink = blank()
    top, left = (CANVAS_PX - small.shape[0]) // 2, (CANVAS_PX - small.shape[1]) // 2
    ink[top : top + small.shape[0], left : left + small.shape[1]] = small
    return ink


def _scaled_digit(image: NDArray[np.uint8], random: Random) -> Ink:
    """A digit without margins, 48 to 66 pixels high."""
    ink = enlarge(image)
    left, top, right, bottom = bounds(ink)
    height = round(60 * random.uniform(0.8, 1.1))
    width = max(8, round((right - left) * height / max(bottom - top, 1)))
    return np.asarray(cv2.resize(ink[top:bottom, left:right], (min(width, 68), height)), np.float32)


NON_DIGITS: dict[str, Callable[[Split, Random], Ink]] = {
    "letter": _letter,
    "letter of another alphabet": _foreign,
    "letter of no alphabet": _strokes,
    "handwritten letter": _handwritten,
    "invented letter": _invented,
    "turned digit": _turned,
    "symbol": _symbol,
    "word": _word,
    "shape": _outline,
    "filled shape": _filled,
    "scribble": _scribble,
    "lines": _lines,
    "blot": _blot,
    "texture": _texture,
    "scene": _scene,
    "specks": _specks,
    "fragment": _fragment,
    "several digits": _several,
}
"""Kind of non-digit → the function that draws it."""
NOT_WRITTEN = ("filled shape", "blot", "texture", "scene", "specks")
"""Kinds that are not strokes of a pen."""
PHOTOGRAPHS = ("scene",)
"""Kinds that are always photographed, as they are tones rather than ink."""
