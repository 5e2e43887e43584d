"""A picture of one digit → the network's input: its ink in MNIST's format, and the picture itself as a second view."""

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.preprocessing.ink import find_ink
from mnist_digits.recognition.preprocessing.mnist_format import Normalised, normalise
from mnist_digits.recognition.results import IMAGE_SIDE_PX

MAX_PIXELS = 4096**2
"""A larger picture is reduced: of a digit that shall have 28×28 pixels, more would show nothing."""

MAX_PLAIN_ASPECT = 1.5
"""A picture whose sides differ by more is not of one digit that fills it, and has no plain view."""

MIN_PLAIN_CONTRAST = 24
"""Grey levels between the darkest and the lightest pixel of a plain view; with less, there is nothing to be seen."""


def prepare_digit(pixels: NDArray[np.uint8]) -> Normalised:
    """The network's input for a picture of one digit.

    pixels: uint8 (h, w) or (h, w, 3), as `read_picture` returns them.
    """
    height, width = pixels.shape[:2]
    small = _reduced(pixels)
    found = normalise(find_ink(small))
    x_scale, y_scale = width / small.shape[1], height / small.shape[0]
    x, y, right, bottom = found.box[0], found.box[1], found.box[0] + found.box[2], found.box[1] + found.box[3]
    left, top = int(x * x_scale), int(y * y_scale)
    box = left, top, math.ceil(right * x_scale) - left, math.ceil(bottom * y_scale) - top
    return replace(found, box=box, plain=plain_view(small))


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of more than MAX_PIXELS reduced, by a whole number; others as they are."""
    height, width = pixels.shape[:2]
    factor = math.ceil(math.sqrt(height * width / MAX_PIXELS))
    if factor <= 1:
        return pixels
    height, width = max(1, height // factor), max(1, width // factor)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def plain_view(pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The picture itself, reduced to uint8 (28, 28), its border dark; None where it cannot be of one digit.

    Where noise, fog or dirt hide the ink from rules, a network that was trained on such images still sees the digit.
    """
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_PLAIN_ASPECT * min(height, width) or min(height, width) < IMAGE_SIDE_PX // 2:
        return None
    small = cv2.resize(pixels, (IMAGE_SIDE_PX, IMAGE_SIDE_PX), interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    if int(grey.max()) - int(grey.min()) < MIN_PLAIN_CONTRAST:
        return None
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return np.asarray(cv2.bitwise_not(grey) if np.median(border) > 127 else grey, np.uint8)
