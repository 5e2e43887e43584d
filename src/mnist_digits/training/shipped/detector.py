"""Training of the page detector: a small network that finds the digits in the ink of a whole page.

It is fully convolutional, so a page may have any size. For every cell of 4 x 4 pixels it gives a score for each digit
and one for letters and signs, 1 where one has its centre (Zhou et al. 2019, "Objects as Points": one heatmap a class,
trained with a focal loss); and for each of the cell's four parts the fraction of its ink that belongs to digits, the
digit mask, and the way from there to the centre of the digit (Cheng et al. 2020, "Panoptic-DeepLab"). It is trained on
pages composed of MNIST's training images (`synthesis.pages`).
`python -m mnist_digits.training.shipped.detector detector.onnx` trains one.
"""

import argparse
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
from keras import layers
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mnist_digits import __version__
from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.errors import DataError
from mnist_digits.files import atomic_write
from mnist_digits.recognition.layout.detector import FINER
from mnist_digits.training.engine import checkpoint
from mnist_digits.training.engine.loop import compile_epoch, compile_function, draw_key, sample_order
from mnist_digits.training.engine.weight_average import WeightAverage
from mnist_digits.training.export.onnx import Graph, as_model, translate_all
from mnist_digits.training.export.parity import TOLERANCE
from mnist_digits.training.shipped.page_step import CHANNELS, CLASSES, PLANES, PageStep, arrays_of, batch_of, loss
from mnist_digits.training.synthesis.pages import Pages, compose
from mnist_digits.training.synthesis.stock import compose_kept

OUTPUT = "marks"
"""Name of the ONNX model's output, which `recognition` reads."""
PARTS = ("quarter", "eighth", "sixteenth", "joined_eighth", "joined_quarter")
"""Names of the network's parts, in the order of its constants in a file."""
KEPT_SHARE = 0.5
"""Weight of the network that a training goes on from, in the mean with the trained one: it keeps what it knew (Wortsman
et al. 2022, "Robust fine-tuning of zero-shot models")."""
VALIDATION_PAGES = 400
"""Pages of validation images on which the loss in the file's metadata is measured."""


@dataclass(frozen=True)
class DetectorRecipe:
    """Everything that decides a detector, but for the seed."""

    stem: int = 12
    """Channels at half the page's resolution."""
    channels: tuple[int, int, int] = (24, 56, 96)
    """Channels at a fourth, an eighth and a sixteenth of it."""
    pages: int = 24_000
    """Pages to train on."""
    epochs: int = 12
    """Passes over the pages."""
    batch_size: int = 16
    learning_rate: float = 3e-3
    """Peak; reached after a twentieth of the steps, followed by a cosine decay to 1 %."""
    weight_decay: float = 1e-4
    ema_decay: float = 0.999
    """Decay per step of the exponential moving average of the weights."""


def build(recipe: DetectorRecipe) -> keras.Model:
    """The network: ink, float32 (n, h, w, 2) in [0, 1] → float32 (n, h / CELL_PX, w / CELL_PX, CHANNELS) in [0, 1].

    h and w are multiples of sixteen. The ink's second plane is with the lines that were removed from the first.
    Channels 0-9 are the digits' scores, 10 is that of letters and signs; then, for the four parts of each cell
    (sub-pixel convolution, Shi et al. 2016, "Real-time single image and video super-resolution"), come the digit mask
    and the way to the digit's centre, as `page_step.targets` says.
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
    head = layers.Conv2D(CHANNELS, 1, bias_initializer=keras.initializers.Constant(-4.0), activation="sigmoid")
    return keras.Model(ink, keras.Sequential([*_convolution(fine), head], name="joined_quarter")(joined))


def load_onnx(model: keras.Model, path: Path) -> None:
    """Give the network the weights of a detector that `export_onnx` wrote, to go on training it.

    One whose digit mask has a single part a cell, and that tells no ways, is given the others. Raises DataError where
    the file holds another network.
    """
    # Beside weights there are the factors of upsampling, which have no layer's name.
    weights = [one for one in onnx.load(path).graph.initializer if not one.name.startswith("constant")]
    wanted = [layer for part in PARTS for layer in model.get_layer(part).layers if layer.weights]
    found = iter([numpy_helper.to_array(one).astype(np.float32) for one in weights])
    try:
        for layer in wanted:
            arrays = [next(found) for _ in layer.weights]
            arrays = [array.transpose(2, 3, 1, 0) if array.ndim == 4 else array for array in arrays]
            layer.set_weights([_with_all_outputs(array) for array in arrays] if layer is wanted[-1] else arrays)
    except (StopIteration, ValueError) as error:
        raise DataError(f"{path}: holds another network than this recipe's; train it from nothing") from error


def _with_all_outputs(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A kernel or bias, float32 (..., CHANNELS): where it has but one output after the scores, as described above."""
    if array.shape[-1] != CLASSES + 1:
        return array
    parts = FINER**2
    scores, mask = array[..., :CLASSES], array[..., CLASSES:]
    return np.concatenate([scores, *[mask] * parts, np.zeros_like(mask, shape=(*mask.shape[:-1], 2 * parts))], axis=-1)


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

    report: called with a line of progress after each step. initial: a detector's file whose weights to begin with; what
    is written is the mean of these and the trained ones, KEPT_SHARE of it the first. folder: where the composed pages
    and the state after each epoch are kept, so that the same call goes on after an interruption. The file's metadata
    holds the recipe, the seed, the version, and the loss on pages of validation images.
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
    before = model.get_weights()
    fit(
        model,
        pages,
        recipe,
        seed,
        lambda epoch, loss: report(f"epoch {epoch} of {recipe.epochs}  loss {loss:.4f}"),
        folder and folder / "state.npz",
    )
    if initial:
        pairs = zip(before, model.get_weights(), strict=True)
        model.set_weights([KEPT_SHARE * old + (1 - KEPT_SHARE) * new for old, new in pairs])
    metadata = {
        **{name: str(value) for name, value in asdict(recipe).items()},
        "seed": str(seed),
        "validation_loss": f"{mean_loss(model, unseen, recipe.batch_size):.4f}",
        "version": __version__,
    }
    first = (array[:1] for array in arrays_of(unseen))
    export_onnx(model, path, metadata, keras.ops.convert_to_numpy(batch_of(*first)[0])[0])


