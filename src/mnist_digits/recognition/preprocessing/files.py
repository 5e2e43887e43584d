"""Which files are pictures, and how much of one is read."""

import os
from collections.abc import Iterator
from pathlib import Path

from mnist_digits.recognition.preprocessing.image_io import MOST_PIXELS

MOST_BYTES = 8 * MOST_PIXELS
"""No picture that is read at all has more: four channels of 16 bits, uncompressed."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif")


def find_pictures(name: str, recursive: bool = False) -> Iterator[str]:
    """The pictures in a folder, by their suffix and in the order of their names, as they are found.

    recursive: also those in the folders below it, which come after its own. Hidden files and folders
    are left out, links to folders not followed.
    """
    for folder, below, files in os.walk(name):
        for file in sorted(files):
            if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                yield str(Path(folder, file))
        below[:] = sorted(one for one in below if not one.startswith(".")) if recursive else []
