"""From ink to a picture: paper, ruling, desk, light, and the effects of camera and JPEG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.reading.pages.handwriting import WritingStyle
from benchmarks.reading.pages.levels import Level, Random, Range, log_uniform

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 255."""
Plane = NDArray[np.float32]
"""float32 (h, w): a colour, 0 to 255, or a share, 0 to 1, of each pixel."""

PAPERS: tuple[Colour, ...] = (
    (250, 249, 246), (244, 241, 233), (238, 238, 240), (250, 240, 205), (225, 236, 246), (247, 226, 226),
    (208, 186, 152),
)  # fmt: skip
BOARD_RULE_COLOUR: Colour = (95, 110, 110)
PRINT_COLOUR: Colour = (35, 35, 38)
BOARDS: tuple[Colour, ...] = ((38, 62, 50), (32, 34, 38), (50, 52, 56), (25, 45, 70))
CHALKS: tuple[Colour, ...] = ((238, 238, 232), (244, 232, 160), (236, 236, 240), (250, 205, 205))
PENS: tuple[Colour, ...] = ((28, 28, 34), (32, 48, 140), (40, 70, 160), (170, 36, 40), (82, 82, 88), (24, 90, 60))
DESKS: tuple[Colour, ...] = ((120, 84, 54), (70, 60, 55), (176, 150, 118), (60, 66, 74), (150, 150, 152))
RULE_COLOURS: tuple[Colour, ...] = ((150, 180, 215), (165, 165, 172), (190, 160, 165), (130, 175, 165))


@dataclass(frozen=True)
class Materials:
    """Paper and pen, or board and chalk."""

    paper: Colour
    pen: Colour
    ink_opacity: float
    """0 to 1."""
    grain: float
    """Share of the ink that is missing on rough paper: 0 for a felt pen, 0.6 for pencil or chalk."""
    texture: float
    """Standard deviation of the paper's brightness, in grey levels."""
    rules: Colour
    rule_opacity: float
    """0 to 1."""
    desk: Colour


@dataclass(frozen=True)
class Camera:
    """Light, camera and file."""

    gradient: Range
    """Brightness of the right and the lower side above that of the middle, as a share."""
    warmth: float
    """Excess of red light and lack of blue light, as a share."""
    shadow: float
    """Share of the light that a shadow takes away; 0 for none."""
    shadow_edge: float
    """Standard deviation of the edge's blur, as a share of the picture's longer side."""
    blur_px: float
    """Standard deviation."""
    noise: float
    """Standard deviation in grey levels."""
    jpeg_quality: int
    """0 to 100."""
    grey: bool
    """Whether the picture has no colours."""


def choose_materials(style: WritingStyle, board: bool, level: Level, random: Random) -> Materials:
    """Random materials, with which a person could still read the writing."""
    plain = level.p_ruled == 0
    papers = BOARDS if board else PAPERS[: 1 if plain else None]
    pens = CHALKS if board else PENS[: 3 if plain else None]
    paper, pen = papers[random.integers(len(papers))], pens[random.integers(len(pens))]
    rules = RULE_COLOURS[random.integers(len(RULE_COLOURS))]
    # Much grain would leave nothing of a line one or two pixels wide.
    stroke_px = style.pen_width_px
    grain = min(random.uniform(*level.grain), 0.12 * stroke_px, 0.2 if style.gaps else 1.0)
    return Materials(
        paper=paper,
        pen=pen,
        ink_opacity=max(random.uniform(*level.ink_opacity), 0.7 if stroke_px < 3 else 0.0),
        grain=grain,
        texture=random.uniform(*level.texture),
        rules=BOARD_RULE_COLOUR if board else rules,
        rule_opacity=random.uniform(*level.rule_opacity),
        desk=DESKS[random.integers(len(DESKS))],
    )


def choose_camera(style: WritingStyle, materials: Materials, level: Level, random: Random) -> Camera:
    """Random light and camera, with which a person could still read the writing."""
    stroke_px = style.pen_width_px
    contrast = materials.ink_opacity * abs(sum(materials.paper) - sum(materials.pen)) / 3
    shadow = random.uniform(*level.shadow_depth) if random.random() < level.p_shadow else 0.0
    lowest, highest = level.jpeg_quality
    return Camera(
        gradient=tuple(random.uniform(-1, 1, 2) * level.max_gradient),
        warmth=random.uniform(-0.04, 0.08) if level.max_gradient else 0.0,
        shadow=shadow,
        shadow_edge=log_uniform(level.shadow_edge, random),
        blur_px=min(random.uniform(*level.blur_px), 0.36 * stroke_px),
        noise=min(random.uniform(*level.noise), contrast * (1 - shadow) * math.sqrt(stroke_px) / 16),
        jpeg_quality=max(int(random.integers(lowest, highest + 1)), round(90 - 1.3 * style.height)),
        grey=random.random() < level.p_grey,
    )