def mean_loss(model: keras.Model, pages: Pages, batch_size: int) -> float:
    """The mean loss over all full batches of the pages."""
    evaluate = compile_function(lambda *page: loss(batch_of(*page)[1], model(batch_of(*page)[0])), model)
    starts = range(0, len(pages) - batch_size + 1, batch_size)
    arrays = [[np.asarray(array[start:][:batch_size]) for array in arrays_of(pages)] for start in starts]
    return float(np.mean([evaluate(*batch) for batch in arrays]))


def fit(
    model: keras.Model,
    pages: Pages,
    recipe: DetectorRecipe,
    seed: int,
    report: Callable[[int, float], None],
    state: Path | None = None,
) -> None:
    """Train the network on composed pages, which are held in memory, or on the accelerator.

    report: called after each epoch with its number, from 1, and its mean loss. state: a file that keeps what was
    reached after each epoch, from which the same call goes on.
    """
    steps = recipe.epochs * (len(pages) // recipe.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, 0.01, warmup_target=recipe.learning_rate, warmup_steps=steps // 20
    )
    model.compile(keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, global_clipnorm=5.0))
    average = WeightAverage(model, recipe.ema_decay)
    step = PageStep(model, average)
    done = len(checkpoint.restore(state, step.variables)) if state is not None and state.exists() else 0
    # XLA is slow at convolutions on a CPU.
    run_epoch = compile_epoch(step, arrays_of(pages), recipe.batch_size, jit_compile=False)
    for epoch in range(done, recipe.epochs):
        total, count = run_epoch(sample_order(len(pages), seed, epoch), draw_key(seed, epoch), 1.0)
        if state is not None:
            checkpoint.save(state, step.variables, np.zeros((epoch + 1, 1)))
        report(epoch + 1, float(total / count))
    average.apply()


def export_onnx(model: keras.Model, path: Path, metadata: dict[str, str], ink: NDArray[np.float32]) -> None:
    """Write the network as ONNX: input `ink` float32 (1, 2, h, w), output `marks` float32 (1, 23, h / 4, w / 4).

    Convolution kernels are rounded to float16, in the model too, which halves the file and changes scores by less
    than 0.001. metadata: kept in the file. ink: float32 (h, w, 2) in [0, 1], on which ONNX and Keras are compared.
    Raises DataError, and writes no file, when they differ by more than TOLERANCE.
    """
    model.set_weights([w.astype(np.float16).astype(np.float32) if w.ndim == 4 else w for w in model.get_weights()])
    content = _to_onnx(model, metadata).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (output,) = session.run([OUTPUT], {"ink": ink.transpose(2, 0, 1)[None]})
    answer = compile_function(lambda planes: model(planes, training=False), model)
    expected = keras.ops.convert_to_numpy(answer(ink[None])).transpose(0, 3, 1, 2)
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
    shapes = {"ink": [1, PLANES, "h", "w"], OUTPUT: [1, CHANNELS, "rows", "columns"]}
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
    parser = argparse.ArgumentParser(
        description="Train a page detector on composed pages: minutes on a GPU, a night on two cores."
    )
    parser.add_argument("path", type=Path, metavar="FILE.onnx", help="the file to write")
    parser.add_argument("--seed", type=int, default=0, help="decides the pages and the first weights (default: 0)")
    parser.add_argument("--from", dest="initial", type=Path, metavar="FILE.onnx", help="a detector to go on training")
    parser.add_argument("--folder", type=Path, help="keeps pages and epochs: given again, it goes on after a break")
    arguments = parser.parse_args()
    report = functools.partial(print, file=sys.stderr, flush=True)
    train(load_mnist(), arguments.path, DetectorRecipe(), arguments.seed, report, arguments.initial, arguments.folder)


if __name__ == "__main__":
    main()
