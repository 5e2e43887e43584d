"""load_data: whatever people have, a file or a folder, to a data set."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mnist_digits.dataset import folders, tables
from mnist_digits.dataset.arrays import read_npz, sklearn_digits
from mnist_digits.dataset.labelling.digits import holds_labels, labelled_digits
from mnist_digits.dataset.mnist import (
    Dataset,
    Split,
    holds_idx,
    load_mnist,
    split_off_validation,
    stratified_sample,
)
from mnist_digits.dataset.pictures import Found, LabelledPicture, Progress, as_splits, joined
from mnist_digits.errors import DataError

SKLEARN_DIGITS = "load_digits"
"""Name that stands for scikit-learn's digits."""

KINDS = (
    "IDX files, .npz, .csv or .parquet files, a folder of pictures by class (0/ to 9/) or labelled with digits label, "
    "or load_digits of scikit-learn"
)

TEST_WORDS = ("test", "t10k")
"""Words in the name of a file that holds the test part of a set."""

IMAGES_PER_TEST_IMAGE = 7
"""Of a set without a test part, one in so many images of each class is held out for it, as of MNIST's 70,000."""

MIN_IMAGES, MIN_CLASSES = 20, 2
"""Images, and classes, in the smallest set that can be learned from and tested on."""


def load_data(
    source: Path | str | None, seed: int = 0, progress: Progress = lambda count: None
) -> tuple[Dataset, Found]:
    """A data set from wherever it is, and what was found there, in words; IDX files are not worth one.

    source: a folder of IDX files, as for `load_mnist`; an `.npz` file as Keras publishes MNIST, or a folder of those of
    KMNIST; a `.csv` file as Kaggle publishes MNIST, a label and 784 pixels in each row; a `.csv` or `.parquet` file of
    paths and labels; a `.parquet` file with pictures in it, as Hugging Face exports MNIST; a folder of pictures in
    folders called 0 to 9, or labelled with `digits label`; or `load_digits`, scikit-learn's digits. In a folder of
    `.csv` or `.parquet` files, those with `test` in their names are the test part. None loads the bundled MNIST.
    seed: of the split.

    Pictures that are no grey 28×28 pixels with a dark border are prepared as `digits predict` prepares them. Without a
    test part, one in IMAGES_PER_TEST_IMAGE images of each class becomes it, always the same ones; a twelfth of the
    rest, stratified by class, is the validation split.

    progress: called now and then with the number of pictures read so far. Raises DataError when there is no such file,
    when it is damaged or of another kind, for labels other than 0 to 9, and for a set that is too small.
    """
    found = Found()
    if source is None or holds_idx(Path(source)):
        return load_mnist(source, seed), found
    path = Path(source)
    parts = _read(path, found, progress)
    whole = _checked(path, parts, found)
    test = whole.get("test")
    if test is None:
        test, train = _held_out(whole["train"], found)
    else:
        train = whole["train"]
    return split_off_validation(train, test, path, seed), found


def labelled_pictures(source: Path, found: Found) -> Iterator[LabelledPicture]:
    """The pictures of a folder by class or labelled by people, or of a table of paths or with pictures, with labels.

    What is found is entered in `found` as they are read. Raises DataError when the source is none of these.
    """
    suffix = source.suffix.lower()
    if suffix == ".parquet":
        return tables.parquet_pictures(source)
    if suffix in READERS and not source.is_dir():
        table = tables.Csv(source)
        if not (table.holds_pixels or table.has_no_labels):
            return table.pictures()
    elif source.is_dir() and holds_labels(source):
        return labelled_digits(source, found)
    elif source.is_dir() and folders.has_class_folders(source):
        return folders.pictures_by_class(source, found)
    there = (
        "holds no folders of classes" if source.is_dir() else "no table of pictures" if source.exists() else "not there"
    )
    raise DataError(
        f"{source}: {there}; expected pictures in folders called 0 to 9, or a .csv or .parquet file with path and label"
    )


def _read(path: Path, found: Found, progress: Progress) -> dict[str, Split]:
    """The parts of a set, `train` and perhaps `test`."""
    if str(path) == SKLEARN_DIGITS and not path.exists():
        return sklearn_digits(found)
    if path.is_dir():
        return _read_folder(path, found, progress)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected {KINDS}")
    return {"train": _read_file(path, found, progress)} if path.suffix.lower() != ".npz" else read_npz([path], found)


