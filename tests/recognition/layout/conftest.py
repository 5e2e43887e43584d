import numpy as np
import pytest

from helpers.small_pages import SmallPage, write_page
from mnist_digits.recognition.layout.detector import Detector


@pytest.fixture(scope="session")
def detector() -> Detector:
    return Detector()


@pytest.fixture(scope="session")
def page(sure: list[list[np.ndarray]]) -> SmallPage:
    """A page of digits 56 pixels high."""
    return write_page(sure, height=56)
