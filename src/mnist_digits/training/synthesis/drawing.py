"""Drawing primitives that single pictures and pages share: strokes, printed text, distortion, light, and JPEG.

Shapes are drawn as ink on a square canvas: float32 (CANVAS_PX, CANVAS_PX) in [0, 1], 1 = full stroke. Randomness is
passed in: the same generator state gives the same drawing.
"""

import functools
import math
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Task = TypeVar("Task")
Result = TypeVar("Result")
Random = np.random.Generator
Ink = NDArray[np.float32]

CANVAS_PX = 84
"""Side of the canvas that one shape is drawn on: three pixels to each of MNIST's."""


def map_on_all_cores(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    initializer: Callable[..., object] | None = None,
    *arguments: Any,
) -> list[Result]:
    """The function's result for each task, from one process per core, each of which first calls the initializer."""
    if len(tasks) == 1:
        # Done before a process would have started.
        if initializer:
            initializer(*arguments)
        return [function(tasks[0])]
    # Spawned, because a process that runs TensorFlow or JAX must not be forked.
    with (
        # Where every core has a process, NumPy's threads would only wait for one another.
        mock.patch.dict(os.environ, {"OPENBLAS_NUM_THREADS": "1"}),
        ProcessPoolExecutor(
            mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(initializer, *arguments)
        ) as pool,
    ):
        return list(pool.map(function, tasks))


def _start(initializer: Callable[..., object] | None, *arguments: Any) -> None:
    """Prepare a process of the pool, which ends when its parent is killed: it would wait for work for ever."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    if initializer:
        initializer(*arguments)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


# Strokes.


_PLACES = np.stack(np.meshgrid(*[np.arange(CANVAS_PX, dtype=np.float32) - np.float32((CANVAS_PX - 1) / 2)] * 2), -1)
"""Each pixel's place from the canvas's middle, x and y: float32 (CANVAS_PX, CANVAS_PX, 2)."""


def blank() -> Ink:
    """An empty canvas."""
    return np.zeros((CANVAS_PX, CANVAS_PX), np.float32)


def enlarge(image: NDArray[np.uint8]) -> Ink:
    """An MNIST image, uint8 (28, 28), on the canvas."""
    enlarged = cv2.resize(image.astype(np.float32) / 255, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
    return np.clip(enlarged, 0, 1)


def bounds(ink: Ink) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the ink in pixels; of the whole canvas where there is none."""
    left, top, width, height = cv2.boundingRect((ink > 0.3).astype(np.uint8))
    return (left, top, left + width, top + height) if width else (0, 0, CANVAS_PX, CANVAS_PX)


