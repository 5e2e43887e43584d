"""One training step of the page detector: what it shall say of a page, and how far it is from that."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from mnist_digits.training.engine.step import Arrays, Step
from mnist_digits.training.synthesis.pages import CELL_PX, MIN_CELL_INK, OTHER, PAGE_PX, Pages

CLASSES = OTHER + 1
"""Score channels of the output, one a digit and one for letters and signs; the digit mask is one more."""
PLANES = 2
"""Of the input: ink, and ink before lines were removed."""
EMPTY_CELL_WEIGHT = 0.05
"""Weight of a cell without ink in the loss of the digit mask; 1 of all others."""
TURNED_SHARE = 0.08
"""Fraction of the pages that are turned on a side or upside down, where nothing counts as a digit."""
PEAK_RADIUS_CELLS = 3
"""Distance from a digit's centre beyond which its target score is 0."""
CELLS = PAGE_PX // CELL_PX
"""Along each side of a page."""


def arrays_of(pages: Pages) -> Arrays:
    """The pages as a step takes them: ink, ink with lines, digit mask, digits."""
    return pages.ink, pages.lined_ink, pages.digit_mask, pages.digits


@dataclass(frozen=True)
class PageStep(Step):
    """A step of the detector, on pages as in `arrays_of`."""

    @property
    def draws(self) -> int:
        """Whether a page is turned, and how far."""
        return 2

    def prepare(self, examples: Any, draws: Any, strength: Any) -> tuple[Any, Any]:
        """As `batch_of`, but some pages are turned."""
        return batch_of(*_turned(draws, *examples))

    def evaluate(self, *batch: Any, training: bool) -> tuple[Any, Any]:
        """The mean loss; summed loss and number of pages."""
        planes, target = batch
        mean = loss(target, self.model(planes, training=training))
        count = ops.cast(ops.shape(planes)[0], "float32")
        return mean, ops.stack([mean * count, count])


def batch_of(ink: Any, lined_ink: Any, digit_mask: Any, digits: Any) -> tuple[Any, Any]:
    """The network's input for some pages, float32 (n, PAGE_PX, PAGE_PX, 2) in [0, 1], and its `targets`."""
    planes = ops.cast(ops.stack([ink, lined_ink], axis=-1), "float32") / 255.0
    return planes, targets(planes, digit_mask, digits)


def _turned(draws: Any, ink: Any, lined_ink: Any, digit_mask: Any, digits: Any) -> tuple[Any, Any, Any, Any]:
    """The pages, of which some are turned by quarters of a circle and have no digit. draws: float32 (n, 2)."""
    turned = draws[:, 0] < 2 * TURNED_SHARE - 1
    quarters = ops.where(turned, 1 + ops.cast(1.5 * (draws[:, 1] + 1), "int32"), 0)[:, None, None]

    def turn(plane: Any) -> Any:
        across = ops.transpose(plane, (0, 2, 1))
        once, twice, thrice = ops.flip(across, 1), ops.flip(ops.flip(plane, 1), 2), ops.flip(across, 2)
        return ops.where(quarters == 0, plane, ops.where(quarters == 1, once, ops.where(quarters == 2, twice, thrice)))

    upright = ops.logical_not(turned)[:, None, None]
    none = ops.cast(upright, digit_mask.dtype) * digit_mask
    return turn(ink), turn(lined_ink), none, ops.where(upright, digits, -1.0)


def targets(planes: Any, digit_mask: Any, digits: Any) -> Any:
    """The wanted output for some pages, and the weight of each cell in the digit mask's loss: (n, CELLS, CELLS, 13).

    planes: float32 (n, PAGE_PX, PAGE_PX, 2) in [0, 1]. digit_mask, digits: as in `Pages`. The result is float32.
    Channels 0-10: a peak of 1 in the cell of each digit's, letter's or sign's centre. 11: the digit mask. 12: the
    weight.
    """
    cells = ops.reshape(planes, (-1, CELLS, CELL_PX, CELLS, CELL_PX, PLANES))
    inked = ops.any(ops.mean(cells, axis=(2, 4)) > MIN_CELL_INK, axis=-1, keepdims=True)
    weight = ops.where(inked, 1.0, EMPTY_CELL_WEIGHT)
    mask = ops.cast(digit_mask, "float32")[..., None] / 255.0
    return ops.concatenate([_scores(digits), mask, weight], axis=-1)


def _scores(digits: Any) -> Any:
    """A Gaussian in each digit's channel, 1 at its centre, as wide and high as it: (n, CELLS, CELLS, CLASSES)."""
    digits = ops.convert_to_tensor(digits)
    label, x, y, width, height = ops.unstack(digits, axis=-1)
    column, row = (ops.cast(ops.clip(centre / CELL_PX, 0, CELLS - 1), "int32") for centre in (x, y))
    near = np.arange(-PEAK_RADIUS_CELLS, PEAK_RADIUS_CELLS + 1)
    sigma_x, sigma_y = (ops.clip(size / CELL_PX * 0.14, 0.45, 1.4)[..., None] for size in (width, height))
    across, down = (ops.exp(-((near.astype(np.float32) / sigma) ** 2) / 2) for sigma in (sigma_x, sigma_y))
    rows, columns = row[..., None, None] + near[:, None], column[..., None, None] + near
    inside = (rows >= 0) & (rows < CELLS) & (columns >= 0) & (columns < CELLS) & (label >= 0)[..., None, None]
    peak = ops.where(inside, down[..., :, None] * across[..., None, :], 0.0)
    count = ops.shape(digits)[0]
    page = ops.arange(count, dtype="int32")[:, None, None, None]
    place = ((page * CELLS + rows) * CELLS + columns) * CLASSES + ops.cast(label, "int32")[..., None, None]
    place = ops.where(inside, place, 0)
    size = CELLS * CELLS * CLASSES
    highest = ops.segment_max(ops.reshape(peak, (-1,)), ops.reshape(place, (-1,)), num_segments=count * size)
    # Where there is no digit, the highest of nothing is minus infinity.
    return ops.reshape(ops.maximum(highest, 0.0), (-1, CELLS, CELLS, CLASSES))


def loss(target: Any, output: Any) -> Any:
    """The scores' focal loss per digit, plus twice the digit mask's weighted mean cross entropy.

    target: as `targets` gives it. output: the network's. The focal loss is that of Zhou et al. 2019, "Objects as
    Points", equation 1.
    """
    score, mask, weight = target[..., :CLASSES], target[..., CLASSES], target[..., CLASSES + 1]
    predicted = ops.clip(output[..., :CLASSES], 1e-5, 1 - 1e-5)
    centre = ops.cast(score > 0.999, "float32")
    missed = -centre * (1 - predicted) ** 2 * ops.log(predicted)
    false = -((1 - score) ** 4) * (1 - centre) * predicted**2 * ops.log(1 - predicted)
    digits = ops.maximum(ops.sum(centre), 1.0)
    predicted_mask = ops.clip(output[..., CLASSES], 1e-5, 1 - 1e-5)
    entropy = -(mask * ops.log(predicted_mask) + (1 - mask) * ops.log(1 - predicted_mask))
    return ops.sum(missed + false) / digits + 2 * ops.sum(weight * entropy) / ops.sum(weight)
