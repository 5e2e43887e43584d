"""Random corruption of images, as pure tensor code that compiles into the training program.

What upsets a network that has seen only clean ink is seen in training: grey paper, fog, noise, blur, outlines, strokes
and patches across the digit, parts that are inverted. That learning from many unlike corruptions helps with ones never
learned from is known from images in general (Hendrycks et al. 2020, "AugMix"; Rusak et al. 2020, "A simple way to make
neural networks robust against diverse image corruptions"). The kinds are drawn here with parameters of their own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from mnist_digits.training.engine.augmentation import SIDE, tents

PIXELS = SIDE * SIDE
GRID = 7
"""Control points of the smooth field along each axis."""
SMOOTH_GAIN = 2.2
"""Brings the standard deviation of that field to about 1."""


@dataclass(frozen=True)
class Numbers:
    """The random numbers of a batch, uniform in [-1, 1]."""

    amounts: Any
    """float32 (n, AMOUNTS): strengths and places of this kind of corruption."""
    noise: Any
    """float32 (n, 28, 28)."""
    more_noise: Any
    """float32 (n, 28, 28), independent of the first."""
    smooth: Any
    """float32 (n, 28, 28): a smooth field of standard deviation about 1."""

    def amount(self, index: int, low: float = 0.0, high: float = 1.0) -> Any:
        """The index-th amount, uniform between two bounds: float32 (n, 1, 1)."""
        return low + (high - low) * (1 + self.amounts[:, index, None, None]) / 2

    def coin(self, index: int, probability: float = 0.5) -> Any:
        """Whether the index-th amount lies below a probability: bool (n, 1, 1)."""
        return self.amount(index) < probability

    @property
    def normal(self) -> Any:
        """Noise of mean 0 and standard deviation 1, bell-shaped: float32 (n, 28, 28)."""
        return (self.noise + self.more_noise) * math.sqrt(1.5)


def _shifted(images: Any, right: int, down: int) -> Any:
    """The images moved by whole pixels; paper comes in at the border."""
    padded = ops.pad(images, [[0, 0], [max(down, 0), max(-down, 0)], [max(right, 0), max(-right, 0)]])
    top, left = max(-down, 0), max(-right, 0)
    return padded[:, top : top + SIDE, left : left + SIDE]


def _coordinates(angle: Any) -> tuple[Any, Any]:
    """Place of each pixel along and across a direction, in pixels from the middle: each float32 (n, 28, 28)."""
    place = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    y, x = np.meshgrid(place, place, indexing="ij")
    cosine, sine = ops.cos(angle), ops.sin(angle)
    return cosine * x + sine * y, cosine * y - sine * x


def line(images: Any, numbers: Numbers) -> Any:
    """A straight, zigzag or dotted line across."""
    along, across = _coordinates(numbers.amount(0, 0, math.pi))
    period = numbers.amount(1, 4, 14)
    wave = ops.abs(2 * ((along / period + numbers.amount(2)) % 1) - 1) * 2 - 1
    height = ops.relu(numbers.amount(3, -4, 6))
    distance = ops.abs(across - numbers.amount(4, -9, 9) - height * wave)
    inside = ops.clip(numbers.amount(5, 0.9, 2.0) - distance, 0, 1)
    dash = numbers.amount(6, 2, 6)
    dotted = ops.where(numbers.coin(7), ops.cast((along / dash) % 1 < numbers.amount(8, 0.3, 0.7), "float32"), 1.0)
    return ops.maximum(images, inside * dotted * numbers.amount(9, 110, 255))


def spatter(images: Any, numbers: Numbers) -> Any:
    """Blobs and drops of ink or of paper."""
    blobs = ops.clip((numbers.smooth + 0.6 * numbers.noise - numbers.amount(0, 0.9, 1.9)) * 4, 0, 1)
    painted = ops.maximum(images, blobs * numbers.amount(1, 60, 255))
    return ops.where(numbers.coin(2), painted, images * (1 - blobs))


def patches(images: Any, numbers: Numbers) -> Any:
    """Two rectangles of one grey."""
    place = np.arange(SIDE, dtype=np.float32)
    for first in (0, 4):
        inside = [
            ops.abs(place - numbers.amount(first + axis, 3, 24)) < numbers.amount(first + 2 + axis, 1.0, 4.0)
            for axis in (0, 1)
        ]
        covered = ops.logical_and(inside[0], ops.transpose(inside[1], (0, 2, 1)))
        images = ops.where(covered, numbers.amount(8, -255, 255) * ops.cast(numbers.coin(9, 0.3), "float32"), images)
    return images


def outlines(images: Any, numbers: Numbers) -> Any:
    """The edges of the strokes alone, inside or outside of them."""
    large, small = images, images
    for right, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        moved = _shifted(images, right, down)
        large, small = ops.maximum(large, moved), ops.minimum(small, moved)
    edges = ops.where(numbers.coin(0), images - small, large - images)
    edges = ops.where(numbers.coin(1, 0.4), large - small, edges)
    return ops.clip((edges - numbers.amount(2, 10, 90)) * numbers.amount(3, 1, 4), 0, 255)


def stripe(images: Any, numbers: Numbers) -> Any:
    """A band across the image inverted."""
    angle = ops.where(numbers.coin(0, 0.7), math.pi / 2 * ops.floor(numbers.amount(1, 0, 2)), numbers.amount(1, 0, 3.1))
    _, across = _coordinates(angle)
    inside = ops.abs(across - numbers.amount(2, -10, 10)) < numbers.amount(3, 1.5, 8)
    return ops.where(inside, 255 - images, images)


def negative(images: Any, numbers: Numbers) -> Any:
    """Dark and light exchanged."""
    return 255 - images


def paper(images: Any, numbers: Numbers) -> Any:
    """Grey, clouded paper, and ink of another grey."""
    paper = numbers.amount(0, 0, 190)
    ink = ops.minimum(paper + numbers.amount(1, 60, 255), 255.0)
    clouds = numbers.smooth * numbers.amount(2, 0, 45) * ops.cast(numbers.coin(3, 0.7), "float32")
    return paper + clouds + images * (ink - paper) / 255


def pale(images: Any, numbers: Numbers) -> Any:
    """Less contrast on black, or other greys between paper and ink."""
    pale = images * numbers.amount(0, 0.2, 0.9)
    return ops.where(numbers.coin(1), pale, 255 * (images / 255 + 1e-3) ** ops.exp(numbers.amount(2, -1, 1)))


def threshold(images: Any, numbers: Numbers) -> Any:
    """Black and white only."""
    return ops.where(images > numbers.amount(0, 40, 200), 255.0, 0.0)


def blur(images: Any, numbers: Numbers) -> Any:
    """Out of focus."""
    strength, blurred = numbers.amount(0, 0.3, 4), images
    for step in range(4):
        softer = _softened(blurred)
        blurred = blurred + ops.clip(strength - step, 0, 1) * (softer - blurred)
    return blurred


def _softened(images: Any) -> Any:
    """The mean of 3×3 pixels, weighted as a binomial."""
    across = _computed((2 * images + _shifted(images, 1, 0) + _shifted(images, -1, 0)) / 4)
    return _computed((2 * across + _shifted(across, 0, 1) + _shifted(across, 0, -1)) / 4)


def motion(images: Any, numbers: Numbers) -> Any:
    """Moved while it was taken, along one of four directions."""
    moved = images
    for number, (right, down) in enumerate(((1, 0), (0, 1), (1, 1), (1, -1))):
        mean, weights = images, 1.0
        for distance in (1, 2, 3):
            weight = ops.clip(numbers.amount(0, 0.5, 3) - distance + 1, 0, 1)
            x, y = distance * right, distance * down
            both = _shifted(images, x, y) + _shifted(images, -x, -y)
            mean, weights = mean + weight * both, weights + 2 * weight
        moved = ops.where(ops.floor(numbers.amount(1, 0, 3.999)) == number, mean / weights, moved)
    return moved * numbers.amount(2, 1.0, 1.4)


def glass(images: Any, numbers: Numbers) -> Any:
    """Each pixel taken from somewhere near."""
    reach = numbers.amount(0, 0.3, 0.67)
    for noise, other in ((numbers.noise, numbers.more_noise), (numbers.more_noise[:, ::-1], numbers.noise[:, :, ::-1])):
        for right, down, field in ((1, 0, noise), (0, 1, other)):
            before, after = _shifted(images, right, down), _shifted(images, -right, -down)
            images = _computed(ops.where(field < -1 + reach, before, ops.where(field > 1 - reach, after, images)))
    return ops.where(numbers.coin(1), _softened(images), images)


def grain(images: Any, numbers: Numbers) -> Any:
    """Noise of a sensor: everywhere, or where it is bright."""
    everywhere = images + numbers.normal * numbers.amount(0, 5, 100)
    shot = images + numbers.normal * ops.sqrt(images / 255) * numbers.amount(0, 20, 160)
    return ops.where(numbers.coin(1, 0.6), everywhere, shot)


def impulses(images: Any, numbers: Numbers) -> Any:
    """Pixels lost to black or white."""
    lost = ops.abs(numbers.noise) > 1 - numbers.amount(0, 0.02, 0.35)
    return ops.where(lost, ops.where(numbers.more_noise > 0, 255.0, 0.0), images)


COARSEST = 8
"""Pixels a side of the coarsest images, and how many sizes from there on there are."""


def _resampling(smooth: bool) -> NDArray[np.float32]:
    """What reduces a row or column to fewer pixels and enlarges it again, for each size: float32 (COARSEST, 28, 28)."""
    matrices, edges = [], np.arange(SIDE + 1)
    for size in range(COARSEST, 2 * COARSEST):
        bounds = np.linspace(0, SIDE, size + 1)[:, None]
        # Each coarse pixel is the mean of what it covers.
        covered = np.minimum(bounds[1:], edges[1:]) - np.maximum(bounds[:-1], edges[:-1])
        place = (np.arange(SIDE)[:, None] + 0.5) * size / SIDE - 0.5
        distance = np.abs(np.clip(place, 0, size - 1) - np.arange(size))
        nearest = np.rint(place) == np.arange(size)
        matrices.append((np.maximum(1 - distance, 0) if smooth else nearest) @ np.maximum(covered, 0) * size / SIDE)
    return np.array(matrices, np.float32)


_COARSE = np.concatenate([_resampling(smooth=False), _resampling(smooth=True)])


def coarse(images: Any, numbers: Numbers) -> Any:
    """Of 8 to 15 pixels a side, enlarged again with edges or without."""
    size = ops.cast(numbers.amount(0, 0, COARSEST - 1e-3)[:, 0, 0], "int32")
    matrices = ops.take(_COARSE, size + COARSEST * ops.cast(numbers.coin(1)[:, 0, 0], "int32"), axis=0)
    return ops.matmul(ops.matmul(matrices, images), ops.transpose(matrices, (0, 2, 1)))


KINDS: dict[Callable[[Any, Numbers], Any], int] = {
    line: 4, spatter: 1, patches: 1, outlines: 1, pale: 1, stripe: 1, negative: 1, paper: 2, threshold: 1,
    blur: 1, motion: 1, glass: 1, coarse: 2, grain: 2, impulses: 2,
}  # fmt: skip
"""Kind of corruption → its weight: how many images it is for, relative to others."""
AMOUNTS = 10
"""Amounts that a kind may use."""
ROUNDS = (1.0, 0.4)
"""Share of the corrupted images that are corrupted in each round: all once, some twice."""
DRAWS = len(ROUNDS) * (1 + AMOUNTS) + 2 * PIXELS + GRID * GRID
"""Random numbers for an image."""


@dataclass(frozen=True)
class Corruption:
    """Corrupts a share of the images of a batch, each by one kind or two."""

    share: float
    """Of the images that are corrupted, in [0, 1]."""

    def __call__(self, images: Any, draws: Any) -> Any:
        """The images, float32 (n, 28, 28) in [0, 255], the first ones of the batch corrupted, within the same range.

        draws: float32 (n, DRAWS), uniform in [-1, 1]. Which images of an epoch come first in their batch is random.
        """
        count = math.ceil(self.share * images.shape[0])
        corrupted, numbers = images[:count], draws[:count]
        for number, share in enumerate(ROUNDS):
            corrupted = _corrupted(corrupted, numbers, number, math.ceil(share * count))
        return ops.concatenate([corrupted, images[count:]])


def _corrupted(images: Any, draws: Any, number: int, count: int) -> Any:
    """So many of the images, picked at random, each corrupted by one kind. number: of the round.

    Each kind gets images that lie side by side after shuffling, so that it is computed for no others.
    """
    order = ops.argsort(draws[:, number * (1 + AMOUNTS)])
    images, draws = ops.take(images, order, axis=0), ops.take(draws, order, axis=0)
    weights = np.cumsum([0, *KINDS.values()])
    bounds = np.rint(weights * (count / weights[-1])).astype(int).tolist()
    parts = [
        ops.clip(kind(images[start:stop], _numbers(draws[start:stop], number)), 0, 255)
        for kind, start, stop in zip(KINDS, bounds, bounds[1:], strict=False)
        if start < stop
    ]
    return ops.take(ops.concatenate([*parts, images[count:]]), ops.argsort(order), axis=0)


def _numbers(draws: Any, number: int) -> Numbers:
    """An image's random numbers for a round. draws: float32 (n, DRAWS)."""
    start = number * (1 + AMOUNTS) + 1
    fields = draws[:, -2 * PIXELS - GRID * GRID :]
    noise, more = (ops.reshape(fields[:, first : first + PIXELS], (-1, SIDE, SIDE)) for first in (0, PIXELS))
    smooth = ops.reshape(ops.matmul(fields[:, 2 * PIXELS :], _TENTS), (-1, SIDE, SIDE)) * SMOOTH_GAIN
    turn = slice(None, None, -1 if number else 1)
    return Numbers(draws[:, start : start + AMOUNTS], *(field[:, turn] for field in (noise, more, smooth)))


def _computed(images: Any) -> Any:
    """The images, computed once: XLA would compute a step anew for every pixel that the next one looks at."""
    if keras.backend.backend() != "jax":
        return images
    from jax import lax

    return lax.optimization_barrier(images)


_TENTS = tents(GRID).reshape(-1, PIXELS).astype(np.float32)
