"""Arrays of images: `.npz` files as Keras, KMNIST and MedMNIST publish them, and scikit-learn's digits."""

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset.idx import MAX_VALUES
from mnist_digits.dataset.mnist import Split, check_classes, upright
from mnist_digits.dataset.pictures import IMAGE_SIDE_PX, Found, LabelledPicture, as_splits
from mnist_digits.errors import DataError

IMAGE_WORDS = ("images", "imgs", "x", "data")
LABEL_WORDS = ("labels", "y", "target")
"""Words in the names of arrays of images, and of labels: `x_train`, `kmnist-train-imgs`, `train_images`."""

PARTS = {"train": "train", "val": "train", "test": "test", "t10k": "test"}
"""Word in the name of an array → the part of the set that it belongs to: given validation images join the training."""

SMALLEST_SIDE_PX = 8
"""Side of the smallest images."""


def is_square(pixels: int) -> bool:
    """Whether so many pixels are a square image, of 8×8 at least."""
    return pixels >= SMALLEST_SIDE_PX**2 and math.isqrt(pixels) ** 2 == pixels


def read_npz(paths: list[Path], found: Found) -> dict[str, Split]:
    """The parts of a set, by name, from `.npz` files that hold all its arrays, or one each.

    Raises DataError when one is damaged or holds Python objects, and when images or labels are missing.
    """
    parts: dict[tuple[str, int], dict[str, NDArray[Any]]] = {}
    names = []
    for path in paths:
        for name, array in _arrays(path).items():
            words = _words(name if len(paths) == 1 else f"{path.stem} {name}")
            names.append(name if len(paths) == 1 else path.name)
            kind = "images" if words & set(IMAGE_WORDS) else "labels" if words & set(LABEL_WORDS) else None
            part = next((word for word in PARTS if word in words), "train")
            if kind:
                parts.setdefault((PARTS[part], list(PARTS).index(part)), {})[kind] = array
    complete = {part: arrays for part, arrays in sorted(parts.items()) if len(arrays) == 2}
    if not complete:
        raise DataError(
            f"{paths[0]}: holds {', '.join(names) or 'nothing'}; expected arrays of images and of labels, called "
            "x_train and y_train or images and labels"
        )
    splits: dict[str, Split] = {}
    for (part, _), arrays in complete.items():
        split = _checked(paths[0], part, arrays["images"], arrays["labels"], found)
        before = splits.get(part)
        splits[part] = split if before is None else _joined(before, split)
    found.what = f"{sum(map(len, splits.values())):,} images in {'an .npz file' if len(paths) == 1 else '.npz files'}"
    return splits


def _words(name: str) -> set[str]:
    return set("".join(sign if sign.isalnum() else " " for sign in name.lower()).split())


def _joined(first: Split, second: Split) -> Split:
    return Split(np.concatenate([first.images, second.images]), np.concatenate([first.labels, second.labels]))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Name → array of an `.npz` file, each looked at before memory is taken for it."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            arrays = {}
            for member in archive.namelist():
                with archive.open(member) as opened:
                    _check_header(path, member, opened)
                with archive.open(member) as opened:
                    arrays[member.removesuffix(".npy")] = np.lib.format.read_array(opened, allow_pickle=False)
            return arrays
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; expected an .npz file that can be read") from None
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not an .npz file of plain arrays ({reason}); save it again") from None


def _check_header(path: Path, member: str, file: IO[bytes]) -> None:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > 8 * MAX_VALUES or math.prod(shape) > MAX_VALUES:
        raise DataError(f"{path}: {member} has {math.prod(shape):,} values, expected at most {MAX_VALUES:,}")


def _checked(path: Path, part: str, images: NDArray[Any], labels: NDArray[Any], found: Found) -> Split:
    """Arrays of any usual shape and range as images, uint8 (n, 28, 28), and labels, uint8 (n,)."""
    if labels.ndim == 2 and labels.shape[1] == 10:
        labels = labels.argmax(1)
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim == 2 and is_square(images.shape[1]):
        images = images.reshape(len(images), math.isqrt(images.shape[1]), -1)
    numbers = all(np.issubdtype(one.dtype, np.number) and one.dtype.kind != "c" for one in (images, labels))
    if images.ndim != 3 or labels.ndim != 1 or not numbers or not len(images) or min(images.shape) < 1:
        raise DataError(
            f"{path}: {part} has images {images.dtype} {images.shape} and labels {labels.dtype} {labels.shape}, "
            "expected numbers (n, 28, 28) and (n,)"
        )
    if len(images) != len(labels):
        raise DataError(f"{path}: {part} has {len(images):,} images but {len(labels):,} labels; mend the file")
    if (labels != np.floor(labels)).any():
        raise DataError(f"{path}: {part} has labels that are no whole numbers, expected 0 to 9")
    check_classes(path, labels)
    return as_bytes(upright(_scaled(path, images), path), labels.astype(np.uint8), path.name, found)


def _scaled(path: Path, images: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels as bytes: they may be fractions from 0 to 1, or scikit-learn's numbers from 0 to 16."""
    low, high = float(images.min()), float(images.max())
    if not 0 <= low <= high <= 255:
        raise DataError(f"{path}: pixels from {low:g} to {high:g}, expected 0 to 255, or 0 to 1; scale them")
    factor = 255.0 if high <= 1 else 255 / 16 if high <= 16 and images.shape[1] == SMALLEST_SIDE_PX else 1.0
    return images.astype(np.uint8, copy=False) if factor == 1 else np.rint(images * factor).astype(np.uint8)


def as_bytes(images: NDArray[np.uint8], labels: NDArray[np.uint8], name: str, found: Found) -> Split:
    """Images, uint8 (n, height, width), as those of MNIST: others than 28×28 are prepared as pictures are."""
    if images.shape[1:] == (IMAGE_SIDE_PX, IMAGE_SIDE_PX):
        return Split(images, labels)
    note = f"images of {images.shape[1]}×{images.shape[2]} pixels were prepared as pictures are"
    if note not in found.notes:
        found.notes.append(note)
    pictures = (
        LabelledPicture(image, int(label), f"{name}: image {number:,}")
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    )
    return as_splits(pictures, found)["train"]


def sklearn_digits(found: Found) -> dict[str, Split]:
    """The 1,797 digits of 8×8 pixels that come with scikit-learn. Raises ImportError where it is not installed."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    split = as_bytes(images, digits.target.astype(np.uint8), "load_digits", found)
    found.what = f"{len(split):,} digits of scikit-learn's load_digits"
    return {"train": split}
