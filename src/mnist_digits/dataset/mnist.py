"""Loads MNIST, or a data set in the same four IDX files, and splits it into training, validation and test."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset.idx import INT32_CODE, read_idx, write_idx
from mnist_digits.errors import DataError
from mnist_digits.files import atomic_folder

BUNDLED = Path(__file__).parent / "files"
"""The folder with MNIST's four files, as published, in the package."""

MNIST_FINGERPRINT = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
"""`Dataset.fingerprint` of MNIST."""

CORRECTIONS = {947: 9, 1621: 6, 1901: 4, 2462: 0, 2597: 3, 3558: 0, 5937: 3, 6651: 6, 6783: 6, 9729: 6}
"""Index of a test image whose label most people disagree with → the label that most people give it (Northcutt, Athalye
and Mueller 2021, arXiv:2103.14749, with the votes published as label-errors). Five more labels are undecidable."""

IMAGE_FILES, LABEL_FILES = ("idx3-ubyte",), ("idx1-ubyte", "idx2-int")
"""Ends of the names of files of images, and of labels; QMNIST's labels are of the second form, too."""

CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64})\s+\*?(?:\./)?(\S.*)")

TRAINING_IMAGES_PER_VALIDATION_IMAGE = 12
"""One in so many images of the training files is set aside for validation: 5,000 of MNIST's 60,000."""


@dataclass(frozen=True)
class Split:
    """Images and their labels.

    images: uint8 (n, 28, 28), ink 255 on paper 0. labels: uint8 (n,), 0-9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits, and their origin."""

    train: Split
    validation: Split
    test: Split
    folder: Path
    """The folder or file the images were read from."""
    seed: int
    """Seed of the random choice of the validation images."""
    fingerprint: str
    """SHA-256, in hexadecimal, of all images and labels; independent of compression and file names."""
    held_out: NDArray[np.bool_]
    """bool (n,): which of the training images, in the order of the files, are the validation split."""

    @property
    def is_mnist(self) -> bool:
        """Whether these are the images and labels of MNIST, wherever they were read from."""
        return self.fingerprint == MNIST_FINGERPRINT


def load_mnist(folder: Path | str | None = None, seed: int = 0) -> Dataset:
    """MNIST, or another data set in the same four IDX files.

    folder: holds the files, plain or gzipped, under their usual names with `-` or `.` before `idx`: `train-images`,
    `train-labels`, and `t10k-` or `test-` for the test set, with any prefix (`emnist-digits-…`); None loads the
    bundled MNIST. If the folder has a `SHA256SUMS`, the files' checksums are verified. seed: of the split.

    A twelfth of the training files, stratified by class, becomes the validation split; the test files are the test
    split. Images of files named `emnist…` are transposed: EMNIST stores them so (Cohen et al. 2017, arXiv:1702.05373).
    Labels may be QMNIST's, `…-labels-idx2-int` with eight numbers an image (Yadav and Bottou 2019, arXiv:1905.10498).

    Raises DataError when a file is missing, damaged, or does not hold 28×28 images or labels 0-9.
    """
    folder = BUNDLED if folder is None else Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with the four IDX files of a digit set")
    checksums = _published_checksums(folder)
    train = _load_split(folder, ("train",), checksums)
    test = _load_split(folder, ("t10k", "test"), checksums)
    return split_off_validation(train, test, folder, seed)


def split_off_validation(train: Split, test: Split, folder: Path, seed: int) -> Dataset:
    """A data set of training and test images; one in TRAINING_IMAGES_PER_VALIDATION_IMAGE of the former validates.

    folder: where they come from. seed: of the choice.
    """
    held_out = stratified_sample(train.labels, seed, TRAINING_IMAGES_PER_VALIDATION_IMAGE)
    return Dataset(
        train=Split(train.images[~held_out], train.labels[~held_out]),
        validation=Split(train.images[held_out], train.labels[held_out]),
        test=test,
        folder=folder,
        seed=seed,
        fingerprint=_fingerprint(train, test),
        held_out=held_out,
    )


def holds_idx(folder: Path) -> bool:
    """Whether a folder holds IDX files of images, as `load_mnist` reads them."""
    return folder.is_dir() and any(folder.glob("*-images[-.]idx3-ubyte*"))


def write_dataset(data: Dataset, folder: Path) -> None:
    """Write a data set as four IDX files into a new folder, from which `load_mnist` loads it with the same split."""
    train = Split(*(np.empty((len(data.held_out), *part.shape[1:]), np.uint8) for part in _arrays(data.train)))
    for whole, trained, validated in zip(*map(_arrays, (train, data.train, data.validation)), strict=True):
        whole[~data.held_out], whole[data.held_out] = trained, validated
    with atomic_folder(folder) as temporary:
        for name, split in (("train", train), ("t10k", data.test)):
            write_idx(temporary / f"{name}-images-idx3-ubyte", split.images)
            write_idx(temporary / f"{name}-labels-idx1-ubyte", split.labels)


