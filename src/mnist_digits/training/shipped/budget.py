"""How much is trained when the time is limited: from what a little of it takes here, to copies, pages and epochs.

What is drawn anew is worth more than what is seen once more, so all epochs are kept where they can be. Nothing else is
changed: the networks, their learning rates and what is drawn are those of the recipes.
"""

import os
import statistics
import time
from dataclasses import dataclass, replace

import numpy as np

from mnist_digits.dataset import Dataset, Split
from mnist_digits.training import backend
from mnist_digits.training.engine import loop
from mnist_digits.training.engine.augmentation import Distortion
from mnist_digits.training.engine.corruption import Corruption
from mnist_digits.training.engine.session import TrainingSession
from mnist_digits.training.export.calibration import PICTURES_PER_KIND
from mnist_digits.training.recipes import Recipe
from mnist_digits.training.shipped import detector
from mnist_digits.training.shipped.detector import DetectorRecipe
from mnist_digits.training.synthesis.digits import NON_DIGITS_PER_DIGIT, draw_digits
from mnist_digits.training.synthesis.drawing import map_on_all_cores
from mnist_digits.training.synthesis.non_digits import NON_DIGITS
from mnist_digits.training.synthesis.pages import PAGES_PER_CHUNK, Pages, compose
from mnist_digits.training.synthesis.stock import PAGES_PER_BLOCK

USABLE = 0.85
"""Share of a network's time that is planned; scores, reports and exports take the rest."""
TRIAL_IMAGES = 4096
TRIAL_DRAWINGS = 300


@dataclass(frozen=True)
class Speed:
    """What a training takes here."""

    start: float
    """Seconds of compilation, once."""
    each: float
    """Seconds for each image or page of an epoch."""

    def epochs(self, seconds: float, count: int, most: int) -> int:
        """Epochs of `count` images or pages that fit, from 1 to `most`."""
        return max(1, min(most, int((seconds - self.start) / (count * self.each))))


def fit_recipe(recipe: Recipe, data: Dataset, seconds: float) -> Recipe:
    """The recipe with as many of its epochs as fit into the seconds, at least one."""
    speed = measure_training(recipe, data)
    return replace(recipe, epochs=speed.epochs(USABLE * seconds, len(data.train), recipe.epochs))


def fit_reader(recipe: Recipe, data: Dataset, seconds: float) -> Recipe:
    """A recipe that draws pictures, with as many copies of each digit as leave time for its epochs; at least one.

    Where there is no time for all epochs with one, it has fewer. Pictures are drawn by all cores, and those by which
    rejection is measured, by one.
    """
    drawing, speed = measure_drawing(data.train), measure_training(recipe, data)
    pictures = 1 + NON_DIGITS_PER_DIGIT
    copy = pictures * drawing * (len(data.train) + len(data.validation)) / (os.cpu_count() or 1)
    scored = drawing * (len(data.validation) + PICTURES_PER_KIND * len(NON_DIGITS))
    left = USABLE * seconds - scored - speed.start
    image = speed.each * len(data.train)
    copies = int((left - recipe.epochs * image) / (copy + recipe.epochs * pictures * image))
    copies = max(1, min(recipe.synthetic_copies, copies))
    epochs = int((left - copies * copy) / (image * (1 + pictures * copies)))
    return replace(recipe, synthetic_copies=copies, epochs=max(1, min(epochs, recipe.epochs)))


def fit_detector(recipe: DetectorRecipe, split: Split, seconds: float) -> DetectorRecipe:
    """A detector's recipe with as many of its pages as leave time for its epochs; whole blocks of them, if it can.

    split: digits to compose of.
    """
    start = time.perf_counter()
    # Each core composes a chunk.
    pages = compose(split, PAGES_PER_CHUNK * (os.cpu_count() or 1), 0)
    composing = (time.perf_counter() - start) / len(pages)
    speed = measure_detector(recipe, pages)
    count = int((USABLE * seconds - speed.start) / (composing + recipe.epochs * speed.each))
    if count > PAGES_PER_BLOCK:
        count -= count % PAGES_PER_BLOCK
    return replace(recipe, pages=max(recipe.batch_size, min(count, recipe.pages)))


def measure_training(recipe: Recipe, data: Dataset) -> Speed:
    """Two epochs of a few images by the recipe, of which the second is measured; no picture is drawn for it."""
    count = min(TRIAL_IMAGES, len(data.train))
    session = TrainingSession.start(recipe, 0, count, backend.available_precision(recipe.precision))
    history = loop.fit(
        session.model,
        data.train.images[:count],
        data.train.labels[:count],
        epochs=2,
        batch_size=recipe.batch_size,
        distortion=Distortion.of(recipe),
        corruption=Corruption(recipe.corruption) if recipe.corruption else None,
        average=session.average,
        jit_compile=recipe.jit_compile,
    ).history
    return Speed(history["compile_seconds"][0], history["seconds"][1] / count)


def measure_drawing(split: Split) -> float:
    """Seconds in which a core draws a picture while all others do."""
    few = Split(split.images[:TRIAL_DRAWINGS], split.labels[:TRIAL_DRAWINGS])
    return statistics.fmean(map_on_all_cores(_time_drawing, [few] * (os.cpu_count() or 1)))


def _time_drawing(few: Split) -> float:
    """Seconds for each picture."""
    # What is loaded with the first picture is none of the others' time.
    draw_digits(Split(few.images[:1], few.labels[:1]), 0)
    start = time.perf_counter()
    draw_digits(few, 0)
    return (time.perf_counter() - start) / len(few)


def measure_detector(recipe: DetectorRecipe, pages: Pages) -> Speed:
    """Two epochs of the pages, of which the second is measured."""
    times = [time.perf_counter()]

    def clock(epoch: int, loss: float) -> None:
        times.append(time.perf_counter())

    detector.fit(detector.build(recipe), pages, replace(recipe, epochs=2), 0, clock)
    first, second = np.diff(times)
    return Speed(max(0.0, first - second), second / len(pages))
