import json
import sys
from pathlib import Path

import numpy as np
import pytest

import inference
from mnist_digits.training import RECIPES, networks


def test_tiny_mode_measures_every_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "inference.json"
    monkeypatch.setattr(sys, "argv", ["inference.py", "--tiny", "--output", str(output)])
    inference.main()
    content = json.loads(output.read_text())
    (row,) = content["networks"]
    assert row["name"] == "dense"
    assert set(row["one_image_microseconds"]) == set(inference.WAYS)
    assert row["times_faster_than_predict"] > 1
    assert all(rate > 0 for rate in row["images_per_second"].values())
    assert 0 < content["digits_predict"]["median_seconds"] < 60
    assert inference.as_table(content) in capsys.readouterr().out


def test_numpy_gives_what_keras_gives(random_images: np.ndarray):
    model = networks.for_use(networks.build(RECIPES["dense"]))
    np.testing.assert_allclose(
        inference.open_numpy(model)(random_images), model(random_images / np.float32(255)), atol=1e-5
    )


def test_operations_are_counted():
    assert inference.flop_per_image(networks.build(RECIPES["dense"])) == 2 * (784 * 128 + 128 * 10)
    # Twelve places on a side, each a window of 5×5, for 24 filters; then 10, 4 and 2 on a side.
    convolutions = 12**2 * 25 * 24 + 10**2 * 9 * 24 * 48 + 4**2 * 9 * 48 * 64 + 2**2 * 9 * 64 * 64
    assert inference.flop_per_image(networks.build(RECIPES["cnn"])) == 2 * (convolutions + 2**2 * 64 * 10)


def test_tiny_mode_never_overwrites_the_results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["inference.py", "--tiny"])
    with pytest.raises(SystemExit) as exit_:
        inference.main()
    assert exit_.value.code == 2
