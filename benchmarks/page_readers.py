"""Who reads the pages of reading.py: this project's Reader, what tutorials teach, and two programs for any text."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from contenders import all_training_images, scale
from mnist_digits.dataset import Dataset

Box = tuple[int, int, int, int]
"""x, y, width, height, in pixels."""


@dataclass(frozen=True)
class ReadLine:
    """A line as somebody read it."""

    text: str
    boxes: tuple[Box, ...] = ()
    """Of its digits or words, where the reader tells."""


@dataclass(frozen=True)
class Given:
    """A page as it is given to a reader."""

    pixels: np.ndarray
    """uint8 (h, w, 3), RGB."""
    path: Path
    """A PNG of the same."""


Read = Callable[[Given], list[ReadLine]]


@dataclass(frozen=True)
class PageReader:
    """One that takes part."""

    title: str
    open: Callable[[Path], Read]
    """Loads what is needed; the path is the tutorial's network."""
    model_bytes: Callable[[Path], int]
    """The size of its models' files, once it is open."""
    missing: Callable[[], str | None] = lambda: None
    """What has to be installed first, and how."""
    slow: bool = False
    """Whether it is left out of the tests."""


# --- this project's


def open_own(network: Path) -> Read:
    """`mnist_digits.recognition.Reader` with the shipped models."""
    from mnist_digits.recognition import Reader

    reader = Reader()

    def read(given: Given) -> list[ReadLine]:
        page = reader.read(given.pixels)
        return [ReadLine(line.text, tuple(digit.box for digit in line.digits)) for line in page.lines]

    return read


def _own_bytes(network: Path) -> int:
    from mnist_digits import recognition

    models = Path(recognition.__file__).parent / "models"
    return sum(path.stat().st_size for path in models.glob("*.onnx"))


def _own_missing() -> str | None:
    from mnist_digits import recognition

    return None if hasattr(recognition, "Reader") else "this version has no Reader"


# --- what tutorials teach


def open_tutorial(network: Path) -> Read:
    """Threshold, outlines, a box around each, a convolutional network: what a search for digits and OpenCV finds.

    The threshold's window and the smallest box are those of the usual ones that read most of the training pages.
    """
    from mnist_digits.recognition import Classifier

    classifier = Classifier(network)

    def read(given: Given) -> list[ReadLine]:
        grey = cv2.cvtColor(given.pixels, cv2.COLOR_RGB2GRAY)
        blurred = cv2.GaussianBlur(grey, (5, 5), 0)
        ink = cv2.adaptiveThreshold(blurred, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY_INV, *WINDOW)
        outlines, _ = cv2.findContours(ink, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(outline) for outline in outlines if cv2.contourArea(outline) >= SMALLEST]
        if not boxes:
            return []
        images = np.stack([_fit(ink[y : y + height, x : x + width]) for x, y, width, height in boxes])
        digits = classifier.probabilities(images).argmax(1)
        rows = into_rows([Fragment.around(box) for box in boxes])
        return [ReadLine("".join(str(digits[n]) for n in row), tuple(boxes[n] for n in row)) for row in rows]

    return read


WINDOW = (51, 15)
"""Of the threshold: pixels on a side, and how much darker than their mean ink is."""
SMALLEST = 100
"""Area of an outline, in pixels, below which it is dirt."""


def _fit(ink: np.ndarray) -> np.ndarray:
    """Some ink, uint8 (h, w), its longer side scaled to 20 pixels, in the middle of 28×28."""
    factor = 20 / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    image = np.zeros((28, 28), np.uint8)
    top, left = (28 - height) // 2, (28 - width) // 2
    image[top : top + height, left : left + width] = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    return image


def train_tutorial(data: Dataset, path: Path, epochs: int) -> None:
    """The network of Keras's own MNIST example, trained as it is there, but for so many of its 15 epochs."""
    import keras
    from keras import layers

    from mnist_digits.training.export.onnx import export_onnx

    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((28, 28)), layers.Reshape((28, 28, 1))])
    for filters in (32, 64):
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
    for layer in (layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, "softmax")):
        model.add(layer)
    model.compile("adam", "sparse_categorical_crossentropy")
    train = all_training_images(data)
    model.fit(scale(train.images), train.labels, batch_size=128, epochs=epochs, validation_split=0.1, verbose=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    export_onnx(model, path, {"recipe": "Keras's example", "seed": "0"}, train.images[:100])


# --- programs for any text


def open_tesseract(network: Path) -> Read:
    """Tesseract told to expect a block of text and digits only; each page is a process, as its wrappers do it."""
    command = ("tesseract", "{}", "stdout", "--psm", "6", "-c", "tessedit_char_whitelist=0123456789")
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}

    def read(given: Given) -> list[ReadLine]:
        filled = [part.format(given.path) for part in command]
        result = subprocess.run(filled, env=environment, capture_output=True, text=True, check=True)
        return [ReadLine(line) for line in result.stdout.splitlines()]

    return read


