import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import inference
from benchmarks.inference.networks import RUNTIMES, flop_per_image, open_numpy
from mnist_digits.training import RECIPES, networks


def test_tiny_mode_measures_everything(small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "inference.json"
    inference.BENCHMARK.main(["--tiny", "--data", str(small_folder), "--output", str(output)])
    content = json.loads(output.read_text())
    (row,) = content["networks"]
    assert row["name"] == "dense"
    assert set(row["one_image_microseconds"]) == set(RUNTIMES)
    assert row["times_faster_than_predict"] > 1
    assert all(rate > 0 for rate in row["images_per_second"].values())
    assert 0 < content["digits_predict"]["median_seconds"] < 60
    commands = content["commands"]
    assert list(commands) == ["digits --help", "load_mnist", "digits train dense"]
    assert 0 < commands["digits --help"]["median_seconds"] < commands["digits train dense"]["median_seconds"]
    assert list(content["pages"]) == ["1 megapixel", "12 megapixels"]
    for page in content["pages"].values():
        assert page["digits_read"] >= 38
        assert page["median_milliseconds"] > 0
    shown = capsys.readouterr().out
    for as_table in (inference.as_table, inference.as_command_table, inference.as_page_table):
        assert as_table(content) in shown


def test_numpy_gives_what_keras_gives(random_images: np.ndarray):
    model = networks.for_use(networks.build(RECIPES["dense"]))
    np.testing.assert_allclose(open_numpy(model)(random_images), model(random_images / np.float32(255)), atol=1e-5)


def test_operations_are_counted():
    assert flop_per_image(networks.build(RECIPES["dense"])) == 2 * (784 * 128 + 128 * 10)
    # Twelve places on a side, each a window of 5×5, for 24 filters; then 10, 4 and 2 on a side.
    convolutions = 12**2 * 25 * 24 + 10**2 * 9 * 24 * 48 + 4**2 * 9 * 48 * 64 + 2**2 * 9 * 64 * 64
    assert flop_per_image(networks.build(RECIPES["cnn"])) == 2 * (convolutions + 2**2 * 64 * 10)
