"""Training of the page detector: a small network that finds the digits in the ink of a whole page.

It is fully convolutional, so a page may have any size. For every cell of 4 x 4 pixels it gives a score for each digit
and one for letters and signs, 1 where one has its centre (Zhou et al. 2019, "Objects as Points": one heatmap a class,
trained with a focal loss), and the fraction of the cell's ink that belongs to digits, the digit mask. It is trained on
pages composed of MNIST's training images (`synthesis.pages`).
`python -m mnist_digits.training.shipped.detector detector.onnx` trains one.
"""

import argparse
import ctypes
import functools
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
from keras import layers, ops
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mnist_digits import __version__
from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.errors import DataError
from mnist_digits.files import atomic_write
from mnist_digits.training.engine import checkpoint
from mnist_digits.training.export.onnx import Graph, as_model, translate_all
from mnist_digits.training.export.parity import TOLERANCE
from mnist_digits.training.synthesis.pages import CELL_PX, MIN_CELL_INK, OTHER, PAGE_PX, Pages, compose
from mnist_digits.training.synthesis.stock import compose_kept

CLASSES = OTHER + 1
"""Score channels of the output, one a digit and one for letters and signs; the digit mask is one more."""
PLANES = 2
"""Of the input: ink, and ink before lines were removed."""
OUTPUT = "marks"
"""Name of the ONNX model's output, which `recognition` reads."""
PARTS = ("quarter", "eighth", "sixteenth", "joined_eighth", "joined_quarter")
"""Names of the network's parts, in the order of its constants in a file."""
EMPTY_CELL_WEIGHT = 0.05
"""Weight of a cell without ink in the loss of the digit mask; 1 of all others."""
VALIDATION_PAGES = 400
"""Pages of validation images on which the loss in the file's metadata is measured."""
TURNED_SHARE = 0.08
"""Fraction of the pages that are turned on a side or upside down, where nothing counts as a digit."""
PEAK_RADIUS_CELLS = 3
"""Distance from a digit's centre beyond which its target score is 0."""


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers of the options for how much freed memory the process keeps, and how large a part of it may be."""


@dataclass(frozen=True)
class DetectorRecipe:
    """Everything that decides a detector, but for the seed."""

    stem: int = 12
    """Channels at half the page's resolution."""
    channels: tuple[int, int, int] = (24, 56, 96)
    """Channels at a fourth, an eighth and a sixteenth of it."""
    pages: int = 24_000
    """Pages to train on."""
    rounds: int = 1
    """Cycles of the learning rate; the peak is halved from one to the next."""
    epochs: int = 9
    """Passes over the pages in each round."""
    batch_size: int = 8
    learning_rate: float = 2e-3
    """Peak of the first round; reached after a twentieth of its steps, followed by a cosine decay to 1 %."""
    weight_decay: float = 1e-4
    ema_decay: float = 0.999
    """Decay per step of the exponential moving average of the weights."""


def build(recipe: DetectorRecipe) -> keras.Model:
    """The network: ink, float32 (n, h, w, 2) in [0, 1] → float32 (n, h / CELL_PX, w / CELL_PX, 12) in [0, 1].

    h and w are multiples of sixteen. The ink's second plane is with the lines that were removed from the first.
    Channels 0-9 are the digits' scores, 10 is that of letters and signs, 11 is the digit mask.
    """
    fine, middle, coarse = recipe.channels
    ink = layers.Input((None, None, PLANES), name="ink")
    quarter = keras.Sequential(
        [*_convolution(recipe.stem, 2), *_convolution(fine, 2), *_convolution(fine), *_convolution(fine)],
        name="quarter",
    )(ink)
    eighth = keras.Sequential([*_convolution(middle, 2), *_convolution(middle)], name="eighth")(quarter)
    sixteenth = keras.Sequential(
        [*_convolution(coarse, 2), *_convolution(coarse), *_convolution(middle, size=1)], name="sixteenth"
    )(eighth)
    joined = layers.Add()([eighth, layers.UpSampling2D(2)(sixteenth)])
    joined = keras.Sequential([*_convolution(middle), *_convolution(fine, size=1)], name="joined_eighth")(joined)
    joined = layers.Add()([quarter, layers.UpSampling2D(2)(joined)])
    # Nearly all cells hold no digit's centre: without this bias the first steps learn nothing else.
    head = layers.Conv2D(CLASSES + 1, 1, bias_initializer=keras.initializers.Constant(-4.0), activation="sigmoid")
    return keras.Model(ink, keras.Sequential([*_convolution(fine), head], name="joined_quarter")(joined))