def photograph(
    ink: Plane, printed: Plane, rules: Plane, paper: Plane, materials: Materials, camera: Camera, random: Random
) -> NDArray[np.uint8]:
    """A picture, uint8 (h, w, 3), RGB.

    ink, printed, rules, paper: float32 (h, w) in [0, 1], the share of each pixel of the picture that is covered by
    handwriting, print, ruled lines and the sheet of paper.
    """
    shape = ink.shape
    rough = _smooth_noise(shape, 1.2, random)
    surface = np.float32(materials.texture) * (0.6 * _smooth_noise(shape, max(shape) / 25, random) + 0.4 * rough)
    # Separate planes take NumPy a third of the time of interleaved pixels.
    planes = [surface + np.float32(level) for level in materials.paper]
    _cover(planes, rules * np.float32(materials.rule_opacity), materials.rules)
    light_pen = sum(materials.pen) > sum(materials.paper)
    _cover(planes, printed * np.float32(0.9), materials.pen if light_pen else PRINT_COLOUR)
    grain = np.clip(1 - np.float32(materials.grain) * (0.8 + 0.9 * rough), 0, 1)
    _cover(planes, ink * np.float32(materials.ink_opacity) * grain, materials.pen)
    if paper.min() < 1:
        _lay_on_desk(planes, paper, materials.desk, random)
    brightness = light(shape, camera, random)
    for plane, tint in zip(planes, (1 + camera.warmth, 1, 1 - camera.warmth), strict=True):
        plane *= brightness * np.float32(tint)
    return expose(planes, camera, random)


def expose(planes: Sequence[Plane], camera: Camera, random: Random) -> NDArray[np.uint8]:
    """The picture after blur, noise and JPEG: uint8 (h, w, 3). planes: red, green, blue."""
    if camera.grey:
        planes = [np.mean(planes, axis=0)] * 3
    noise = random.standard_normal(planes[0].shape, np.float32) * np.float32(camera.noise)
    taken = []
    # OpenCV writes BGR.
    for plane in planes[::-1]:
        blurred = cv2.GaussianBlur(plane, (0, 0), camera.blur_px) if camera.blur_px > 0.2 else plane
        taken.append(np.clip(blurred + noise, 0, 255).astype(np.uint8))
    _, encoded = cv2.imencode(".jpg", cv2.merge(taken), [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg_quality])
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def light(shape: Sequence[int], camera: Camera, random: Random) -> Plane:
    """Brightness of the light on each pixel, float32 (h, w), about 1."""
    height, width = shape
    y, x = np.mgrid[:48, :48].astype(np.float32) / 47 - 0.5
    falling = 1 + 2 * camera.gradient[0] * x + 2 * camera.gradient[1] * y
    # Automatic exposure: the brightest part becomes about white.
    falling *= np.float32(random.uniform(0.85, 1.03)) / falling.max() if any(camera.gradient) else np.float32(1)
    brightness = cv2.resize(np.maximum(falling, 0.3), (width, height), interpolation=cv2.INTER_LINEAR)
    if camera.shadow:
        brightness *= 1 - np.float32(camera.shadow) * _shadow(shape, camera.shadow_edge, random)
    return brightness


def _shadow(shape: Sequence[int], edge: float, random: Random) -> Plane:
    """Shadow of a hand, a head or a telephone: float32 (h, w), 1 in its middle, 0 outside. edge: as in Camera."""
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
    return _soften(shade.astype(np.float32) / np.float32(255), edge * max(shape))


def _soften(plane: Plane, sigma: float) -> Plane:
    """The plane blurred, at a lower resolution where sigma, in pixels, is large."""
    height, width = plane.shape
    shrink = max(1, int(sigma / 4))
    small = cv2.resize(plane, (max(1, width // shrink), max(1, height // shrink)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), max(sigma / shrink, 0.3)), (width, height))


def _smooth_noise(shape: Sequence[int], sigma: float, random: Random) -> Plane:
    """Blurred noise with a standard deviation of about 1: float32 (h, w). sigma: of the blur, in pixels."""
    height, width = shape
    shrink = max(1, int(sigma / 1.5))
    small = random.standard_normal((height // shrink + 2, width // shrink + 2), np.float32)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return cv2.resize(small / max(float(small.std()), 1e-6), (width, height))


def _cover(planes: Sequence[Plane], opacity: Plane, colour: Colour) -> None:
    """Blend a colour into the red, green and blue planes, in place."""
    if opacity.any():
        for plane, level in zip(planes, colour, strict=True):
            plane += opacity * (np.float32(level) - plane)


def _lay_on_desk(planes: Sequence[Plane], paper: Plane, desk: Colour, random: Random) -> None:
    """Draw a desk with a grain, and the sheet's shadow on it, where no paper is; in place."""
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
