import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from benchmarks.training.teaching import write
from helpers.command import Digits
from helpers.small_set import plain_lesson
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier
from mnist_digits.serving.page.browser_network import pack_classifier
from mnist_digits.training import teaching
from mnist_digits.training.export import calibration


def write_pictures(folder: Path, mnist: Dataset, start: int, count: int) -> Path:
    """Flat digits, of which the shipped model does not read a third, in folders by class."""
    part = slice(start, start + count)
    pictures = write("squat", mnist.validation.images[part], start)
    for number, (picture, label) in enumerate(zip(pictures, mnist.validation.labels[part], strict=True)):
        path = folder / str(label) / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return folder


def accuracy(model: Classifier, folder: Path) -> float:
    files = sorted(folder.rglob("*.png"))
    read = model.classify_many(files)
    return float(np.mean([one.digit == int(file.parent.name) for one, file in zip(read, files, strict=True)]))


def test_a_hand_is_learned(
    digits: Digits, tmp_path: Path, mnist: Dataset, small: Dataset, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(teaching, "load_mnist", lambda: small)
    monkeypatch.setattr(teaching, "IMAGES_PER_EPOCH", 640)
    monkeypatch.setattr(teaching, "NON_DIGITS_PER_KIND", 2)
    monkeypatch.setattr(calibration, "PICTURES_PER_KIND", 2)
    mine, others = (write_pictures(tmp_path / name, mnist, start, 60) for name, start in (("mine", 0), ("others", 100)))
    with plain_lesson(epochs=3), mock.patch("mnist_digits.evaluation.report.write_report"):
        result = digits("teach", "mine", "--json")
    assert result.returncode == 0, result.stderr
    said = result.stderr.splitlines()
    assert said[0] == "mine: 60 pictures in 10 folders of classes"
    assert [line for line in said if "holding out" in line] == [f"holding out part {n} of 5" for n in range(1, 6)]
    told = json.loads(result.stdout)
    assert (told["run"], told["from"], told["pictures"]) == ("runs/taught-0", "shipped", str(mine))
    assert told["own"]["count"] == 60
    assert told["own"]["before"] < 0.85 < told["own"]["after"]
    assert told["own"]["before_interval95"][0] < told["own"]["before"] < told["own"]["before_interval95"][1]
    assert told["mnist"]["after"] > 0.97
    # Pictures that neither has seen.
    taught = Classifier(tmp_path / "runs" / "taught-0" / "model.onnx")
    assert taught.can_reject
    assert accuracy(taught, others) > accuracy(Classifier(), others) + 0.1
    picture = next(others.rglob("*.png"))
    assert digits("predict", picture, "--model", "runs/taught-0").returncode == 0
    # It goes everywhere: as a file, and into the page that needs no service.
    for name in ("onnx", "keras"):
        exported = digits("export", "runs/taught-0", "--format", name)
        assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "taught-0.onnx").read_bytes() == taught.path.read_bytes()
    assert digits("page", "site", "--model", "runs/taught-0").returncode == 0
    network = (tmp_path / "site" / "v1" / "inside" / "reader.bin").read_bytes()
    assert network == pack_classifier(taught) != pack_classifier(Classifier())
    report = digits("report", "runs/taught-0")
    assert report.returncode == 0, report.stderr
    assert "fine-tuned on 60 pictures" in (tmp_path / "runs/taught-0/report.html").read_text()
    assert "digits teach mine --seed 0" in (tmp_path / "runs/taught-0/model_card.md").read_text()


def test_what_cannot_be_taught_is_one_line(digits: Digits, tmp_path: Path, mnist: Dataset):
    few = write_pictures(tmp_path / "few", mnist, 0, 10)
    (tmp_path / "empty").mkdir()
    cases = [
        (["nowhere"], "nowhere: not there; expected pictures in folders called 0 to 9"),
        (["empty"], "empty: holds no folders of classes"),
        ([few, "--from", "nothing"], "nothing: no such folder; expected a run"),
        ([few], "10 pictures, expected at least 20 to teach with; label more"),
    ]
    for arguments, message in cases:
        result = digits("teach", *arguments)
        assert (result.returncode, result.stdout) == (3, ""), result.stderr
        assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "runs").exists()
