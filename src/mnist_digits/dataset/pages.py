"""Pages with what is written on them: in `labels.json`, or in a text file beside each picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mnist_digits.errors import DataError
from mnist_digits.files import read_json

LABELS = "labels.json"
"""Name of the file with the lines of all pages of a folder."""


class LabelledPage(NamedTuple):
    """A page, and its lines."""

    path: Path
    lines: tuple[str, ...]
    """From top to bottom; what is no digit in them does not count."""
    group: str
    """The folder that it is in, below the one that was asked for; empty for that one."""


def labelled_pages(folder: Path) -> Iterator[LabelledPage]:
    """The pages of a folder and the folders below it whose lines are known, sorted by path.

    `labels.json` is `{"page.jpg": ["0123", "45 6"]}`, or a list of what `digits read --json` prints: objects with
    `file` and `lines`. Without it, `page.txt` beside `page.jpg` has a line of text for each line. Raises DataError when
    there is no such page, or a file is damaged.
    """
    from mnist_digits.recognition.preprocessing.image_io import find_pictures

    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one of pages with {LABELS} or a .txt beside each")
    count = 0
    known: dict[Path, dict[str, tuple[str, ...]]] = {}
    for path in map(Path, find_pictures(str(folder), recursive=True, skip_unreadable=False)):
        labels = known.setdefault(path.parent, _labels(path.parent / LABELS))
        lines = labels.get(path.name)
        if lines is None and path.with_suffix(".txt").is_file():
            lines = tuple(path.with_suffix(".txt").read_bytes().decode("utf-8", "replace").splitlines())
        if lines is not None:
            count += 1
            yield LabelledPage(path, lines, path.parent.relative_to(folder).as_posix().replace(".", "", 1))
    if not count:
        raise DataError(f"{folder}: no page with its lines; expected pictures, and {LABELS} or a .txt beside each")


def _labels(path: Path) -> dict[str, tuple[str, ...]]:
    """Name of a page's file → its lines, from a folder's labels.json; empty without one."""
    if not path.is_file():
        return {}
    content = read_json(path)
    try:
        if isinstance(content, list):
            content = {Path(page["file"]).name: page["lines"] for page in content}
        return {
            name: tuple(map(_text, lines.splitlines() if isinstance(lines, str) else lines))
            for name, lines in content.items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f'{path}: {error or type(error).__name__}; expected {{"page.jpg": ["0123", "456"]}}') from None


def _text(line: Any) -> str:
    """A line, which may be an object with its text, as `digits read --json` prints it."""
    text = line["text"] if isinstance(line, dict) else line
    if not isinstance(text, str):
        raise TypeError(f"a line is {str(line)[:20]}")
    return text
