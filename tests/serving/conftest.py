"""Applications, and pictures to send to them."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from helpers.asking import InProcess, as_png
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Reader
from mnist_digits.serving import Settings, create_app


@pytest.fixture(scope="session")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="session")
def asking(reader: Reader) -> Iterator[Callable[..., InProcess]]:
    """Makes a client of an application with other settings or another reader."""
    with asyncio.Runner() as runner:

        def make(settings: Settings | None = None, own: Any = None) -> InProcess:
            return InProcess(create_app(own or reader, settings), runner)

        yield make


@pytest.fixture(scope="session")
def ask(asking: Callable[..., InProcess]) -> InProcess:
    return asking()


@pytest.fixture(scope="session")
def digit_png(mnist: Dataset) -> bytes:
    """A seven, dark on light."""
    return as_png(255 - np.kron(mnist.test.images[0], np.ones((4, 4), np.uint8)))


@pytest.fixture(scope="session")
def page_png(mnist: Dataset) -> bytes:
    """A page with two lines of four digits."""
    digits = mnist.test.images[:8].reshape(2, 4, 28, 28).transpose(0, 2, 1, 3).reshape(56, 112)
    return as_png(np.pad(255 - np.kron(digits, np.ones((2, 2), np.uint8)), 40, constant_values=255))
