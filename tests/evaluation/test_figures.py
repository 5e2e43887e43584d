import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.command import ODD_NAME, unprintable
from mnist_digits.evaluation import figures


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 28, 28)).astype(np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    return (np.arange(60) % 10).astype(np.uint8)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def pixels(figure: Figure) -> np.ndarray:
    return np.asarray(figure.axes[0].get_images()[0].get_array())


def render(figure: Figure) -> np.ndarray:
    """Draw it, which is when Matplotlib finds most faults."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def contains(canvas: np.ndarray, image: np.ndarray) -> bool:
    """Whether the ink of an image is drawn somewhere on the canvas, dark on light."""
    paper = 255 - image
    windows = np.lib.stride_tricks.sliding_window_view(canvas[..., 0], (28, 28))
    starts = np.argwhere(windows[:, :, 0, 0] == paper[0, 0])
    return any((windows[row, column] == paper).all() for row, column in starts)


def test_samples_stand_in_the_column_of_their_class(images, labels):
    figure = figures.samples_by_class(images, labels, per_class=3)
    canvas = pixels(figure)
    assert words(figure) == [str(digit) for digit in range(10)]
    for digit in range(10):
        column = canvas[:, 4 + 32 * digit : 32 + 32 * digit]
        assert all(contains(column, image) for image in images[labels == digit][:3])
    assert not contains(canvas, images[labels == 0][3])
    render(figure)


def test_a_class_with_few_samples_leaves_room(images, labels):
    canvas = pixels(figures.samples_by_class(images, np.zeros(60, np.uint8)))
    assert (canvas[:, 40:] == 255).all()
    assert contains(canvas, images[0])


def test_class_counts_have_a_panel_and_a_bar_for_each(labels):
    counts = {"training": np.arange(10), "validation": np.ones(10, int), "test": np.full(10, 7)}
    figure = figures.class_counts(counts)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["training: 45", "validation: 10", "test: 70"]
    assert [bar.get_height() for bar in figure.axes[0].patches] == list(range(10))
    render(figure)


def test_mean_digits_are_drawn_and_a_missing_one_is_blank():
    means = np.full((10, 28, 28), 100.0)
    means[7] = np.nan
    figure = figures.mean_digits(means)
    canvas = pixels(figure)
    assert words(figure) == [str(digit) for digit in range(10)]
    assert (canvas == 155).all(2).sum() == 9 * 28 * 28
    render(figure)


def test_predictions_name_what_was_read_and_mark_the_wrong_ones(images):
    probabilities = np.zeros((3, 10), np.float32)
    probabilities[[0, 1, 2], [4, 9, 1]] = [0.99996, 0.62, 0.5]
    figure = figures.predictions(images[:3], np.array([4, 4, 1]), probabilities)
    # A confidence is rounded down: nothing is 100 % sure.
    assert words(figure) == ["4", "99.9 %", "✘ 9, truth 4", "62.0 %", "1", "50.0 %"]
    frames = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert [to_hex(frame.get_edgecolor()) == figures.RED for frame in frames] == [False, True, False]
    assert frames[1].get_linewidth() > 2 * frames[0].get_linewidth()
    assert all(contains(pixels(figure), image) for image in images[:3])
    render(figure)


def test_distortions_frame_the_image_that_they_were_made_from(images):
    figure = figures.distortions(images[:40])
    canvas = pixels(figure)
    assert canvas.shape[:2] == (4 + 4 * 32, 4 + 10 * 32)
    for index, image in enumerate(images[:40]):
        row, column = divmod(index, 10)
        assert contains(canvas[4 + 32 * row : 32 + 32 * row, 4 + 32 * column : 32 + 32 * column], image)
    (frame,) = figure.axes[0].patches
    assert frame.get_bbox().containsx(4)
    assert not frame.get_bbox().containsx(36)
    render(figure)


@pytest.mark.parametrize("count", [1, 7, 8, 60])
def test_any_number_of_predictions_fits(images, labels, count):
    figure = figures.predictions(images[:count], labels[:count], np.full((count, 10), 0.1, np.float32))
    assert len(figure.axes[0].patches) == count
    assert render(figure).shape[1] == 800


def test_confusion_colours_mistakes_and_leaves_the_diagonal_grey():
    confusion = np.diag([1000] * 10)
    confusion[4, 9], confusion[2, 7] = 12, 3
    figure = figures.confusion_heatmap(confusion)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("read as", "truth")
    assert sorted(words(figure)) == sorted(["1,000"] * 10 + ["12", "3"])
    assert axes.collections[0].get_clim() == (0, 12)
    assert {to_hex(patch.get_facecolor()) for patch in axes.patches} == {figures.FAINT}
    place = {text.get_text(): text.get_position() for text in axes.texts}
    assert place["12"] == (9.5, 4.5)
    render(figure)


def test_confusion_without_a_mistake():
    render(figures.confusion_heatmap(np.eye(10, dtype=int)))


HISTORY = {"loss": [0.5, 0.3], "accuracy": [0.8, 0.9], "val_loss": [0.4, 0.35], "val_accuracy": [0.85, 0.88]}


def test_curves_show_training_against_validation():
    figure = figures.learning_curves(HISTORY)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss (nats)", "Accuracy"]
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        training, validation = axes.lines
        assert (training.get_label(), validation.get_label()) == ("training", "validation")
        assert training.get_xdata().tolist() == [1, 2]
        assert list(training.get_ydata()) == HISTORY[name]
        assert list(validation.get_ydata()) == HISTORY[f"val_{name}"]
        # Also without colour the two differ.
        assert training.get_linestyle() != validation.get_linestyle()
    render(figure)


@pytest.mark.parametrize("epochs", [1, 200])
def test_curves_of_one_epoch_and_of_many(epochs):
    figure = figures.learning_curves({name: np.linspace(0.4, 0.9, epochs) for name in HISTORY})
    render(figure)
    ticks = [tick for tick in figure.axes[0].get_xticks() if 1 <= tick <= epochs]
    assert 1 <= len(ticks) <= 10
    assert all(tick == int(tick) for tick in ticks)


def test_reliability_has_a_point_and_a_bar_for_each_bin():
    accuracy = np.array([np.nan, 0.5, 1.0])
    figure = figures.reliability_diagram(np.array([np.nan, 0.5, 0.9]), accuracy, np.array([0, 4, 900]))
    above, below = figure.axes
    assert above.lines[1].get_ydata().tolist()[1:] == [0.5, 1.0]
    assert [bar.get_height() for bar in below.patches] == [0, 4, 900]
    assert below.get_yscale() == "log"
    render(figure)


@pytest.mark.parametrize("units", [1, 6, 128])
def test_weight_images_are_symmetric_about_nought(units):
    weights = np.random.default_rng(0).normal(size=(28, 28, units))
    figure = figures.weight_images(weights)
    drawn = figure.axes[0].get_images()[0]
    low, high = drawn.get_clim()
    assert low == -high
    values = np.ma.masked_invalid(drawn.get_array()).compressed()
    assert sorted(values) == sorted(weights.ravel())
    render(figure)


def test_weights_of_nought_are_drawn():
    render(figures.weight_images(np.zeros((28, 28, 3))))


def test_a_figure_ignores_and_keeps_the_callers_style():
    expected = render(figures.learning_curves(HISTORY))
    with mpl.rc_context({"axes.facecolor": "red", "lines.linewidth": 9}):
        assert (render(figures.learning_curves(HISTORY)) == expected).all()
        assert mpl.rcParams["lines.linewidth"] == 9


def test_names_of_runs_are_neither_commands_nor_formulas():
    figure = figures.accuracies([ODD_NAME, "$x_$"], np.array([0.9, 0.8]), np.array([[0.8, 1], [0.7, 0.9]]))
    render(figure)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[1] == "$x_$"
    assert unprintable(names[0]) == set()
