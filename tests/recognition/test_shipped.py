"""The model that comes with the package, on pictures from outside."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier

DRAWN = sorted((Path(__file__).parents[2] / "docs" / "digits").glob("[0-9].*"))


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.name)
def test_digits_drawn_with_ten_tools_are_read(classifier: Classifier, path: Path):
    prediction = classifier.classify(path)
    assert (prediction.digit, prediction.reason) == (int(path.stem), None)
    assert prediction.confidence > 0.9


def test_mnist_is_read_as_its_card_says(classifier: Classifier, mnist: Dataset):
    assert classifier.metadata["recipe"] == "reader"
    predictions = classifier.probabilities(mnist.test.images).argmax(1)
    accuracy = (predictions == mnist.test.labels).mean()
    assert accuracy == pytest.approx(float(classifier.metadata["test_accuracy"]), abs=0.0002)
    assert accuracy > 0.995


def test_the_way_through_ink_costs_next_to_nothing(classifier: Classifier, mnist: Dataset):
    images, labels = mnist.test.images[:1000], mnist.test.labels[:1000]
    predictions = classifier.classify_many(images)
    direct = (classifier.probabilities(images).argmax(1) == labels).sum()
    assert sum(p.digit == label for p, label in zip(predictions, labels, strict=True)) > direct - 10


def test_what_is_no_digit_is_rejected(classifier: Classifier):
    for text in ("A", "E", "H", "K", "M", "R", "W", "%", "+", "#"):
        sheet = np.full((120, 120), 255, np.uint8)
        cv2.putText(sheet, text, (25, 95), cv2.FONT_HERSHEY_SIMPLEX, 3, 0, 7, cv2.LINE_AA)
        assert classifier.classify(sheet).digit is None, text
    blot = np.full((84, 84), 255, np.uint8)
    blot[30:54, 30:54] = 0
    assert classifier.classify(blot).reason == "not-a-digit"
    assert classifier.classify(np.full((90, 90), 240, np.uint8)).reason == "blank"


def test_several_digits_are_not_one(classifier: Classifier, mnist: Dataset):
    sides = mnist.test.images[:200].reshape(100, 2, 28, 28)
    # As people write: closer than two frames of MNIST's stand.
    pairs = np.concatenate([sides[:, 0, :, 3:25], sides[:, 1, :, 3:25]], axis=2)
    reasons = [prediction.reason for prediction in classifier.classify_many(pairs)]
    assert np.mean([reason is not None for reason in reasons]) > 0.9
    # Where they touch, they are one component.
    assert reasons.count("several-digits") > 50
