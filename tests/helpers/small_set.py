"""A set small enough for a test, in the form the programs read."""

from pathlib import Path

from mnist_digits.dataset import Dataset, write_idx

COUNTS = {"train": 600, "t10k": 200}


def write_set(folder: Path, mnist: Dataset, names: str = "{part}-{kind}-ubyte.gz") -> Path:
    """The first images of MNIST's two parts as a set of four IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, split in (("train", mnist.train), ("t10k", mnist.test)):
        count = COUNTS[part]
        write_idx(folder / names.format(part=part, kind="images-idx3"), split.images[:count])
        write_idx(folder / names.format(part=part, kind="labels-idx1"), split.labels[:count])
    return folder
