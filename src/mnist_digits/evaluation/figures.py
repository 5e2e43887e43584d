"""Matplotlib figures in one style; no metric is computed here.

Every function returns a new Figure outside of pyplot's global state, to show in a notebook or to save. Ink is drawn
dark on light paper.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from mnist_digits.errors import printable

FIGURE_WIDTH_INCHES = 6.4
"""Shown 800 pixels wide, the smallest text of a figure is as tall as the text of a page."""

# Close to Okabe and Ito's blue, orange and vermillion, which colour-blind people can tell apart.
BLUE, ORANGE, RED = "#0072b2", "#d98200", "#c24f00"
# Dark text is legible on it, and so is light text on its negative in the dark page.
HEATMAP_COLOUR = "#f29a4a"
TEXT, QUIET, LINE, FAINT = "#222222", "#5c5c5c", "#c9c9c9", "#ececec"

STYLE: dict[Any, Any] = {
    "figure.dpi": 125,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 11,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": FAINT,
    "text.color": TEXT,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.bottom": False,
    "ytick.left": False,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "lines.markersize": 5,
}

DIGITS = range(10)

Arguments = ParamSpec("Arguments")


def _styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Draw in STYLE, whatever Matplotlib's settings are; these stay as they are."""

    @wraps(draw)
    def in_style(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return draw(*args, **kwargs)

    return in_style


@_styled
def samples_by_class(images: NDArray[np.uint8], labels: NDArray[np.uint8], per_class: int = 10) -> Figure:
    """The first images of each class, one column per digit.

    images: uint8 (n, 28, 28), ink 255. labels: uint8 (n,), 0-9. The column of a digit with fewer images ends early.
    """
    columns = np.zeros((per_class, 10, 28, 28), images.dtype)
    for digit in DIGITS:
        found = images[np.flatnonzero(labels == digit)[:per_class]]
        columns[: len(found), digit] = found
    figure, axes = _draw_ink(_tile(columns.reshape(-1, 28, 28), columns=10, gap=4, above=20))
    for digit in DIGITS:
        axes.text(18 + 32 * digit, 10, str(digit), ha="center", va="center", fontsize=14, color=QUIET)
    return figure


@_styled
def class_counts(counts: Mapping[str, NDArray[np.integer]]) -> Figure:
    """Number of images of each digit, one panel per split.

    counts: name of the split → int (10,).
    """
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, 2.6), layout="constrained")
    for axes, (name, count) in zip(figure.subplots(1, len(counts)), counts.items(), strict=True):
        axes.bar(DIGITS, count, color=BLUE, width=0.75)
        axes.set_title(f"{name}: {np.sum(count):,}")
        axes.set_xticks(DIGITS)
        axes.set_xlabel("digit")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


@_styled
def mean_digits(means: NDArray[np.floating]) -> Figure:
    """The mean image of each class. means: floats (10, 28, 28) in [0, 255]; NaN for a class without images."""
    figure, axes = _draw_ink(_tile(np.nan_to_num(means), columns=5, gap=4))
    for digit in DIGITS:
        row, column = divmod(digit, 5)
        axes.text(32 * column + 4, 32 * row + 5, str(digit), fontsize=14, color=QUIET, va="top")
    return figure


@_styled
def distortions(images: NDArray[np.uint8], columns: int = 10) -> Figure:
    """One digit distorted in many ways; the first image, in a frame, is the digit itself.

    images: uint8 (n, 28, 28), ink 255.
    """
    figure, axes = _draw_ink(_tile(images, columns, gap=4))
    axes.add_patch(Rectangle((2.5, 2.5), 30, 30, fill=False, edgecolor=BLUE, linewidth=2))
    return figure


