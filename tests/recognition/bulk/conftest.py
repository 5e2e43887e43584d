"""A folder of pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.small_pages import write_page
from mnist_digits.dataset import Dataset

DAMAGED = {"text.png": b"seven", "empty.png": b"", "cut.png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"}


@pytest.fixture(scope="package")
def damaged() -> set[str]:
    """Names of the pictures in `folder` that cannot be read."""
    return set(DAMAGED)


@pytest.fixture(scope="package")
def folder(mnist: Dataset, sure: list[list[np.ndarray]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, a blank picture, a page, what is none, and more in folders below."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(mnist.train.images[:12]):
        Image.fromarray(255 - np.pad(image, 6)).resize((80, 80)).save(folder / f"{number:02d}.png")
    Image.new("L", (90, 60), 220).save(folder / "blank.jpg")
    Image.fromarray(write_page(sure, ("31 4", "159")).pixels()).save(folder / "page.png")
    for name, content in DAMAGED.items():
        (folder / name).write_bytes(content)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("7")
    for name in ("below/deeper/1.png", "below/.cache/2.png"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"")
    return folder
