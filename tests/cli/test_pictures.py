"""What is done with pictures: `digits predict` and `digits read`. What both do the same is tested for each."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.command import command_line, run_digits
from helpers.small_pages import sure_digits, write_page
from mnist_digits.cli import output
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier, Page, Reader
from mnist_digits.recognition.results import Digit, Line

BELOW = str(Path("below", "c.png"))
ROWS = {"a.png": ("3141 59", "26"), "b.png": ("535", "8979 32"), BELOW: ("46",)}
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folders(small: Dataset, mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Command → a folder of what it reads, of what holds nothing to read, and of what is no picture."""
    digits = iter(small.test.images)
    sure = sure_digits(mnist.train, Classifier())
    folders = {"predict": tmp_path_factory.mktemp("digits"), "read": tmp_path_factory.mktemp("pages")}
    for folder in folders.values():
        (folder / "below").mkdir()
        (folder / "empty").mkdir()
        Image.new("L", (90, 60), 220).save(folder / "blank.jpg")
        (folder / "text.png").write_text("seven")
        (folder / "void.png").write_bytes(b"")
    for name, rows in ROWS.items():
        Image.fromarray(255 - np.kron(next(digits), np.ones((4, 4), np.uint8))).save(folders["predict"] / name)
        Image.fromarray(write_page(sure, rows).pixels()).save(folders["read"] / name)
    return folders