def _arrays(split: Split) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return split.images, split.labels


def corrected_test_labels(data: Dataset) -> NDArray[np.uint8] | None:
    """MNIST's test labels with CORRECTIONS applied, uint8 (10000,); None for any other data set."""
    if not data.is_mnist:
        return None
    labels = data.test.labels.copy()
    labels[list(CORRECTIONS)] = list(CORRECTIONS.values())
    return labels


def _fingerprint(*splits: Split) -> str:
    digest = hashlib.sha256()
    for split in splits:
        digest.update(split.images.tobytes())
        digest.update(split.labels.tobytes())
    return digest.hexdigest()


def stratified_sample(labels: NDArray[np.uint8], seed: int, one_in: int) -> NDArray[np.bool_]:
    """Mask, bool (n,), that is true for one in so many labels of each class."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    mask = np.zeros(len(labels), bool)
    mask[by_class[::one_in]] = True
    return mask


def _load_split(folder: Path, parts: tuple[str, ...], checksums: dict[str, str]) -> Split:
    image_path = _find(folder, parts, "images", IMAGE_FILES)
    label_path = _find(folder, parts, "labels", LABEL_FILES)
    images = read_idx(image_path, 3, checksums.get(image_path.name))
    labels = _read_labels(label_path, checksums.get(label_path.name))
    if images.shape[1:] != (28, 28):
        height, width = images.shape[1:]
        raise DataError(f"{image_path}: images of {height}×{width} pixels, expected 28×28; scale them")
    if len(images) != len(labels):
        raise DataError(
            f"{image_path} has {len(images):,} images but {label_path.name} {len(labels):,} labels; "
            "they belong to different sets: copy both again"
        )
    if len(labels) < 2:
        raise DataError(f"{image_path}: {len(labels)} image(s), expected a set to learn from; choose another file")
    check_classes(label_path, labels)
    return Split(upright(images, image_path), labels.astype(np.uint8, copy=False))


def _read_labels(path: Path, checksum: str | None) -> NDArray[Any]:
    """Labels, uint8 or int32 (n,). Of QMNIST's eight numbers an image, the first is its class."""
    if "idx2" in path.name:
        return read_idx(path, 2, checksum, INT32_CODE)[:, 0]
    return read_idx(path, 1, checksum)


def check_classes(path: Path, labels: NDArray[Any]) -> None:
    """Raise DataError for labels, integers (n,), other than 0 to 9. path: where they come from."""
    if labels.min(initial=0) < 0 or labels.max(initial=0) > 9:
        raise DataError(
            f"{path}: label {labels.min() if labels.min() < 0 else labels.max()}, expected 0 to 9: the networks of the "
            f"recipes have ten classes, and these are {len(np.unique(labels))}; choose a set with ten classes"
        )


def upright(images: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """The images, uint8 (n, 28, 28), those of a file named `emnist…` transposed: EMNIST stores them so."""
    return images.transpose(0, 2, 1) if path.name.startswith("emnist") else images


def _find(folder: Path, parts: tuple[str, ...], kind: str, endings: tuple[str, ...]) -> Path:
    """The only file of this kind in the folder, plain or gzipped, with `-` or `.` before `idx`."""
    found = [
        path
        for part in parts
        for ending in endings
        for suffix in ("", ".gz")
        for path in sorted(folder.glob(f"*{part}-{kind}[-.]{ending}{suffix}"))
    ]
    sets = {path.name.removesuffix(".gz") for path in found}
    expected = f"{parts[0]}-{kind}-{endings[0]}.gz"
    if not found:
        raise DataError(f"{folder}: no {expected} (nor unpacked, nor with `.` before `idx`); put the four files there")
    if len(sets) > 1:
        raise DataError(f"{folder}: more than one {expected} ({', '.join(sorted(sets))}); keep one set to a folder")
    return found[0]


def _published_checksums(folder: Path) -> dict[str, str]:
    """File name → SHA-256 in hexadecimal, from the folder's SHA256SUMS; empty without one."""
    path = folder / "SHA256SUMS"
    if not path.is_file():
        return {}
    checksums = {}
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        parts = CHECKSUM_LINE.fullmatch(line.strip())
        if parts:
            checksums[parts[2]] = parts[1].lower()
        elif line.strip():
            raise DataError(f"{path}: {line.strip()[:40]!r} is not a checksum and a file name; mend or remove the file")
    return checksums
