"""The images: IDX files on disk, MNIST in the package, the split into three parts."""

from mnist_digits.dataset.idx import read_idx, write_idx
from mnist_digits.dataset.mnist import BUNDLED, Dataset, Split, load_mnist

__all__ = ["BUNDLED", "Dataset", "Split", "load_mnist", "read_idx", "write_idx"]
