"""The spotter: a small network that sees a whole page's ink and marks where on it digits stand.

It is fully convolutional, so a page may have any size, and gives for every cell of four by four pixels how likely a
digit has its middle there (Zhou et al. 2019, "Objects as Points": a heatmap for each class, trained by a focal loss)
and how much of its ink belongs to digits. It learns from sheets composed of MNIST's training images, as `sheets` makes
them. `python -m mnist_digits.training.detector spotter.onnx` trains one.
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
import onnxruntime
from keras import layers, ops
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mnist_digits import __version__
from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.errors import DataError
from mnist_digits.files import atomic_write
from mnist_digits.training.export.onnx import Graph, as_model, translate_all
from mnist_digits.training.export.parity import TOLERANCE
from mnist_digits.training.synthesis.pages import CELL, SIDE, Sheets, compose

HEATS = 10
"""Channels of the output, one for each digit; one more is the cover."""

PAPER = 0.05
"""Weight of a cell without ink in the loss of the cover."""

UNSEEN = 400
"""Sheets of validation images, on which the loss is told."""

TURNED = 0.08
"""Share of sheets that lie on a side or on their heads."""

MARGIN = 3
"""Cells around a digit's middle that are near it."""


@dataclass(frozen=True)
class Spotting:
    """Every number that decides a spotter."""

    stem: int = 12
    """Channels at half the page's resolution."""
    channels: tuple[int, int, int] = (24, 56, 96)
    """At a fourth, an eighth, a sixteenth of it."""
    sheets: int = 6000
    rounds: int = 2
    """In each the learning rate rises and falls, the second time to half the height, and so on."""
    epochs: int = 4
    """Of each round."""
    batch_size: int = 8
    learning_rate: float = 2e-3
    """At its peak; it rises over a twentieth of the steps and falls along a cosine."""
    weight_decay: float = 1e-4
    ema: float = 0.998
    """Weights are averaged over the steps, each counting so much less than the next."""


def build(spotting: Spotting) -> keras.Model:
    """The network: ink, float32 (n, h, w, 1) in [0, 1] → float32 (n, h / CELL, w / CELL, 11) in [0, 1].

    h and w are multiples of sixteen.
    """
    fine, middle, coarse = spotting.channels
    ink = layers.Input((None, None, 1), name="ink")
    quarter = keras.Sequential(
        [*_convolution(spotting.stem, 2), *_convolution(fine, 2), *_convolution(fine), *_convolution(fine)],
        name="quarter",
    )(ink)
    eighth = keras.Sequential([*_convolution(middle, 2), *_convolution(middle)], name="eighth")(quarter)
    sixteenth = keras.Sequential(
        [*_convolution(coarse, 2), *_convolution(coarse), *_convolution(middle, side=1)], name="sixteenth"
    )(eighth)
    joined = layers.Add()([eighth, layers.UpSampling2D(2)(sixteenth)])
    joined = keras.Sequential([*_convolution(middle), *_convolution(fine, side=1)], name="joined_eighth")(joined)
    joined = layers.Add()([quarter, layers.UpSampling2D(2)(joined)])
    # Nearly everywhere there is no digit: without this bias the first steps learn nothing else.
    head = layers.Conv2D(HEATS + 1, 1, bias_initializer=keras.initializers.Constant(-4.0), activation="sigmoid")
    return keras.Model(ink, keras.Sequential([*_convolution(fine), head], name="joined_quarter")(joined))


def _convolution(filters: int, stride: int = 1, side: int = 3) -> list[keras.Layer]:
    return [
        layers.Conv2D(filters, side, stride, "same", use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
    ]


def train(data: Dataset, path: Path, spotting: Spotting, seed: int, report: Callable[[str], None]) -> None:
    """Compose sheets of the training images, train a spotter on them, and write it as ONNX.

    path: of the file. report: is told how far it is. The file's metadata holds the loss on sheets of validation images.
    """
    report(f"composing {spotting.sheets:,} sheets")
    sheets, unseen = compose(data.train, spotting.sheets, seed), compose(data.validation, UNSEEN, seed)
    model = build(spotting)
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: report(f"epoch {epoch + 1} of {spotting.epochs}  loss {logs['loss']:.4f}")
    )
    fit(model, sheets, spotting, seed, [told])
    metadata = {
        **{name: str(value) for name, value in asdict(spotting).items()},
        "seed": str(seed),
        "validation_loss": f"{mean_loss(model, unseen, spotting.batch_size):.4f}",
        "version": __version__,
    }
    export_onnx(model, path, metadata, unseen.ink[0].astype(np.float32) / 255)


