"""Train a handwritten-digit classifier in seconds, see how well and why it works, read real handwriting with it.

The names below are imported when they are first used: `import mnist_digits` takes no time, and `Classifier` and
`Reader` need no training framework. What can go wrong is a `mnist_digits.errors.DigitsError`.

What `train`, `read` and bulk reading do is logged to the loggers below `mnist_digits`, silently by default;
`logging.basicConfig(level=logging.INFO)` shows it.
"""

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_digits.dataset import load_mnist
    from mnist_digits.evaluation import evaluate
    from mnist_digits.recognition import Classifier, Reader
    from mnist_digits.training import train
    from mnist_digits.training.engine.loop import fit

__version__ = "0.1.0"

__all__ = ["Classifier", "Reader", "__version__", "evaluate", "fit", "load_mnist", "train"]

_MODULES = {
    "Classifier": "mnist_digits.recognition",
    "Reader": "mnist_digits.recognition",
    "evaluate": "mnist_digits.evaluation",
    "fit": "mnist_digits.training.engine.loop",
    "load_mnist": "mnist_digits.dataset",
    "train": "mnist_digits.training",
}

# ONNX Runtime's wheels report how they are used. They look at this variable once, when they are imported; by the time
# that onnxruntime.disable_telemetry_events() can be called, their database and their first request are on their way.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
