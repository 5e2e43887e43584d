from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from mnist_digits.dataset import Dataset, Split
from mnist_digits.training import detector as spotting
from mnist_digits.training.synthesis.pages import CELL, MOST_DIGITS, SIDE, Sheets, compose_one

SMALL = replace(
    spotting.Spotting(), stem=4, channels=(8, 8, 16), sheets=16, rounds=1, epochs=4, batch_size=4, learning_rate=0.01
)


@pytest.fixture(scope="module")
def sheets(mnist: Dataset) -> Sheets:
    random = np.random.default_rng(0)
    composed = [compose_one(mnist.train.images[:500], mnist.train.labels[:500], random) for _ in range(24)]
    return Sheets(*(np.stack(arrays) for arrays in zip(*composed, strict=True)))


def table(*digits: tuple[float, ...]) -> np.ndarray:
    rows = np.full((1, MOST_DIGITS, 5), -1, np.float32)
    for row, digit in zip(rows[0], digits, strict=False):
        row[:] = digit
    return rows


def test_the_heat_peaks_where_a_digit_has_its_middle():
    ink, cover = np.zeros((1, SIDE, SIDE), np.float32), np.zeros((1, SIDE // CELL, SIDE // CELL), np.uint8)
    target = spotting.targets(ink, cover, table((3, 41, 102, 16, 24), (7, 1, 287, 10, 20)))
    heat = target[0, ..., : spotting.HEATS]
    assert heat[102 // CELL, 41 // CELL, 3] == 1
    assert heat[287 // CELL, 0, 7] == 1
    assert (heat == 1).sum() == 2
    # Lower than wide cells away, and nothing far away or for another digit.
    assert 0 < heat[102 // CELL, 41 // CELL + 1, 3] < heat[102 // CELL + 1, 41 // CELL, 3] < 1
    assert heat[..., [0, 1, 2, 4, 5, 6, 8, 9]].max() == 0
    assert heat[40:60, 20:].max() == 0


def test_the_cover_is_the_digits_share_of_the_ink():
    ink = np.zeros((1, SIDE, SIDE), np.float32)
    ink[0, :CELL, : 2 * CELL] = 1
    cover = np.zeros((1, SIDE // CELL, SIDE // CELL), np.uint8)
    cover[0, 0, 0] = 255
    target = spotting.targets(ink, cover, table())
    assert target[0, 0, :3, spotting.HEATS].tolist() == [1, 0, 0]
    # A cell without ink hardly counts.
    assert target[0, 0, :3, spotting.HEATS + 1].tolist() == pytest.approx([1, 1, spotting.PAPER])


def test_the_loss_is_least_for_the_truth(sheets: Sheets):
    ink = sheets.ink[:4].astype(np.float32) / 255
    target = spotting.targets(ink, sheets.cover[:4], sheets.digits[:4])
    truth, random = target[..., :-1], np.random.default_rng(0)
    best = float(spotting.loss(target, truth))
    assert best < float(
        spotting.loss(target, np.clip(truth + random.normal(0, 0.1, truth.shape).astype(np.float32), 0, 1))
    )
    assert best < float(spotting.loss(target, np.zeros_like(truth)))
    assert best < float(spotting.loss(target, np.ones_like(truth)))


def test_onnx_gives_what_keras_gives(sheets: Sheets, tmp_path: Path):
    model = spotting.build(SMALL)
    # Scales, shifts and statistics as after a training: apart from 0 and 1, and positive.
    random = np.random.default_rng(0)
    model.set_weights([w + random.uniform(0.1, 0.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()])
    path = tmp_path / "spotter.onnx"
    ink = sheets.ink[0].astype(np.float32) / 255
    spotting.export_onnx(model, path, {"seed": "0"}, ink)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path)
    assert session.get_modelmeta().custom_metadata_map == {"seed": "0"}
    for part in (ink, ink[:64, :208]):
        (marks,) = session.run(["marks"], {"ink": part[None, None]})
        expected = keras.ops.convert_to_numpy(model(part[None, ..., None], training=False))
        np.testing.assert_allclose(marks, expected.transpose(0, 3, 1, 2), atol=1e-5)
        assert marks.shape[2:] == tuple(side // CELL for side in part.shape)


def test_a_spotter_learns_from_digits_and_says_how_it_was_made(
    mnist: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    parts = {"train": mnist.train, "validation": mnist.validation}
    few = replace(mnist, **{name: Split(part.images[:200], part.labels[:200]) for name, part in parts.items()})
    monkeypatch.setattr(spotting, "UNSEEN", 4)
    lines: list[str] = []
    spotting.train(few, tmp_path / "spotter.onnx", SMALL, 3, lines.append)
    losses = [float(line.split()[-1]) for line in lines if line.startswith("epoch")]
    assert len(losses) == SMALL.epochs
    assert losses[-1] < 0.9 * losses[0]
    metadata = onnxruntime.InferenceSession(tmp_path / "spotter.onnx").get_modelmeta().custom_metadata_map
    assert (metadata["seed"], metadata["sheets"], metadata["epochs"]) == ("3", "16", "4")
    assert float(metadata["validation_loss"]) > 0
