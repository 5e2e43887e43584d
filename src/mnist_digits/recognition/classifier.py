"""Pictures → digits, or the reason why there is none: a trained network in ONNX Runtime."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime

from mnist_digits.errors import DataError
from mnist_digits.recognition.preprocessing.image_io import Picture, read_picture
from mnist_digits.recognition.preprocessing.ink import find_ink
from mnist_digits.recognition.preprocessing.mnist_format import SIDE, Box, Normalised, normalise

SHIPPED = Path(__file__).parent / "models" / "digits.onnx"
"""The model that comes with the package."""

BATCH = 256
"""Images that go through the network at once: more are no faster, and take more memory."""

SURE = 0.99
"""From here on a network that cannot decline is believed that pieces side by side are one broken digit.

Of pairs of MNIST's digits, drawn side by side, `cnn` is less sure of nine in ten; of digits that a gap runs
through from top to bottom, it is surer of most. The shipped model declines 99 of 100 pairs by itself.
"""

AMBIGUOUS = 0.3
"""Where a network can decline, what is less surely any one digit than this is none, even if it looks like one."""

INPUT = "images uint8 (n, 28, 28)"
OUTPUTS = ("probabilities float (n, 10)", "probabilities float (n, 10), is_digit float (n)")
"""What a model takes and gives, with or without a say whether an image shows a digit at all."""

_EXPECTED = f"expected {INPUT} → {OUTPUTS[0]}, as `digits train` writes model.onnx"

Reason = Literal["blank", "not-a-digit", "several-digits", "unreadable"]


@dataclass(frozen=True)
class Prediction:
    """What a picture shows, and what that was judged by."""

    digit: int | None
    """0 to 9; None when there is a reason."""
    confidence: float
    """Of the likeliest digit, 0 to 1: its probability, times that of being a digit at all if the model tells."""
    probabilities: np.ndarray
    """float32 (10,), of each digit, should it be one: sums to 1, also when there was nothing to judge."""
    reason: Reason | None
    """Why there is no digit; None when there is one."""
    image: np.ndarray
    """uint8 (28, 28): what the network saw."""
    box: Box
    """x, y, width, height of the ink it was made of, in pixels of the picture as displayed."""

    @classmethod
    def unreadable(cls) -> "Prediction":
        """What there is to say of a file that cannot be opened."""
        blank = np.zeros((SIDE, SIDE), np.uint8)
        return cls(None, 0.0, np.full(10, 0.1, np.float32), "unreadable", blank, (0, 0, 0, 0))

    def to_json(self) -> dict[str, Any]:
        """Digit, confidence, probabilities and reason, as plain values."""
        return {
            "digit": self.digit,
            "confidence": round(self.confidence, 6),
            "probabilities": [round(float(probability), 6) for probability in self.probabilities],
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Judgement:
    """What a model says of images that are as MNIST's."""

    probabilities: np.ndarray
    """float32 (n, 10), of each digit, should it be one; rows sum to 1."""
    is_digit: np.ndarray | None
    """float32 (n,) in [0, 1]: how surely an image shows a digit at all; None when the model cannot tell."""
    accepted: np.ndarray
    """bool (n,): whether an image is taken for a digit."""

    def part(self, start: int, stop: int) -> "Judgement":
        """What it says of images `start` to `stop`."""
        is_digit = None if self.is_digit is None else self.is_digit[start:stop]
        return Judgement(self.probabilities[start:stop], is_digit, self.accepted[start:stop])

    @property
    def digits(self) -> list[int | None]:
        """The likeliest digit of each image; None for what is taken for none."""
        likeliest = self.probabilities.argmax(axis=1).tolist()
        return [digit if taken else None for digit, taken in zip(likeliest, self.accepted.tolist(), strict=True)]


