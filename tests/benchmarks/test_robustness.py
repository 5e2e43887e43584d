import json
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from benchmarks import robustness
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Prediction

pytest.importorskip("albumentations")


@pytest.fixture(scope="module")
def measured(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tiny mode leaves."""
    output = tmp_path_factory.mktemp("robustness") / "robustness.json"
    with mock.patch("mnist_digits.training.train.ReportProcess"):
        robustness.BENCHMARK.main(["--tiny", "--data", str(small_folder), "--output", str(output)])
    return output


def test_every_model_reads_every_kind(measured: Path, capsys: pytest.CaptureFixture[str]):
    result = json.loads(measured.read_text())
    titles = {robustness.DIRECT, "`dense`", "Keras's example"}
    assert list(result["corruptions"]) == ["none", *robustness.CORRUPTIONS]
    for row in result["corruptions"].values():
        for strength in {"weak", "strong"} & set(row):
            assert set(row[strength]["direct"]) == titles
            assert sum(row[strength]["as_pictures"].values()) == pytest.approx(1)
    assert result["corruptions"]["none"]["weak"]["direct"][robustness.DIRECT] > 0.9
    assert result["optical_digits"].keys() == titles - {robustness.DIRECT} | {robustness.SHIPPED}
    assert measured.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    robustness.BENCHMARK.main(["--table", "--output", str(measured)])
    table = robustness.as_table(result)
    assert table in capsys.readouterr().out
    right = [result["corruptions"][name]["strong"]["direct"]["`dense`"] for name in robustness.CORRUPTIONS]
    (mean,) = (line for line in table.splitlines() if line.startswith(f"| *mean of the {len(right)}* |"))
    assert mean.split(" | ")[-2].endswith(f" / {100 * sum(right) / len(right):.1f} %")


@pytest.mark.parametrize("name", robustness.CORRUPTIONS)
def test_a_stronger_corruption_changes_more(name: str, small: Dataset):
    corruption, images = robustness.CORRUPTIONS[name], small.test.images[:20]
    # Enlarging and making small again changes them, too.
    none = replace(corruption, transform="NoOp", options=lambda strength: {}, draw=None)
    before = robustness.corrupt(images, none, 0).astype(int)
    weak, strong = (robustness.corrupt(images, corruption, s) for s in (corruption.weak, corruption.strong))
    assert weak.dtype == np.uint8
    assert weak.shape == images.shape
    assert 0.5 < np.abs(weak - before).mean() < np.abs(strong - before).mean()
    np.testing.assert_array_equal(weak, robustness.corrupt(images, corruption, corruption.weak))


def prediction(digit: int | None) -> Prediction:
    return replace(Prediction.unreadable(), digit=digit)


def test_what_is_rejected_is_neither_right_nor_misread():
    counted = robustness.count([prediction(3), prediction(3), prediction(None), prediction(8)], np.array([3, 5, 1, 8]))
    assert counted == {"right": 0.5, "misread": 0.25, "declined": 0.25}
