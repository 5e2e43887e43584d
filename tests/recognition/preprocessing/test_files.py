from pathlib import Path

from mnist_digits.recognition import find_pictures


def test_pictures_of_a_folder_in_order_and_on_request_those_below(tmp_path: Path):
    for name in ("b.png", "a.JPEG", "notes.txt", ".hidden.png", "z/d.tif", "z/y/e.gif", "c/f.heic", ".cache/g.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "c" / "loop").symlink_to(tmp_path)

    def found(recursive: bool) -> list[str]:
        return [str(Path(name).relative_to(tmp_path)) for name in find_pictures(str(tmp_path), recursive)]

    assert found(recursive=False) == ["a.JPEG", "b.png"]
    assert found(recursive=True) == ["a.JPEG", "b.png", "c/f.heic", "z/d.tif", "z/y/e.gif"]


def test_a_file_and_an_empty_folder_hold_none(tmp_path: Path):
    (tmp_path / "a.png").touch()
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "empty", "missing"):
        assert not list(find_pictures(str(tmp_path / name), recursive=True))
