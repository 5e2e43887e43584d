"""Random affine and elastic distortion, as pure tensor code that compiles into the training program.

Training images are rotated, slanted, scaled, shifted and elastically deformed, differently in every epoch (Simard,
Steinkraus and Platt 2003, "Best practices for convolutional neural networks applied to visual document analysis").

Every output pixel is sampled from the source image at its own position plus a displacement. The displacement field is
a linear combination of fixed basis fields with a few random coefficients: three (constant, x, y) span the affine maps,
and one tent function around each of GRID × GRID control points an elastic deformation. So the fields of a whole batch
are one product of two small matrices.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from keras import ops
from numpy.typing import NDArray

from mnist_digits.training.recipes import Recipe

SIDE = 28
CENTRE = (SIDE - 1) / 2
GRID = 5
"""Control points of the elastic field along each axis."""
DRAWS = 5 + 2 * GRID * GRID
"""Random numbers per image: rotation, scaling, shear, two of translation, and two for each control point."""


@dataclass(frozen=True)
class Distortion:
    """Bounds of a random distortion; each amount is uniform between minus and plus its bound."""

    rotation: float = 0.0
    """Degrees."""
    scaling: float = 0.0
    """Natural logarithm of the scale factor: 0.1 scales digits by 0.90 to 1.11."""
    shear: float = 0.0
    """Slant, in pixels sideways per pixel upwards."""
    translation: float = 0.0
    """Pixels along each axis; a digit never leaves its frame."""
    elastic: float = 0.0
    """Standard deviation, in pixels, of each control point's displacement along each axis."""

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """The distortion that a recipe asks for."""
        return cls(recipe.rotation, recipe.scaling, recipe.shear, recipe.translation, recipe.elastic)

    def __bool__(self) -> bool:
        return any((self.rotation, self.scaling, self.shear, self.translation, self.elastic))

    def __call__(self, images: Any, draws: Any) -> Any:
        """Distort each image by its own random numbers: float32 (n, 28, 28) in [0, 255].

        images: uint8 (n, 28, 28). draws: float32 (n, DRAWS), uniform in [-1, 1]; smaller ones distort less, zeros not
        at all. A digit is shifted only as far as the blank margin around it allows.
        """
        field_x, field_y = ops.unstack(self._fields(draws), axis=1)
        left, right, top, bottom = _margins(images)
        # A pixel on the border must be sampled outside the digit, or ink beyond it would be lost.
        shift_x = _clip(draws[:, 3] * self.translation, left, right, field_x[:, :, 0], field_x[:, :, -1])
        shift_y = _clip(draws[:, 4] * self.translation, top, bottom, field_y[:, 0, :], field_y[:, -1, :])
        pixel = ops.arange(SIDE, dtype="float32")
        x = pixel[None, None, :] + field_x + shift_x[:, None, None]
        y = pixel[None, :, None] + field_y + shift_y[:, None, None]
        return _sample(images, x, y)

    def variants(self, image: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
        """The image and count - 1 random distortions of it, the same on every call: uint8 (count, 28, 28).

        image: uint8 (28, 28).
        """
        draws = np.random.default_rng(0).uniform(-1, 1, (count, DRAWS)).astype(np.float32)
        draws[0] = 0
        return np.rint(ops.convert_to_numpy(self(np.repeat(image[None], count, axis=0), draws))).astype(np.uint8)

    def _fields(self, draws: Any) -> Any:
        """Displacements in pixels, float32 (n, 2, 28, 28), x before y."""
        angle = draws[:, 0] * math.radians(self.rotation)
        size = ops.exp(draws[:, 1] * self.scaling)
        slant = draws[:, 2] * self.shear
        cosine, sine, zero = size * ops.cos(angle), size * ops.sin(angle), ops.zeros_like(angle)
        affine = ops.stack([zero, cosine - 1, slant * cosine - sine, zero, sine, slant * sine + cosine - 1], axis=1)
        # A uniform distribution of standard deviation 1 is bounded by the square root of 3.
        elastic = draws[:, 5:] * (self.elastic * math.sqrt(3))
        coefficients = ops.concatenate(
            [ops.reshape(affine, [-1, 2, 3]), ops.reshape(elastic, [-1, 2, GRID * GRID])], axis=2
        )
        fields = ops.matmul(ops.reshape(coefficients, [-1, 3 + GRID * GRID]), _BASIS)
        return ops.reshape(fields, [-1, 2, SIDE, SIDE])


def _basis() -> NDArray[np.float32]:
    """The basis fields that the coefficients multiply: float32 (3 + GRID², 784)."""
    place = np.arange(SIDE) - CENTRE
    y, x = np.meshgrid(place, place, indexing="ij")
    return np.stack([np.ones_like(x), x, y, *tents(GRID)]).reshape(-1, SIDE * SIDE).astype(np.float32)


def tents(grid: int) -> NDArray[np.float64]:
    """Fields that rise linearly to 1 at each of grid × grid points, and are 0 at all others: (grid², 28, 28)."""
    points = np.linspace(0, SIDE - 1, grid)
    sides = np.maximum(0, 1 - np.abs(np.arange(SIDE) - points[:, None]) / (points[1] - points[0]))
    return np.stack([np.outer(row, column) for row in sides for column in sides])


_BASIS = _basis()


def _margins(images: Any) -> tuple[Any, Any, Any, Any]:
    """Numbers of blank columns left and right of the ink, and of blank rows above and below: each float32 (n,)."""
    inked_columns, inked_rows = (ops.cast(ops.max(images, axis) > 0, "int32") for axis in (1, 2))
    return tuple(
        ops.cast(ops.argmax(inked, axis=1), "float32")
        for inked in (inked_columns, inked_columns[:, ::-1], inked_rows, inked_rows[:, ::-1])
    )


def _clip(shift: Any, before: Any, after: Any, first: Any, last: Any) -> Any:
    """The shift, float32 (n,), clipped so that pixels on both borders are still sampled outside the digit.

    before, after: blank margins, float32 (n,). first, last: displacements along the two borders, (n, 28).
    """
    highest = before - ops.max(first, axis=1)
    lowest = -after - ops.min(last, axis=1)
    # A digit may be too large for its frame: then both sides lose equally.
    middle, room = (lowest + highest) / 2, ops.relu(highest - lowest) / 2
    return ops.clip(shift, middle - room, middle + room)


def _sample(images: Any, x: Any, y: Any) -> Any:
    """Bilinear interpolation of images, uint8 (n, 28, 28), at positions in pixels, float32 (n, 28, 28); 0 outside."""
    side = SIDE + 2
    x, y = (ops.clip(position + 1, 0.0, side - 1.001) for position in (x, y))
    column, row = ops.cast(x, "int32"), ops.cast(y, "int32")
    across, down = x - ops.cast(column, "float32"), y - ops.cast(row, "float32")
    # The four neighbours of a position lie side by side, so that one gather fetches all of them.
    padded = ops.pad(images, [[0, 0], [1, 2], [1, 2]])
    corners = [padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]]
    neighbours = ops.reshape(ops.stack(corners, axis=-1), [-1, 4])
    image = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * (side * side)
    found = ops.cast(ops.take(neighbours, image + row * side + column, axis=0), "float32")
    above = found[..., 0] + across * (found[..., 1] - found[..., 0])
    below = found[..., 2] + across * (found[..., 3] - found[..., 2])
    return above + down * (below - above)