def _tesseract_bytes(network: Path) -> int:
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, check=True).stdout
    # The first line reads: List of available languages in "/usr/share/…/tessdata/" (2):
    return (Path(listed.split('"')[1]) / "eng.traineddata").stat().st_size


def _tesseract_missing() -> str | None:
    return None if shutil.which("tesseract") else "tesseract is not installed; apt-get install tesseract-ocr"


def open_rapidocr(network: Path) -> Read:
    """RapidOCR with the models that it ships and its own defaults, on one thread; all but digits is left out."""
    from rapidocr import RapidOCR

    one = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = RapidOCR(params=one | {"Global.log_level": "error"})

    def read(given: Given) -> list[ReadLine]:
        # It takes arrays as OpenCV reads them, blue first.
        found = engine(given.pixels[..., ::-1])
        if found.txts is None or found.boxes is None:
            return []
        texts = ["".join(letter for letter in text if letter in "0123456789") for text in found.txts]
        kept = [(text, corners) for text, corners in zip(texts, found.boxes, strict=True) if text]
        rows = into_rows([Fragment.along(corners) for _, corners in kept])
        boxes = [cv2.boundingRect(corners.astype(np.float32)) for _, corners in kept]
        return [ReadLine(" ".join(kept[n][0] for n in row), tuple(boxes[n] for n in row)) for row in rows]

    return read


def _rapidocr_bytes(network: Path) -> int:
    found = importlib.util.find_spec("rapidocr")
    assert found is not None
    assert found.origin is not None
    return sum(path.stat().st_size for path in (Path(found.origin).parent / "models").glob("*.onnx"))


def _rapidocr_missing() -> str | None:
    found = importlib.util.find_spec("rapidocr")
    return None if found else "rapidocr is not installed; pip install '.[peers]'"


# --- rows


@dataclass(frozen=True)
class Fragment:
    """A part of a line: the middles of its left and right ends, and its height."""

    left: np.ndarray
    right: np.ndarray
    height: float

    @classmethod
    def around(cls, box: Box) -> "Fragment":
        """Of an upright box."""
        x, y, width, height = box
        return cls(np.array([x, y + height / 2]), np.array([x + width, y + height / 2]), height)

    @classmethod
    def along(cls, corners: np.ndarray) -> "Fragment":
        """Of a box that may be turned: float (4, 2), from the upper left corner clockwise."""
        upper_left, upper_right, lower_right, lower_left = corners
        height = float(np.linalg.norm(lower_left - upper_left))
        return cls((upper_left + lower_left) / 2, (upper_right + lower_right) / 2, height)


def into_rows(fragments: Sequence[Fragment]) -> list[list[int]]:
    """The fragments' numbers, row by row from top to bottom, each from left to right.

    One belongs to the row whose last fragment so far ends at about its height.
    """
    rows: list[list[int]] = []
    for number in sorted(range(len(fragments)), key=lambda n: fragments[n].left[0]):
        one = fragments[number]
        away = [abs(fragments[row[-1]].right[1] - one.left[1]) for row in rows]
        tall = [max(fragments[row[-1]].height, one.height) for row in rows]
        near = [n for n in range(len(rows)) if away[n] < 0.6 * tall[n]]
        if near:
            rows[min(near, key=away.__getitem__)].append(number)
        else:
            rows.append([number])
    return sorted(rows, key=lambda row: _mean(fragments[n].left[1] for n in row))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


PAGE_READERS = {
    "reader": PageReader("Reader", open_own, _own_bytes, _own_missing),
    "tutorial": PageReader("OpenCV tutorial", open_tutorial, lambda network: network.stat().st_size),
    "tesseract": PageReader("Tesseract 5", open_tesseract, _tesseract_bytes, _tesseract_missing, slow=True),
    "rapidocr": PageReader("RapidOCR", open_rapidocr, _rapidocr_bytes, _rapidocr_missing, slow=True),
}
