import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_digits.errors import DataError
from mnist_digits.files import atomic_write, read_json, write_json, write_text
from mnist_digits.runs import Run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_taken_names_are_numbered(in_folder: Path):
    folders = [Run.create("dense-0").folder for _ in range(3)]
    assert folders == [Path("runs/dense-0"), Path("runs/dense-0-2"), Path("runs/dense-0-3")]


def test_a_named_folder_must_be_new_or_empty(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert Run.create("x", tmp_path / "empty").folder == tmp_path / "empty"
    (tmp_path / "empty" / "file").touch()
    with pytest.raises(DataError, match="not empty"):
        Run.create("x", tmp_path / "empty")


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"--output"):
        Run.create("x", tmp_path / "file" / "run")


def test_a_runs_folder_that_leads_nowhere(in_folder: Path):
    Path("runs").symlink_to(in_folder / "unmounted")
    with pytest.raises(DataError, match="runs: File exists"):
        Run.create("dense-0")


def test_latest_follows_the_runs_in_runs_alone(in_folder: Path):
    for expected in ("dense-0", "dense-0-2"):
        Run.create("dense-0").link_as_latest()
        assert Path("runs/latest").readlink() == Path(expected)
    Run.create("x", in_folder / "elsewhere").link_as_latest()
    assert not (in_folder / "latest").exists()
    assert Path("runs/latest").readlink() == Path("dense-0-2")
    Run(Path("runs/latest")).link_as_latest()
    assert Path("runs/latest").readlink() == Path("dense-0-2")
    assert names(Path("runs")) == ["dense-0", "dense-0-2", "latest"]


def test_a_folder_called_latest_is_left_alone(in_folder: Path):
    (in_folder / "runs/latest").mkdir(parents=True)
    Run.create("dense-0").link_as_latest()
    assert names(Path("runs")) == ["dense-0", "latest"]
    assert not Path("runs/latest").is_symlink()


def test_opening_names_what_is_missing(tmp_path: Path):
    with pytest.raises(DataError, match="no such folder"):
        Run.open(tmp_path / "none")
    (tmp_path / "recipe.json").write_text("{}")
    assert Run.open(tmp_path, "recipe").folder == tmp_path
    with pytest.raises(DataError, match=r"has no metrics\.json"):
        Run.open(tmp_path, "recipe", "metrics")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "new" / "file.json"
    write_json(path, {"value": 1})
    with pytest.raises(RuntimeError, match="in between"), atomic_write(path) as temporary:
        temporary.write_text("{")
        assert temporary.suffix == ".json"
        raise RuntimeError("in between")
    assert read_json(path) == {"value": 1}
    assert names(path.parent) == ["file.json"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path):
    """A real write that the system cuts off in the middle: a process with a limit on the size of its files."""
    path = tmp_path / "file"
    write_text(path, "old")
    program = (
        "import sys, pathlib, mnist_digits.files as files; files.write_text(pathlib.Path(sys.argv[1]), 'x' * 5000)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "DataError" in result.stderr
    assert "File too large; nothing half-written was left" in result.stderr
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("content", ["", "{", "not json", "\ufeff"])
def test_damaged_json_is_one_line(tmp_path: Path, content: str):
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"metrics\.json: not JSON") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="No such file"):
        read_json(tmp_path / "none.json")


def test_a_file_where_a_folder_should_be(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="File exists|Not a directory"):
        write_text(tmp_path / "file" / "x", "text")
