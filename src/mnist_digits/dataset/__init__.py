"""The images: IDX files on disk, MNIST in the package, the split into three parts."""

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
