"""Keras and the library it computes with, TensorFlow or JAX: started without start-up chatter, and described."""

import gc
import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from mnist_digits.errors import UsageError

CHATTER = (
    *(b"I0000", b"W0000", b"WARNING: All log messages before absl", b"To enable the following instructions"),
    b"INFO: Created TensorFlow Lite",
)
"""How the lines begin that TensorFlow prints, on start-up and elsewhere, when nothing is wrong."""

EXTRAS = {"tensorflow": "train", "jax": "jax"}
"""What Keras may compute with, by `KERAS_BACKEND`, and the extra that installs it."""

RECORDED = ("mnist-digits", "keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "numpy", "scikit-learn")
"""Distributions whose version may change a result."""


def chosen_backend() -> str:
    """What Keras is to compute with: `tensorflow`, unless the variable `KERAS_BACKEND` says `jax`.

    Raises UsageError when it says anything else.
    """
    chosen = os.environ.get("KERAS_BACKEND", "tensorflow")
    if chosen not in EXTRAS:
        raise UsageError(f"KERAS_BACKEND={chosen}: expected {' or '.join(EXTRAS)}; set it to one of them, or unset it")
    return chosen


def check_installed() -> None:
    """Raise UsageError when `start_keras` would, without importing anything."""
    chosen = chosen_backend()
    for name in ("keras", chosen):
        if importlib.util.find_spec(name) is None:
            raise UsageError(
                f"{name} is not installed; training needs it: pip install 'mnist-digits[{EXTRAS[chosen]}]'"
            )


def start_keras() -> None:
    """Import Keras on the chosen backend; whatever they report beyond start-up chatter still reaches stderr.

    Raises UsageError when they are not installed, or Keras is set to a backend that is not supported.
    """
    check_installed()
    # A variable goes before ~/.keras/keras.json, which may name another.
    os.environ["KERAS_BACKEND"] = chosen_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    started = "keras" in sys.modules
    with nullcontext() if started else without_chatter(), _without_garbage_collection():
        import keras  # noqa: F401

        # On JAX, too, Keras imports TensorFlow where it finds it, as soon as it saves a model.
        with suppress(ImportError):
            import tensorflow  # noqa: F401


def check_tensorboard() -> None:
    """Raise UsageError when logs for TensorBoard cannot be written."""
    if importlib.util.find_spec("tensorflow") is None:
        raise UsageError("--tensorboard: TensorFlow writes its logs, and is not installed; train without it")


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back what native code writes to stderr, and pass on the lines that are not chatter."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held_back.seek(0)
            for line in held_back:
                if not line.startswith(CHATTER):
                    os.write(2, line)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Imports make objects by the million and drop hardly any: looking for garbage is a quarter of their time.

    They stay to the end, and are kept out of all later collections: the one at exit alone would take a second.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def describe_environment() -> dict[str, Any]:
    """Versions, processor and devices, as JSON. Call after `start_keras`."""
    import keras

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "versions": installed_versions(RECORDED),
        "backend": keras.backend.backend(),
        "precision": keras.config.dtype_policy().name,
        "devices": _devices(),
    }


def available_precision(wanted: str) -> str:
    """`mixed_bfloat16` if it is wanted and the processor, a GPU or a TPU has the instructions, else `float32`."""
    accelerated = any(device.startswith(("GPU", "TPU")) for device in _devices())
    return wanted if accelerated or "bf16" in _cpuinfo("flags") else "float32"


def _devices() -> list[str]:
    """What the backend may compute on, a GPU with its name: `GPU:0 NVIDIA H100 80GB HBM3`."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return [f"{device.platform.upper()}:{device.id} {device.device_kind}" for device in jax.devices()]
    from tensorflow import config

    described = {device: config.experimental.get_device_details(device) for device in config.list_physical_devices()}
    return [
        f"{device.name.removeprefix('/physical_device:')} {details.get('device_name', '')}".strip()
        for device, details in described.items()
    ]


def installed_versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """Distribution → version, of those that are installed."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    """The first value of that key in Linux's description of its processors; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")