@_styled
def predictions(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], probabilities: NDArray[np.float32], columns: int = 7
) -> Figure:
    """Images with prediction and confidence below; a mistake has a red frame, a cross and the truth.

    images: uint8 (n, 28, 28), ink 255. labels: uint8 (n,), 0-9. probabilities: float32 (n, 10).
    """
    below = 15
    figure, axes = _draw_ink(_tile(images, columns, gap=4, below=below))
    for index, (label, row) in enumerate(zip(labels, probabilities, strict=True)):
        left, top = 4 + 32 * (index % columns), 4 + (32 + below) * (index // columns)
        _caption(axes, left, top, int(label), int(row.argmax()), float(row.max()))
    return figure


@_styled
def confusion_heatmap(confusion: NDArray[np.integer]) -> Figure:
    """The confusion matrix. Only mistakes are coloured, because the diagonal would dominate the colours.

    confusion: int (10, 10), rows are truth; with a last column for what was read as no digit, (10, 11); and with a
    last row for what was read where no digit is, (11, 11).
    """
    confusion = np.asarray(confusion)
    errors = np.where(np.eye(*confusion.shape) > 0, 0, confusion)
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, 5.6), layout="constrained")
    axes = figure.add_subplot()
    sns.heatmap(
        errors,
        mask=errors == 0,
        annot=True,
        fmt=",",
        annot_kws={"fontsize": 12, "color": TEXT},
        cmap=sns.light_palette(HEATMAP_COLOUR, as_cmap=True),
        vmin=0,
        vmax=max(1, errors.max()),
        linewidths=2,
        linecolor="white",
        cbar=False,
        xticklabels=[*DIGITS, "none"][: confusion.shape[1]],
        yticklabels=[*DIGITS, "none"][: confusion.shape[0]],
        ax=axes,
    )
    for digit in DIGITS:
        axes.add_patch(Rectangle((digit, digit), 1, 1, facecolor=FAINT, edgecolor="white", linewidth=2))
        axes.text(
            digit + 0.5, digit + 0.5, f"{confusion[digit, digit]:,}", ha="center", va="center", fontsize=11, color=QUIET
        )
    axes.set_xlabel("read as")
    axes.set_ylabel("truth")
    axes.tick_params(labelsize=12, labelcolor=TEXT, labelrotation=0)
    return figure


@_styled
def learning_curves(history: Mapping[str, Sequence[float] | NDArray[np.float64]]) -> Figure:
    """Loss and accuracy after each epoch, in training and validation.

    history: `loss`, `accuracy`, `val_loss` and `val_accuracy`, one value per epoch, as in a Keras `History.history`.
    """
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, 3.1), layout="constrained")
    for axes, (name, title) in zip(
        figure.subplots(1, 2), {"loss": "Loss (nats)", "accuracy": "Accuracy"}.items(), strict=True
    ):
        epochs = range(1, len(history[name]) + 1)
        marker = "o" if len(epochs) <= 30 else ""
        axes.plot(epochs, history[name], color=BLUE, marker=marker, label="training")
        # Dashes and another marker distinguish the curves without colour.
        marker = "s" if marker else ""
        axes.plot(epochs, history[f"val_{name}"], color=ORANGE, linestyle="--", marker=marker, label="validation")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        axes.grid(axis="y")
        axes.legend()
        if name == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return figure


@_styled
def reliability_diagram(
    confidence: NDArray[np.float64], accuracy: NDArray[np.float64], count: NDArray[np.integer]
) -> Figure:
    """Accuracy against confidence, above the number of images in each bin of confidence.

    confidence, accuracy: float64 (b,), the mean of each bin, NaN where it is empty.
    count: int (b,), the number of images in each bin. The bins divide [0, 1] equally.
    """
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, 5.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=QUIET, linewidth=1.2, linestyle=":")
    above.text(0.69, 0.71, "accuracy = confidence", color=QUIET, ha="right", va="bottom")
    above.plot(confidence, accuracy, color=BLUE, marker="o", markersize=7, clip_on=False)
    above.set_ylabel("images read correctly")
    above.set_ylim(0, 1.03)
    above.grid()
    above.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    width = 1 / len(count)
    # Most images are in the last bin; on a linear scale the other bars would be invisible.
    below.bar(np.arange(len(count)) * width, count, width * 0.88, align="edge", color=BLUE, log=True)
    below.set_ylim(bottom=0.7)
    below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    below.yaxis.minorticks_off()
    below.set_ylabel("images")
    below.set_xlabel("the model's confidence")
    below.set_xlim(0, 1.01)
    below.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    below.grid(axis="y")
    below.set_axisbelow(True)
    return figure


