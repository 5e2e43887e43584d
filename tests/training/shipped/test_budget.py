from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.training import find_recipe
from mnist_digits.training.export.calibration import PICTURES_PER_KIND
from mnist_digits.training.shipped import budget
from mnist_digits.training.shipped.budget import Speed
from mnist_digits.training.shipped.detector import DetectorRecipe
from mnist_digits.training.synthesis.non_digits import NON_DIGITS
from mnist_digits.training.synthesis.pages import MASK_PX, MAX_DIGITS_PER_PAGE, PAGE_PX, PAGES_PER_CHUNK, Pages

READER, DETECTOR = find_recipe("reader"), DetectorRecipe()
SPEED, DRAWING_S = Speed(10, 1e-3), 2e-3


@pytest.fixture
def _known_machine(monkeypatch: pytest.MonkeyPatch):
    """Two cores; a page takes 10 ms to compose on each and 20 ms to train on."""
    monkeypatch.setattr(budget, "os", SimpleNamespace(cpu_count=lambda: 2))
    monkeypatch.setattr(budget, "measure_training", lambda recipe, data: SPEED)
    monkeypatch.setattr(budget, "measure_drawing", lambda split: DRAWING_S)
    monkeypatch.setattr(budget, "measure_detector", lambda recipe, pages: Speed(5, 0.02))
    clock = iter(np.arange(0, 100, 0.005 * PAGES_PER_CHUNK * 2))
    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    empty = np.zeros((2 * PAGES_PER_CHUNK, 1))
    monkeypatch.setattr(budget, "compose", lambda split, count, seed: Pages(empty[:count], *[empty] * 4))


@pytest.mark.usefixtures("_known_machine")
def test_as_many_epochs_as_fit(small: Dataset):
    recipe = find_recipe("cnn")
    for seconds in (15, 20, 50):
        fitted = budget.fit_recipe(recipe, small, seconds)
        usable = budget.USABLE * seconds - SPEED.start
        each = len(small.train) * SPEED.each
        assert fitted == replace(recipe, epochs=fitted.epochs)
        assert fitted.epochs * each <= usable < (fitted.epochs + 1) * each or fitted.epochs == recipe.epochs
    assert budget.fit_recipe(recipe, small, 1).epochs == 1
    assert budget.fit_recipe(recipe, small, 1e6) == recipe


def seconds_of(recipe, data: Dataset) -> float:
    """What a reader takes on that machine, but for the pictures by which rejection is measured."""
    copies = 2 * recipe.synthetic_copies
    drawn = copies * (len(data.train) + len(data.validation)) * DRAWING_S / 2
    return SPEED.start + drawn + recipe.epochs * (1 + copies) * len(data.train) * SPEED.each


@pytest.mark.usefixtures("_known_machine")
def test_pictures_come_before_epochs(mnist: Dataset):
    assert budget.fit_reader(READER, mnist, 1e6) == READER
    scored = DRAWING_S * (len(mnist.validation) + PICTURES_PER_KIND * len(NON_DIGITS))
    for copies in (1, READER.synthetic_copies):
        wanted = replace(READER, synthetic_copies=copies)
        enough = (seconds_of(wanted, mnist) + scored) / budget.USABLE
        assert budget.fit_reader(READER, mnist, enough + 1) == wanted
        fewer = budget.fit_reader(READER, mnist, enough - 1)
        assert (fewer.synthetic_copies, fewer.epochs) == (
            (copies - 1, READER.epochs) if copies > 1 else (1, READER.epochs - 1)
        )
    fastest = budget.fit_reader(READER, mnist, 1)
    assert (fastest.synthetic_copies, fastest.epochs) == (1, 1)


@pytest.mark.usefixtures("_known_machine")
def test_as_many_pages_as_leave_time_for_all_epochs(small: Dataset):
    assert budget.fit_detector(DETECTOR, small.train, 1e5) == DETECTOR
    page = 0.005 + DETECTOR.epochs * 0.02
    for seconds in (60, 120, 300):
        fitted = budget.fit_detector(DETECTOR, small.train, seconds)
        assert fitted == replace(DETECTOR, pages=fitted.pages)
        assert fitted.pages * page <= budget.USABLE * seconds - 5 < (fitted.pages + 1) * page
    # No block of pages is composed for a few of them.
    long = budget.fit_detector(DETECTOR, small.train, 2.5 * budget.PAGES_PER_BLOCK * page / budget.USABLE)
    assert long.pages == 2 * budget.PAGES_PER_BLOCK
    assert budget.fit_detector(DETECTOR, small.train, 1).pages == DETECTOR.batch_size


@pytest.mark.usefixtures("eagerly")
@pytest.mark.filterwarnings("ignore:Even though the .tf.config:UserWarning")
def test_what_is_measured_takes_time(small: Dataset):
    speed = budget.measure_training(find_recipe("dense").with_settings({"jit_compile": "false"}), small)
    assert speed.start > 0
    assert 0 < speed.each < 1
    assert 0 < budget.measure_drawing(small.train) < 1
    sides = (PAGE_PX, PAGE_PX, PAGE_PX // MASK_PX, PAGE_PX // MASK_PX)
    planes = [np.zeros((8, side, side), np.uint8) for side in sides]
    pages = Pages(*planes, np.full((8, MAX_DIGITS_PER_PAGE, 5), -1, np.float32))
    assert budget.measure_detector(replace(DETECTOR, stem=4, channels=(4, 4, 8), batch_size=4), pages).each > 0
