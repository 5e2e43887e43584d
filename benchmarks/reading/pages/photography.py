"""From ink on a sheet to a picture of it: paper, its ruling, the desk, the light, and what camera and file do to it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.reading.pages.handwriting import Hand
from benchmarks.reading.pages.levels import Level, Range, log_uniform

Random = np.random.Generator
Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 255."""

PAPERS: tuple[Colour, ...] = (
    (250, 249, 246), (244, 241, 233), (238, 238, 240), (250, 240, 205), (225, 236, 246), (247, 226, 226),
    (208, 186, 152),
)  # fmt: skip
BOARDS: tuple[Colour, ...] = ((38, 62, 50), (32, 34, 38), (50, 52, 56), (25, 45, 70))
CHALKS: tuple[Colour, ...] = ((238, 238, 232), (244, 232, 160), (236, 236, 240), (250, 205, 205))
PENS: tuple[Colour, ...] = ((28, 28, 34), (32, 48, 140), (40, 70, 160), (170, 36, 40), (82, 82, 88), (24, 90, 60))
DESKS: tuple[Colour, ...] = ((120, 84, 54), (70, 60, 55), (176, 150, 118), (60, 66, 74), (150, 150, 152))
RULES: tuple[Colour, ...] = ((150, 180, 215), (165, 165, 172), (190, 160, 165), (130, 175, 165))


@dataclass(frozen=True)
class Materials:
    """What is written on, and with."""

    paper: Colour
    pen: Colour
    darkness: float
    """How much of the paper full ink covers, 0 to 1."""
    grain: float
    """How much of the ink the paper's roughness leaves out, 0 for a felt pen, 0.6 for pencil or chalk."""
    texture: float
    """Standard deviation of the paper's own unevenness, in grey levels."""
    rules: Colour
    rule_strength: float
    """How much of the paper a ruled line covers, 0 to 1."""
    desk: Colour


@dataclass(frozen=True)
class Camera:
    """The light in which the picture is taken, and what taking and storing it do."""

    gradient: Range
    """How much brighter, as a share, the right side and the lower side are than the middle."""
    warmth: float
    """How much redder than blue the light is, as a share."""
    shadow: float
    """The share of the light that a shadow takes, 0 for none."""
    shadow_edge: float
    """How soft its edge is, as a share of the picture's side."""
    blur: float
    """Standard deviation, in pixels."""
    noise: float
    """Standard deviation, in grey levels."""
    quality: int
    """Of the JPEG, 0 to 100."""
    grey: bool
    """Whether the picture has no colours."""


def choose_materials(hand: Hand, board: bool, level: Level, random: Random) -> Materials:
    """A pen and paper, or chalk and a board."""
    plain = level.ruled == 0
    papers = BOARDS if board else PAPERS[: 1 if plain else None]
    pens = CHALKS if board else PENS[: 3 if plain else None]
    paper, pen = papers[random.integers(len(papers))], pens[random.integers(len(pens))]
    rules = RULES[random.integers(len(RULES))]
    # Rough paper would leave nothing of a line one or two pixels wide.
    stroke = hand.height * hand.stroke
    grain = min(random.uniform(*level.grain), 0.12 * stroke, 0.2 if hand.broken else 1.0)
    return Materials(
        paper=paper,
        pen=pen,
        darkness=max(random.uniform(*level.darkness), 0.7 if stroke < 3 else 0.0),
        grain=grain,
        texture=random.uniform(*level.texture),
        rules=(95, 110, 110) if board else rules,
        rule_strength=random.uniform(*level.rule_strengths),
        desk=DESKS[random.integers(len(DESKS))],
    )


def choose_camera(hand: Hand, materials: Materials, level: Level, random: Random) -> Camera:
    """A camera, and the light it works in; no worse than leaves the writing to be read by a person."""
    stroke = hand.height * hand.stroke
    contrast = materials.darkness * abs(sum(materials.paper) - sum(materials.pen)) / 3
    shadow = random.uniform(*level.shadow_depths) if random.random() < level.shadows else 0.0
    return Camera(
        gradient=tuple(random.uniform(-1, 1, 2) * level.gradient),
        warmth=random.uniform(-0.04, 0.08) if level.gradient else 0.0,
        shadow=shadow,
        shadow_edge=log_uniform(level.shadow_edges, random),
        blur=min(random.uniform(*level.blur), 0.36 * stroke),
        noise=min(random.uniform(*level.noise), contrast * (1 - shadow) * math.sqrt(stroke) / 16),
        quality=max(int(random.integers(level.quality[0], level.quality[1] + 1)), round(90 - 1.3 * hand.height)),
        grey=random.random() < level.grey,
    )


