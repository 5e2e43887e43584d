"""The option --data of several commands: what was found there is said in a line."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_digits.cli.output import messages
from mnist_digits.errors import printable
from mnist_digits.files import write_text

if TYPE_CHECKING:
    from mnist_digits.dataset import Dataset, Found

UNREADABLE = "unreadable"
"""Name of the list of pictures that cannot be read, in the current folder; numbered where there is another already."""

SECONDS_PER_MESSAGE = 10
"""Seconds between messages about pictures being read."""


def load(source: Path | None, seed: int = 0) -> "Dataset":
    """The data set that --data names, by default MNIST; messages say what was found, and what is odd about it."""
    from mnist_digits.dataset import load_data

    data, found = load_data(source, seed, say_progress())
    if source is not None:
        if found.what:
            say_found(source, found)
        _say_turned(data)
    return data


def say_progress() -> Callable[[int], None]:
    """Says every SECONDS_PER_MESSAGE how many pictures have been read."""
    said = time.monotonic()

    def say(count: int) -> None:
        nonlocal said
        if time.monotonic() - said > SECONDS_PER_MESSAGE:
            said = time.monotonic()
            messages.print(f"{count:,} pictures read")

    return say


def say_found(source: Path, found: "Found") -> None:
    """Say in one line what was found; the pictures that cannot be read are listed in a file."""
    said = [found.what, *found.notes]
    if found.unreadable:
        said.insert(1, f"{len(found.unreadable):,} could not be read: list in {_list(found.unreadable)}")
    messages.print(f"{source}: {'; '.join(said)}", markup=False)


def _list(unreadable: list[str]) -> Path:
    """Write a list to the first file that is free, or has the same list in it; returns its path."""
    content = "".join(f"{printable(line)}\n" for line in unreadable)
    for number in itertools.count(1):
        path = Path(f"{UNREADABLE}-{number}.txt" if number > 1 else f"{UNREADABLE}.txt")
        if not path.exists():
            write_text(path, content)
        elif not path.is_file() or path.read_bytes() != content.encode():
            continue
        return path
    raise AssertionError("there is no end to numbers")


def _say_turned(data: "Dataset") -> None:
    """Ask the shipped model whether the digits are turned, and say so."""
    from mnist_digits.dataset.orientation import find_turn
    from mnist_digits.recognition import Classifier

    if found := find_turn(data.train, Classifier().probabilities):
        turn, now, then = found
        hint = "begin the file's name with emnist" if "EMNIST" in turn else "set them upright first"
        messages.print(
            f"the digits look {turn}: the shipped model reads {100 * now:.0f} % of them as they are, and "
            f"{100 * then:.0f} % upright; {hint}",
            markup=False,
        )