def _read_folder(folder: Path, found: Found, progress: Progress) -> dict[str, Split]:
    if archives := sorted(folder.glob("*.npz")):
        return read_npz(archives, found)
    if holds_labels(folder):
        return as_splits(labelled_digits(folder, found), found, progress)
    if folders.has_class_folders(folder):
        return as_splits(folders.pictures_by_class(folder, found), found, progress, folders.part_of)
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in READERS]
    if not files:
        raise DataError(f"{folder}: holds {_contents(folder)}; expected {KINDS}")
    splits: dict[str, list[Split]] = {}
    what = []
    for path in files:
        if path.suffix.lower() == ".csv" and tables.Csv(path).has_no_labels:
            found.notes.append(f"{path.name} has no labels, and was left out")
            continue
        part = "test" if any(word in path.name.lower() for word in TEST_WORDS) else "train"
        splits.setdefault(part, []).append(_read_file(path, found, progress))
        what.append(found.what)
    found.what = (
        what[0]
        if len(what) == 1
        else f"{sum(len(s) for ss in splits.values() for s in ss):,} images in " + (f"{len(what)} files")
    )
    return {part: joined(ones) for part, ones in splits.items()}


def _contents(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"


def _read_file(path: Path, found: Found, progress: Progress) -> Split:
    if path.suffix.lower() not in READERS:
        raise DataError(f"{path}: not a set of images by its name; expected {KINDS}")
    return READERS[path.suffix.lower()](path, found, progress)


def _read_csv(path: Path, found: Found, progress: Progress) -> Split:
    table = tables.Csv(path)
    if table.holds_pixels:
        return table.images(found)
    if table.has_no_labels:
        raise DataError(f"{path}: {table.columns} pixels in each row and no label; expected a label, too: name another")
    return _read_pictures(path, table.pictures(), found, progress)


def _read_parquet(path: Path, found: Found, progress: Progress) -> Split:
    return _read_pictures(path, tables.parquet_pictures(path), found, progress)


def _read_pictures(path: Path, pictures: Iterator[LabelledPicture], found: Found, progress: Progress) -> Split:
    splits = as_splits(pictures, found, progress)
    if not splits:
        raise DataError(f"{path}: none of its pictures can be read: {(found.unreadable or ['it has no rows'])[0]}")
    found.what = f"{len(splits['train']) + len(found.unreadable):,} pictures in a table"
    return splits["train"]


READERS: dict[str, Callable[[Path, Found, Progress], Split]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
}
"""Suffix of a table → what reads it."""


def _checked(path: Path, parts: dict[str, Split], found: Found) -> dict[str, Split]:
    """The parts, after checking that they can be learned from. Raises DataError when not."""
    if "train" not in parts:
        raise DataError(
            f"{path}: {_unread(found)}no images to learn from; expected some outside of a folder called test"
        )
    train = parts["train"]
    classes = np.flatnonzero(np.bincount(train.labels, minlength=10))
    if len(classes) < MIN_CLASSES:
        raise DataError(
            f"{path}: all {len(train):,} images are of class {classes[0]}, expected several classes; add others"
        )
    if len(train) < MIN_IMAGES:
        raise DataError(
            f"{path}: {len(train)} images, {_unread(found)}expected at least {MIN_IMAGES} to learn from and to test on"
        )
    if len(classes) < 10:
        missing = ", ".join(str(digit) for digit in range(10) if digit not in classes)
        found.notes.append(f"there are no images of class {missing}")
    return parts


def _unread(found: Found) -> str:
    return (
        f"{len(found.unreadable):,} more cannot be read (the first: {found.unreadable[0]}), "
        if found.unreadable
        else ""
    )


def _held_out(split: Split, found: Found) -> tuple[Split, Split]:
    """The test part that is held out of a set without one, and the rest."""
    mask = stratified_sample(split.labels, 0, IMAGES_PER_TEST_IMAGE)
    found.notes.append(f"there is no test part: {mask.sum():,} images, a seventh, were held out for it")
    return Split(split.images[mask], split.labels[mask]), Split(split.images[~mask], split.labels[~mask])
