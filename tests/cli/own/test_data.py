import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.command import Digits
from mnist_digits.dataset import Dataset, load_mnist


def write_pictures(folder: Path, mnist: Dataset, count: int) -> Path:
    """Dark digits on light paper, in folders by class."""
    for number in range(count):
        path = folder / str(mnist.validation.labels[number]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - mnist.validation.images[number]).resize((60, 60), Image.Resampling.BICUBIC).save(path)
    return folder


@pytest.mark.usefixtures("no_report")
def test_a_run_on_pictures_keeps_its_images(digits: Digits, tmp_path: Path, mnist: Dataset):
    write_pictures(tmp_path / "mine", mnist, 60)
    (tmp_path / "mine" / "3" / "broken.png").write_text("no picture")
    result = digits("train", "dense", "--data", "mine", "--set", "epochs=1", "--output", "run")
    assert result.returncode == 0, result.stderr
    said = result.stderr.splitlines()[0]
    assert said.startswith("mine: 61 pictures in 10 folders of classes; 1 could not be read: list in unreadable.txt; ")
    assert (tmp_path / "unreadable.txt").read_text().startswith("mine/3/broken.png: not a picture")
    plan = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert plan["data"]["folder"] == str(tmp_path / "mine")
    kept = load_mnist(tmp_path / "run" / "data")
    assert kept.fingerprint == plan["data"]["fingerprint"]
    (tmp_path / "mine").rename(tmp_path / "elsewhere")
    assert json.loads(digits("evaluate", "run", "--json").stdout)["count"] == len(kept.test)
    again = digits("compare", "run", "run", "--data", "elsewhere", "--json")
    own = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["accuracy"]
    assert [row["accuracy"] for row in json.loads(again.stdout)["runs"]] == [own, own]


def test_turned_digits_are_noticed(digits: Digits, trained: Path, tmp_path: Path, mnist: Dataset):
    images = mnist.validation.images[:300].transpose(0, 2, 1)
    np.savez(tmp_path / "set.npz", images=images, labels=mnist.validation.labels[:300])
    result = digits("evaluate", trained, "--data", "set.npz")
    assert result.returncode == 0
    assert "the digits look transposed, as EMNIST stores its images" in result.stderr
    (tmp_path / "set.npz").rename(tmp_path / "emnist-set.npz")
    result = digits("evaluate", trained, "--data", "emnist-set.npz")
    assert result.stderr.count("\n") == 1
    assert "a seventh, were held out" in result.stderr


def test_what_is_no_data_is_one_line(digits: Digits, tmp_path: Path):
    result = digits("train", "dense", "--data", "nowhere")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (3, "", 1)
    assert "nowhere: no such file or folder; expected IDX files" in result.stderr
    assert list(tmp_path.iterdir()) == []
