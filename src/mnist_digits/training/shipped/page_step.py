"""One training step of the page detector: what it shall say of a page, and how far it is from that."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from mnist_digits.recognition.layout.detector import FARTHEST_PX, FINER
from mnist_digits.training.engine.step import Arrays, Step
from mnist_digits.training.synthesis.pages import CELL_PX, MASK_PX, MIN_CELL_INK, OTHER, PAGE_PX, Pages

CLASSES = OTHER + 1
"""Score channels of the output, one a digit and one for letters and signs; those of the digit mask follow."""
CHANNELS = CLASSES + 3 * FINER**2
"""Of the output: scores, digit mask, and the way to the centre, along x and along y."""
LINED_SHARE = 0.4
"""Fraction of the pages of which only the ink with lines is seen."""
PLANES = 2
"""Of the input: ink, and ink before lines were removed."""
EMPTY_CELL_WEIGHT = 0.05
"""Weight of a cell without ink in the loss of the digit mask; 1 of all others."""
TURNED_SHARE = 0.08
"""Fraction of the pages that are turned on a side or upside down, where nothing counts as a digit."""
MAX_ZOOM, MAX_ZOOMED_HEIGHT_PX = 2.0, 48
"""Factor by which a page is enlarged at most, and mean height of its digits beyond which it is not."""
PEAK_RADIUS_CELLS = 3
"""Distance from a digit's centre beyond which its target score is 0."""
CELLS = PAGE_PX // CELL_PX
"""Along each side of a page."""


def arrays_of(pages: Pages) -> Arrays:
    """The pages as a step takes them: ink, ink with lines, digit mask, owners, digits."""
    return pages.ink, pages.lined_ink, pages.digit_mask, pages.owners, pages.digits


@dataclass(frozen=True)
class PageStep(Step):
    """A step of the detector, on pages as in `arrays_of`."""

    @property
    def draws(self) -> int:
        """Whether a page is turned, how far; whether its lines alone are seen; how far it is zoomed, and where."""
        return 6

    def prepare(self, examples: Any, draws: Any, strength: Any) -> tuple[Any, Any]:
        """As `batch_of`, but pages are enlarged, some are turned, and of some only the ink with lines is seen."""
        ink, lined_ink, *where = examples
        lined = draws[:, 2] < 2 * LINED_SHARE - 1
        ink = ops.where(lined[:, None, None], lined_ink, ink)
        return batch_of(*_turned(draws[:, :3], *_zoomed(draws[:, 3:], ink, lined_ink, *where)))

    def evaluate(self, *batch: Any, training: bool) -> tuple[Any, Any]:
        """The mean loss; summed loss and number of pages."""
        planes, target = batch
        mean = loss(target, self.model(planes, training=training))
        count = ops.cast(ops.shape(planes)[0], "float32")
        return mean, ops.stack([mean * count, count])


def batch_of(ink: Any, lined_ink: Any, digit_mask: Any, owners: Any, digits: Any) -> tuple[Any, Any]:
    """The network's input for some pages, float32 (n, PAGE_PX, PAGE_PX, 2) in [0, 1], and its `targets`."""
    planes = ops.cast(ops.stack([ink, lined_ink], axis=-1), "float32") / 255.0
    return planes, targets(planes, digit_mask, owners, digits)


def _zoomed(draws: Any, ink: Any, lined_ink: Any, digit_mask: Any, owners: Any, digits: Any) -> tuple[Any, ...]:
    """A part of each page, enlarged to the size of a page: up to MAX_ZOOM times, as far as its digits stay low enough.

    draws: float32 (n, 3) in [-1, 1]. Planes become float32; a digit whose centre is left out loses its label.
    """
    share, *places = ops.unstack((draws + 1) / 2, axis=1)
    labels, x, y, width, height = ops.unstack(ops.convert_to_tensor(digits), axis=-1)
    is_digit = ops.cast((labels >= 0) & (labels < OTHER), "float32")
    mean_height = ops.sum(is_digit * height, axis=1) / ops.maximum(ops.sum(is_digit, axis=1), 1.0)
    most = ops.clip(MAX_ZOOMED_HEIGHT_PX / ops.maximum(mean_height, 1.0), 1.0, MAX_ZOOM)
    zoom = (most**share)[:, None]
    left, top = (place[:, None] * PAGE_PX * (1 - 1 / zoom) for place in places)

    def enlarge(plane: Any, exact: bool = False) -> Any:
        side = plane.shape[-1]
        cells = np.arange(side, dtype=np.float32)
        down, across = (start * side / PAGE_PX + (cells + 0.5) / zoom - 0.5 for start in (top, left))
        if exact:
            down, across = ops.round(down), ops.round(across)
        rows, columns = (ops.maximum(1 - ops.abs(one[..., None] - cells), 0.0) for one in (down, across))
        return ops.matmul(ops.matmul(rows, ops.cast(plane, "float32")), ops.transpose(columns, (0, 2, 1)))

    x, y = zoom * (x - left), zoom * (y - top)
    inside = (ops.minimum(x, y) >= 0) & (ops.maximum(x, y) < PAGE_PX)
    moved = ops.stack([ops.where(inside, labels, -1.0), x, y, zoom * width, zoom * height], axis=-1)
    return enlarge(ink), enlarge(lined_ink), enlarge(digit_mask), ops.round(enlarge(owners, exact=True)), moved


