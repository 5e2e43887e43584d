"""Folders of pictures by class: `0/…9/`, also below `train/` and `test/`, or below a folder for each writer."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mnist_digits.dataset.pictures import Found, LabelledPicture
from mnist_digits.errors import DataError

CLASSES = tuple("0123456789")
"""Names of the folders of the classes."""

MAX_DEPTH = 4
"""Folders above the folders of the classes, at most."""

TEST_NAMES = ("test", "testing", "t10k")
"""Names of the folder of a given test part."""

FOLDERS_NAMED = 3
"""Folders without a class that a note names."""


def has_class_folders(folder: Path, depth: int = MAX_DEPTH) -> bool:
    """Whether a folder has folders named after digits, or has folders that have them."""
    below = _subfolders(folder)
    if any(path.name in CLASSES for path in below):
        return True
    return depth > 0 and any(has_class_folders(path, depth - 1) for path in below)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; expected a folder that can be looked into") from None


def pictures_by_class(folder: Path, found: Found) -> Iterator[LabelledPicture]:
    """The pictures in folders of classes, at any depth, sorted by path; what is in none is noted, and left out.

    The class is the last folder on the way to a picture that is named after a digit; its group, all others on the way.
    """
    from mnist_digits.recognition.preprocessing.image_io import find_pictures

    left_out = Counter[str]()
    folders = set[Path]()
    count = 0
    for path in map(Path, find_pictures(str(folder), recursive=True, skip_unreadable=False)):
        way = path.relative_to(folder).parent.parts
        places = [place for place, name in enumerate(way) if name in CLASSES]
        if not places:
            left_out["/".join(way) or "."] += 1
            continue
        count += 1
        folders.add(path.parent)
        group = "/".join(name for place, name in enumerate(way) if place != places[-1])
        yield LabelledPicture(path, int(way[places[-1]]), str(path), group)
    found.what = f"{count:,} pictures in {len(folders):,} folders of classes"
    if left_out:
        names = ", ".join(list(left_out)[:FOLDERS_NAMED]) + (" …" if len(left_out) > FOLDERS_NAMED else "")
        found.notes.append(f"{left_out.total():,} pictures in no folder named 0 to 9 were left out ({names})")


def part_of(picture: LabelledPicture) -> str:
    """`test` for a picture below a folder of TEST_NAMES, else `train`."""
    return "test" if picture.group.split("/")[0].lower() in TEST_NAMES else "train"
