import sys
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
from mnist_digits.training.synthesis.pages import (
    CELL_PX,
    MAX_DIGITS_PER_PAGE,
    OTHER,
    PAGE_PX,
    Pages,
    compose_page,
)

SMALL = detector.DetectorRecipe(
    stem=4, channels=(8, 8, 16), pages=16, rounds=1, epochs=4, batch_size=4, learning_rate=0.01
)
CELLS = PAGE_PX // CELL_PX


def compose(split: Split, count: int, seed: int) -> Pages:
    """As the function of that name, without processes that first have to start."""
    random = np.random.default_rng(seed)
    pages = [compose_page(split, random) for _ in range(count)]
    return Pages(*(np.stack(arrays) for arrays in zip(*pages, strict=True)))


@pytest.fixture(scope="module")
def pages(mnist: Dataset) -> Pages:
    return compose(Split(mnist.train.images[:500], mnist.train.labels[:500]), 4, 0)


def table(*digits: tuple[float, ...]) -> np.ndarray:
    rows = np.full((1, MAX_DIGITS_PER_PAGE, 5), -1, np.float32)
    for row, digit in zip(rows[0], digits, strict=False):
        row[:] = digit
    return rows


def test_the_score_peaks_where_a_digit_has_its_centre():
    ink, mask = np.zeros((1, PAGE_PX, PAGE_PX, 2), np.float32), np.zeros((1, CELLS, CELLS), np.uint8)
    target = detector.targets(ink, mask, table((3, 41, 102, 16, 24), (7, 1, 287, 10, 20)))
    score = target[0, ..., : detector.CLASSES]
    assert score[102 // CELL_PX, 41 // CELL_PX, 3] == 1
    assert score[287 // CELL_PX, 0, 7] == 1
    assert (score == 1).sum() == 2
    # Lower than wide cells away, and nothing far away or for another digit.
    assert 0 < score[102 // CELL_PX, 41 // CELL_PX + 1, 3] < score[102 // CELL_PX + 1, 41 // CELL_PX, 3] < 1
    assert score[..., [0, 1, 2, 4, 5, 6, 8, 9, OTHER]].max() == 0
    assert score[40:60, 20:].max() == 0


def test_the_digit_mask_counts_where_there_is_ink_or_was_before_lines_were_removed():
    ink = np.zeros((1, PAGE_PX, PAGE_PX, 2), np.float32)
    ink[0, :CELL_PX, :CELL_PX, 0] = 1
    ink[0, :CELL_PX, : 2 * CELL_PX, 1] = 1
    mask = np.zeros((1, CELLS, CELLS), np.uint8)
    mask[0, 0, 0] = 255
    target = detector.targets(ink, mask, table())
    assert target[0, 0, :3, detector.CLASSES].tolist() == [1, 0, 0]
    # A cell without ink has little weight.
    assert target[0, 0, :3, detector.CLASSES + 1].tolist() == pytest.approx([1, 1, detector.EMPTY_CELL_WEIGHT])


def test_the_loss_is_least_for_the_truth(pages: Pages):
    ink = detector.planes_of(pages, np.array([0, 1, 2, 3]))
    target = detector.targets(ink, pages.digit_mask[:4], pages.digits[:4])
    truth, random = target[..., :-1], np.random.default_rng(0)
    best = float(detector.loss(target, truth))
    assert best < float(
        detector.loss(target, np.clip(truth + random.normal(0, 0.1, truth.shape).astype(np.float32), 0, 1))
    )
    assert best < float(detector.loss(target, np.zeros_like(truth)))
    assert best < float(detector.loss(target, np.ones_like(truth)))


def test_onnx_gives_what_keras_gives(pages: Pages, tmp_path: Path):
    model = detector.build(SMALL)
    # Scales, shifts and statistics as after a training: apart from 0 and 1, and positive.
    random = np.random.default_rng(0)
    model.set_weights([w + random.uniform(0.1, 0.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()])
    path = tmp_path / "detector.onnx"
    (ink,) = detector.planes_of(pages, np.array([0]))
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
    ink = detector.planes_of(pages, np.array([0]))
    model, again = detector.build(SMALL), detector.build(SMALL)
    detector.export_onnx(model, tmp_path / "detector.onnx", {}, ink[0])
    assert np.abs(model(ink) - again(ink)).max() > 1e-4
    detector.load_onnx(again, tmp_path / "detector.onnx")
    np.testing.assert_allclose(again(ink), model(ink), atol=1e-6)
    with pytest.raises(DataError, match="another network"):
        detector.load_onnx(detector.build(replace(SMALL, stem=8)), tmp_path / "detector.onnx")


def test_a_detector_that_never_saw_lines_goes_on_as_it_was(
    pages: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(detector, "PLANES", 1)
        before = detector.build(SMALL)
        detector.export_onnx(
            before, tmp_path / "detector.onnx", {}, detector.planes_of(pages, np.array([0]))[0, ..., :1]
        )
    after, ink = detector.build(SMALL), detector.planes_of(pages, np.array([0, 1]))
    detector.load_onnx(after, tmp_path / "detector.onnx")
    np.testing.assert_allclose(after(ink), before(ink[..., :1]), atol=1e-6)
    # Now the network can learn what the second plane says.
    kernel = after.get_layer("quarter").layers[0].kernel
    assert kernel.shape[2] == 2
    assert not np.asarray(kernel)[:, :, 1].any()


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc alone")
def test_a_batch_takes_no_new_memory(pages: Pages):
    resource, faults = pytest.importorskip("resource"), list[int]()

    def count(epoch: int, logs: dict[str, float]) -> None:
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

    counter = keras.callbacks.LambdaCallback(on_epoch_end=count)
    detector.fit(detector.build(SMALL), pages, replace(SMALL, epochs=5, batch_size=1), 0, [counter])
    # Pages of 4 kB; the tensors of a batch take some thousands.
    assert min(np.diff(faults)) < 300 * len(pages)


class Crash(Exception):
    """The power fails."""


@pytest.mark.usefixtures("eagerly")
@pytest.mark.filterwarnings("ignore:Even though the .tf.config:UserWarning")
def test_training_that_was_killed_goes_on_to_the_same_weights(pages: Pages, tmp_path: Path):
    recipe, state = replace(SMALL, rounds=2, epochs=2), tmp_path / "state.npz"

    def train(path: Path | None, epochs: int = 99) -> list[np.ndarray]:
        finished = iter(range(epochs))

        def crash(epoch: int, logs: dict[str, float]) -> None:
            if next(finished, None) is None:
                raise Crash

        keras.utils.set_random_seed(1)
        model = detector.build(recipe)
        detector.fit(model, pages, recipe, 1, [keras.callbacks.LambdaCallback(on_epoch_begin=crash)], path)
        return model.get_weights()

    # Between the rounds, and within the second.
    for epochs in (2, 1):
        with pytest.raises(Crash):
            train(state, epochs)
    for broken, whole in zip(train(state), train(None), strict=True):
        assert broken.tobytes() == whole.tobytes()
