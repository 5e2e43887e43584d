"""Studies that the command `digits tune` is at work on, and what their storage says of them."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna

from mnist_digits.training.tuning.storage import open_storage

FIXED = ("rotation", "scaling", "shear", "translation", "elastic")
TINY = ["--set=epochs=2", "--set=jit_compile=false", *(f"--set={name}=0" for name in FIXED)]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "mnist_digits", *map(str, arguments)]


def trials(storage: str) -> list[optuna.trial.FrozenTrial]:
    opened = open_storage(storage, create=False)
    try:
        return optuna.load_study(storage=opened, study_name="dense").trials
    finally:
        opened.engine.dispose()


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> None:
    """Wait, on a busy machine for long, and fail after that."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
