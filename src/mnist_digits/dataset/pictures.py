"""Labelled pictures of one digit each → 28×28 images, as `digits predict` prepares them."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset.mnist import Split
from mnist_digits.errors import DataError

IMAGE_SIDE_PX = 28
"""Side of MNIST's images. A grey picture of this size with a dark border is one already, and taken as it is."""

SMALL_ENLARGEMENT = 8
"""Factor by which the sides of smaller pictures, such as scikit-learn's of 8×8 pixels, are enlarged, smoothly."""

BATCH_PICTURES = 1000
"""Pictures that are in memory at once."""

Progress = Callable[[int], None]
"""Called after every BATCH_PICTURES pictures with the number of those that have been read."""


class LabelledPicture(NamedTuple):
    """A picture, what it shows, and where it comes from."""

    picture: Path | bytes | NDArray[np.uint8]
    """As `read_picture` takes it."""
    label: int
    """0 to 9."""
    name: str
    """For people: a file's path, or a table's and a row."""
    group: str = ""
    """Whoever wrote it, or the folder above that of its class; empty where there is no such thing."""


@dataclass
class Found:
    """What has been found while reading a source, in words for people."""

    what: str = ""
    """Such as `12,000 pictures in 10 folders`."""
    notes: list[str] = field(default_factory=list)
    """What else should be known, such as what was left out and why."""
    unreadable: list[str] = field(default_factory=list)
    """One line for each picture that could not be read: its name, and why."""


def as_splits(
    pictures: Iterable[LabelledPicture],
    found: Found,
    progress: Progress = lambda count: None,
    part_of: Callable[[LabelledPicture], str] = lambda picture: "train",
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
) -> dict[str, Split]:
    """Images and labels of labelled pictures, by part; those that cannot be read are entered in `found`, and left out.

    A picture in MNIST's own format is taken as it is, any other is prepared as `digits predict` prepares it: its ink is
    found, and normalised. part_of: from a picture to the name of its part. prepare: from pixels to an image, instead.
    """
    parts: dict[str, list[Split]] = {}
    count = 0
    for batch, prepared in prepare_batches(pictures, prepare or _as_image):
        kept: dict[str, list[tuple[NDArray[np.uint8], int]]] = {}
        for one, image in zip(batch, prepared, strict=True):
            if isinstance(image, DataError):
                found.unreadable.append(unreadable(one, image))
            else:
                kept.setdefault(part_of(one), []).append((image, one.label))
        for name, pairs in kept.items():
            images, labels = zip(*pairs, strict=True)
            parts.setdefault(name, []).append(Split(np.stack(images), np.array(labels, np.uint8)))
        count += len(batch)
        if len(batch) == BATCH_PICTURES:
            progress(count)
    return {name: joined(splits) for name, splits in parts.items()}


def joined(splits: Sequence[Split]) -> Split:
    """All images and labels of several splits, at least one, in this order."""
    return Split(np.concatenate([one.images for one in splits]), np.concatenate([one.labels for one in splits]))


def unreadable(one: LabelledPicture, error: DataError) -> str:
    """A line for a picture that cannot be read: its name, and why."""
    return str(error) if str(error).startswith(one.name) else f"{one.name}: {error}"


def prepare_batches(
    pictures: Iterable[LabelledPicture], prepare: Callable[[NDArray[np.uint8]], Any]
) -> Iterator[tuple[list[LabelledPicture], list[Any]]]:
    """Pictures in batches, and for each what `prepare` makes of its pixels, or the DataError why it cannot be read."""
    from mnist_digits.recognition.preprocessing.image_io import read_picture

    def prepared(one: LabelledPicture) -> Any:
        try:
            return prepare(read_picture(one.picture))
        except DataError as error:
            return error

    pictures = iter(pictures)
    # OpenCV and NumPy let other threads work meanwhile.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := list(islice(pictures, BATCH_PICTURES)):
            yield batch, list(pool.map(prepared, batch))


def _enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture, uint8 (h, w) or (h, w, 3), those smaller than MNIST's enlarged: rules for ink need pixels."""
    if max(pixels.shape[:2]) >= IMAGE_SIDE_PX:
        return pixels
    import cv2

    factor = SMALL_ENLARGEMENT
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)


def _as_image(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture, uint8 (h, w) or (h, w, 3), as an image, uint8 (28, 28)."""
    from mnist_digits.recognition.preprocessing.single_digit import prepare_digit

    if pixels.shape == (IMAGE_SIDE_PX, IMAGE_SIDE_PX):
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        if np.median(border) < 128:
            return pixels
    return prepare_digit(_enlarged(pixels)).image
