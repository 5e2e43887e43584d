"""The option --data of several commands: what was found there is said in a line."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_digits.cli.output import messages
from mnist_digits.files import write_text

if TYPE_CHECKING:
    from mnist_digits.dataset import Dataset, Found

UNREADABLE = Path("unreadable.txt")
"""Where the pictures that cannot be read are listed, in the current folder."""

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
        write_text(UNREADABLE, "\n".join(found.unreadable) + "\n")
        said.insert(1, f"{len(found.unreadable):,} could not be read: list in {UNREADABLE}")
    messages.print(f"{source}: {'; '.join(said)}", markup=False)


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
