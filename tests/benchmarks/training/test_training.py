import argparse
import json
from pathlib import Path
from typing import Any

import keras
import pytest

from benchmarks import training
from benchmarks.harness import Benchmark
from benchmarks.training import device
from mnist_digits.dataset import Dataset
from mnist_digits.training import find_recipe, networks


def test_tiny_mode_measures_every_peer(small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "training.json"
    training.BENCHMARK.main(["--tiny", "--data", str(small_folder), "--output", str(output)])
    content = json.loads(output.read_text())
    assert [row["name"] for row in content["rows"]] == list(training.PEERS)
    for row in content["rows"]:
        assert row["seconds_per_epoch"] > 0
    to_target = content["rows"][0]["to_target"]
    assert to_target["whole_process"] > to_target["training"] > 0
    assert content["rows"][1]["times_faster_than_defaults"] == 1
    assert content["environment"]["cores"] >= 1
    assert capsys.readouterr().out.strip() == training.as_table(content)


def measure_here(benchmark: Benchmark, part: str, options: argparse.Namespace, **environment: str) -> Any:
    """As a part is measured in a process of its own, which would have to start TensorFlow.

    What JAX alone can do, training several seeds at the same time, is left out.
    """
    assert all(name.startswith("JAX_") for name in environment)
    return json.loads(json.dumps(benchmark.measure_part(part, options)))


def test_tiny_mode_measures_the_device(
    small_folder: Path,
    small: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(Benchmark, "run_part", measure_here)
    monkeypatch.setattr(device, "TARGETS", (0.2, 1.1))
    output = tmp_path / "device.json"
    arguments = ["--tiny", "--data", str(small_folder), "--output", str(output)]
    device.BENCHMARK.main(arguments)
    content = json.loads(output.read_text())
    row = content["rows"]["dense"]
    assert row["compile_seconds"]["cold"] > 0
    assert row["images_per_second"] == pytest.approx(len(small.train) / row["seconds_per_epoch"])
    assert 0 < row["share_of_limit"] < 1
    for seconds, whole in zip(row["seconds_to"]["0.2"], row["training_seconds"], strict=True):
        assert 0 < seconds <= whole
    assert row["seconds_to"]["1.1"] == [None, None]
    assert len(set(row["test_accuracy"]["values"])) == 2, "the seeds made no difference"
    assert capsys.readouterr().out.strip() == device.as_table(content)
    row["together"] = {**row, "seeds": 8, "seconds_per_epoch": 2 * row["seconds_per_epoch"], "compile_seconds": 9.8}
    assert device.as_table(content).splitlines()[-1].split(" | ")[3:5] == ["4.0×", "9.8 s"]
    device.BENCHMARK.main([*arguments, "--only", "dense-dropout"])
    assert list(json.loads(output.read_text())["rows"]) == ["dense", "dense-dropout"]


def test_arithmetic_is_counted_as_in_the_papers():
    # Two dense layers: forward, and two gradients of each but that of the images.
    assert device.flop_per_image(networks.build(find_recipe("dense"))) == 2 * (2 * 784 * 128 + 3 * 128 * 10)
    layers = keras.layers
    # A kernel of 3 x 3 for one channel in and four out is multiplied at each of 8 x 8 places.
    model = keras.Sequential([layers.Input((10, 10, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(10)])
    assert device.flop_per_image(model) == 2 * (2 * 8 * 8 * 3 * 3 * 4 + 3 * (8 * 8 * 4) * 10)
