import tracemalloc
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_digits.errors import DataError
from mnist_digits.recognition.bulk import SCHEMAS, Output, Settings, list_pictures
from mnist_digits.recognition.bulk.table import PictureReader
from mnist_digits.recognition.classifier import CLASSIFIER_PATH


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
    paths = tmp_path / "paths.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"path": ["/a.png"]}), paths)

    def of_call(model: Path | None) -> Settings:
        return Settings.of("read", [str(paths)], False, None, model)

    before = of_call(None)
    assert before == of_call(CLASSIFIER_PATH)
    assert before.model != of_call(small_model).model
    pyarrow.parquet.write_table(pyarrow.table({"path": ["/a.png", "/b.png"]}), paths)
    assert before.inputs != of_call(None).inputs
    with pytest.raises(DataError, match="none.onnx: No such file"):
        of_call(tmp_path / "none.onnx")


def test_a_finished_output_is_one_table(folder: Path, damaged: set[str], tmp_path: Path):
    paths = sorted(list_pictures([str(folder)]))
    output = begin(tmp_path / "out.parquet", paths)
    reader = PictureReader("predict", output.model)
    for number in output.missing():
        output.write(number, reader.read(output.paths(number)))
    summary = output.summary()
    assert (summary.pictures, summary.unreadable) == (len(paths), len(damaged))
    table = pyarrow.dataset.dataset(output.folder).to_table()
    assert table.schema == SCHEMAS["predict"]
    assert sorted(table.column("path").to_pylist()) == paths
    output.write(0, table.slice(0, 1))
    with pytest.raises(DataError, match=f"rows, expected {len(paths)}; read anew with --overwrite"):
        output.summary()
    output.path(1).write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part-000001.parquet: damaged .*delete it"):
        output.summary()