def mean_loss(model: keras.Model, sheets: Sheets, batch_size: int) -> float:
    """Over all batches."""
    batches = Batches(sheets, batch_size, 0)
    every = (batches[i] for i in range(len(batches)))
    return float(np.mean([loss(target, model(ink, training=False)) for ink, target in every]))


def fit(model: keras.Model, sheets: Sheets, spotting: Spotting, seed: int, callbacks: list[Any] | None = None) -> None:
    """Train the network on composed sheets."""
    keras.utils.set_random_seed(seed)
    steps = spotting.epochs * len(sheets) // spotting.batch_size
    for number in range(spotting.rounds):
        peak = spotting.learning_rate / 2**number
        rate = keras.optimizers.schedules.CosineDecay(0.0, steps, 0.01, warmup_target=peak, warmup_steps=steps // 20)
        optimiser = keras.optimizers.AdamW(
            rate, weight_decay=spotting.weight_decay, use_ema=True, ema_momentum=spotting.ema, global_clipnorm=5.0
        )
        # XLA is slow at convolutions on a CPU.
        model.compile(optimiser, loss=loss, jit_compile=False)
        batches = Batches(sheets, spotting.batch_size, seed + number)
        model.fit(batches, epochs=spotting.epochs, verbose=0, callbacks=callbacks)


class Batches(keras.utils.PyDataset):
    """Batches of sheets and of what the network shall say of them."""

    def __init__(self, sheets: Sheets, batch_size: int, seed: int) -> None:
        super().__init__()
        self._sheets, self._batch_size = sheets, batch_size
        self._random = np.random.default_rng(seed)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Shuffle."""
        self._order = self._random.permutation(len(self._sheets))

    def __len__(self) -> int:
        return len(self._order) // self._batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[index * self._batch_size :][: self._batch_size]
        ink, cover, digits = (array[chosen] for array in (self._sheets.ink, self._sheets.cover, self._sheets.digits))
        for sheet in np.flatnonzero(self._random.random(len(chosen)) < TURNED):
            # On its side or its head, a digit is none.
            ink[sheet] = np.rot90(ink[sheet], int(self._random.integers(1, 4)))
            cover[sheet], digits[sheet] = 0, -1
        scaled = ink.astype(np.float32) / 255
        return scaled[..., None], targets(scaled, cover, digits)


def targets(ink: np.ndarray, cover: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """What the network shall say of some sheets, and how much the last of it counts: float32 (n, h, w, 12).

    ink: float32 (n, SIDE, SIDE) in [0, 1]. cover, digits: as in `Sheets`.
    """
    count, cells = len(ink), SIDE // CELL
    result = np.zeros((count, cells, cells, HEATS + 2), np.float32)
    found = ink.reshape(count, cells, CELL, cells, CELL).mean(axis=(2, 4))
    result[..., HEATS] = np.clip(cover / 255 / np.maximum(found, 0.02), 0, 1)
    result[..., HEATS + 1] = np.where(found > 0.04, 1, PAPER)
    _heat(result, digits)
    return result


def _heat(result: np.ndarray, digits: np.ndarray) -> None:
    """A peak of 1 in the cell of each digit's middle, falling off as it is high and wide."""
    sheet, place = np.nonzero(digits[..., 0] >= 0)
    label, x, y, width, height = digits[sheet, place].T
    column, row = (np.clip(middle / CELL, 0, result.shape[1] - 1).astype(int) for middle in (x, y))
    near = np.arange(-MARGIN, MARGIN + 1)
    narrow, low = (np.clip(side / CELL * 0.14, 0.45, 1.4)[:, None] for side in (width, height))
    peak = np.exp(-((near / low) ** 2) / 2)[:, :, None] * np.exp(-((near / narrow) ** 2) / 2)[:, None, :]
    rows, columns = row[:, None, None] + near[:, None], column[:, None, None] + near
    inside = (rows >= 0) & (rows < result.shape[1]) & (columns >= 0) & (columns < result.shape[2])
    where = np.broadcast_arrays(sheet[:, None, None], rows, columns, label[:, None, None].astype(int))
    np.maximum.at(result, tuple(index[inside] for index in where), peak[inside])


def loss(target: Any, output: Any) -> Any:
    """The focal loss of the heat for each digit there is, and the cross entropy of the cover."""
    heat, cover, weight = target[..., :HEATS], target[..., HEATS], target[..., HEATS + 1]
    said = ops.clip(output[..., :HEATS], 1e-5, 1 - 1e-5)
    peak = ops.cast(heat > 0.999, "float32")
    missed = -peak * (1 - said) ** 2 * ops.log(said)
    invented = -((1 - heat) ** 4) * (1 - peak) * said**2 * ops.log(1 - said)
    digits = ops.maximum(ops.sum(peak), 1.0)
    covered = ops.clip(output[..., HEATS], 1e-5, 1 - 1e-5)
    entropy = -(cover * ops.log(covered) + (1 - cover) * ops.log(1 - covered))
    return ops.sum(missed + invented) / digits + 2 * ops.sum(weight * entropy) / ops.sum(weight)


def export_onnx(model: keras.Model, path: Path, metadata: dict[str, str], ink: np.ndarray) -> None:
    """Write the network as ONNX: input `ink` float32 (1, 1, h, w), output `marks` float32 (1, 11, h / CELL, w / CELL).

    The kernels are rounded to half precision, in the model too: half the size, for less than a thousandth of a heat.
    metadata: kept in the file. ink: float32 (h, w) in [0, 1], for the parity check. Raises DataError, and leaves no
    file, when what comes out differs from Keras's.
    """
    model.set_weights([w.astype(np.float16).astype(np.float32) if w.ndim == 4 else w for w in model.get_weights()])
    graph = Graph()
    part = {layer.name: layer for layer in model.layers}
    quarter = translate_all(part["quarter"], graph, "ink")
    eighth = translate_all(part["eighth"], graph, quarter)
    sixteenth = translate_all(part["sixteenth"], graph, eighth)
    joined = translate_all(part["joined_eighth"], graph, graph.add("Add", [eighth, _doubled(graph, sixteenth)]))
    joined = translate_all(part["joined_quarter"], graph, graph.add("Add", [quarter, _doubled(graph, joined)]))
    graph.add("Identity", [joined], name="marks")
    shapes = {"ink": [1, 1, "h", "w"], "marks": [1, HEATS + 1, "rows", "columns"]}
    taken, given = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    nodes, constants = _halved(graph)
    converted = as_model(helper.make_graph(nodes, "spotter", [taken], [given], constants))
    helper.set_model_props(converted, metadata)
    content = converted.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (marks,) = session.run(["marks"], {"ink": ink[None, None]})
    expected = np.asarray(model(ink[None, ..., None], training=False)).transpose(0, 3, 1, 2)
    difference = float(np.abs(marks - expected).max())
    if difference > TOLERANCE:
        raise DataError(
            f"{path}: differs from Keras by {difference:.1e}, expected at most {TOLERANCE:.0e}; not written"
        )
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _halved(graph: Graph) -> tuple[list[NodeProto], list[TensorProto]]:
    """The graph's operations and constants with kernels in half precision, which are widened as the model is loaded."""
    casts, constants = [], []
    for constant in graph.constants:
        if len(constant.dims) == 4:
            half = numpy_helper.from_array(numpy_helper.to_array(constant).astype(np.float16), f"{constant.name}_half")
            casts.append(helper.make_node("Cast", [half.name], [constant.name], to=TensorProto.FLOAT))
            constants.append(half)
        else:
            constants.append(constant)
    return [*casts, *graph.nodes], constants


def _doubled(graph: Graph, value: str) -> str:
    """Twice as high and wide."""
    scales = np.array([1, 1, 2, 2], np.float32)
    return graph.add(
        "Resize",
        [value, "", graph.constant(scales)],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def main() -> None:
    """Train one from the command line."""
    parser = argparse.ArgumentParser(description="Train a spotter on composed sheets: an hour or two on one core.")
    parser.add_argument("path", type=Path, metavar="FILE.onnx", help="the file to write")
    parser.add_argument("--seed", type=int, default=0, help="decides the sheets and the first weights (default: 0)")
    arguments = parser.parse_args()
    report = functools.partial(print, file=sys.stderr, flush=True)
    train(load_mnist(), arguments.path, Spotting(), arguments.seed, report)


if __name__ == "__main__":
    main()