def draw_line(ink: Ink, points: Sequence[tuple[float, float]], width_px: float) -> Ink:
    """The ink with a stroke through the points, (x, y) in pixels."""
    drawn = np.zeros(ink.shape, np.uint8)
    path = np.round(np.array(points) * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(drawn, [path], False, 255, max(1, round(width_px)), cv2.LINE_AA, shift=4)
    return np.maximum(ink, drawn.astype(np.float32) / 255)


def smooth_curve(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth curve through points, float64 (n, 2): the spline of Catmull and Rom (1974)."""
    padded = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    p0, p1, p2, p3 = (padded[start : len(padded) - 3 + start, None] for start in range(4))
    t = np.linspace(0, 1, 10)[None, :, None]
    curve = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * (p1 - p2) + p3 - p0) * t**3
    return np.asarray(curve.reshape(-1, 2) / 2)


def stroke_width(ink: Ink) -> float:
    """Mean stroke width in pixels: twice the mean distance from the strokes' centre lines to paper."""
    distance = cv2.distanceTransform((ink > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    centre_line = (distance > 0) & (distance >= cv2.dilate(distance, np.ones((3, 3))))
    return float(2 * distance[centre_line].mean()) if centre_line.any() else 1.0


def with_stroke_width(ink: Ink, wanted_px: float, edge_px: float = 1.0) -> Ink:
    """The same strokes, `wanted_px` wide, with edges that fade over `edge_px`.

    Thinning scales every stroke by the same factor; strokes of about a pixel may break where they meet, as a
    pen's do.
    """
    solid = (ink > 0.5).astype(np.uint8)
    distance = cv2.distanceTransform(solid, cv2.DIST_L2, 3)
    width = stroke_width(ink)
    if wanted_px >= width:
        outside = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 3)
        thick = 0.5 + ((wanted_px - width) / 2 + distance - outside) / edge_px
        return np.clip(thick, 0, 1).astype(np.float32)
    reach = 2 * math.ceil(width / 2) + 1
    half_width = cv2.dilate(distance, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    depth = distance - half_width * (1 - wanted_px / width)
    return np.clip(0.5 + depth / edge_px, 0, 1).astype(np.float32) * solid


def distort(ink: Ink, rotation: float, shear: float, scale: tuple[float, float], offsets: NDArray[np.float64]) -> Ink:
    """The canvas rotated, sheared, scaled and elastically bent about its centre.

    rotation: radians. shear: pixels to the side per pixel up. scale: horizontal and vertical factor. offsets: float64
    (k, k, 2), displacement in x and y in pixels on a coarse grid, interpolated between its nodes.
    """
    turn = np.array([[math.cos(rotation), -math.sin(rotation)], [math.sin(rotation), math.cos(rotation)]])
    matrix = turn @ np.array([[1, shear], [0, 1]]) @ np.diag([1 / scale[0], 1 / scale[1]])
    centre = (CANVAS_PX - 1) / 2
    bent = cv2.resize(offsets.astype(np.float32), (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
    affine = np.column_stack([matrix, np.full(2, centre)])
    source = cv2.add(cv2.transform(_PLACES, affine), bent)
    return np.clip(cv2.remap(ink, source, None, cv2.INTER_LINEAR), 0, 1)


def smooth_noise(random: Random, cells: int) -> Ink:
    """Standard normal noise with a correlation length of CANVAS_PX / cells, float32 (CANVAS_PX, CANVAS_PX)."""
    coarse = random.normal(size=(cells, cells)).astype(np.float32)
    noise = cv2.resize(coarse, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
    mean, deviation = (float(one[0, 0]) for one in cv2.meanStdDev(noise))
    return np.asarray((noise - np.float32(mean)) / np.float32(deviation + 1e-6), np.float32)


# Printed text.


@functools.cache
def load_font(name: str, size_px: int) -> ImageFont.FreeTypeFont:
    """A font that comes with Matplotlib, by the name of its file."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")), size_px)


def print_centred(text: str, font: ImageFont.FreeTypeFont) -> Ink:
    """Text in the middle of the canvas."""
    image = Image.new("L", (CANVAS_PX, CANVAS_PX))
    ImageDraw.Draw(image).text((CANVAS_PX / 2, CANVAS_PX / 2), text, 255, font, anchor="mm")
    return np.asarray(image, np.float32) / np.float32(255)


# Photographs.


def uneven_light(side_px: int, brightness: tuple[float, float], tilt: float, random: Random) -> NDArray[np.float64]:
    """Grey values of white paper under a light that changes linearly across it: float64 (side_px, side_px).

    brightness: range of the grey value in the middle. tilt: most that it changes from side to side, as a fraction.
    """
    y, x = np.mgrid[:side_px, :side_px] / side_px - 0.5
    across = random.uniform(*brightness) * (1 + random.uniform(-tilt, tilt) * x + random.uniform(-tilt, tilt) * y)
    return np.asarray(across)


def draw_light(side_px: int, random: Random) -> NDArray[np.float64]:
    """Grey values of empty paper in uneven light, at times with a shadow: float64 (side_px, side_px)."""
    light = uneven_light(side_px, (120, 245), 0.3, random)
    clouds = cv2.resize(random.normal(size=(12, 12)), (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(random.normal(size=(side_px, side_px)), (0, 0), random.uniform(0.4, 1.5))
    light += random.uniform(0, 4) * clouds + random.uniform(0, 4) * grain / grain.std()
    if random.random() < 0.4:
        # A shadow with a more or less sharp edge; or, darker or lighter, the desk beside the paper.
        depth = random.uniform(0.3, 0.85) if random.random() < 0.75 else random.uniform(0.15, 1.3)
        edge_px = math.exp(random.uniform(math.log(0.5), math.log(30)))
        light *= 1 + (depth - 1) * _half_plane(side_px, edge_px, random)
    return light


def _half_plane(side_px: int, edge_px: float, random: Random) -> NDArray[np.float64]:
    """1 beyond a random line or arc, 0 before it, with an edge `edge_px` wide: float64 (side_px, side_px)."""
    y, x = np.mgrid[:side_px, :side_px] - side_px / 2.0
    angle = random.uniform(0, 2 * math.pi)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    bow = random.normal(0, 0.3) / side_px if random.random() < 0.5 else 0.0
    return np.clip(0.5 + (along + bow * across**2 - random.uniform(-0.35, 0.5) * side_px) / edge_px, 0, 1)


def draw_ruling(side_px: int, digit_height_px: float, random: Random) -> Ink:
    """How much darker printed ruling makes the paper: float32 (side_px, side_px) in [0, 1]."""
    lines = np.zeros((side_px, side_px), np.float32)
    if random.random() > 0.5:
        return lines
    pitch = digit_height_px * random.uniform(0.45, 2.5)
    angle, squared = random.normal(0, 0.08), random.random() < 0.5
    width = 1 if random.random() < 0.8 else 2
    for turn in (angle, angle + math.pi / 2)[: 1 + squared]:
        across = np.array([-math.sin(turn), math.cos(turn)])
        along = np.array([math.cos(turn), math.sin(turn)]) * side_px
        for offset in np.arange(-side_px, side_px, max(pitch, 5.0)) + random.uniform(0, pitch):
            middle = side_px / 2 + across * offset
            ends = np.rint(16 * np.array([middle - along, middle + along])).astype(int)
            cv2.line(lines, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 1.0, width, cv2.LINE_AA, shift=4)
    return lines * random.uniform(0.08, 0.75)


def as_jpeg(picture: NDArray[np.floating[Any] | np.integer[Any]], quality: int) -> NDArray[np.uint8]:
    """Grey values in 0-255 as they come back from a JPEG file: uint8 of the same shape. quality: 0-100."""
    _, encoded = cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)
