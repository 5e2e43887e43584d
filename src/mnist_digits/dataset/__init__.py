"""Data sets: IDX files, the bundled MNIST, and its split into training, validation and test."""

from mnist_digits.dataset.idx import read_idx, write_idx
from mnist_digits.dataset.mnist import BUNDLED, CORRECTIONS, Dataset, Split, corrected_test_labels, load_mnist

__all__ = [
    "BUNDLED",
    "CORRECTIONS",
    "Dataset",
    "Split",
    "corrected_test_labels",
    "load_mnist",
    "read_idx",
    "write_idx",
]
