"""Folders with pictures to label."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_digits.dataset import Dataset


@pytest.fixture
def folder(mnist: Dataset, tmp_path: Path) -> Path:
    """Four pictures of one digit (7, 5, 1, 0), a row with four (3, 4, 8, 2), and a file that is no picture."""
    return write_folder(tmp_path / "mine", mnist)


def write_folder(folder: Path, mnist: Dataset) -> Path:
    (folder / "hand").mkdir(parents=True)
    images = {label: mnist.validation.images[mnist.validation.labels == label] for label in range(10)}
    for label in (7, 5, 1, 0):
        Image.fromarray(on_paper(images[label][2])).save(folder / "hand" / f"{label}.png")
    row = [on_paper(images[label][1]) for label in (3, 4, 8, 2)]
    Image.fromarray(np.pad(np.hstack(row), 60, constant_values=255)).save(folder / "row.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def on_paper(image: np.ndarray) -> np.ndarray:
    """An image as dark ink on light paper, uint8 (112, 112)."""
    return 255 - np.pad(np.kron(image[4:24, 4:24], np.ones((4, 4), np.uint8)), 16)
