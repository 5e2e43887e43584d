"""Fixtures that several folders of tests share."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import settings

from helpers.command import Digits, run_digits
from helpers.small_model import nearest_mean, write_model
from helpers.small_set import write_set
from mnist_digits.dataset import Dataset, load_mnist

# What starts the tests in the background may have them ignore signals, which their commands would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

LONGEST_FILES = (
    "docs/test_notebook.py",
    "cli/test_tune_machines.py",
    "cli/test_train.py",
    "package/test_privacy.py",
    "training/test_train.py",
    "cli/test_bulk.py",
    "cli/test_streams.py",
    "web/test_train.py",
    "training/test_backend.py",
    "cli/test_tune.py",
    "page/test_playground.py",
    "benchmarks/test_soak.py",
    "shipped/test_making.py",
    "shipped/test_detector.py",
    "evaluation/test_report.py",
)
"""Files that are begun first, because one that is begun last runs on while the other processes are idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of LONGEST_FILES to the front, in this order."""
    order = {name: place for place, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: order.get("/".join(item.path.parts[-2:]), len(order)))


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


@pytest.fixture(scope="session")
def small_model(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model.onnx that predicts the digit whose mean image is nearest, and cannot reject."""
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx", *nearest_mean(small.train))


@pytest.fixture(scope="session")
def rejecting_model(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but it rejects images of which more than 40 % is ink."""
    path = tmp_path_factory.mktemp("rejecting") / "model.onnx"
    return write_model(path, *nearest_mean(small.train), rejecting=True, threshold="0.6")


@pytest.fixture
def no_report() -> Iterator[None]:
    """Makes trainings in this process skip the report, which takes longer than training on a small set."""
    with mock.patch("mnist_digits.training.train.ReportProcess"):
        yield


@pytest.fixture
def printed() -> Callable[[Path], int]:
    """Prints an HTML file with Chromium on A4 paper; returns its number of pages. Nothing may stick out."""
    import pypdfium2
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")

    def pages_of(path: Path) -> int:
        with sync_playwright() as playwright:
            page = playwright.chromium.launch(executable_path=chromium).new_page()
            # The width between the margins.
            page.set_viewport_size({"width": round((210 - 24) / 25.4 * 96), "height": 1000})
            page.goto(path.resolve().as_uri())
            page.emulate_media(media="print")
            wide = (
                "[...document.querySelectorAll('table, img')]"
                ".filter(one => one.scrollWidth > one.parentElement.clientWidth + 1)"
            )
            assert page.evaluate(f"{wide}.map(one => one.outerHTML.slice(0, 80))") == []
            return len(pypdfium2.PdfDocument(page.pdf(prefer_css_page_size=True)))

    return pages_of


@pytest.fixture
def in_folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder as the current one, in which the default `runs/` then lies."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.fixture
def digits(tmp_path: Path) -> Digits:
    """Runs the command `digits` in this process, in the test's own empty folder."""
    return partial(run_digits, folder=tmp_path)


@pytest.fixture
def random_images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)


# How long an example takes says more about the machine than about the code.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
