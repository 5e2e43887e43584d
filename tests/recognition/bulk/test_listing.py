import re
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from mnist_digits.errors import DataError
from mnist_digits.recognition import find_pictures
from mnist_digits.recognition.bulk import list_pictures


def write_list(path: Path, paths: list[str | None], column: str = "path") -> Path:
    pyarrow.parquet.write_table(pyarrow.table({column: pyarrow.array(paths, pyarrow.string())}), path)
    return path


@pytest.mark.parametrize("recursive", [False, True])
def test_a_folder_has_the_pictures_that_predict_finds(folder: Path, damaged: set[str], recursive: bool):
    found = list(list_pictures([str(folder)], recursive))
    assert sorted(found) == sorted(find_pictures(str(folder), recursive))
    assert len(found) == 14 + len(damaged) + recursive


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
