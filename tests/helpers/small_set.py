"""A small data set as IDX files."""

from pathlib import Path

from mnist_digits.dataset import Dataset, write_idx

COUNTS = {"train": 600, "t10k": 200}


def write_set(folder: Path, mnist: Dataset, names: str = "{part}-{kind}-ubyte.gz") -> Path:
    """Write the first training and test images of MNIST as a data set of four IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, split in (("train", mnist.train), ("t10k", mnist.test)):
        count = COUNTS[part]
        write_idx(folder / names.format(part=part, kind="images-idx3"), split.images[:count])
        write_idx(folder / names.format(part=part, kind="labels-idx1"), split.labels[:count])
    return folder
