import numpy as np
import pytest

from mnist_digits.dataset import Dataset, Split
from mnist_digits.dataset.orientation import TURNS, find_turn
from mnist_digits.recognition import Classifier


@pytest.fixture(scope="module")
def reader() -> Classifier:
    return Classifier()


STORED = {
    "turned a quarter to the left": lambda images: np.rot90(images, 1, (1, 2)),
    "turned a quarter to the right": lambda images: np.rot90(images, 3, (1, 2)),
    "upside down": lambda images: images[:, ::-1, ::-1],
    "mirrored": lambda images: np.flip(images, 2),
    "mirrored and upside down": lambda images: np.flip(images, 1),
    "transposed, as EMNIST stores its images": lambda images: np.swapaxes(images, 1, 2),
    "transposed and upside down": lambda images: np.rot90(np.swapaxes(images, 1, 2), 2, (1, 2)),
}


@pytest.mark.parametrize("name", TURNS)
def test_how_digits_are_stored_is_noticed(name: str, small: Dataset, reader: Classifier):
    split = Split(STORED[name](small.test.images), small.test.labels)
    found = find_turn(split, reader.probabilities)
    assert found
    turn, as_it_is, upright = found
    assert turn == name
    assert as_it_is + 0.3 < upright
    assert upright > 0.97


def test_upright_digits_and_what_are_none_are_not_said_to_be_turned(small: Dataset, reader: Classifier):
    assert find_turn(small.test, reader.probabilities) is None
    noise = np.random.default_rng(0).integers(0, 256, (50, 28, 28), np.uint8)
    assert find_turn(Split(noise, small.test.labels[:50]), reader.probabilities) is None