def load_onnx(model: keras.Model, path: Path) -> None:
    """Give the network the weights of a detector that `export_onnx` wrote, to go on training it.

    One that sees only ink without lines is given a second plane, which changes nothing yet. Raises DataError where the
    file holds another network.
    """
    # Beside weights there are the factors of upsampling, which have no layer's name.
    weights = [one for one in onnx.load(path).graph.initializer if not one.name.startswith("constant")]
    wanted = [layer for part in PARTS for layer in model.get_layer(part).layers if layer.weights]
    found = iter([numpy_helper.to_array(one).astype(np.float32) for one in weights])
    try:
        for layer in wanted:
            arrays = [next(found) for _ in layer.weights]
            layer.set_weights([_as_kernel(array) if array.ndim == 4 else array for array in arrays])
    except (StopIteration, ValueError) as error:
        raise DataError(f"{path}: holds another network than this recipe's; train it from nothing") from error


def _as_kernel(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A convolution's kernel, float32 (out, in, h, w) in a file, as Keras has it: float32 (h, w, in, out)."""
    kernel = array.transpose(2, 3, 1, 0)
    return np.pad(kernel, [(0, 0), (0, 0), (0, PLANES - 1), (0, 0)]) if kernel.shape[2] == 1 else kernel


def _convolution(filters: int, stride: int = 1, size: int = 3) -> list[keras.Layer]:
    return [
        layers.Conv2D(filters, size, stride, "same", use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
    ]


def train(
    data: Dataset,
    path: Path,
    recipe: DetectorRecipe,
    seed: int,
    report: Callable[[str], None],
    initial: Path | None = None,
    folder: Path | None = None,
) -> None:
    """Compose pages of the training images, train a detector on them, and write it as ONNX to `path`.

    report: called with a line of progress after each step. initial: a detector's file whose weights to begin with.
    folder: where the composed pages and the state after each epoch are kept, so that the same call goes on after an
    interruption. The file's metadata holds the recipe, the seed, the version, and the loss on pages of validation
    images.
    """
    unseen_count = min(VALIDATION_PAGES, recipe.pages)
    report(f"composing {recipe.pages + unseen_count:,} pages")
    if folder is None:
        pages, unseen = compose(data.train, recipe.pages, seed), compose(data.validation, unseen_count, seed)
    else:
        pages = compose_kept(compose, data.train, recipe.pages, seed, folder / "pages", report)
        unseen = compose_kept(compose, data.validation, unseen_count, seed, folder / "validation-pages", report)
    keras.utils.set_random_seed(seed)
    model = build(recipe)
    if initial:
        load_onnx(model, initial)
    progress = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: report(f"epoch {epoch + 1} of {recipe.epochs}  loss {logs['loss']:.4f}")
    )
    fit(model, pages, recipe, seed, [progress], folder and folder / "state.npz")
    metadata = {
        **{name: str(value) for name, value in asdict(recipe).items()},
        "seed": str(seed),
        "validation_loss": f"{mean_loss(model, unseen, recipe.batch_size):.4f}",
        "version": __version__,
    }
    export_onnx(model, path, metadata, planes_of(unseen, np.array([0]))[0])


def mean_loss(model: keras.Model, pages: Pages, batch_size: int) -> float:
    """The mean loss over all batches of the pages."""
    batches = Batches(pages, batch_size, 0)
    pairs = (batches[i] for i in range(len(batches)))
    return float(np.mean([loss(target, model(ink, training=False)) for ink, target in pairs]))


def fit(
    model: keras.Model,
    pages: Pages,
    recipe: DetectorRecipe,
    seed: int,
    callbacks: list[Any],
    state: Path | None = None,
) -> None:
    """Train the network on composed pages. callbacks: Keras's. state: see `_EpochKeeper`."""
    steps = recipe.epochs * len(pages) // recipe.batch_size
    keeper = _EpochKeeper(state, recipe.epochs)
    for number in range(keeper.current_round, recipe.rounds):
        peak = recipe.learning_rate / 2**number
        rate = keras.optimizers.schedules.CosineDecay(0.0, steps, 0.01, warmup_target=peak, warmup_steps=steps // 20)
        optimiser = keras.optimizers.AdamW(
            rate, weight_decay=recipe.weight_decay, use_ema=True, ema_momentum=recipe.ema_decay, global_clipnorm=5.0
        )
        # XLA is slow at convolutions on a CPU.
        model.compile(optimiser, loss=loss, jit_compile=False)
        done = keeper.restore(model, number)
        batches = Batches(pages, recipe.batch_size, seed + number, done)
        model.fit(
            batches,
            initial_epoch=done,
            epochs=recipe.epochs,
            verbose=0,
            callbacks=[_MemoryKeeper(), keeper, *callbacks],
        )


class _MemoryKeeper(keras.callbacks.Callback):
    """Has the process keep freed memory for the next batch.

    TensorFlow 2.21 has glibc give it back to the system wherever batches come from Python, and getting it anew took
    half of the time: 1.07 seconds of a core a batch instead of 0.58.
    """

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Undo that; by then the first batch has come."""
        if batch == 0 and sys.platform == "linux":
            library = ctypes.CDLL(None)
            # Other C libraries than glibc lack the function.
            if hasattr(library, "mallopt"):
                library.mallopt(M_MMAP_THRESHOLD, 32 << 20)
                library.mallopt(M_TRIM_THRESHOLD, 1 << 30)


class _EpochKeeper(keras.callbacks.Callback):
    """Keeps what `fit` has reached after each epoch, and returns to it."""

    def __init__(self, path: Path | None, epochs: int) -> None:
        """path: the file, which need not exist yet; None keeps nothing. epochs: in each round."""
        super().__init__()
        self._path, self._epochs = path, epochs
        exists = path is not None and path.exists()
        self._done = checkpoint.count_epochs(path) if path is not None and exists else 0
        # A round that has ended is entered once more: its end replaces the weights by their average.
        self.current_round = max(0, self._done - 1) // epochs

    def restore(self, model: keras.Model, number: int) -> int:
        """Set the model and its optimiser, new for this round, to what was kept; returns how many of its epochs are."""
        model.optimizer.build(model.trainable_variables)
        if self._path is None or not self._done or number > self.current_round:
            return 0
        checkpoint.restore(self._path, [*model.variables, *model.optimizer.variables])
        return self._done - number * self._epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep an epoch, counted from 0 in each round."""
        self._done += 1
        if self._path is not None:
            variables = [*self.model.variables, *self.model.optimizer.variables]
            checkpoint.save(self._path, variables, np.zeros((self._done, 1)))


class Batches(keras.utils.PyDataset):
    """Batches of pages, shuffled anew for each epoch: ink, float32 (n, h, w, 2) in [0, 1], and `targets`.

    A batch depends on the seed, the number of the epoch and its own alone.
    """

    def __init__(self, pages: Pages, batch_size: int, seed: int, epoch: int = 0) -> None:
        super().__init__()
        self._pages, self._batch_size, self._seed = pages, batch_size, seed
        self._epoch = epoch - 1
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Shuffle."""
        self._epoch += 1
        self._order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._pages))

    def __len__(self) -> int:
        return len(self._order) // self._batch_size

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        chosen = self._order[index * self._batch_size :][: self._batch_size]
        ink, mask, digits = planes_of(self._pages, chosen), self._pages.digit_mask[chosen], self._pages.digits[chosen]
        random = np.random.default_rng([self._seed, self._epoch, index])
        for page in np.flatnonzero(random.random(len(chosen)) < TURNED_SHARE):
            ink[page] = np.rot90(ink[page], int(random.integers(1, 4)))
            mask[page], digits[page] = 0, -1
        return ink, targets(ink, mask, digits)


def planes_of(pages: Pages, chosen: NDArray[np.int_]) -> NDArray[np.float32]:
    """The network's input for some pages: float32 (n, PAGE_PX, PAGE_PX, 2) in [0, 1]. chosen: their numbers."""
    return np.stack([pages.ink[chosen], pages.lined_ink[chosen]], axis=-1).astype(np.float32) / np.float32(255)


def targets(
    ink: NDArray[np.float32], digit_mask: NDArray[np.uint8], digits: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The wanted output for some pages, and the weight of each cell in the digit mask's loss: float32 (n, h, w, 13).

    ink: float32 (n, PAGE_PX, PAGE_PX, 2) in [0, 1]. digit_mask, digits: as in `Pages`. Channels 0-10: a peak of 1 in
    the cell of each digit's, letter's or sign's centre. 11: the digit mask. 12: the weight.
    """
    count, cells = len(ink), PAGE_PX // CELL_PX
    result = np.zeros((count, cells, cells, CLASSES + 2), np.float32)
    mean_ink = ink.reshape(count, cells, CELL_PX, cells, CELL_PX, PLANES).mean(axis=(2, 4))
    result[..., CLASSES] = digit_mask / np.float32(255)
    result[..., CLASSES + 1] = np.where((mean_ink > MIN_CELL_INK).any(axis=-1), 1, EMPTY_CELL_WEIGHT)
    _add_peaks(result, digits)
    return result


def _add_peaks(result: NDArray[np.float32], digits: NDArray[np.float32]) -> None:
    """Write a Gaussian into each digit's channel, 1 at its centre, as wide and high as the digit requires."""
    page, place = np.nonzero(digits[..., 0] >= 0)
    label, x, y, width, height = digits[page, place].T
    column, row = (np.clip(centre / CELL_PX, 0, result.shape[1] - 1).astype(int) for centre in (x, y))
    near = np.arange(-PEAK_RADIUS_CELLS, PEAK_RADIUS_CELLS + 1)
    sigma_x, sigma_y = (np.clip(size / CELL_PX * 0.14, 0.45, 1.4)[:, None] for size in (width, height))
    peak = np.exp(-((near / sigma_y) ** 2) / 2)[:, :, None] * np.exp(-((near / sigma_x) ** 2) / 2)[:, None, :]
    rows, columns = row[:, None, None] + near[:, None], column[:, None, None] + near
    inside = (rows >= 0) & (rows < result.shape[1]) & (columns >= 0) & (columns < result.shape[2])
    where = np.broadcast_arrays(page[:, None, None], rows, columns, label[:, None, None].astype(int))
    np.maximum.at(result, tuple(index[inside] for index in where), peak[inside])


def loss(target: Any, output: Any) -> Any:
    """The scores' focal loss per digit, plus twice the digit mask's weighted mean cross entropy.

    target: as `targets` gives it. output: the network's. The focal loss is that of Zhou et al., equation 1.
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


def export_onnx(model: keras.Model, path: Path, metadata: dict[str, str], ink: NDArray[np.float32]) -> None:
    """Write the network as ONNX: input `ink` float32 (1, 2, h, w), output `marks` float32 (1, 12, h / 4, w / 4).

    Convolution kernels are rounded to float16, in the model too, which halves the file and changes scores by less
    than 0.001. metadata: kept in the file. ink: float32 (h, w, 2) in [0, 1], on which ONNX and Keras are compared.
    Raises DataError, and writes no file, when they differ by more than TOLERANCE.
    """
    model.set_weights([w.astype(np.float16).astype(np.float32) if w.ndim == 4 else w for w in model.get_weights()])
    content = _to_onnx(model, metadata).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (output,) = session.run([OUTPUT], {"ink": ink.transpose(2, 0, 1)[None]})
    expected = np.asarray(model(ink[None], training=False)).transpose(0, 3, 1, 2)
    difference = float(np.abs(output - expected).max())
    if difference > TOLERANCE:
        raise DataError(
            f"{path}: differs from Keras by {difference:.1e}, expected at most {TOLERANCE:.0e}; not written"
        )
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _to_onnx(model: keras.Model, metadata: dict[str, str]) -> Any:
    graph = Graph()
    part = {layer.name: layer for layer in model.layers}
    quarter = translate_all(part["quarter"], graph, "ink")
    eighth = translate_all(part["eighth"], graph, quarter)
    sixteenth = translate_all(part["sixteenth"], graph, eighth)
    joined = translate_all(part["joined_eighth"], graph, graph.add("Add", [eighth, _upsampled(graph, sixteenth)]))
    joined = translate_all(part["joined_quarter"], graph, graph.add("Add", [quarter, _upsampled(graph, joined)]))
    graph.add("Identity", [joined], name=OUTPUT)
    shapes = {"ink": [1, PLANES, "h", "w"], OUTPUT: [1, CLASSES + 1, "rows", "columns"]}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in shapes.items()
    )
    nodes, constants = _with_half_precision_kernels(graph)
    converted = as_model(helper.make_graph(nodes, "detector", inputs, outputs, constants))
    helper.set_model_props(converted, metadata)
    return converted


def _with_half_precision_kernels(graph: Graph) -> tuple[list[NodeProto], list[TensorProto]]:
    """The graph's operations and constants, with convolution kernels as float16 that are cast when the model runs."""
    casts, constants = [], []
    for constant in graph.constants:
        if len(constant.dims) == 4:
            half = numpy_helper.from_array(numpy_helper.to_array(constant).astype(np.float16), f"{constant.name}_half")
            casts.append(helper.make_node("Cast", [half.name], [constant.name], to=TensorProto.FLOAT))
            constants.append(half)
        else:
            constants.append(constant)
    return [*casts, *graph.nodes], constants


def _upsampled(graph: Graph, value: str) -> str:
    """Append nearest-neighbour upsampling by two, as Keras's UpSampling2D; returns the result's name."""
    options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph.add("Resize", [value, "", graph.constant(np.array([1, 1, 2, 2], np.float32))], **options)


def main() -> None:
    """Train a detector from the command line."""
    parser = argparse.ArgumentParser(description="Train a page detector on composed pages: 1-2 hours on one core.")
    parser.add_argument("path", type=Path, metavar="FILE.onnx", help="the file to write")
    parser.add_argument("--seed", type=int, default=0, help="decides the pages and the first weights (default: 0)")
    parser.add_argument("--from", dest="initial", type=Path, metavar="FILE.onnx", help="a detector to go on training")
    parser.add_argument("--folder", type=Path, help="keeps pages and epochs: given again, it goes on after a break")
    arguments = parser.parse_args()
    report = functools.partial(print, file=sys.stderr, flush=True)
    train(load_mnist(), arguments.path, DetectorRecipe(), arguments.seed, report, arguments.initial, arguments.folder)


if __name__ == "__main__":
    main()
