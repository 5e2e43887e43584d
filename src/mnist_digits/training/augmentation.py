"""Random affine and elastic distortion, as pure tensor code that compiles into the training program.

The same digit, a little turned, slanted, stretched, moved and bent, is still the same digit; a
network that sees it differently every epoch learns the digit and not its picture (Simard, Steinkraus
and Platt 2003, "Best practices for convolutional neural networks applied to visual document analysis").

Every output pixel looks up its place in the source image. Where it looks is a *field* of
displacements that is linear in a few random coefficients: three patterns (constant, x, y) make any
affine map, and one tent around each of GRID × GRID control points makes a smooth elastic one. So the
fields of a whole batch are a single product of two small matrices.
"""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

SIDE = 28
CENTRE = (SIDE - 1) / 2
GRID = 5
"""Control points of the elastic field, along each side."""
DRAWN = 5 + 2 * GRID * GRID
"""Random numbers that decide the distortion of one image."""


@dataclass(frozen=True)
class Distortion:
    """How far an image may be distorted; every amount is drawn evenly from minus to plus its bound."""

    rotation: float = 0.0
    """Degrees."""
    scaling: float = 0.0
    """Natural logarithm of the size: 0.1 makes digits 0.90 to 1.11 times as large."""
    shear: float = 0.0
    """Slant: pixels sideways per pixel upwards."""
    translation: float = 0.0
    """Pixels along each axis, as far as the digit stays within its frame."""
    elastic: float = 0.0
    """Standard deviation, in pixels, of each control point's displacement along each axis."""

    def __bool__(self) -> bool:
        return any((self.rotation, self.scaling, self.shear, self.translation, self.elastic))

    def __call__(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Distort each image in its own way.

        images: uint8 (n, 28, 28). draws: float32 (n, DRAWN), even in [-1, 1]; smaller numbers distort
        less, zeros not at all. Returns float32 (n, 28, 28) in [0, 255]. No ink leaves the frame by
        translation: a digit is moved only as far as the empty margin around it allows.
        """
        field_x, field_y = tf.unstack(self._fields(draws), axis=1)
        left, right, top, bottom = _margins(images)
        # A point on the frame's border must look outside the digit, or ink would be lost behind it.
        shift_x = _clip(draws[:, 3] * self.translation, left, right, field_x[:, :, 0], field_x[:, :, -1])
        shift_y = _clip(draws[:, 4] * self.translation, top, bottom, field_y[:, 0, :], field_y[:, -1, :])
        pixel = tf.range(SIDE, dtype=tf.float32)
        x = pixel[None, None, :] + field_x + shift_x[:, None, None]
        y = pixel[None, :, None] + field_y + shift_y[:, None, None]
        return _sample(images, x, y)

    def _fields(self, draws: tf.Tensor) -> tf.Tensor:
        """Displacements in pixels, float32 (n, 2, 28, 28), x before y."""
        angle = draws[:, 0] * math.radians(self.rotation)
        size = tf.exp(draws[:, 1] * self.scaling)
        slant = draws[:, 2] * self.shear
        cosine, sine, zero = size * tf.cos(angle), size * tf.sin(angle), tf.zeros_like(angle)
        affine = tf.stack([zero, cosine - 1, slant * cosine - sine, zero, sine, slant * sine + cosine - 1], axis=1)
        # An even distribution of standard deviation 1 reaches to the square root of 3.
        elastic = draws[:, 5:] * (self.elastic * math.sqrt(3))
        coefficients = tf.concat([tf.reshape(affine, [-1, 2, 3]), tf.reshape(elastic, [-1, 2, GRID * GRID])], axis=2)
        fields = tf.matmul(tf.reshape(coefficients, [-1, 3 + GRID * GRID]), _PATTERNS)
        return tf.reshape(fields, [-1, 2, SIDE, SIDE])


def _patterns() -> np.ndarray:
    """What the coefficients multiply: float32 (3 + GRID², 784)."""
    place = np.arange(SIDE) - CENTRE
    y, x = np.meshgrid(place, place, indexing="ij")
    points = np.linspace(0, SIDE - 1, GRID)
    tents = np.maximum(0, 1 - np.abs(np.arange(SIDE) - points[:, None]) / (points[1] - points[0]))
    elastic = [np.outer(row, column) for row in tents for column in tents]
    return np.stack([np.ones_like(x), x, y, *elastic]).reshape(-1, SIDE * SIDE).astype(np.float32)


_PATTERNS = _patterns()


def _margins(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Empty columns left and right, empty rows above and below the ink: four times float32 (n,)."""
    inked_columns, inked_rows = (tf.cast(tf.reduce_max(images, axis) > 0, tf.int32) for axis in (1, 2))
    return tuple(
        tf.cast(tf.argmax(inked, axis=1, output_type=tf.int32), tf.float32)
        for inked in (inked_columns, inked_columns[:, ::-1], inked_rows, inked_rows[:, ::-1])
    )


def _clip(shift: tf.Tensor, before: tf.Tensor, after: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """The shift, float32 (n,), as far as both borders keep looking outside the digit.

    before, after: empty margins, float32 (n,). first, last: displacements along the two borders, (n, 28).
    """
    highest = before - tf.reduce_max(first, axis=1)
    lowest = -after - tf.reduce_min(last, axis=1)
    # A digit as large as its frame may leave no room: then it stays where both sides lose least.
    middle, room = (lowest + highest) / 2, tf.nn.relu(highest - lowest) / 2
    return tf.clip_by_value(shift, middle - room, middle + room)


def _sample(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Bilinear interpolation of images, uint8 (n, 28, 28), at places in pixels, float32 (n, 28, 28); 0 outside."""
    side = SIDE + 2
    x, y = (tf.clip_by_value(place + 1, 0.0, side - 1.001) for place in (x, y))
    column, row = tf.cast(x, tf.int32), tf.cast(y, tf.int32)
    across, down = x - tf.cast(column, tf.float32), y - tf.cast(row, tf.float32)
    # Each place's four neighbours lie side by side, so that one look-up fetches them all.
    padded = tf.pad(images, [[0, 0], [1, 2], [1, 2]])
    corners = [padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]]
    neighbours = tf.reshape(tf.stack(corners, axis=-1), [-1, 4])
    image = tf.range(tf.shape(images)[0])[:, None, None] * (side * side)
    found = tf.cast(tf.gather(neighbours, image + row * side + column), tf.float32)
    above = found[..., 0] + across * (found[..., 1] - found[..., 0])
    below = found[..., 2] + across * (found[..., 3] - found[..., 2])
    return above + down * (below - above)