def photograph(
    ink: np.ndarray,
    printed: np.ndarray,
    rules: np.ndarray,
    paper: np.ndarray,
    materials: Materials,
    camera: Camera,
    random: Random,
) -> np.ndarray:
    """A picture, uint8 (h, w, 3), RGB.

    ink, printed: float32 (h, w) in [0, 1], what a pen wrote and what a printer did. rules: how much of a ruled line
    is there. paper: 1 on the sheet, 0 beside it. All as they lie in the picture.
    """
    shape = ink.shape
    rough = _smooth_noise(shape, 1.2, random)
    surface = np.float32(materials.texture) * (0.6 * _smooth_noise(shape, max(shape) / 25, random) + 0.4 * rough)
    # Plane by plane, which takes NumPy a third of the time that pixel by pixel would.
    planes = [surface + np.float32(level) for level in materials.paper]
    _cover(planes, rules * np.float32(materials.rule_strength), materials.rules)
    light_pen = sum(materials.pen) > sum(materials.paper)
    _cover(planes, printed * np.float32(0.9), materials.pen if light_pen else (35, 35, 38))
    left = np.clip(1 - np.float32(materials.grain) * (0.8 + 0.9 * rough), 0, 1)
    _cover(planes, ink * np.float32(materials.darkness) * left, materials.pen)
    if paper.min() < 1:
        _lay_on_desk(planes, paper, materials.desk, random)
    bright = light(shape, camera, random)
    for plane, tint in zip(planes, (1 + camera.warmth, 1, 1 - camera.warmth), strict=True):
        plane *= bright * np.float32(tint)
    return expose(planes, camera, random)


def expose(planes: Sequence[np.ndarray], camera: Camera, random: Random) -> np.ndarray:
    """What the camera makes of the light that reaches it: uint8 (h, w, 3). planes: red, green, blue, float32 (h, w)."""
    if camera.grey:
        planes = [np.mean(planes, axis=0)] * 3
    noise = random.standard_normal(planes[0].shape, np.float32) * np.float32(camera.noise)
    taken = []
    # OpenCV's files have blue first.
    for plane in planes[::-1]:
        seen = cv2.GaussianBlur(plane, (0, 0), camera.blur) if camera.blur > 0.2 else plane
        taken.append(np.clip(seen + noise, 0, 255).astype(np.uint8))
    _, encoded = cv2.imencode(".jpg", cv2.merge(taken), [cv2.IMWRITE_JPEG_QUALITY, camera.quality])
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def light(shape: Sequence[int], camera: Camera, random: Random) -> np.ndarray:
    """How much light falls where, float32 (h, w), about 1."""
    height, width = shape
    y, x = np.mgrid[:48, :48].astype(np.float32) / 47 - 0.5
    falling = 1 + 2 * camera.gradient[0] * x + 2 * camera.gradient[1] * y
    # The camera lights the whole picture so that the brightest part is just about white.
    falling *= np.float32(random.uniform(0.85, 1.03)) / falling.max() if any(camera.gradient) else np.float32(1)
    bright = cv2.resize(np.maximum(falling, 0.3), (width, height), interpolation=cv2.INTER_LINEAR)
    if camera.shadow:
        bright *= 1 - np.float32(camera.shadow) * _shadow(shape, camera.shadow_edge, random)
    return bright


def _shadow(shape: Sequence[int], edge: float, random: Random) -> np.ndarray:
    """Where a hand, a head or a telephone keeps the light off: float32 (h, w), 1 in the middle of the shadow."""
    height, width = shape
    shade = np.zeros((height, width), np.uint8)
    centre = random.uniform(0, 1, 2) * (width, height)
    reach = max(shape) * random.uniform(0.25, 0.7)
    if random.random() < 0.5:
        sides = (reach, reach * random.uniform(0.4, 0.7))
        corners = cv2.boxPoints((tuple(map(float, centre)), sides, float(random.uniform(0, 180))))
    else:
        angles = np.sort(random.uniform(0, 2 * np.pi, 9))
        far = reach * random.uniform(0.4, 0.9, (9, 1))
        corners = cv2.convexHull((centre + far * np.column_stack([np.cos(angles), np.sin(angles)])).astype(np.float32))
    cv2.fillPoly(shade, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return _soften(shade.astype(np.float32) / 255, edge * max(shape))


def _soften(field: np.ndarray, sigma: float) -> np.ndarray:
    """Blurred; a wide blur is taken of a smaller field, where it is cheap."""
    height, width = field.shape
    shrink = max(1, int(sigma / 4))
    small = cv2.resize(field, (max(1, width // shrink), max(1, height // shrink)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), max(sigma / shrink, 0.3)), (width, height))


def _smooth_noise(shape: Sequence[int], sigma: float, random: Random) -> np.ndarray:
    """Noise with a standard deviation of about 1 and spots of about that size: float32 (h, w)."""
    height, width = shape
    shrink = max(1, int(sigma / 1.5))
    small = random.standard_normal((height // shrink + 2, width // shrink + 2), np.float32)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return cv2.resize(small / max(float(small.std()), 1e-6), (width, height))


def _cover(planes: Sequence[np.ndarray], share: np.ndarray, colour: Colour) -> None:
    """Lay a colour over that share, (h, w), of the red, green and blue planes, (h, w) each."""
    if share.any():
        for plane, level in zip(planes, colour, strict=True):
            plane += share * (np.float32(level) - plane)


def _lay_on_desk(planes: Sequence[np.ndarray], paper: np.ndarray, desk: Colour, random: Random) -> None:
    """Put the sheet, with its own shadow along the edge, on a desk with a grain. planes, paper: (h, w) each."""
    height, width = paper.shape
    grain = random.standard_normal((height // 3 + 2, 1), np.float32)
    streaks = cv2.resize(cv2.GaussianBlur(grain, (0, 0), 1.5), (width, height))
    surface = 8 * streaks + 5 * _smooth_noise(paper.shape, 3, random)
    shaded = 1 - 0.5 * _soften(paper, max(paper.shape) / 120)
    for plane, level in zip(planes, desk, strict=True):
        top = (surface + np.float32(level)) * shaded
        plane -= top
        plane *= paper
        plane += top
