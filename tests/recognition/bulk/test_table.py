from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.command import ODD_NAME, unprintable
from mnist_digits.recognition import Reader
from mnist_digits.recognition.bulk import SCHEMAS, Mode, Output, Settings, list_pictures, table
from mnist_digits.recognition.bulk.table import PictureReader, StoppedError
from mnist_digits.recognition.classifier import CLASSIFIER_PATH


def test_a_name_that_is_not_utf8_is_a_row(tmp_path: Path):
    settings = Settings.of("predict", ["pictures"], False, None, None)
    output = Output.create(tmp_path / "out.parquet", settings, iter(["/scans/7\udcff.png"]), None)
    row, *_ = PictureReader("predict", CLASSIFIER_PATH).read(output.paths(0)).to_pylist()
    assert row["path"] == "/scans/7\\udcff.png"
    assert "No such file" in row["error"]


@pytest.mark.parametrize("mode", ["predict", "read"])
def test_rows_are_what_the_reader_says(reader: Reader, folder: Path, damaged: set[str], mode: Mode):
    paths = sorted(list_pictures([str(folder)]))
    found = PictureReader(mode, CLASSIFIER_PATH).read(paths)
    assert found.schema == SCHEMAS[mode]
    assert found.column("path").to_pylist() == paths
    assert {Path(row["path"]).name for row in found.to_pylist() if row["error"]} == damaged
    one: Callable[[Reader, str], dict] = {"predict": predicted, "read": page}[mode]
    for row in found.to_pylist():
        if row["error"]:
            assert {name for name, value in row.items() if value is not None} == {"path", "reason", "error"}
            assert row["reason"] == "unreadable"
            assert row["error"].startswith(row["path"])
        else:
            assert {**row, "confidence": row["confidence"] and round(row["confidence"], 5)} == one(reader, row["path"])


def predicted(reader: Reader, path: str) -> dict:
    prediction = reader.classifier.classify(path)
    box = dict(zip(("x", "y", "width", "height"), prediction.box, strict=True)) if prediction.box[2] else None
    confidence = round(float(np.float32(prediction.confidence)), 5)
    found = {"digit": prediction.digit, "confidence": confidence, "box": box, "reason": prediction.reason}
    return {"path": path, **found, "error": None}


def page(reader: Reader, path: str) -> dict:
    found = reader.read(path)
    confidences = [digit.confidence for digit in found.digits]
    digits = [
        {
            "digit": digit.digit,
            "confidence": float(np.float32(digit.confidence)),
            "line": number,
            "box": dict(zip(("x", "y", "width", "height"), digit.box, strict=True)),
            "page": 1,
        }
        for number, line in enumerate(found.lines)
        for digit in line.digits
    ]
    least = round(float(np.float32(min(confidences))), 5) if confidences else None
    return {
        "path": path,
        "text": found.text,
        "confidence": least,
        "digits": digits,
        "reason": found.reason,
        "error": None,
        "doubtful": found.doubtful,
    }


def test_more_pictures_than_the_network_takes_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table, "BATCH_IMAGES", 5)
    paths = [str(folder / f"{number % 12:02d}.png") for number in range(13)]
    paths[3] = paths[11] = str(folder / "text.png")
    reader = PictureReader("predict", CLASSIFIER_PATH)
    assert reader.read(paths).to_pylist() == [reader.read([path]).to_pylist()[0] for path in paths]


def test_pictures_behind_an_address(folder: Path):
    paths = [str(folder / name) for name in ("00.png", "page.png", "blank.jpg", "text.png", "missing.png")]
    reader = PictureReader("read", CLASSIFIER_PATH)
    here = reader.read(paths).to_pylist()
    there = reader.read([f"file://{path}" for path in paths]).to_pylist()
    for one, other in zip(here, there, strict=True):
        assert other["path"] == f"file://{one['path']}"
        assert {**other, "path": one["path"], "error": None} == {**one, "error": None}
        assert (one["error"] is None) == (other["error"] is None)
    (row,) = reader.read(["nowhere://bucket/7.png"]).to_pylist()
    assert row["reason"] == "unreadable"
    assert "nowhere" in row["error"]


def test_whoever_wants_no_more_gets_none(folder: Path):
    asked: list[int] = []

    def going() -> bool:
        asked.append(1)
        return len(asked) < 5

    with pytest.raises(StoppedError):
        PictureReader("predict", CLASSIFIER_PATH).read([str(folder / "00.png")] * 50, going)
    assert len(asked) == 5


def test_errors_are_safe_to_print(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    def fail(*_: object) -> None:
        raise RuntimeError(ODD_NAME)

    reader = PictureReader("read", CLASSIFIER_PATH)
    monkeypatch.setattr(Reader, "read_pages", fail)
    (row,) = reader.read([str(folder / "00.png")]).to_pylist()
    assert row["error"] == "RuntimeError: a\\x1b[31m\\u202ered\\x9b1m"
    missing = f"/none/{ODD_NAME}.png"
    monkeypatch.undo()
    (row,) = reader.read([missing]).to_pylist()
    assert row["path"] == missing
    assert "No such file" in row["error"]
    assert unprintable(row["error"]) == set()


def test_the_log_is_safe_to_print(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    settings = Settings.of("predict", ["pictures"], False, None, None)
    with caplog.at_level("INFO", "mnist_digits"):
        Output.create(tmp_path / ODD_NAME, settings, iter(["/scans/7.png"]), None)
        Output.resume(tmp_path / ODD_NAME, settings)
    assert "continuing" in caplog.text
    assert unprintable(caplog.text) == set()
