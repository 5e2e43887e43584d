"""A small data set as IDX files, and a lesson that takes no time."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from mnist_digits.dataset import Dataset, write_idx
from mnist_digits.training import teaching

COUNTS = {"train": 600, "t10k": 200}


def write_set(folder: Path, mnist: Dataset, names: str = "{part}-{kind}-ubyte.gz") -> Path:
    """Write the first training and test images of MNIST as a data set of four IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, split in (("train", mnist.train), ("t10k", mnist.test)):
        count = COUNTS[part]
        write_idx(folder / names.format(part=part, kind="images-idx3"), split.images[:count])
        write_idx(folder / names.format(part=part, kind="labels-idx1"), split.labels[:count])
    return folder


CHANGES: dict[str, Any] = dict.fromkeys(("corruption", "rotation", "scaling", "shear", "translation", "elastic"), 0.0)
CHANGES["jit_compile"] = False
LESSON: Any = teaching.Start.lesson


def plain_lesson(epochs: int = 1) -> Any:
    """Within this context, teaching distorts and corrupts nothing, which takes seconds to compile, in few epochs."""
    changed = property(lambda start: replace(LESSON.fget(start), epochs=epochs, **CHANGES))
    return mock.patch.object(teaching.Start, "lesson", changed)
