import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from benchmarks.training import teaching
from helpers.small_set import plain_lesson
from mnist_digits.dataset import Dataset
from mnist_digits.training.export import calibration


def test_a_hand_is_taught_and_measured(tmp_path: Path, small: Dataset, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "teaching.json"
    with (
        plain_lesson(),
        mock.patch("mnist_digits.evaluation.report.write_report"),
        mock.patch.object(calibration, "PICTURES_PER_KIND", 1),
        mock.patch("mnist_digits.training.teaching.IMAGES_PER_EPOCH"),
        mock.patch("mnist_digits.training.teaching.NON_DIGITS_PER_KIND"),
        mock.patch("mnist_digits.training.teaching.load_mnist", return_value=small),
    ):
        teaching.BENCHMARK.main(["--tiny", "--output", str(output)])
    result = json.loads(output.read_text())
    (row,) = result["hands"].values()
    assert (row["told"]["count"], row["others"]["count"], row["mnist"]["count"]) == (30, 40, 100)
    assert 0.5 < row["others"]["before"] < 1
    assert "| mean |" in capsys.readouterr().out


@pytest.mark.parametrize("hand", teaching.HANDS)
def test_a_hand_writes_dark_on_light_and_always_the_same(hand: str, small: Dataset):
    images = small.test.images[:10]
    pictures, again = teaching.write(hand, images, 3), teaching.write(hand, images, 3)
    plain = teaching.write("leaning back", images, 3)
    for picture, same, other in zip(pictures, again, plain, strict=True):
        assert picture.shape == (128, 128)
        np.testing.assert_array_equal(picture, same)
        assert np.median(picture) > 220 > 80 > picture.min()
        assert hand == "leaning back" or not np.array_equal(picture, other)
