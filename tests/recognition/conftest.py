"""The shipped models, and digits to write pages with."""

import numpy as np
import pytest

from helpers.small_pages import sure_digits
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier, Reader


@pytest.fixture(scope="session")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="session")
def classifier(reader: Reader) -> Classifier:
    return reader.classifier


@pytest.fixture(scope="session")
def sure(mnist: Dataset, classifier: Classifier) -> list[list[np.ndarray]]:
    """For each digit, training images that are read with a confidence above 0.99."""
    return sure_digits(mnist.train, classifier)
