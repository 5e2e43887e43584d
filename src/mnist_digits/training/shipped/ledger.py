"""What the making of the models was asked for, what was decided for each network, and what it took; kept in a file."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mnist_digits.errors import UsageError
from mnist_digits.files import read_json, write_json

SHARES = {"dense-plus": 0.1, "reader": 0.4, "detector": 0.5}
"""The networks in the order in which they are made, and the share of the time that each may take."""


class Ledger:
    """The file of a making, which a killed process leaves behind for the next."""

    def __init__(self, path: Path, asked: dict[str, Any]) -> None:
        """asked: what was asked for, JSON by name: `only`, the networks to make, and `minutes`, the budget or None.

        Raises UsageError when the file was begun otherwise.
        """
        self._path, self._last = path, time.monotonic()
        self._content: dict[str, Any] = read_json(path) if path.exists() else {**asked, "training": {}, "seconds": {}}
        for name, value in asked.items():
            if self._content.get(name) != value:
                raise UsageError(
                    f"{path.parent}: begun with {name} {self._content.get(name)}, asked to go on with {value}; "
                    "ask for what it was begun with, or name another folder"
                )

    @property
    def training(self) -> dict[str, Any]:
        """What was decided to be trained, by name, as JSON."""
        return dict(self._content["training"])

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds that each network took so far."""
        return dict(self._content["seconds"])

    def tick(self, name: str) -> None:
        """Add the time since the last tick to a network's."""
        now = time.monotonic()
        self._content["seconds"][name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
        write_json(self._path, self._content)

    def time_left(self, name: str) -> float | None:
        """Seconds of the budget for a network that is begun; what earlier ones left is its and the later ones'."""
        minutes = self._content["minutes"]
        if minutes is None:
            return None
        names = [one for one in SHARES if one in self._content["only"]]
        following = sum(SHARES[one] for one in names[names.index(name) :])
        return float(max(0.0, 60 * minutes - sum(self.seconds.values())) * SHARES[name] / following)

    def decide(self, name: str, decide: Callable[[], Any]) -> Any:
        """What was decided for a network, JSON; decided now if it was not."""
        if name not in self._content["training"]:
            self._content["training"][name] = decide()
            write_json(self._path, self._content)
        return self._content["training"][name]
