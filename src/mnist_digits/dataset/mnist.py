"""Loads MNIST, or a data set in the same four IDX files, and splits it into training, validation and test."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset.idx import read_idx
from mnist_digits.errors import DataError

BUNDLED = Path(__file__).parent / "files"
"""The folder with MNIST's four files, as published, in the package."""

MNIST_FINGERPRINT = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
"""`Dataset.fingerprint` of MNIST."""

CORRECTIONS = {947: 9, 1621: 6, 1901: 4, 2462: 0, 2597: 3, 3558: 0, 5937: 3, 6651: 6, 6783: 6, 9729: 6}
"""Index of a test image whose label most people disagree with → the label that most people give it (Northcutt, Athalye
and Mueller 2021, arXiv:2103.14749, with the votes published as label-errors). Five more labels are undecidable."""

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
    """The folder the files were read from."""
    seed: int
    """Seed of the random choice of the validation images."""
    fingerprint: str
    """SHA-256, in hexadecimal, of all images and labels; independent of compression and file names."""

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

    Raises DataError when a file is missing, damaged, or does not hold 28×28 images or labels 0-9.
    """
    folder = BUNDLED if folder is None else Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with the four IDX files of a digit set")
    checksums = _published_checksums(folder)
    train = _load_split(folder, ("train",), checksums)
    test = _load_split(folder, ("t10k", "test"), checksums)
    held_out = _stratified_sample(train.labels, seed)
    return Dataset(
        train=Split(train.images[~held_out], train.labels[~held_out]),
        validation=Split(train.images[held_out], train.labels[held_out]),
        test=test,
        folder=folder,
        seed=seed,
        fingerprint=_fingerprint(train, test),
    )


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


def _stratified_sample(labels: NDArray[np.uint8], seed: int) -> NDArray[np.bool_]:
    """Mask, bool (n,), that is true for one in TRAINING_IMAGES_PER_VALIDATION_IMAGE labels of each class."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    mask = np.zeros(len(labels), bool)
    mask[by_class[::TRAINING_IMAGES_PER_VALIDATION_IMAGE]] = True
    return mask


def _load_split(folder: Path, parts: tuple[str, ...], checksums: dict[str, str]) -> Split:
    image_path = _find(folder, parts, "images-idx3")
    label_path = _find(folder, parts, "labels-idx1")
    images = read_idx(image_path, 3, checksums.get(image_path.name))
    labels = read_idx(label_path, 1, checksums.get(label_path.name))
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
    if labels.max() > 9:
        raise DataError(f"{label_path}: label {labels.max()}, expected 0 to 9; choose a set with ten classes")
    if image_path.name.startswith("emnist"):
        images = images.transpose(0, 2, 1)
    return Split(images, labels)


def _find(folder: Path, parts: tuple[str, ...], kind: str) -> Path:
    """The only file of this kind in the folder, plain or gzipped, with `-` or `.` before `idx`."""
    pattern = kind.replace("-idx", "[-.]idx")
    found = [
        path
        for part in parts
        for suffix in ("", ".gz")
        for path in sorted(folder.glob(f"*{part}-{pattern}-ubyte{suffix}"))
    ]
    sets = {path.name.removesuffix(".gz") for path in found}
    expected = f"{parts[0]}-{kind}-ubyte.gz"
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
