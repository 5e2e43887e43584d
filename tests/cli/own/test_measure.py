import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.command import ODD_NAME, Digits, unprintable
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier

PAGES = Path(__file__).parents[3] / "docs" / "pages"


@pytest.fixture
def mine(tmp_path: Path, mnist: Dataset) -> Path:
    """Pictures of two writers; of Bob's, every other has another's label, and one is blank."""
    for number in range(40):
        writer, truth = ("Ada", "Bob")[number % 2], int(mnist.validation.labels[number])
        label = (truth + 1) % 10 if number % 4 == 3 else truth
        path = tmp_path / "mine" / writer / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(255 - mnist.validation.images[number]).resize((84, 84), Image.Resampling.BICUBIC)
        (image if number != 1 else Image.new("L", (84, 84), 240)).save(path)
    (tmp_path / "mine" / "Ada" / "0" / f"{ODD_NAME}.png").write_text("no picture")
    return tmp_path / "mine"


def test_pictures_are_scored_as_predict_reads_them(digits: Digits, mine: Path, tmp_path: Path):
    result = digits("evaluate", "--pictures", "mine", "--report", "report.html", "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith("mine: 41 pictures in")
    assert "1 could not be read: list in unreadable.txt" in result.stderr
    found = json.loads(result.stdout)
    classifier = Classifier()
    files = sorted(path for path in mine.rglob("*.png") if path.name != f"{ODD_NAME}.png")
    read = {path: classifier.classify(path).digit for path in files}
    right = {path: digit == int(path.parent.name) for path, digit in read.items()}
    assert found["count"] == 40
    assert found["accuracy"] == sum(right.values()) / 40
    assert found["declined"] == sum(digit is None for digit in read.values()) >= 1
    assert found["misread"] == 40 - sum(right.values()) - found["declined"]
    assert found["unreadable"] == 1
    assert np.array(found["confusion"]).sum() == 40
    assert {name: part["count"] for name, part in found["groups"].items()} == {"Ada": 20, "Bob": 20}
    assert found["groups"]["Bob"]["accuracy"] == sum(right[path] for path in files if "Bob" in path.parts) / 20
    page = (tmp_path / "report.html").read_text()
    assert page.count('<li>\n      <img src="data:image/png;base64,') == 40 - sum(right.values())
    assert "Bob</th>" in page
    said = digits("evaluate", "--pictures", "mine").stdout
    assert "pictures 40  misread" in said
    assert not (tmp_path / "unreadable-2.txt").exists(), "the same list was written again"
    (mine / "Bob" / "0").mkdir(exist_ok=True)
    (mine / "Bob" / "0" / "another.png").write_text("no picture")
    listed = (tmp_path / "unreadable.txt").read_bytes()
    assert "2 could not be read: list in unreadable-2.txt" in digits("evaluate", "--pictures", "mine").stderr
    assert (tmp_path / "unreadable.txt").read_bytes() == listed
    assert len((tmp_path / "unreadable-2.txt").read_text().splitlines()) == 2
    assert " Bob " in said
    assert unprintable(said + result.stderr + page) == set()


def test_a_table_of_pictures_by_a_model_of_ones_own(
    digits: Digits, mine: Path, tmp_path: Path, small_model: Path, mnist: Dataset
):
    files = [path for path in sorted(mine.rglob("*.png")) if path.stem.isdigit()]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = [[path.relative_to(tmp_path), mnist.validation.labels[int(path.stem)], "both"] for path in files]
        csv.writer(file).writerows([["path", "label", "writer"], *rows])
    options = ("evaluate", "--model", small_model, "--pictures", "labels.csv")
    found = json.loads(digits(*options, "--json").stdout)
    assert found["count"] == 40
    assert found["model"] == str(small_model)
    assert found["groups"] == {}
    assert 0.3 < found["accuracy"] < 1
    failed = digits(*options, "--require-accuracy", "1")
    assert failed.returncode == 4
    assert "required 1.0000" in failed.stderr


def test_pages_are_scored_as_read_reads_them(digits: Digits, tmp_path: Path):
    lines = json.loads((PAGES / "labels.json").read_text())["note.jpg"]
    for folder in ("a", "b"):
        (tmp_path / "pages" / folder).mkdir(parents=True)
        shutil.copy(PAGES / "note.jpg", tmp_path / "pages" / folder)
    objects = [{"file": "elsewhere/note.jpg", "lines": [{"text": line} for line in lines]}]
    (tmp_path / "pages" / "a" / "labels.json").write_text(json.dumps(objects))
    wrong = lines[0][:-1]
    (tmp_path / "pages" / "b" / "note.txt").write_text("\n".join([wrong, *lines[1:]]))
    result = digits("evaluate", "--pages", "pages", "--report", "report.html", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["pages"] == 2
    assert found["digits"] == 2 * sum(map(str.isdigit, "".join(lines))) - 1
    assert (found["mistaken"], found["missed"], found["invented"]) == (0, 0, 1)
    assert found["exact"] == found["rows"] - 1
    confusion = np.array(found["confusion"])
    assert np.trace(confusion) == confusion.sum() - 1, "all were read right but"
    assert confusion[10, int(lines[0][-1])] == 1, "the last digit, which was not said to be there"
    assert found["groups"]["a"]["accuracy"] == 1 > found["groups"]["b"]["accuracy"]
    page = (tmp_path / "report.html").read_text()
    assert wrong in page
    assert page.count("<li>") == 1
    assert "last row, none is written" in page
    said = digits("evaluate", "--pages", "pages").stdout
    assert "read where none is 1" in said
    assert re.search(rf"^ none +– +1 +{lines[0][-1]} \(1×\) *$", said, re.MULTILINE)


def test_what_cannot_be_measured_is_one_line(digits: Digits, tmp_path: Path, small_model: Path):
    (tmp_path / "letters" / "a").mkdir(parents=True)
    Image.new("L", (28, 28)).save(tmp_path / "letters" / "a" / "a.png")
    (tmp_path / "empty" / "7").mkdir(parents=True)
    (tmp_path / "json").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / "json" / "a.png")
    (tmp_path / "json" / "labels.json").write_text('{"a.png": 5}')
    cases = [
        (["--pictures", "letters"], 3, "letters: holds no folders of classes; expected pictures in folders called 0"),
        (["--pictures", "nowhere"], 3, "nowhere: not there; expected"),
        (["--pictures", "empty"], 3, "empty: none of its pictures can be read: there are none"),
        (["--pages", "letters"], 3, "letters: no page with its lines; expected pictures, and labels.json"),
        (["--pages", "json"], 3, "labels.json: 'int' object is not iterable; expected {\"page.jpg\""),
        (["--pages", "nowhere"], 3, "nowhere: no such folder"),
        ([], 2, "expected a RUN or MODEL to score, or --pictures"),
        (["--pages", "a", "--pictures", "b"], 2, "--data, --pictures and --pages: one of them"),
        ([small_model, "--report", "a.html"], 2, "--report goes with --pictures or --pages"),
        ([small_model, "--model", "b"], 2, "one model is scored at a time"),
    ]
    for arguments, status, message in cases:
        result = digits("evaluate", *arguments)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (status, "", 1), result.stderr
        assert message in result.stderr