@_styled
def accuracies(names: Sequence[str], accuracy: NDArray[np.float64], intervals: NDArray[np.float64]) -> Figure:
    """The accuracies of n models, each with its 95 % interval.

    names: n names. accuracy: float64 (n,). intervals: float64 (n, 2), low and high; all in [0, 1].
    """
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, 1.2 + 0.45 * len(names)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(names))
    reach = np.abs(intervals.T - accuracy)
    axes.errorbar(accuracy, rows, xerr=reach, color=BLUE, marker="o", markersize=7, linestyle="none", capsize=4)
    # Folders may be called anything: no commands, and no dollars that begin a formula.
    axes.set_yticks(rows, [printable(name) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("accuracy on the test images, with its 95 % interval")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=1, symbol=" %"))
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    return figure


@_styled
def weight_images(weights: NDArray[np.floating]) -> Figure:
    """The weights of each unit of the first layer as an image: positive ones blue, negative ones orange.

    weights: floats (28, 28, n).
    """
    count = weights.shape[2]
    columns = max(1, math.ceil(math.sqrt(2 * count)))
    tiles = _tile(weights.transpose(2, 0, 1), columns, gap=2, empty=np.nan)
    # Scaled by the largest weight, most others would be almost white.
    limit = float(np.quantile(np.abs(weights), 0.995)) or 1.0
    figure = Figure(
        figsize=(FIGURE_WIDTH_INCHES, FIGURE_WIDTH_INCHES * tiles.shape[0] / tiles.shape[1] + 0.6), layout="constrained"
    )
    axes = figure.add_subplot()
    drawn = axes.imshow(
        tiles,
        cmap=LinearSegmentedColormap.from_list("signed", [RED, "white", BLUE]),
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    _hide_frame(axes)
    bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.6, aspect=40, extend="both", label="weight")
    bar.outline.set_visible(False)
    return figure


def _caption(axes: Axes, left: float, top: float, truth: int, read: int, confidence: float) -> None:
    """Write prediction and confidence below the image whose corner lies at (left, top), and frame the image."""
    right = read == truth
    colour = TEXT if right else RED
    axes.add_patch(
        Rectangle(
            (left - 1, top - 1), 29, 29, fill=False, edgecolor=LINE if right else RED, linewidth=0.8 if right else 2.5
        )
    )
    words = str(read) if right else f"✘ {read}, truth {truth}"
    weight = "normal" if right else "bold"
    axes.text(left + 13.5, top + 30, words, ha="center", va="top", fontsize=9, color=colour, fontweight=weight)
    # Rounded down, because 100 % would claim certainty.
    percent = math.floor(confidence * 1000) / 10
    axes.text(left + 13.5, top + 37, f"{min(percent, 99.9):.1f} %", ha="center", va="top", fontsize=9, color=QUIET)


def _tile(
    images: NDArray[Any], columns: int, gap: int, above: int = 0, below: int = 0, empty: float = 0
) -> NDArray[Any]:
    """Images (n, 28, 28) side by side in one image (h, w), with `gap` pixels around each.

    above, below: additional pixels above the first row, and below each row, for text. empty: value of all pixels
    between the images. One large image is drawn many times faster than many small ones.
    """
    rows = max(1, math.ceil(len(images) / columns))
    height, width = 28 + gap + below, 28 + gap
    cells = np.full((rows * columns, height, width), empty, images.dtype)
    cells[: len(images), :28, :28] = images
    canvas = np.full((above + gap + rows * height, gap + columns * width), empty, images.dtype)
    grid = cells.reshape(rows, columns, height, width).swapaxes(1, 2)
    canvas[above + gap :, gap:] = grid.reshape(rows * height, columns * width)
    return canvas


def _draw_ink(ink: NDArray[Any]) -> tuple[Figure, Axes]:
    """A figure filled by one image (h, w) in [0, 255], drawn as dark ink on white; data coordinates are pixels."""
    height, width = ink.shape
    # Axes that fill the figure need no layout, and RGB pixels no colour map: a third of the time.
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, FIGURE_WIDTH_INCHES * height / width))
    axes = figure.add_axes((0, 0, 1, 1))
    grey = (255 - ink).astype(np.uint8)
    axes.imshow(np.stack([grey] * 3, axis=-1), interpolation="nearest")
    _hide_frame(axes)
    return figure, axes


def _hide_frame(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
