"""Pictures → digits, or the reason why there is none: a trained network in ONNX Runtime."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mnist_digits.errors import DataError
from mnist_digits.recognition.preprocessing.image_io import Picture, read_picture
from mnist_digits.recognition.preprocessing.mnist_format import Normalised
from mnist_digits.recognition.preprocessing.single_digit import prepare_digit
from mnist_digits.recognition.results import IMAGE_SIDE_PX, Judgement, Prediction, PredictionReason
from mnist_digits.recognition.session import MODELS, in_one_line, open_session, try_session

CLASSIFIER_PATH = MODELS / "digits.onnx"
"""The classifier that is shipped with the package."""

BATCH_IMAGES = 256
"""Images in one run of the network: larger batches are no faster, and take more memory."""

ONE_DIGIT_CONFIDENCE = 0.99
"""Minimum confidence at which a network without rejection reads components side by side as one broken digit.

Of pairs of MNIST's digits side by side, `cnn` is less confident for nine in ten; of digits split by a vertical gap,
it is more confident for most. The shipped model rejects 99 of 100 pairs by itself.
"""

MIN_ACCEPTED_CONFIDENCE = 0.3
"""Minimum confidence at which a network with rejection accepts an image, whatever its `is_digit`."""

SURE = 0.9
"""Confidence from which a digit is not looked at a second time, and which a second look needs to find one where the
first found none: at 0.8 it would find a hundredth more of corrupted digits, and as many more where there are none."""

MODEL_INPUT = "images uint8 (n, 28, 28)"
MODEL_OUTPUTS = ("probabilities float (n, 10)", "probabilities float (n, 10), is_digit float (n)")
"""The outputs that a model may have: without and with rejection."""

_EXPECTED = f"expected {MODEL_INPUT} → {MODEL_OUTPUTS[0]}, as `digits train` writes model.onnx"


class Classifier:
    """Reads one digit in each picture. Any number of threads may share one."""

    metadata: dict[str, str]
    """The model file's metadata: recipe, seed, test_accuracy, temperature, version; threshold if it can reject."""

    def __init__(self, path: str | os.PathLike[str] | None = None, threads: int = 1) -> None:
        """Load a model.

        path: a `model.onnx` that `digits train` wrote; None for the shipped one. threads: processor cores for one run
        of the network. Raises DataError when the file is missing, damaged, or a model with other inputs or outputs
        than this project's; ValueError when threads is below 1.
        """
        if threads < 1:
            raise ValueError(f"{threads} threads, expected at least 1")
        self._path = CLASSIFIER_PATH if path is None else Path(path)
        self._session = open_session(self._path, threads)
        _check_signature(self._path, self._session)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self._threshold = _threshold(self._path, self.metadata) if self.can_reject else 0.0
        self._sees_plainly = self.can_reject and self.metadata.get("corruption", "0.0") != "0.0"
        self._check_outputs()

    @property
    def path(self) -> Path:
        """The model's file."""
        return self._path

    @property
    def can_reject(self) -> bool:
        """Whether the model has the output `is_digit`, by which it rejects images that show no digit."""
        return "is_digit" in self._outputs

    @property
    def threshold(self) -> float:
        """Minimum of `is_digit` for a digit, 0 to 1; 0 for a model that cannot reject."""
        return self._threshold

    @property
    def sees_plainly(self) -> bool:
        """Whether `classify` looks a second time, at the picture itself, where the ink is not surely a digit."""
        return self._sees_plainly

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of each digit: float32 (n, 10), rows sum to 1.

        images: uint8 (n, 28, 28), ink 255 on paper 0, any n. Raises ValueError for any other array.
        """
        return self._run(_checked(images))[0]

    def judge(self, images: NDArray[np.uint8]) -> Judgement:
        """The model's outputs, and which images are accepted as digits: with ink, and by the rules of `classify`.

        images: uint8 (n, 28, 28), ink 255 on paper 0, any n. Raises ValueError for any other array.
        """
        checked = _checked(images)
        probabilities, is_digit = self._run(checked)
        with_ink = checked.reshape(len(checked), -1).any(axis=1).astype(int)
        return Judgement(probabilities, is_digit, _accepted(with_ink, probabilities, is_digit, self._threshold))

    def classify(self, picture: Picture, min_confidence: float = 0.0) -> Prediction:
        """The digit in a picture, which is anything that `read_picture` takes.

        min_confidence: a digit with a lower confidence becomes not-a-digit. Raises DataError when a file cannot be
        read, ValueError when an array is not a picture.
        """
        return self.classify_many([picture], min_confidence)[0]

    def classify_many(self, pictures: Iterable[Picture], min_confidence: float = 0.0) -> list[Prediction]:
        """The same for many pictures, which are read one after the other and classified in common batches."""
        return self.classify_normalised([prepare_digit(read_picture(picture)) for picture in pictures], min_confidence)

    def classify_normalised(self, inputs: Sequence[Normalised], min_confidence: float = 0.0) -> list[Prediction]:
        """The same for what `normalise` or `prepare_digit` returns.

        An input with a plain view that is declined, or not surely read, is looked at a second time, plainly, if the
        model has learned from corrupted images; of two answers the surer one counts.
        """
        found = self._predict(inputs, min_confidence)
        unsure = [i for i, one in enumerate(found) if one.confidence < SURE or one.digit is None]
        plain = {i: view for i in unsure if (view := inputs[i].plain) is not None}
        # Without images, too, the network would be run.
        if self._sees_plainly and plain:
            looks = [Normalised(view, inputs[i].box, 1) for i, view in plain.items()]
            for i, second in zip(plain, self._predict(looks, min_confidence), strict=True):
                least = found[i].confidence if found[i].digit is not None else SURE
                if second.digit is not None and second.confidence > least:
                    found[i] = second
        return found

    def _predict(self, inputs: Sequence[Normalised], min_confidence: float) -> list[Prediction]:
        images = np.array([one.image for one in inputs], np.uint8).reshape(-1, IMAGE_SIDE_PX, IMAGE_SIDE_PX)
        return predictions_of(inputs, *self._run(images), self._threshold, min_confidence)

    def _run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The model's outputs: probabilities, float32 (n, 10), and is_digit, float32 (n,), or None."""
        # Without images, too, one batch is run, for the outputs' shapes.
        starts = range(0, max(1, len(images)), BATCH_IMAGES)
        results = [self._session.run(self._outputs, {"images": images[at : at + BATCH_IMAGES]}) for at in starts]
        outputs = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*results, strict=True)]
        # Also false for what is not a number: a model that was right when it was tried may overflow later.
        if not all(output.min(initial=0) >= 0 and output.max(initial=0) <= 1.001 for output in outputs):
            raise DataError(
                f"{self._path}: outputs that are no probabilities for some images; expected [0, 1]: train anew"
            )
        return self._split(outputs)

    def _split(self, outputs: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The model's outputs as probabilities and is_digit, or None."""
        return outputs[0], outputs[1] if self.can_reject else None

    def _check_outputs(self) -> None:
        """Raise DataError unless the model gives probabilities, for several images at once."""
        images = np.zeros((2, IMAGE_SIDE_PX, IMAGE_SIDE_PX), np.uint8)
        images[1, 4:24, 12:16] = 255
        try:
            probabilities, is_digit = self._split(try_session(self._session, self._outputs, images))
        # ONNX Runtime raises a class of its own for each of its failures.
        except Exception as error:
            raise DataError(f"{self._path}: fails on two images ({in_one_line(error)}); {_EXPECTED}") from None
        is_digit = np.ones(2, np.float32) if is_digit is None else is_digit
        if probabilities.shape != (2, 10) or is_digit.shape != (2,):
            raise DataError(f"{self._path}: {len(probabilities)} answers for two images; {_EXPECTED}")
        if not ((is_digit >= 0) & (is_digit <= 1.001)).all():
            raise DataError(f"{self._path}: is_digit from {is_digit.min()} to {is_digit.max()}, expected [0, 1]")
        # Where is_digit is about 0, the ten probabilities may have been rounded before they were scaled to sum to 1.
        sums = probabilities.sum(1)[is_digit > 0.001]
        if not (np.allclose(sums, 1, atol=0.001) and probabilities.min() >= 0):
            raise DataError(f"{self._path}: probabilities that do not sum to 1; end the network with softmax")


def predictions_of(
    inputs: Sequence[Normalised],
    probabilities: NDArray[np.float32],
    is_digit: NDArray[np.float32] | None = None,
    threshold: float = 0.0,
    min_confidence: float = 0.0,
) -> list[Prediction]:
    """A prediction for each input of a network.

    probabilities: float32 (n, 10), the network's. is_digit: float32 (n,), None for a network without rejection.
    threshold: minimum of is_digit for a digit. min_confidence: as in `Classifier.classify`.
    """
    components = np.array([one.components for one in inputs], int)
    accepted = _accepted(components, probabilities, is_digit, threshold)
    confidences = _confidences(probabilities, is_digit)
    found = []
    for one, row, confidence, is_accepted in zip(inputs, probabilities, confidences.tolist(), accepted, strict=True):
        reason: PredictionReason | None = None
        if not one.components:
            reason, confidence, row = "blank", 0.0, np.full(10, 0.1, np.float32)
        elif not is_accepted or confidence < min_confidence:
            reason = "several-digits" if one.components > 1 else "not-a-digit"
        digit = None if reason else int(row.argmax())
        found.append(Prediction(digit, confidence, row, reason, one.image, one.box))
    return found


def _accepted(
    components: NDArray[np.int_],
    probabilities: NDArray[np.float32],
    is_digit: NDArray[np.float32] | None,
    threshold: float,
) -> NDArray[np.bool_]:
    """Whether each image shows one digit: bool (n,). components: int (n,), how many large ones stand side by side."""
    confidences = _confidences(probabilities, is_digit)
    if is_digit is None:
        return (components == 1) | ((components > 1) & (confidences >= ONE_DIGIT_CONFIDENCE))
    return (components > 0) & (is_digit >= threshold) & (confidences >= MIN_ACCEPTED_CONFIDENCE)


def _confidences(probabilities: NDArray[np.float32], is_digit: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Of the likeliest digit of each image: float32 (n,) in [0, 1]."""
    highest = probabilities.max(axis=1)
    # A network's is_digit may exceed 1 by a rounding error.
    return np.minimum(highest if is_digit is None else highest * is_digit, np.float32(1))


def _check_signature(path: Path, session: onnxruntime.InferenceSession) -> None:
    """Raise DataError for a model whose inputs or outputs differ from this project's classifiers'."""
    takes, gives = _described(session.get_inputs()), _described(session.get_outputs())
    if takes != MODEL_INPUT or gives not in MODEL_OUTPUTS:
        raise DataError(f"{path}: a model {takes} → {gives}, {_EXPECTED}")


def _described(values: Iterable[Any]) -> str:
    """Names, types and shapes of a model's inputs or outputs; n for a dimension of any size."""
    texts = []
    for value in values:
        shape = ", ".join(str(size) if isinstance(size, int) else "n" for size in value.shape)
        texts.append(f"{value.name} {value.type.removeprefix('tensor(').removesuffix(')')} ({shape})")
    return ", ".join(texts)


def _threshold(path: Path, metadata: dict[str, str]) -> float:
    """Minimum of is_digit for a digit, from a model file's metadata. Raises DataError when it is missing there."""
    text = metadata.get("threshold", "none")
    try:
        threshold = float(text)
    except ValueError:
        threshold = -1.0
    if not 0 <= threshold <= 1:
        raise DataError(f"{path}: threshold {text} in its metadata, expected a number in [0, 1] beside is_digit")
    return threshold


def _checked(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The images; ValueError when the array has another dtype or shape."""
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[1:] != (IMAGE_SIDE_PX, IMAGE_SIDE_PX):
        raise ValueError(
            f"images of {array.dtype} {array.shape}, expected uint8 (n, {IMAGE_SIDE_PX}, {IMAGE_SIDE_PX}), "
            "ink 255 on paper 0"
        )
    return array
