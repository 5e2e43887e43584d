"""Pictures of how a page was read: the result over the picture, and the result of every stage."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.preprocessing.mnist_format import MIN_STROKE_INK
from mnist_digits.recognition.reader import Reading, Writing
from mnist_digits.recognition.results import Page

BLUE, ORANGE, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)
"""Red, green and blue of colours that the colour-blind can tell apart (Okabe and Ito 2008)."""

REMOVED = 0.25
"""Strength with which removed lines are drawn, 1 = as ink."""

INPUTS_PER_ROW = 20
"""Network inputs side by side in the picture of them."""


def annotate(pixels: NDArray[np.uint8], page: Page) -> NDArray[np.uint8]:
    """The picture with a blue box around each digit and its value above it; orange where it is uncertain.

    pixels: uint8 (h, w) or (h, w, 3), as `read_picture` returns them. Returns uint8 (h, w, 3).
    """
    drawn = _coloured(pixels)
    for digit in page.digits:
        x, y, width, height = digit.box
        colour = ORANGE if digit.uncertain else BLUE
        thick = max(1, height // 24)
        cv2.rectangle(drawn, (x - thick, y - thick), (x + width + thick, y + height + thick), colour, thick)
        scale = max(0.4, height / 60)
        place = (x, max(y - 2 * thick, round(22 * scale)))
        cv2.putText(drawn, str(digit.digit), place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thick, cv2.LINE_AA)
    return drawn


def stages(pixels: NDArray[np.uint8], reading: Reading) -> dict[str, NDArray[np.uint8]]:
    """Name of each stage → its result, uint8 (h, w) or (h, w, 3), in order. pixels: of the picture that was read."""
    return {
        "1-picture": pixels,
        "2-sheet": reading.writing.page,
        "3-ink": _ink(reading.writing),
        "4-digits": _detections(reading),
        "5-strokes": _segments(reading),
        "6-rows": _text_lines(reading),
        "7-seen": _network_inputs(reading),
        "8-read": annotate(pixels, reading.to_page()),
    }


def as_png(picture: NDArray[np.uint8]) -> bytes:
    """A picture, uint8 (h, w) or (h, w, 3) in red, green and blue, as the content of a PNG file."""
    _, content = cv2.imencode(".png", picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return bytes(content)


def _coloured(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else pixels.copy()


def _ink(writing: Writing) -> NDArray[np.uint8]:
    """The ink in black, and pale the lines that were removed from it: uint8 (h, w)."""
    ink = writing.ink if writing.lined_ink is None else np.maximum(writing.ink, REMOVED * writing.lined_ink)
    return np.rint(255 * (1 - ink)).astype(np.uint8)


def _detections(reading: Reading) -> NDArray[np.uint8]:
    """The ink, that of digits in blue and all else in orange, with a dot at the centre of each detection."""
    strength = reading.writing.ink[..., None]
    colours = np.where(reading.digit_ink[..., None] > MIN_STROKE_INK, np.array(BLUE), np.array(ORANGE))
    drawn = np.rint(255 - strength * (255 - colours)).astype(np.uint8)
    radius = max(2, round(reading.writing.output.cell_px / 2))
    for x, y in reading.detections.centres:
        cv2.circle(drawn, (round(x), round(y)), radius, (0, 0, 0), -1, cv2.LINE_AA)
    return drawn


def _segments(reading: Reading) -> NDArray[np.uint8]:
    """Every segment in a colour of its own, on white."""
    colours = np.random.default_rng(0).integers(0, 200, (len(reading.segments) + 1, 3), np.uint8)
    colours[0] = 255
    return colours[reading.segments.labels]


def _text_lines(reading: Reading) -> NDArray[np.uint8]:
    """The ink, each text line's baseline in green, and a box around each token: blue for a digit, else orange."""
    drawn = _coloured(np.rint(255 - 155 * reading.writing.ink).astype(np.uint8))
    centres, margin = reading.detections.centres, reading.writing.digit_height / 2
    for line, tokens in zip(reading.text_lines, reading.tokens, strict=True):
        first, last = centres[line.members[[0, -1]], 0]
        x = np.linspace(first - margin, last + margin, 20)
        points = np.stack([x, np.polyval(line.baseline, x)], axis=1)
        cv2.polylines(drawn, [np.rint(points).astype(np.int32)], False, GREEN, 1, cv2.LINE_AA)
        for token in tokens:
            left, top, width, height = token.box
            cv2.rectangle(drawn, (left, top), (left + width, top + height), BLUE if token.prediction else ORANGE, 1)
    return drawn


def _network_inputs(reading: Reading) -> NDArray[np.uint8]:
    """The network's input for every digit of the best hypotheses; framed in blue if its word was kept, else orange."""
    kept = {id(token) for words in reading.words for word in words for token in word}
    images = []
    for token in (token for tokens in reading.tokens for token in tokens if token.prediction):
        assert token.prediction is not None
        image = _coloured(cv2.resize(255 - token.prediction.image, (56, 56), interpolation=cv2.INTER_NEAREST))
        colour = BLUE if id(token) in kept else ORANGE
        images.append(cv2.copyMakeBorder(image, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=colour))
    if not images:
        return np.full((62, 62, 3), 255, np.uint8)
    columns = min(INPUTS_PER_ROW, len(images))
    images += [np.full_like(images[0], 255)] * (-len(images) % columns)
    return np.vstack([np.hstack(images[start : start + columns]) for start in range(0, len(images), columns)])
