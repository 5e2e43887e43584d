import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.small_pages import sure_digits, write_page
from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError
from mnist_digits.recognition import Classifier, Reader, find_pictures
from mnist_digits.recognition.bulk import SCHEMAS, Mode, Output, Settings, list_pictures
from mnist_digits.recognition.bulk.table import PictureReader, Stopped
from mnist_digits.recognition.classifier import BATCH_IMAGES, CLASSIFIER_PATH

BAD = {"text.png": b"seven", "empty.png": b"", "cut.png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"}


@pytest.fixture(scope="module")
def folder(mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, a blank picture, a page, what is none, and more in folders below."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(mnist.train.images[:12]):
        Image.fromarray(255 - np.pad(image, 6)).resize((80, 80)).save(folder / f"{number:02d}.png")
    Image.new("L", (90, 60), 220).save(folder / "blank.jpg")
    Image.fromarray(write_page(sure_digits(mnist.train, Classifier()), ("31 4", "159")).pixels()).save(
        folder / "page.png"
    )
    for name, content in BAD.items():
        (folder / name).write_bytes(content)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("7")
    for name in ("below/deeper/1.png", "below/.cache/2.png"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"")
    return folder


def write_list(path: Path, paths: list[str | None], column: str = "path") -> Path:
    pyarrow.parquet.write_table(pyarrow.table({column: pyarrow.array(paths, pyarrow.string())}), path)
    return path


@pytest.mark.parametrize("recursive", [False, True])
def test_a_folder_has_the_pictures_that_predict_finds(folder: Path, recursive: bool):
    found = list(list_pictures([str(folder)], recursive))
    assert sorted(found) == sorted(find_pictures(str(folder), recursive))
    assert len(found) == 14 + len(BAD) + recursive


def test_patterns_paths_and_lists_of_paths(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    listed = ["00.png", str(folder / "01.png"), "s3://bucket/a b/7.png"]
    paths = str(write_list(tmp_path / "paths.parquet", listed))
    found = list(list_pictures(["0?.png", "**/1.png", "notes.txt", paths, "00.png"]))
    assert sorted(found[:10]) == [str(folder / f"{number:02d}.png") for number in range(10)]
    assert found[10:12] == [str(folder / name) for name in ("below/deeper/1.png", "notes.txt")]
    assert found[12:] == [str(folder / "00.png"), *listed[1:], str(folder / "00.png")]


@pytest.mark.parametrize(
    ("name", "recursive", "message"),
    [
        ("below", False, "a folder without pictures; name another, or look further down with --recursive"),
        ("below/.cache/none", True, "no such file or folder"),
        ("*.webp", False, "nothing fits this pattern"),
        ("none.parquet", False, "not a Parquet file that can be read"),
        ("text.parquet", False, "not a Parquet file that can be read"),
        ("column.parquet", False, "has the columns file, expected one called path"),
        ("null.parquet", False, "1 rows without a path"),
        ("numbers.parquet", False, "its column path has int64, expected strings"),
        ("nothing.parquet", False, "no rows, expected a path in each"),
    ],
)
def test_a_name_without_pictures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, recursive: bool, message: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below" / "deeper").mkdir(parents=True)
    (tmp_path / "text.parquet").write_text("path")
    write_list(tmp_path / "column.parquet", ["7.png"], "file")
    write_list(tmp_path / "null.parquet", ["7.png", None])
    write_list(tmp_path / "nothing.parquet", [])
    pyarrow.parquet.write_table(pyarrow.table({"path": [7]}), tmp_path / "numbers.parquet")
    with pytest.raises(DataError, match=f"^{re.escape(name)}: .*{re.escape(message)}"):
        list(list_pictures([str(folder), name], recursive))


def begin(folder: Path, paths: list[str], pictures_per_file: int = 5) -> Output:
    of_call = Settings.of("predict", ["pictures"], False, pictures_per_file, None)
    return Output.create(folder, of_call, iter(paths), None)


@settings(max_examples=20)
@given(count=st.integers(1, 60), size=st.integers(1, 25), finished=st.data())
def test_every_path_belongs_to_one_file(
    tmp_path_factory: pytest.TempPathFactory, count: int, size: int, finished: st.DataObject
):
    paths = [f"/pictures/{number}.png" for number in range(count)]
    output = begin(tmp_path_factory.mktemp("any") / "out.parquet", paths, pictures_per_file=size)
    assert [path for number in range(output.files) for path in output.paths(number)] == paths
    assert all(len(output.paths(number)) == output.rows(number) for number in range(output.files))
    written = finished.draw(st.sets(st.integers(0, output.files - 1)))
    for number in written:
        output.write(number, SCHEMAS["predict"].empty_table())
    assert set(output.missing()) == set(range(output.files)) - written
    assert output.done() == sum(len(output.paths(number)) for number in written)


def test_the_list_of_pictures_is_never_in_memory(tmp_path: Path):
    of_call = Settings.of("predict", ["pictures"], False, 1000, None)
    tracemalloc.start()
    before = pyarrow.total_allocated_bytes()
    output = Output.create(tmp_path / "out.parquet", of_call, (f"/pictures/{n:030d}.png" for n in range(100_000)), None)
    assert output.paths(99)[-1] == f"/pictures/{99_999:030d}.png"
    assert tracemalloc.get_traced_memory()[1] < 3_000_000  # the names alone would be 10 million
    tracemalloc.stop()
    assert pyarrow.total_allocated_bytes() - before < 1_000_000


def test_an_output_is_continued_by_the_same_settings_alone(tmp_path: Path):
    output = begin(tmp_path / "out.parquet", ["/a.png", "/b.png"])
    leftover = output.folder / ".12345-part-000000.parquet"
    leftover.write_bytes(b"half")
    assert Output.resume(output.folder, output.settings) == output == Output.open(output.folder)
    assert not leftover.exists()
    for other in (
        replace(output.settings, mode="read"),
        replace(output.settings, model="0"),
        replace(output.settings, inputs=("/elsewhere",), recursive=True),
    ):
        with pytest.raises(DataError, match="begun with other (mode|model|inputs and recursive); .*--overwrite"):
            Output.resume(output.folder, other)
    assert Output.resume(tmp_path / "new.parquet", output.settings) is None
    assert begin(output.folder, ["/c.png"]).paths(0) == ["/c.png"]


def test_what_is_no_output_is_never_replaced(tmp_path: Path):
    (tmp_path / "file.parquet").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("precious")
    of_call = Settings.of("read", ["pictures"], False, None, None)
    for name in ("file.parquet", "folder"):
        for attempt in (
            lambda path: begin(path, ["/a.png"]),
            lambda path: Output.resume(path, of_call),
        ):
            with pytest.raises(DataError, match=f"{name}: exists, and is no output of `digits read`"):
                attempt(tmp_path / name)
    assert [path.read_text() for path in sorted(tmp_path.rglob("*.*")) if path.is_file()] == ["precious"] * 2


def test_the_settings_know_the_models_content_and_a_lists_size(tmp_path: Path, small_model: Path):
    paths = write_list(tmp_path / "paths.parquet", ["/a.png"])

    def of_call(model: Path | None) -> Settings:
        return Settings.of("read", [str(paths)], False, None, model)

    before = of_call(None)
    assert before == of_call(CLASSIFIER_PATH)
    assert before.model != of_call(small_model).model
    write_list(paths, ["/a.png", "/b.png"])
    assert before.inputs != of_call(None).inputs
    with pytest.raises(DataError, match="none.onnx: No such file"):
        of_call(tmp_path / "none.onnx")


def test_a_name_that_is_not_utf8_is_a_row(tmp_path: Path):
    output = begin(tmp_path / "out.parquet", ["/scans/7\udcff.png"])
    row, *_ = PictureReader("predict", CLASSIFIER_PATH).read(output.paths(0)).to_pylist()
    assert row["path"] == "/scans/7\\udcff.png"
    assert "No such file" in row["error"]


@pytest.mark.parametrize("mode", ["predict", "read"])
def test_rows_are_what_the_classifier_and_the_reader_say(folder: Path, mode: Mode):
    paths = sorted(list_pictures([str(folder)]))
    table = PictureReader(mode, CLASSIFIER_PATH).read(paths)
    assert table.schema == SCHEMAS[mode]
    assert table.column("path").to_pylist() == paths
    assert {Path(row["path"]).name for row in table.to_pylist() if row["error"]} == set(BAD)
    one: Callable[[str], dict] = {"predict": predicted, "read": page}[mode]
    for row in table.to_pylist():
        if row["error"]:
            assert {name for name, value in row.items() if value is not None} == {"path", "reason", "error"}
            assert row["reason"] == "unreadable"
            assert row["error"].startswith(row["path"])
        else:
            assert {**row, "confidence": row["confidence"] and round(row["confidence"], 5)} == one(row["path"])


def predicted(path: str) -> dict:
    prediction = Classifier().classify(path)
    box = dict(zip(("x", "y", "width", "height"), prediction.box, strict=True)) if prediction.box[2] else None
    confidence = round(float(np.float32(prediction.confidence)), 5)
    found = {"digit": prediction.digit, "confidence": confidence, "box": box, "reason": prediction.reason}
    return {"path": path, **found, "error": None}


def page(path: str) -> dict:
    found = Reader().read(path)
    confidences = [digit.confidence for line in found.lines for digit in line.digits]
    digits = [
        {
            "digit": digit.digit,
            "confidence": float(np.float32(digit.confidence)),
            "line": number,
            "box": dict(zip(("x", "y", "width", "height"), digit.box, strict=True)),
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
    }


def test_more_pictures_than_the_network_takes_at_once(folder: Path):
    paths = [str(folder / f"{number % 12:02d}.png") for number in range(BATCH_IMAGES + 3)]
    paths[7] = paths[BATCH_IMAGES + 1] = str(folder / "text.png")
    rows = PictureReader("predict", CLASSIFIER_PATH).read(paths).to_pylist()
    few = {
        row["path"]: row["digit"]
        for row in PictureReader("predict", CLASSIFIER_PATH).read(sorted(set(paths))).to_pylist()
    }
    assert [row["digit"] for row in rows] == [few[path] for path in paths]


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

    with pytest.raises(Stopped):
        PictureReader("predict", CLASSIFIER_PATH).read([str(folder / "00.png")] * 50, going)
    assert len(asked) == 5


def test_a_finished_output_is_one_table(folder: Path, tmp_path: Path):
    paths = sorted(list_pictures([str(folder)]))
    output = begin(tmp_path / "out.parquet", paths)
    reader = PictureReader("predict", output.model)
    for number in output.missing():
        output.write(number, reader.read(output.paths(number)))
    summary = output.summary()
    assert (summary.pictures, summary.unreadable) == (len(paths), len(BAD))
    table = pyarrow.dataset.dataset(output.folder).to_table()
    assert table.schema == SCHEMAS["predict"]
    assert sorted(table.column("path").to_pylist()) == paths
    output.write(0, table.slice(0, 1))
    with pytest.raises(DataError, match=f"rows, expected {len(paths)}; read anew with --overwrite"):
        output.summary()
    output.path(1).write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part-000001.parquet: damaged .*delete it"):
        output.summary()
