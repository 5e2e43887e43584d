"""The readers that are compared: this project's, an OpenCV tutorial, Tesseract and RapidOCR."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""x, y, width, height, in pixels."""


@dataclass(frozen=True)
class ReadLine:
    """A text line as a reader returned it."""

    text: str
    boxes: tuple[Box, ...] = ()
    """Boxes of its digits or words; empty where the reader returns none."""


@dataclass(frozen=True)
class Picture:
    """A picture of a page, as readers take it."""

    pixels: NDArray[np.uint8]
    """uint8 (h, w, 3), RGB."""
    path: Path
    """A PNG file of the same pixels."""


Read = Callable[[Picture], list[ReadLine]]


@dataclass(frozen=True)
class PageReader:
    """A program that reads pages."""

    title: str
    open: Callable[[Path], Read]
    """Loads its models; takes the path of the tutorial's network."""
    model_bytes: Callable[[Path], int]
    """Size of its models' files; called after `open`, with the same path."""
    missing: Callable[[], str | None] = lambda: None
    """What is not installed and how to install it; None where nothing is missing."""
    slow: bool = False
    """Whether tiny mode leaves it out."""


def open_own(network: Path) -> Read:
    """`mnist_digits.recognition.Reader` with the shipped models."""
    from mnist_digits.recognition import Reader

    reader = Reader()

    def read(picture: Picture) -> list[ReadLine]:
        page = reader.read(picture.pixels)
        return [ReadLine(line.text, tuple(digit.box for digit in line.digits)) for line in page.lines]

    return read


def _own_bytes(network: Path) -> int:
    from mnist_digits import recognition

    models = Path(recognition.__file__).parent / "models"
    return sum(path.stat().st_size for path in models.glob("*.onnx"))


THRESHOLD_WINDOW_PX, THRESHOLD_OFFSET = 51, 15
"""Side of the window of the tutorial's adaptive threshold, and by how many grey levels ink is darker than its mean."""
MIN_CONTOUR_AREA_PX = 100


def open_tutorial(network: Path) -> Read:
    """Adaptive threshold, contours, a box around each, a convolutional network: what tutorials on OpenCV teach.

    Of the usual values for threshold and minimum area, those that read most of the training pages.
    """
    from mnist_digits.recognition import Classifier

    classifier = Classifier(network)

    def read(picture: Picture) -> list[ReadLine]:
        grey = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY)
        blurred = cv2.GaussianBlur(grey, (5, 5), 0)
        window = (THRESHOLD_WINDOW_PX, THRESHOLD_OFFSET)
        ink = cv2.adaptiveThreshold(blurred, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY_INV, *window)
        contours, _ = cv2.findContours(ink, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(contour) for contour in contours if cv2.contourArea(contour) >= MIN_CONTOUR_AREA_PX]
        if not boxes:
            return []
        images = np.stack([_fit(ink[y : y + height, x : x + width]) for x, y, width, height in boxes])
        digits = classifier.probabilities(images).argmax(1)
        lines = group_into_lines([Fragment.around(box) for box in boxes])
        return [ReadLine("".join(str(digits[n]) for n in line), tuple(boxes[n] for n in line)) for line in lines]

    return read


