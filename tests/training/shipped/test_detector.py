from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from mnist_digits.dataset import Dataset, Split
from mnist_digits.errors import DataError
from mnist_digits.training.shipped import detector
from mnist_digits.training.shipped.page_step import CLASSES
from mnist_digits.training.synthesis.pages import (
    CELL_PX,
    PAGE_PX,
    Pages,
    compose_page,
)

SMALL = detector.DetectorRecipe(stem=4, channels=(8, 8, 16), pages=16, epochs=4, batch_size=4, learning_rate=0.01)
CELLS = PAGE_PX // CELL_PX


def compose(split: Split, count: int, seed: int) -> Pages:
    """As the function of that name, without processes that first have to start."""
    random = np.random.default_rng(seed)
    pages = [compose_page(split, random) for _ in range(count)]
    return Pages(*(np.stack(arrays) for arrays in zip(*pages, strict=True)))


def planes_of(pages: Pages, count: int) -> np.ndarray:
    return np.stack([pages.ink[:count], pages.lined_ink[:count]], axis=-1).astype(np.float32) / 255


@pytest.fixture(scope="module")
def pages(mnist: Dataset) -> Pages:
    return compose(Split(mnist.train.images[:500], mnist.train.labels[:500]), 4, 0)


def test_onnx_gives_what_keras_gives(pages: Pages, tmp_path: Path):
    model = detector.build(SMALL)
    # Scales, shifts and statistics as after a training: apart from 0 and 1, and positive.
    random = np.random.default_rng(0)
    model.set_weights([w + random.uniform(0.1, 0.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()])
    path = tmp_path / "detector.onnx"
    ink = planes_of(pages, 1)[0]
    detector.export_onnx(model, path, {"seed": "0"}, ink)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path)
    assert session.get_modelmeta().custom_metadata_map == {"seed": "0"}
    for part in (ink, ink[:64, :208]):
        (output,) = session.run(["marks"], {"ink": part.transpose(2, 0, 1)[None]})
        expected = keras.ops.convert_to_numpy(model(part[None], training=False))
        np.testing.assert_allclose(output, expected.transpose(0, 3, 1, 2), atol=1e-5)
        assert output.shape[2:] == tuple(side // CELL_PX for side in part.shape[:2])


def test_a_detector_learns_from_digits_and_says_how_it_was_made(
    mnist: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    parts = {"train": mnist.train, "validation": mnist.validation}
    few = replace(mnist, **{name: Split(part.images[:200], part.labels[:200]) for name, part in parts.items()})
    monkeypatch.setattr(detector, "VALIDATION_PAGES", 4)
    monkeypatch.setattr(detector, "compose", compose)
    lines: list[str] = []
    detector.train(few, tmp_path / "detector.onnx", SMALL, 3, lines.append)
    losses = [float(line.split()[-1]) for line in lines if line.startswith("epoch")]
    assert len(losses) == SMALL.epochs
    assert losses[-1] < 0.9 * losses[0]
    metadata = onnxruntime.InferenceSession(tmp_path / "detector.onnx").get_modelmeta().custom_metadata_map
    assert (metadata["seed"], metadata["pages"], metadata["epochs"]) == ("3", "16", "4")
    assert float(metadata["validation_loss"]) > 0


def test_a_training_goes_on_from_a_file(pages: Pages, tmp_path: Path):
    ink = planes_of(pages, 1)
    model, again = detector.build(SMALL), detector.build(SMALL)
    detector.export_onnx(model, tmp_path / "detector.onnx", {}, ink[0])
    assert np.abs(model(ink) - again(ink)).max() > 1e-4
    detector.load_onnx(again, tmp_path / "detector.onnx")
    np.testing.assert_allclose(again(ink), model(ink), atol=1e-6)
    with pytest.raises(DataError, match="another network"):
        detector.load_onnx(detector.build(replace(SMALL, stem=8)), tmp_path / "detector.onnx")


def test_what_goes_on_from_a_file_keeps_half_of_it(mnist: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(detector, "VALIDATION_PAGES", 4)
    monkeypatch.setattr(detector, "compose", compose)

    def fit(model: keras.Model, *_: object) -> None:
        model.set_weights([weight + 0.25 for weight in model.get_weights()])

    monkeypatch.setattr(detector, "fit", fit)
    begun, ended = detector.build(SMALL), detector.build(SMALL)
    ink = np.zeros((32, 32, 2), np.float32)
    detector.export_onnx(begun, tmp_path / "begun.onnx", {}, ink)
    detector.train(mnist, tmp_path / "ended.onnx", SMALL, 0, lambda _: None, tmp_path / "begun.onnx")
    detector.load_onnx(ended, tmp_path / "ended.onnx")
    for old, new in zip(begun.get_weights(), ended.get_weights(), strict=True):
        # Kernels are kept in half precision.
        np.testing.assert_allclose(new, old + 0.125, atol=1e-3)


def test_a_detector_of_one_mask_a_cell_goes_on_with_one_for_each_of_its_parts(
    pages: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ink = planes_of(pages, 2)
    with monkeypatch.context() as patched:
        patched.setattr(detector, "CHANNELS", CLASSES + 1)
        before = detector.build(SMALL)
        detector.export_onnx(before, tmp_path / "detector.onnx", {}, ink[0])
    after = detector.build(SMALL)
    detector.load_onnx(after, tmp_path / "detector.onnx")
    old, new = (keras.ops.convert_to_numpy(model(ink)) for model in (before, after))
    np.testing.assert_allclose(new[..., : CLASSES + 1], old, atol=1e-6)
    for part in range(4):
        np.testing.assert_allclose(new[..., CLASSES + part], old[..., CLASSES], atol=1e-6)
    # It does not yet know where a digit's centre is.
    np.testing.assert_array_equal(new[..., CLASSES + 4 :], 0.5)


class Crash(Exception):
    """The power fails."""


@pytest.mark.usefixtures("eagerly")
@pytest.mark.filterwarnings("ignore:Even though the .tf.config:UserWarning")
def test_training_that_was_killed_goes_on_to_the_same_weights(pages: Pages, tmp_path: Path):
    recipe, state = replace(SMALL, epochs=3), tmp_path / "state.npz"

    def train(path: Path | None, epochs: int = 99) -> list[np.ndarray]:
        finished = iter(range(epochs))

        def crash(epoch: int, loss: float) -> None:
            if next(finished, None) is None:
                raise Crash

        keras.utils.set_random_seed(1)
        model = detector.build(recipe)
        detector.fit(model, pages, recipe, 1, crash, path)
        return model.get_weights()

    # After the first epoch, and after the next.
    for epochs in (0, 0):
        with pytest.raises(Crash):
            train(state, epochs)
    for broken, whole in zip(train(state), train(None), strict=True):
        assert broken.tobytes() == whole.tobytes()