def _turned(draws: Any, ink: Any, lined_ink: Any, digit_mask: Any, owners: Any, digits: Any) -> tuple[Any, ...]:
    """The pages, of which some are turned by quarters of a circle and have no digit. draws: float32 (n, 3)."""
    turned = draws[:, 0] < 2 * TURNED_SHARE - 1
    quarters = ops.where(turned, 1 + ops.cast(1.5 * (draws[:, 1] + 1), "int32"), 0)[:, None, None]

    def turn(plane: Any) -> Any:
        across = ops.transpose(plane, (0, 2, 1))
        once, twice, thrice = ops.flip(across, 1), ops.flip(ops.flip(plane, 1), 2), ops.flip(across, 2)
        return ops.where(quarters == 0, plane, ops.where(quarters == 1, once, ops.where(quarters == 2, twice, thrice)))

    upright = ops.logical_not(turned)[:, None, None]
    mask, owners = (ops.cast(upright, plane.dtype) * plane for plane in (digit_mask, owners))
    return turn(ink), turn(lined_ink), mask, owners, ops.where(upright, digits, -1.0)


def targets(planes: Any, digit_mask: Any, owners: Any, digits: Any) -> Any:
    """The wanted output for some pages, and the weights of cells in the losses.

    planes: float32 (n, PAGE_PX, PAGE_PX, 2) in [0, 1]. digit_mask, owners, digits: as in `Pages`. The result is float32
    (n, CELLS, CELLS, CHANNELS + 2 FINER²). Channels 0-10: a peak of 1 in the cell of each digit's, letter's or sign's
    centre; then, for the digit mask's cells within that cell, row by row: the mask, the way to the digit's centre along
    x and along y, 0 to 1 for -FARTHEST_PX to FARTHEST_PX (Cheng et al. 2020, "Panoptic-DeepLab"), the weight of the
    mask, and that of the way.
    """
    side = PAGE_PX // MASK_PX
    inked = ops.mean(ops.reshape(planes[..., -1], (-1, side, MASK_PX, side, MASK_PX)), axis=(2, 4)) > MIN_CELL_INK
    weight = ops.where(inked, 1.0, EMPTY_CELL_WEIGHT)
    mask = ops.cast(digit_mask, "float32") / 255.0
    rows = ops.reshape(ops.cast(owners, "int32"), (-1, side * side, 1))
    centres = ops.reshape(ops.take_along_axis(digits[..., 1:3], ops.maximum(rows - 1, 0), axis=1), (-1, side, side, 2))
    middles = MASK_PX * (np.arange(side, dtype=np.float32) + 0.5)
    ways = [centres[..., 0] - middles, centres[..., 1] - middles[:, None]]
    planes = [
        mask,
        *(ops.clip(0.5 + way / (2 * FARTHEST_PX), 0, 1) for way in ways),
        weight,
        ops.cast(owners > 0, "float32"),
    ]
    return ops.concatenate([_scores(digits), *map(_gathered, planes)], axis=-1)


def _gathered(plane: Any) -> Any:
    """A plane of the digit mask's cells, (n, FINER CELLS, FINER CELLS), by cells: (n, CELLS, CELLS, FINER²)."""
    parted = ops.transpose(ops.reshape(plane, (-1, CELLS, FINER, CELLS, FINER)), (0, 1, 3, 2, 4))
    return ops.reshape(parted, (-1, CELLS, CELLS, FINER**2))


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
    """The scores' focal loss per digit, twice the digit mask's weighted mean cross entropy, and the ways' mean error.

    target: as `targets` gives it. output: the network's. The focal loss is that of Zhou et al. 2019, "Objects as
    Points", equation 1. An error of FARTHEST_PX / 4 along x and y counts 1.
    """
    parts = FINER**2
    score, mask, ways, weight, owned = ops.split(
        target, np.cumsum([CLASSES, parts, 2 * parts, parts]).tolist(), axis=-1
    )
    predicted = ops.clip(output[..., :CLASSES], 1e-5, 1 - 1e-5)
    centre = ops.cast(score > 0.999, "float32")
    missed = -centre * (1 - predicted) ** 2 * ops.log(predicted)
    false = -((1 - score) ** 4) * (1 - centre) * predicted**2 * ops.log(1 - predicted)
    digits = ops.maximum(ops.sum(centre), 1.0)
    predicted_mask = ops.clip(output[..., CLASSES : CLASSES + parts], 1e-5, 1 - 1e-5)
    entropy = -(mask * ops.log(predicted_mask) + (1 - mask) * ops.log(1 - predicted_mask))
    errors = ops.concatenate([owned, owned], axis=-1) * ops.abs(ways - output[..., CLASSES + parts :])
    return (
        ops.sum(missed + false) / digits
        + 2 * ops.sum(weight * entropy) / ops.sum(weight)
        + 4 * ops.sum(errors) / ops.maximum(ops.sum(owned), 1.0)
    )