def _fit(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A digit, uint8 (h, w), its longer side scaled to 20 pixels, in the middle of 28×28."""
    factor = 20 / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    image = np.zeros((28, 28), np.uint8)
    top, left = (28 - height) // 2, (28 - width) // 2
    image[top : top + height, left : left + width] = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    return image


def open_tesseract(network: Path) -> Read:
    """Tesseract set to a block of text and to digits; it runs once for each page, as its Python wrappers run it."""
    command = ("tesseract", "{}", "stdout", "--psm", "6", "-c", "tessedit_char_whitelist=0123456789")
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}

    def read(picture: Picture) -> list[ReadLine]:
        filled = [part.format(picture.path) for part in command]
        result = subprocess.run(filled, env=environment, capture_output=True, text=True, check=True)
        return [ReadLine(line) for line in result.stdout.splitlines()]

    return read


def _tesseract_bytes(network: Path) -> int:
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, check=True).stdout
    # The first line is: List of available languages in "/usr/share/…/tessdata/" (2):
    return (Path(listed.split('"')[1]) / "eng.traineddata").stat().st_size


def _tesseract_missing() -> str | None:
    return None if shutil.which("tesseract") else "tesseract is not installed; apt-get install tesseract-ocr"


def open_rapidocr(network: Path) -> Read:
    """RapidOCR with the models in its package and its defaults, on one thread; only the digits of its texts count."""
    from rapidocr import RapidOCR

    one = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = RapidOCR(params=one | {"Global.log_level": "error"})

    def read(picture: Picture) -> list[ReadLine]:
        # It takes BGR, as OpenCV reads files.
        found = engine(picture.pixels[..., ::-1])
        if found.txts is None or found.boxes is None:
            return []
        texts = ["".join(letter for letter in text if letter in "0123456789") for text in found.txts]
        kept = [(text, corners) for text, corners in zip(texts, found.boxes, strict=True) if text]
        lines = group_into_lines([Fragment.along(corners) for _, corners in kept])
        boxes = [cv2.boundingRect(corners.astype(np.float32)) for _, corners in kept]
        return [ReadLine(" ".join(kept[n][0] for n in line), tuple(boxes[n] for n in line)) for line in lines]

    return read


def _rapidocr_bytes(network: Path) -> int:
    found = importlib.util.find_spec("rapidocr")
    assert found is not None
    assert found.origin is not None
    return sum(path.stat().st_size for path in (Path(found.origin).parent / "models").glob("*.onnx"))


def _rapidocr_missing() -> str | None:
    found = importlib.util.find_spec("rapidocr")
    return None if found else "rapidocr is not installed; pip install '.[peers]'"


@dataclass(frozen=True)
class Fragment:
    """A part of a text line: the centres of its left and right ends, (2,) x and y, and its height, in pixels."""

    left: NDArray[np.floating]
    right: NDArray[np.floating]
    height: float

    @classmethod
    def around(cls, box: Box) -> "Fragment":
        """The fragment of an upright box."""
        x, y, width, height = box
        return cls(np.array([x, y + height / 2]), np.array([x + width, y + height / 2]), height)

    @classmethod
    def along(cls, corners: NDArray[np.floating]) -> "Fragment":
        """The fragment of a rotated box: float (4, 2), clockwise from the upper left corner."""
        upper_left, upper_right, lower_right, lower_left = corners
        height = float(np.linalg.norm(lower_left - upper_left))
        return cls((upper_left + lower_left) / 2, (upper_right + lower_right) / 2, height)


def group_into_lines(fragments: Sequence[Fragment]) -> list[list[int]]:
    """The fragments' indices, line by line from top to bottom, each from left to right.

    A fragment joins the line whose last fragment so far ends nearest to its height, if that is near.
    """
    lines: list[list[int]] = []
    for number in sorted(range(len(fragments)), key=lambda n: fragments[n].left[0]):
        one = fragments[number]
        distances = [abs(fragments[line[-1]].right[1] - one.left[1]) for line in lines]
        heights = [max(fragments[line[-1]].height, one.height) for line in lines]
        near = [n for n in range(len(lines)) if distances[n] < 0.6 * heights[n]]
        if near:
            lines[min(near, key=distances.__getitem__)].append(number)
        else:
            lines.append([number])
    return sorted(lines, key=lambda line: float(np.mean([fragments[n].left[1] for n in line])))


PAGE_READERS = {
    "reader": PageReader("Reader", open_own, _own_bytes),
    "tutorial": PageReader("OpenCV tutorial", open_tutorial, lambda network: network.stat().st_size),
    "tesseract": PageReader("Tesseract 5", open_tesseract, _tesseract_bytes, _tesseract_missing, slow=True),
    "rapidocr": PageReader("RapidOCR", open_rapidocr, _rapidocr_bytes, _rapidocr_missing, slow=True),
}
