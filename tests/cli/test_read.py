"""`digits read` as a user meets it."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.small_pages import sure_digits, write_page
from mnist_digits.cli import main
from mnist_digits.cli import output as terminal
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier, Page, Reader
from mnist_digits.recognition.results import Digit, Line

ROWS = ("3141 59", "26")
Read = Callable[..., int]


@pytest.fixture(scope="module")
def folder(mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of pages, of none, and what is no picture."""
    folder = tmp_path_factory.mktemp("pages")
    sure = sure_digits(mnist.train, Classifier())
    (folder / "below").mkdir()
    for name, rows in (("a.png", ROWS), ("b.png", ("535", "8979 32")), ("below/c.png", ("46",))):
        Image.fromarray(write_page(sure, rows).pixels()).save(folder / name)
    Image.new("L", (90, 60), 220).save(folder / "blank.jpg")
    (folder / "empty").mkdir()
    (folder / "text.png").write_text("seven")
    return folder


@pytest.fixture
def read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Run `digits read` in that folder, in this process; returns the exit status."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # which the command would set, and leave to the next test

    def run(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["digits", "read", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return int(exit_.value.code or 0)

    return run


def test_no_training_framework_is_loaded(folder: Path):
    program = (
        "import sys; from mnist_digits.cli import main\n"
        "try: main()\n"
        "finally: print({'tensorflow', 'keras', 'jax', 'torch', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules))"
    )
    command = [sys.executable, "-W", "error", "-c", program, "read", "a.png"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    *lines, loaded = result.stdout.splitlines()
    assert [line.strip() for line in lines] == ["a.png", *ROWS]
    assert loaded == "set()"
    assert result.stderr == ""


def test_results_come_one_by_one(folder: Path):
    command = [sys.executable, "-m", "mnist_digits", "read", "a.png", "-", "b.png", "--json"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert process.poll() is None, "waits for standard input"
        process.stdin.write((folder / "a.png").read_bytes())
        process.stdin.close()
        rows = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    assert first["file"] == "a.png"
    assert rows[0] == {**first, "file": "-"}
    assert rows[1]["file"] == "b.png"


def test_json_has_a_row_for_every_file_in_order(read: Read, folder: Path, capsys: pytest.CaptureFixture[str]):
    files = ["b.png", "text.png", "blank.jpg", "missing.png", "empty", "below", "a.png"]
    assert read("--json", *files) == 3
    output, messages = capsys.readouterr()
    rows = [json.loads(line) for line in output.splitlines()]
    assert [row["file"] for row in rows] == [*files[:5], str(Path("below", "c.png")), "a.png"]
    assert [row["reason"] for row in rows] == [None, "unreadable", "blank", "unreadable", "unreadable", None, None]
    for row in rows:
        assert list(row) == ["file", "lines", "reason"]
        assert bool(row["lines"]) == (row["reason"] is None)
    assert [line["text"] for line in rows[-1]["lines"]] == list(ROWS)
    assert rows[-1] == {"file": "a.png", **Reader().read(folder / "a.png").to_json()}
    lines = messages.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["text.png", "missing.png", "empty"]
    assert "a folder without pictures" in lines[-1]
    assert "Traceback" not in messages


def test_people_get_the_name_and_the_lines(read: Read, capsys: pytest.CaptureFixture[str]):
    assert read("a.png", "blank.jpg", "text.png", "below") == 3
    output, messages = capsys.readouterr()
    below = str(Path("below", "c.png"))
    lines = [line.rstrip() for line in output.splitlines()]
    assert lines == [
        "a.png",
        "  3141 59",
        "  26",
        "blank.jpg",
        "  –  blank",
        "text.png",
        "  –  unreadable",
        below,
        "  46",
    ]
    assert len(messages.splitlines()) == 1


def test_folders_and_those_in_them(read: Read, capsys: pytest.CaptureFixture[str]):
    own = ["a.png", "b.png", "blank.jpg", "text.png"]
    for options, names in (([], own), (["--recursive"], [*own, str(Path("below", "c.png"))])):
        assert read(".", "--json", *options) == 3
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["file"] for row in rows] == names


def test_standard_input(read: Read, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    content = io.BytesIO((folder / "a.png").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content))
    assert read("-", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["file"] == "-"
    assert [line["text"] for line in row["lines"]] == list(ROWS)


def test_annotate_one_picture(read: Read, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "new" / "boxes.png"
    assert read("a.png", "--annotate", target) == 0
    drawn, pixels = (np.asarray(Image.open(path)) for path in (target, folder / "a.png"))
    assert drawn.shape == pixels.shape
    assert 0.005 < (drawn != pixels).any(axis=2).mean() < 0.3
    assert capsys.readouterr().out.split() == ["a.png", "3141", "59", "26"]


def test_annotate_several_pictures(read: Read, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "boxes.png"
    assert read("a.png", "b.png", "--annotate", target) == 2
    output, messages = capsys.readouterr()
    assert output == ""
    assert f"--annotate {target}: one file for 2 pictures; name a folder instead" in messages
    assert not target.exists()
    assert read("a.png", "text.png", "b.png", "--annotate", tmp_path / "boxes") == 3
    assert sorted(path.name for path in (tmp_path / "boxes").iterdir()) == ["a.png.png", "b.png.png"]


def test_debug_folder_shows_every_stage(read: Read, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert read("a.png", "blank.jpg", "--debug-folder", tmp_path / "why") == 0
    for name in ("a.png", "blank.jpg"):
        pictures = sorted((tmp_path / "why" / name).iterdir())
        assert [path.name[:2] for path in pictures] == [f"{number}-" for number in range(1, 1 + len(pictures))]
        for path in pictures:
            with Image.open(path) as picture:
                picture.verify()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--annotate", "--debug-folder"])
@pytest.mark.parametrize("name", ["text.png/boxes", "text.png/boxes.png"])
def test_a_place_that_cannot_be_written(read: Read, option: str, name: str, capsys: pytest.CaptureFixture[str]):
    assert read("a.png", option, name) == 3
    messages = capsys.readouterr().err
    assert len(messages.splitlines()) == 1
    assert messages.startswith("digits: text.png/boxes")
    assert "choose another folder" in messages


def test_help_has_examples(read: Read, capsys: pytest.CaptureFixture[str]):
    assert read("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in ("digits read photo.jpg", "--annotate", "--debug-folder", "--recursive", "--model", "--json"):
        assert part in text


def test_a_runs_model(read: Read, small_model: Path, capsys: pytest.CaptureFixture[str]):
    for model in (small_model, small_model.parent):
        assert read("a.png", "--json", "--model", model) == 0
        row = json.loads(capsys.readouterr().out)
        assert row == {"file": "a.png", **Reader(small_model).read(Path("a.png")).to_json()}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "Missing argument"),
        (["a.png", "--model", "text.png"], 3, "digits: text.png: not a model"),
        (["a.png", "--model", "none.onnx"], 3, "digits: none.onnx: No such file"),
        (["a.png", "--model", "below"], 3, "digits: below: has no model.onnx"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(
    read: Read, arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
):
    assert read(*arguments) == status
    output, messages = capsys.readouterr()
    assert message in messages
    assert "Traceback" not in messages
    assert output == ""


def test_uncertain_digits_are_not_left_out(capsys: pytest.CaptureFixture[str]):
    blank = np.zeros((28, 28), np.uint8)
    one, two = (
        Digit(i, share, (0, 0, 5, 5), np.eye(10, dtype=np.float32)[i], blank) for i, share in ((1, 1), (2, 0.5))
    )
    assert [digit.uncertain for digit in (one, two)] == [False, True]
    terminal.print_page("a\x1b[31m\n\udcff[bold]:smile:.png", Page((Line(((one, two), (one,))),), None))
    assert capsys.readouterr().out == "a?[31m??[bold]:smile:.png\n  12 1\n"
