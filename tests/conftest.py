"""Small sets in the form the programs read, and runs in a process of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from mnist_digits.dataset import Dataset, load_mnist, write_idx

COUNTS = {"train": 600, "t10k": 200}


def write_set(folder: Path, mnist: Dataset, names: str = "{part}-{kind}-ubyte.gz") -> Path:
    """The first images of MNIST's two parts as a set of four IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, split in (("train", mnist.train), ("t10k", mnist.test)):
        count = COUNTS[part]
        write_idx(folder / names.format(part=part, kind="images-idx3"), split.images[:count])
        write_idx(folder / names.format(part=part, kind="labels-idx1"), split.labels[:count])
    return folder


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    return load_mnist()


@pytest.fixture(scope="session")
def small_folder(mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four IDX files: the first 600 training and 200 test images of MNIST."""
    return write_set(tmp_path_factory.mktemp("small"), mnist)


@pytest.fixture(scope="session")
def small(small_folder: Path) -> Dataset:
    return load_mnist(small_folder)


@pytest.fixture
def in_folder(tmp_path: Path) -> Iterator[Path]:
    """An empty current folder, so that the default `runs/` is the test's own."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


Digits = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def digits(tmp_path: Path) -> Digits:
    """Run the command `digits` in an empty folder, as a user would."""

    def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mnist_digits", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]

    return run


@pytest.fixture
def random_images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)


# How long an example takes says more about the machine than about the code.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