class Classifier:
    """Reads one digit in each picture. Any number of threads may share one."""

    metadata: dict[str, str]
    """What the model's file says of itself: recipe, seed, test_accuracy, temperature, version, perhaps threshold."""

    def __init__(self, path: str | os.PathLike[str] | None = None, threads: int = 1) -> None:
        """Load a model.

        path: a `model.onnx` that `digits train` wrote, or the shipped one. threads: how many processor
        cores the network may use for one batch. Raises DataError when there is no file, it is damaged,
        or the model takes or gives something else than this project's models do; ValueError when there
        are no threads.
        """
        if threads < 1:
            raise ValueError(f"{threads} threads, expected at least 1")
        self._path = SHIPPED if path is None else Path(path)
        self._session = open_session(self._path, threads)
        _check_kind(self._path, self._session)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self._declines = "is_digit" in self._outputs
        self._threshold = _threshold(self._path, self.metadata) if self._declines else 0.0
        self._try()

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Of each digit: float32 (n, 10), rows sum to 1.

        images: uint8 (n, 28, 28), ink 255 on paper 0, any n. Raises ValueError for any other array.
        """
        return self._run(_checked(images))[0]

    def judge(self, images: np.ndarray) -> Judgement:
        """The same, and which images are taken for digits: none without ink, and of the others what `classify` takes.

        images: uint8 (n, 28, 28), ink 255 on paper 0, any n. Raises ValueError for any other array.
        """
        checked = _checked(images)
        probabilities, is_digit = self._run_both(checked)
        accepted = np.asarray(checked.reshape(-1, SIDE * SIDE).any(axis=1))
        if self._declines:
            accepted &= (is_digit >= self._threshold) & (probabilities.max(axis=1) * is_digit >= AMBIGUOUS)
        return Judgement(probabilities, is_digit if self._declines else None, accepted)

    @property
    def declines(self) -> bool:
        """Whether the model can tell that an image shows no digit."""
        return self._declines

    def classify(self, picture: Picture, min_confidence: float = 0.0) -> Prediction:
        """The digit in a picture: a file's path or content, or an array of pixels, as `read_picture` takes them.

        min_confidence: what is less sure is not-a-digit. Raises DataError when a file cannot be read,
        ValueError when an array is not a picture.
        """
        return self.classify_many([picture], min_confidence)[0]

    def classify_many(self, pictures: Iterable[Picture], min_confidence: float = 0.0) -> list[Prediction]:
        """The same for many pictures, of which only one at a time is in memory, in one go of the network."""
        return self.classify_normalised(
            [normalise(find_ink(read_picture(picture))) for picture in pictures], min_confidence
        )

    def classify_normalised(self, blobs: Sequence[Normalised], min_confidence: float = 0.0) -> list[Prediction]:
        """The same for what `normalise` has made of ink."""
        images = np.array([blob.image for blob in blobs], np.uint8).reshape(-1, SIDE, SIDE)
        probabilities, is_digit = self._run_both(images)
        return [self._judge(*one, min_confidence) for one in zip(blobs, probabilities, is_digit, strict=True)]

    def _judge(
        self, blob: Normalised, probabilities: np.ndarray, is_digit: np.float32, min_confidence: float
    ) -> Prediction:
        confidence = min(1.0, float(probabilities.max() * is_digit))
        several = blob.parts > 1
        doubtful = self._is_doubtful(is_digit, confidence, several)
        reason: Reason | None = None
        if not blob.parts:
            reason, confidence, probabilities = "blank", 0.0, np.full(10, 0.1, np.float32)
        elif doubtful or confidence < min_confidence:
            reason = "several-digits" if several else "not-a-digit"
        digit = None if reason else int(probabilities.argmax())
        return Prediction(digit, confidence, probabilities, reason, blob.image, blob.box)

    def _is_doubtful(self, is_digit: np.float32, confidence: float, several: bool) -> bool:
        """Whether there may be no digit, whatever the likeliest one is."""
        if self._declines:
            return bool(is_digit < self._threshold) or confidence < AMBIGUOUS
        return several and confidence < SURE

    def _run(self, images: np.ndarray) -> list[np.ndarray]:
        """What the model gives: probabilities, float32 (n, 10), and, if it can decline, is_digit, float32 (n,)."""
        if len(images) <= BATCH:
            return self._session.run(self._outputs, {"images": images})
        parts = [self._run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _run_both(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same, where is_digit is 1 for every image if the model cannot decline."""
        probabilities, *is_digit = self._run(images)
        return probabilities, is_digit[0] if is_digit else np.ones(len(images), np.float32)

    def _try(self) -> None:
        """Raise DataError unless the model gives probabilities, for several images at once."""
        images = np.zeros((2, SIDE, SIDE), np.uint8)
        images[1, 4:24, 12:16] = 255
        try:
            probabilities, is_digit = self._run_both(images)
        # ONNX Runtime raises a class of its own for each of its failures.
        except Exception as error:
            raise DataError(f"{self._path}: fails on two images ({_line(error)}); {_EXPECTED}") from None
        if probabilities.shape != (2, 10) or is_digit.shape != (2,):
            raise DataError(f"{self._path}: {len(probabilities)} answers for two images; {_EXPECTED}")
        if not ((is_digit >= 0) & (is_digit <= 1.001)).all():
            raise DataError(f"{self._path}: is_digit from {is_digit.min()} to {is_digit.max()}, expected [0, 1]")
        # Of what is surely no digit, the sum of the probabilities that it is one or another may be rounded off.
        sums = probabilities.sum(1)[is_digit > 0.001]
        if not (np.allclose(sums, 1, atol=0.001) and probabilities.min() >= 0):
            raise DataError(f"{self._path}: probabilities that do not sum to 1; end the network with softmax")


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session of the model; DataError when the file holds none."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what is wrong is said by the exception
    try:
        content = path.read_bytes()
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a model: `digits train` writes model.onnx") from None
    except Exception as error:
        raise DataError(f"{path}: not a model that ONNX Runtime can load ({_line(error)}); copy it again") from None


def _check_kind(path: Path, session: onnxruntime.InferenceSession) -> None:
    """Raise DataError for a model that takes or gives something else than this project's classifiers do."""
    takes, gives = _described(session.get_inputs()), _described(session.get_outputs())
    if takes != INPUT or gives not in OUTPUTS:
        raise DataError(f"{path}: a model {takes} → {gives}, {_EXPECTED}")


def _described(values: Iterable[Any]) -> str:
    """Names, types and shapes of a model's inputs or outputs; n for a number that may vary."""
    texts = []
    for value in values:
        shape = ", ".join(str(size) if isinstance(size, int) else "n" for size in value.shape)
        texts.append(f"{value.name} {value.type.removeprefix('tensor(').removesuffix(')')} ({shape})")
    return ", ".join(texts)


def _threshold(path: Path, metadata: dict[str, str]) -> float:
    """Below it, is_digit says that the image shows none. Raises DataError when the model's file has no such number."""
    text = metadata.get("threshold", "none")
    try:
        threshold = float(text)
    except ValueError:
        threshold = -1.0
    if not 0 <= threshold <= 1:
        raise DataError(f"{path}: threshold {text} in its metadata, expected a number in [0, 1] beside is_digit")
    return threshold


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _checked(images: np.ndarray) -> np.ndarray:
    """The images; ValueError when they are none."""
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[1:] != (SIDE, SIDE):
        raise ValueError(
            f"images of {array.dtype} {array.shape}, expected uint8 (n, {SIDE}, {SIDE}), ink 255 on paper 0"
        )
    return array
