"""The page on architecture shows the package as it is, and no folder is crowded."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
MAX_FOLDER_ENTRIES = 12
CACHES = {"__pycache__", "_build"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def mapped() -> set[str]:
    """The paths, below the root, that the tree in the page on architecture names; folders end in a slash."""
    block = re.search(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block
    found, folders = set(), list[str]()
    for line in block[1].splitlines():
        entry = re.match(r"( *)(\S+)  +\S", line)
        assert entry, f"expected a name and what it is: {line}"
        del folders[len(entry[1]) // 2 :]
        found.add("".join(folders) + entry[2])
        if entry[2].endswith("/"):
            folders.append(entry[2])
    return found


def built() -> set[str]:
    """The same of the package's folders and modules as they are."""
    source = ROOT / "src"
    folders = {path.parent for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    folders = {folder for folder in folders if ".egg-info" not in str(folder)} | {source}
    modules = {path for path in source.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")}
    return {f"{name_of(folder)}/" for folder in folders} | {name_of(module) for module in modules}


def test_the_map_names_every_folder_and_module_of_the_package():
    assert {path for path in mapped() if path.startswith("src/")} == built()


def test_all_that_the_map_names_exists():
    assert [path for path in sorted(mapped()) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["src", "tests", "benchmarks", "docs"])
def test_no_folder_has_more_than_a_dozen_entries(name: str):
    folders = [ROOT / name, *(path for path in (ROOT / name).rglob("*") if path.is_dir())]
    entries = {
        name_of(folder): len({path.name for path in folder.iterdir()} - CACHES)
        for folder in folders
        if not CACHES & set(folder.relative_to(ROOT).parts)
    }
    assert {folder: count for folder, count in entries.items() if count > MAX_FOLDER_ENTRIES} == {}
