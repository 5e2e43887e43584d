"""Digits enlarged from MNIST's training images, and paper to put them on."""

import io

import cv2
import numpy as np
from PIL import Image


def strokes(image: np.ndarray, side: int) -> np.ndarray:
    """A training image as a bilevel scan: its strokes, bool (side, side)."""
    large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(large, (0, 0), side / 112) > 110


def paper(random: np.random.Generator, side: int, colour: tuple[int, int, int] = (235, 235, 228)) -> np.ndarray:
    """Grained paper: float32 (side, side, 3)."""
    coarse = cv2.resize(random.normal(0, 3, (side // 8, side // 8)).astype(np.float32), (side, side))
    grain = coarse + random.normal(0, 2, (side, side)).astype(np.float32)
    return np.float32(colour) + grain[..., None]


def soft(mask: np.ndarray) -> np.ndarray:
    """Ink with soft edges, float32 (h, w) in [0, 1], of a bilevel mask."""
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)


def written(sheet: np.ndarray, mask: np.ndarray, pen: tuple[int, int, int] = (35, 35, 45)) -> np.ndarray:
    """The sheet with its strokes in the pen's colour, float32, edges a little soft."""
    ink = soft(mask)[..., None]
    return sheet * (1 - ink) + np.float32(pen) * ink


def photographed(sheet: np.ndarray) -> np.ndarray:
    return np.clip(sheet, 0, 255).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The content of a file of this kind, by Pillow's name."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
