"""Pages with known text and boxes, composed of MNIST's training digits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from helpers.pictures import paper, photographed, strokes, written
from mnist_digits.dataset import Split
from mnist_digits.recognition import Box, Classifier
from mnist_digits.recognition.layout.detector import Detections

ROWS = ("3141 59", "26", "535 8979 32", "7")
"""Rows of different lengths, in words."""


def sure_digits(train: Split, classifier: Classifier) -> list[list[np.ndarray]]:
    """For each digit, training images of one component and similar stroke width, read with a confidence above 0.99."""
    images = train.images[:350]
    found = classifier.classify_many(255 - 255 * np.pad(strokes(image, 84), 8).astype(np.uint8) for image in images)
    widths = np.array([_stroke_width(_glyph(image, 60)) for image in images])
    one_pen = np.abs(widths / np.median(widths) - 1) < 0.2
    sure: list[list[np.ndarray]] = [[] for _ in range(10)]
    for image, label, prediction, alike in zip(images, train.labels, found, one_pen, strict=False):
        whole = cv2.connectedComponents(strokes(image, 84).astype(np.uint8))[0] == 2
        if whole and alike and prediction.digit == label and prediction.confidence > 0.99:
            sure[label].append(image)
    return sure


@dataclass(frozen=True)
class SmallPage:
    """Digits on paper. Transformations are applied to the label image, from which the boxes are computed."""

    labels: np.ndarray
    """uint16 (h, w): 0 where there is paper, i + 1 where digit i is, in the order of the rows."""
    rows: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    @property
    def mask(self) -> np.ndarray:
        return self.labels > 0

    @property
    def boxes(self) -> list[Box]:
        """Around each digit, in the order of the rows."""
        boxes = []
        for label in range(1, 1 + sum(len(row.replace(" ", "")) for row in self.rows)):
            boxes.append(cv2.boundingRect((self.labels == label).astype(np.uint8)))
        return boxes

    def pixels(
        self, pen: tuple[int, int, int] = (35, 35, 45), ground: tuple[int, int, int] = (235, 235, 228)
    ) -> np.ndarray:
        """Photographed on grained paper: uint8 (h, w, 3)."""
        return photographed(written(self.sheet(ground), self.mask, pen))

    def sheet(self, ground: tuple[int, int, int] = (235, 235, 228)) -> np.ndarray:
        """The paper alone: float32 (h, w, 3)."""
        height, width = self.labels.shape
        return paper(np.random.default_rng(0), max(height, width), ground)[:height, :width]

    def quarter_turned(self, turns: int) -> "SmallPage":
        return replace(self, labels=np.ascontiguousarray(np.rot90(self.labels, turns)))

    def sloping(self, degrees: float) -> "SmallPage":
        """Rotated about the centre; text lines fall to the right for positive angles."""
        height, width = self.labels.shape
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
        turn[1, 2] += height / 4
        return self._warped(cv2.warpAffine(self.labels, turn, (width, height * 3 // 2), flags=cv2.INTER_NEAREST))

    def curved(self, depth_px: float) -> "SmallPage":
        """With text lines that sag in the middle by so many pixels."""
        height, width = self.labels.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height + depth_px, dtype=np.float32))
        sag = depth_px * np.sin(np.pi * x / width)
        return self._warped(cv2.remap(self.labels, x, (y - sag).astype(np.float32), cv2.INTER_NEAREST))

    def scaled(self, factor: float) -> "SmallPage":
        return self._warped(cv2.resize(self.labels, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST))

    def moved(self, left: int, top: int, right: int = 0, bottom: int = 0) -> "SmallPage":
        """With so many more pixels of paper on each side."""
        return self._warped(np.pad(self.labels, ((top, bottom), (left, right))))

    def _warped(self, labels: np.ndarray) -> "SmallPage":
        return replace(self, labels=labels)


def write_page(
    sure: Sequence[Sequence[np.ndarray]],
    rows: Sequence[str] = ROWS,
    height: int = 56,
    margin: int = 60,
    gap: float = 0.35,
    pitch: float = 1.9,
) -> SmallPage:
    """Digits so many pixels high, row below row.

    gap: between digits; a space is 1.4 more. pitch: from row to row. Both in heights.
    """
    taken = [0] * 10
    placed, x, y, right = [], margin, margin, 0
    for row in rows:
        x = margin
        for character in row:
            if character == " ":
                x += round(1.4 * height)
                continue
            digit = int(character)
            glyph = _glyph(sure[digit][taken[digit] % len(sure[digit])], height)
            taken[digit] += 1
            placed.append((x, y, glyph))
            x += glyph.shape[1] + round(gap * height)
        right = max(right, x)
        y += round(pitch * height)
    labels = np.zeros((y + margin, right + margin), np.uint16)
    for label, (x, y, glyph) in enumerate(placed, 1):
        window = labels[y : y + glyph.shape[0], x : x + glyph.shape[1]]
        window[glyph] = label
    return SmallPage(labels, tuple(rows))


def _glyph(image: np.ndarray, height: int) -> np.ndarray:
    """A digit's strokes without the paper around them: bool (height, w)."""
    ink = strokes(image, 112)
    x, y, width, tall = cv2.boundingRect(ink.astype(np.uint8))
    crop = 255 * ink[y : y + tall, x : x + width].astype(np.uint8)
    return cv2.resize(crop, (max(3, round(width * height / tall)), height), interpolation=cv2.INTER_AREA) > 127


def _stroke_width(glyph: np.ndarray) -> float:
    """Stroke width in pixels: twice the area divided by the length of the outline."""
    area = int(glyph.sum())
    inner = cv2.erode(np.pad(glyph, 1).astype(np.uint8), np.ones((3, 3), np.uint8)).sum()
    return 2 * area / (area - int(inner))


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    wide, high = (min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    both = max(0, wide) * max(0, high)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def inked(*boxes: Box, shape: tuple[int, int] = (300, 400), strength: float = 1.0) -> np.ndarray:
    """Boxes filled with ink."""
    ink = np.zeros(shape, np.float32)
    for x, y, width, height in boxes:
        ink[y : y + height, x : x + width] = strength
    return ink


def detections_at(*places: tuple[float, float]) -> Detections:
    return Detections(np.array(places, float).reshape(-1, 2), np.full((len(places), 10), 0.5, np.float32))


def amid(*boxes: Box) -> Detections:
    """A detection in the middle of each box."""
    return detections_at(*[(x + width / 2, y + height / 2) for x, y, width, height in boxes])
