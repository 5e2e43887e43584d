"""`digits predict` as a user meets it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_digits.cli import main
from mnist_digits.cli import output as terminal
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier

REASONS = {None, "blank", "not-a-digit", "several-digits", "unreadable"}
Predict = Callable[..., int]


@pytest.fixture(scope="module")
def folder(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures of digits, what is none, and what is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(10):
        Image.fromarray(255 - np.kron(small.test.images[i], np.ones((4, 4), np.uint8))).save(folder / f"{i}.png")
    (folder / "below").mkdir()
    Image.fromarray(small.test.images[10]).save(folder / "below" / "a.gif")
    Image.new("L", (50, 50), 220).save(folder / "blank.jpg")
    (folder / "empty").mkdir()
    (folder / "text.png").write_text("seven")
    (folder / "void.png").write_bytes(b"")
    return folder


@pytest.fixture
def predict(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Run `digits predict` in that folder, in this process; returns the exit status."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # which the command would set, and leave to the next test

    def run(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["digits", "predict", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return int(exit_.value.code or 0)

    return run


def test_no_training_framework_is_loaded(folder: Path, small_model: Path):
    program = (
        "import sys; from mnist_digits.cli import main\n"
        "try: main()\n"
        "finally: print({'tensorflow', 'keras', 'jax', 'torch', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, "predict", "0.png", "--model", str(small_model)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    line, loaded = result.stdout.splitlines()
    assert line.endswith("0.png")
    assert loaded == "set()"
    assert result.stderr == ""


def test_results_come_one_by_one(folder: Path, small_model: Path):
    command = [sys.executable, "-m", "mnist_digits", "predict", "3.png", "-", "4.png", "--json", "--model", small_model]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert process.poll() is None, "waits for standard input"
        process.stdin.write((folder / "3.png").read_bytes())
        process.stdin.close()
        rows = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    assert first["file"] == "3.png"
    assert rows[0] == {**first, "file": "-"}
    assert rows[1]["file"] == "4.png"


def test_json_has_a_row_for_every_file_in_order(
    predict: Predict, small_model: Path, folder: Path, capsys: pytest.CaptureFixture[str]
):
    files = ["3.png", "text.png", "blank.jpg", "void.png", "missing.png", "empty", "below", "7.png"]
    assert predict("--json", "--model", small_model, *files) == 3
    output, messages = capsys.readouterr()
    rows = [json.loads(line) for line in output.splitlines()]
    assert [row["file"] for row in rows] == [*files[:6], str(Path("below", "a.gif")), "7.png"]
    for row in rows:
        assert list(row) == ["file", "digit", "confidence", "probabilities", "reason"]
        assert row["reason"] in REASONS
        assert (row["digit"] is None) == (row["reason"] is not None)
        assert 0 <= row["confidence"] <= 1
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-4)
    reasons = [row["reason"] for row in rows]
    assert reasons == [None, "unreadable", "blank", "unreadable", "unreadable", "unreadable", None, None]
    expected = Classifier(small_model).classify(folder / "7.png")
    assert rows[-1] == {"file": "7.png", **expected.to_json()}
    lines = messages.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["text.png", "void.png", "missing.png", "empty"]
    assert "a folder without pictures" in lines[-1]
    assert "Traceback" not in messages


def test_people_get_a_line_a_picture(predict: Predict, small_model: Path, capsys: pytest.CaptureFixture[str]):
    assert predict("--model", small_model, "3.png", "blank.jpg", "below") == 0
    digit, blank, below = capsys.readouterr().out.splitlines()
    prediction = Classifier(small_model).classify("3.png")
    assert digit.split()[:3] == [str(prediction.digit), f"{prediction.confidence:.2%}".removesuffix("%"), "%"]
    assert digit.endswith("  3.png")
    assert blank.split() == ["–", "blank", "blank.jpg"]
    assert digit.index("3.png") == blank.index("blank.jpg") == below.index("below")


def test_folders_and_those_in_them(predict: Predict, small_model: Path, capsys: pytest.CaptureFixture[str]):
    assert predict(".", "--recursive", "--model", small_model) == 3
    names = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    own = [*(f"{i}.png" for i in range(10)), "blank.jpg", "text.png", "void.png"]
    assert names == [*own, str(Path("below", "a.gif"))]
    assert predict(".", "--model", small_model) == 3
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == own


def test_show_draws_what_the_network_saw(predict: Predict, small_model: Path, capsys: pytest.CaptureFixture[str]):
    assert predict("3.png", "--show", "--model", small_model) == 0
    _, *drawing = capsys.readouterr().out.splitlines()
    cells = np.array([[" ▀▄█".index(character) for character in line[1:-1]] for line in drawing[1:-1]])
    seen = np.stack([cells & 1, cells >> 1], axis=1).reshape(28, 28)
    np.testing.assert_array_equal(seen > 0, Classifier(small_model).classify("3.png").image >= 128)


def test_a_runs_model_and_a_confidence_that_is_asked_for(
    predict: Predict, small_model: Path, capsys: pytest.CaptureFixture[str]
):
    assert predict("3.png", "--json", "--model", small_model.parent, "--min-confidence", "1") == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["digit"], row["reason"]) == (None, "not-a-digit")
    assert 0 < row["confidence"] < 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["3.png", "--show", "--json"], 2, "--show with --json"),
        (["3.png", "--min-confidence", "2"], 2, "--min-confidence"),
        ([], 2, "Missing argument"),
        (["3.png", "--model", "text.png"], 3, "digits: text.png: not a model"),
        (["3.png", "--model", "none.onnx"], 3, "digits: none.onnx: No such file"),
        (["3.png", "--model", "below"], 3, "digits: below: has no model.onnx"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(
    predict: Predict, arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
):
    assert predict(*arguments) == status
    output, messages = capsys.readouterr()
    assert message in messages
    assert output == ""


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(predict: Predict, small_model: Path, capsys: pytest.CaptureFixture[str]):
    path = Path("secret.png")
    path.touch(mode=0)
    assert predict(path, "3.png", "--model", small_model) == 3
    path.unlink()
    output, messages = capsys.readouterr()
    assert "Permission denied" in messages
    assert len(output.splitlines()) == 2


def test_no_files_name_harms_the_terminal(small_model: Path, small: Dataset, capsys: pytest.CaptureFixture[str]):
    prediction = Classifier(small_model).classify(small.test.images[0])
    terminal.print_prediction("a\x1b[31m\n\udcff[bold]:smile:.png", prediction, show=False)
    assert capsys.readouterr().out.endswith("  a?[31m??[bold]:smile:.png\n")
