"""Pictures of how a page was read: the result over the picture, and every stage on the way there."""

import cv2
import numpy as np

from mnist_digits.recognition.preprocessing.mnist_format import MIN_STROKE_INK
from mnist_digits.recognition.reader import Reading
from mnist_digits.recognition.results import Page

SURE, UNSURE = (0, 114, 178), (213, 94, 0)
"""Colours, in red, green and blue, that the colour-blind can tell apart (Okabe and Ito 2008)."""

COLUMNS = 20
"""Images in a row of what the network saw."""


def annotate(pixels: np.ndarray, page: Page) -> np.ndarray:
    """The picture with a box around each digit and its reading above it; uncertain ones in another colour.

    pixels: uint8 (h, w) or (h, w, 3), as `read_picture` returns them. Returns uint8 (h, w, 3).
    """
    drawn = _coloured(pixels)
    for digit in (digit for line in page.lines for digit in line.digits):
        x, y, width, height = digit.box
        colour = UNSURE if digit.uncertain else SURE
        thick = max(1, height // 24)
        cv2.rectangle(drawn, (x - thick, y - thick), (x + width + thick, y + height + thick), colour, thick)
        scale = max(0.4, height / 60)
        place = (x, max(y - 2 * thick, round(22 * scale)))
        cv2.putText(drawn, str(digit.digit), place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thick, cv2.LINE_AA)
    return drawn


def stages(pixels: np.ndarray, reading: Reading) -> dict[str, np.ndarray]:
    """Name of each stage → what it made, uint8 (h, w) or (h, w, 3), in the order of the work."""
    return {
        "1-picture": pixels,
        "2-sheet": reading.writing.sheet,
        "3-ink": np.rint(255 * (1 - reading.writing.ink)).astype(np.uint8),
        "4-digits": _marks(reading),
        "5-strokes": _strokes(reading),
        "6-rows": _rows(reading),
        "7-seen": _seen(reading),
        "8-read": annotate(pixels, reading.to_page()),
    }


def as_png(picture: np.ndarray) -> bytes:
    """A picture, uint8 (h, w) or (h, w, 3) in red, green and blue, as the content of a PNG file."""
    _, content = cv2.imencode(".png", picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return content.tobytes()


def _coloured(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else pixels.copy()


def _marks(reading: Reading) -> np.ndarray:
    """The ink, what belongs to digits in one colour and all else in the other, a dot amid each digit."""
    strength = reading.writing.ink[..., None]
    colours = np.where(reading.own[..., None] > MIN_STROKE_INK, np.array(SURE), np.array(UNSURE))
    drawn = np.rint(255 - strength * (255 - colours)).astype(np.uint8)
    for x, y in reading.spots.places:
        cv2.circle(
            drawn, (round(x), round(y)), max(2, round(reading.writing.marks.cell / 2)), (0, 0, 0), -1, cv2.LINE_AA
        )
    return drawn


def _strokes(reading: Reading) -> np.ndarray:
    """Every stroke in a colour of its own, on white."""
    colours = np.random.default_rng(0).integers(0, 200, (len(reading.strokes) + 1, 3), np.uint8)
    colours[0] = 255
    return colours[reading.strokes.labels]


def _rows(reading: Reading) -> np.ndarray:
    """The ink, each row's course through it, and what was taken for one digit or, in the other colour, for none."""
    drawn = _coloured(np.rint(255 - 155 * reading.writing.ink).astype(np.uint8))
    places, reach = reading.spots.places, reading.writing.height / 2
    for row, tokens in zip(reading.rows, reading.tokens, strict=True):
        first, last = places[row.members[[0, -1]], 0]
        x = np.linspace(first - reach, last + reach, 20)
        course = np.stack([x, np.polyval(row.course, x)], axis=1)
        cv2.polylines(drawn, [np.rint(course).astype(np.int32)], False, (0, 158, 115), 1, cv2.LINE_AA)
        for token in tokens:
            x0, y0, wide, high = token.box
            cv2.rectangle(drawn, (x0, y0), (x0 + wide, y0 + high), SURE if token.prediction else UNSURE, 1)
    return drawn


def _seen(reading: Reading) -> np.ndarray:
    """What the network saw of every digit that was considered, framed by whether it was read."""
    read = {id(token) for row in reading.words for word in row for token in word}
    images = []
    for token in (token for tokens in reading.tokens for token in tokens if token.prediction):
        assert token.prediction is not None
        image = _coloured(cv2.resize(255 - token.prediction.image, (56, 56), interpolation=cv2.INTER_NEAREST))
        colour = SURE if id(token) in read else UNSURE
        images.append(cv2.copyMakeBorder(image, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=colour))
    if not images:
        return np.full((62, 62, 3), 255, np.uint8)
    columns = min(COLUMNS, len(images))
    images += [np.full_like(images[0], 255)] * (-len(images) % columns)
    return np.vstack([np.hstack(images[start : start + columns]) for start in range(0, len(images), columns)])
