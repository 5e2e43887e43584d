"""The clock of a race between peers, and the process that each of them has to itself."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mnist_digits.dataset import Split

Predict = Callable[[np.ndarray], np.ndarray]
"""From images, uint8 (n, 28, 28), to probabilities (n, 10)."""
OnEpoch = Callable[[Predict], None]
"""Called after every epoch."""


class Stopwatch:
    """Seconds per epoch; stands still while an epoch's accuracy is looked up."""

    def __init__(self, test: Split | None = None) -> None:
        self.seconds: list[float] = []
        self.accuracies: list[float] = []
        self.paused = 0.0
        self._test = test
        self._start = time.perf_counter()

    def __call__(self, predict: Predict) -> None:
        """An epoch has ended."""
        stopped = time.perf_counter()
        self.seconds.append(stopped - self._start)
        if self._test is not None:
            self.accuracies.append(float((predict(self._test.images).argmax(1) == self._test.labels).mean()))
        self._start = time.perf_counter()
        self.paused += self._start - stopped


def run_in_own_process(script: str, *arguments: str) -> Any:
    """What a script prints, as JSON, run in a process of its own, so that imports and compilation count."""
    environment = {**os.environ, "STARTED": repr(time.time())}
    return json.loads(subprocess.check_output([sys.executable, script, *arguments], env=environment))


def seconds_since_start() -> float:
    """How long ago `run_in_own_process` began this process."""
    return time.time() - float(os.environ["STARTED"])