@pytest.fixture
def predict(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Call:
    """`digits predict` in its folder, which is the test's own current folder, too."""
    monkeypatch.chdir(folders["predict"])
    return partial(run_digits, "predict", folder=folders["predict"])


@pytest.fixture
def read(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Call:
    """The same for `digits read`."""
    monkeypatch.chdir(folders["read"])
    return partial(run_digits, "read", folder=folders["read"])


@pytest.fixture(params=["predict", "read"])
def command(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def call(command: str, request: pytest.FixtureRequest) -> Call:
    """Either command."""
    return request.getfixturevalue(command)


def answer(command: str, model: Path | None, name: str) -> dict[str, Any]:
    """What Python's own functions say of a picture, as the command's JSON."""
    found = Classifier(model).classify(name) if command == "predict" else Reader(model).read(name)
    return {"file": name, **found.to_json()}


def rows_of(result: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_no_training_framework_is_loaded(command: str, folders: dict[str, Path]):
    program = (
        "import sys; from mnist_digits.cli import main\n"
        "try: main()\n"
        "finally: print({'tensorflow', 'keras', 'jax', 'torch', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules))"
    )
    line = [sys.executable, "-W", "error", "-c", program, command, "a.png"]
    result = subprocess.run(line, cwd=folders[command], capture_output=True, text=True, check=True)
    assert "a.png" in result.stdout
    assert result.stdout.endswith("\nset()\n")
    assert result.stderr == ""


def test_results_come_one_by_one(command: str, folders: dict[str, Path]):
    line = command_line(command, "a.png", "-", "b.png", "--json")
    with subprocess.Popen(line, cwd=folders[command], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert process.poll() is None, "waits for standard input"
        process.stdin.write((folders[command] / "a.png").read_bytes())
        process.stdin.close()
        rows = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    assert first["file"] == "a.png"
    assert rows[0] == {**first, "file": "-"}
    assert rows[1]["file"] == "b.png"


KEYS = {
    "predict": ["file", "digit", "confidence", "probabilities", "reason"],
    "read": ["file", "page", "lines", "reason", "doubtful", "left_out"],
}


def test_json_has_a_row_for_every_file_in_order(command: str, call: Call):
    files = ["b.png", "text.png", "blank.jpg", "void.png", "missing.png", "empty", "below", "a.png"]
    result = call("--json", *files)
    assert result.returncode == 3
    rows = rows_of(result)
    assert [row["file"] for row in rows] == [*files[:6], BELOW, "a.png"]
    reasons = [None, "unreadable", "blank", "unreadable", "unreadable", "unreadable", None, None]
    assert [row["reason"] for row in rows] == reasons
    for row in rows:
        assert list(row) == KEYS[command]
        if command == "read":
            assert tuple(line["text"] for line in row["lines"]) == ROWS.get(row["file"], ())
        else:
            assert (row["digit"] is None) == (row["reason"] is not None)
            assert 0 <= row["confidence"] <= 1
            assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-4)
    assert rows[-1] == answer(command, None, "a.png")
    lines = result.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["text.png", "void.png", "missing.png", "empty"]
    assert "a folder without pictures" in lines[-1]


def test_folders_and_those_in_them(call: Call):
    own = ["a.png", "b.png", "blank.jpg", "text.png", "void.png"]
    for options, names in (([], own), (["--recursive"], [*own, BELOW])):
        result = call(".", "--json", *options)
        assert result.returncode == 3
        assert [row["file"] for row in rows_of(result)] == names


def test_a_runs_model(command: str, call: Call, small_model: Path):
    for model in (small_model, small_model.parent):
        assert rows_of(call("a.png", "--json", "--model", model)) == [answer(command, small_model, "a.png")]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "Missing argument"),
        (["a.png", "--model", "text.png"], 3, "digits: text.png: not a model"),
        (["a.png", "--model", "none.onnx"], 3, "digits: none.onnx: No such file"),
        (["a.png", "--model", "below"], 3, "digits: below: has no model.onnx"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(call: Call, arguments: list[str], status: int, message: str):
    result = call(*arguments)
    assert (result.returncode, result.stdout) == (status, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(predict: Call):
    path = Path("secret.png")
    path.touch(mode=0)
    result = predict(path, "a.png")
    path.unlink()
    assert result.returncode == 3
    assert "Permission denied" in result.stderr
    assert len(result.stdout.splitlines()) == 2


def test_people_get_a_line_a_digit(predict: Call):
    result = predict("a.png", "blank.jpg", "below")
    assert result.returncode == 0
    digit, blank, below = result.stdout.splitlines()
    prediction = Classifier().classify("a.png")
    assert digit.split()[:3] == [str(prediction.digit), f"{prediction.confidence:.2%}".removesuffix("%"), "%"]
    assert digit.endswith("  a.png")
    assert blank.split() == ["–", "blank", "blank.jpg"]
    assert digit.index("a.png") == blank.index("blank.jpg") == below.index("below")


def test_show_draws_what_the_network_saw(predict: Call):
    _, *drawing = predict("a.png", "--show").stdout.splitlines()
    cells = np.array([[" ▀▄█".index(character) for character in line[1:-1]] for line in drawing[1:-1]])
    seen = np.stack([cells & 1, cells >> 1], axis=1).reshape(28, 28)
    np.testing.assert_array_equal(seen > 0, Classifier().classify("a.png").image >= 128)


def test_a_confidence_that_is_asked_for(predict: Call):
    (row,) = rows_of(predict("a.png", "--json", "--min-confidence", "1"))
    assert (row["digit"], row["reason"]) == (None, "not-a-digit")
    assert 0 < row["confidence"] < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--show", "--json"], "--show with --json"), (["--min-confidence", "2"], "--min-confidence")],
)
def test_options_that_do_not_go_together(predict: Call, arguments: list[str], message: str):
    result = predict("a.png", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr


def test_people_get_a_pages_name_and_its_lines(read: Call):
    result = read("a.png", "blank.jpg", "text.png", "below")
    assert result.returncode == 3
    lines = ["a.png", *("  " + row for row in ROWS["a.png"]), "blank.jpg", "  –  blank"]
    lines += ["text.png", "  –  unreadable", BELOW, *("  " + row for row in ROWS[BELOW])]
    assert [line.rstrip() for line in result.stdout.splitlines()] == lines
    assert len(result.stderr.splitlines()) == 1


def test_annotate_one_page(read: Call, tmp_path: Path):
    target = tmp_path / "new" / "boxes.png"
    assert read("a.png", "--annotate", target).stdout.split() == ["a.png", "3141", "59", "26"]
    drawn, pixels = (np.asarray(Image.open(path)) for path in (target, Path("a.png")))
    assert drawn.shape == pixels.shape
    assert 0.005 < (drawn != pixels).any(axis=2).mean() < 0.3


def test_annotate_several_pages(read: Call, tmp_path: Path):
    target = tmp_path / "boxes.png"
    result = read("a.png", "b.png", "--annotate", target)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"--annotate {target}: one file for 2 pictures; name a folder instead" in result.stderr
    assert not target.exists()
    assert read("a.png", "text.png", "b.png", "--annotate", tmp_path / "boxes").returncode == 3
    assert sorted(path.name for path in (tmp_path / "boxes").iterdir()) == ["a.png.png", "b.png.png"]


def test_debug_folder_shows_every_stage(read: Call, tmp_path: Path):
    result = read("a.png", "blank.jpg", "--debug-folder", tmp_path / "why")
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("a.png", "blank.jpg"):
        pictures = sorted((tmp_path / "why" / name).iterdir())
        assert [path.name[:2] for path in pictures] == [f"{number}-" for number in range(1, 1 + len(pictures))]
        for path in pictures:
            with Image.open(path) as picture:
                picture.verify()


@pytest.mark.parametrize("option", ["--annotate", "--debug-folder"])
@pytest.mark.parametrize("name", ["text.png/boxes", "text.png/boxes.png"])
def test_a_place_that_cannot_be_written(read: Call, option: str, name: str):
    result = read("a.png", option, name)
    assert result.returncode == 3
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("digits: text.png/boxes")
    assert "choose another folder" in result.stderr


ODD_NAME = "a\x1b[31m\n\udcff[bold]:smile:.png"


def test_no_files_name_harms_the_terminal(small: Dataset, capsys: pytest.CaptureFixture[str]):
    output.print_prediction(ODD_NAME, Classifier().classify(255 - small.test.images[0]), show=False)
    assert capsys.readouterr().out.endswith("  a\\x1b[31m\\n\\udcff[bold]:smile:.png\n")


def test_uncertain_digits_are_not_left_out(capsys: pytest.CaptureFixture[str]):
    blank = np.zeros((28, 28), np.uint8)
    one, two = (
        Digit(i, share, (0, 0, 5, 5), np.eye(10, dtype=np.float32)[i], blank) for i, share in ((1, 1), (2, 0.5))
    )
    assert [digit.uncertain for digit in (one, two)] == [False, True]
    output.print_page(ODD_NAME, Page((Line(((one, two), (one, one))),), None))
    assert capsys.readouterr().out == "a\\x1b[31m\\n\\udcff[bold]:smile:.png\n  12 11\n"


def test_all_pages_of_a_document_are_read(read: Call, tmp_path: Path):
    first, second = (Image.new("L", (200, 100), 250) for _ in range(2))
    path = tmp_path / "scan.tif"
    first.save(path, save_all=True, append_images=[second])
    result = read("--json", path)
    assert result.returncode == 0
    assert [(row["page"], row["reason"]) for row in rows_of(result)] == [(1, "blank"), (2, "blank")]
