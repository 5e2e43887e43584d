"""Which held-out digits an epoch has turned from wrong to right, and the other way round."""

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset import Split

MAX_SHOWN_RIGHT = 12
"""Maximum number of digits shown that have turned right."""

MAX_SHOWN_WRONG = 6
"""Maximum number of digits shown that have turned wrong."""


@dataclass
class TurnedDigits:
    """Compares a network's predictions after each epoch with those before it."""

    held_out: Split
    """Images that the network does not learn from: the validation split."""
    _before: NDArray[np.int64] | None = field(default=None, init=False)

    def update(self, predictions: NDArray[np.int64]) -> dict[str, Any] | None:
        """What has turned since the last call, as JSON; None at the first.

        predictions: digits, integers (n,), of the held-out images. `count`: n. `right` and `wrong`: how many have
        turned right, and wrong. `digits`: some of them, spread over all: `truth`, `before`, `after`, and the `image`,
        784 bytes in base64.
        """
        before, self._before = self._before, predictions
        if before is None:
            return None
        labels = self.held_out.labels
        was, now = before == labels, predictions == labels
        right, wrong = np.flatnonzero(~was & now), np.flatnonzero(was & ~now)
        shown = [*_spread(right, MAX_SHOWN_RIGHT), *_spread(wrong, MAX_SHOWN_WRONG)]
        digits = [
            {
                "truth": int(labels[index]),
                "before": int(before[index]),
                "after": int(predictions[index]),
                "image": base64.b64encode(self.held_out.images[index].tobytes()).decode(),
            }
            for index in shown
        ]
        return {"count": len(labels), "right": len(right), "wrong": len(wrong), "digits": digits}


def _spread(indices: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the indices, evenly spread over them."""
    places = np.linspace(0, len(indices), min(most, len(indices)), endpoint=False)
    return indices[places.astype(int)]
