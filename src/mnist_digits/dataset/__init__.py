"""Data sets: the bundled MNIST, and whatever people have, as images, labels, and training, validation and test."""

from mnist_digits.dataset.idx import read_idx, write_idx
from mnist_digits.dataset.mnist import (
    BUNDLED,
    CORRECTIONS,
    Dataset,
    Split,
    corrected_test_labels,
    holds_idx,
    load_mnist,
    write_dataset,
)
from mnist_digits.dataset.pictures import Found
from mnist_digits.dataset.sources import load_data

__all__ = [
    "BUNDLED",
    "CORRECTIONS",
    "Dataset",
    "Found",
    "Split",
    "corrected_test_labels",
    "holds_idx",
    "load_data",
    "load_mnist",
    "read_idx",
    "write_dataset",
    "write_idx",
]
