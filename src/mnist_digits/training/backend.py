"""Starting Keras on its backend, TensorFlow or JAX, without their start-up messages, and describing both."""

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

from mnist_digits.errors import UsageError, install_command

IGNORED_LINES = (
    *(b"I0000", b"W0000", b"WARNING: All log messages before absl", b"To enable the following instructions"),
    b"INFO: Created TensorFlow Lite",
)
"""Beginnings of the lines that TensorFlow prints to stderr when nothing is wrong."""

EXTRAS = {"tensorflow": "train", "jax": "jax"}
"""Supported value of `KERAS_BACKEND` → the extra that installs it."""

CACHE_BYTES = 2**30
"""Most that the compiled programs which JAX keeps between processes may take."""

RECORDED = ("mnist-digits", "keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "numpy", "scikit-learn")
"""Distributions whose version may change a result and is recorded."""


def chosen_backend() -> str:
    """Keras's backend by the variable `KERAS_BACKEND`: `tensorflow`, the default, or `jax`.

    Raises UsageError for any other value.
    """
    chosen = os.environ.get("KERAS_BACKEND", "tensorflow")
    if chosen not in EXTRAS:
        raise UsageError(f"KERAS_BACKEND={chosen}: expected {' or '.join(EXTRAS)}; set it to one of them, or unset it")
    return chosen


def check_installed() -> None:
    """Raise UsageError when Keras or its backend is not installed; imports neither."""
    chosen = chosen_backend()
    for name in ("keras", chosen):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"{name} is not installed; training needs it: {install_command(EXTRAS[chosen])}")


def start_keras() -> None:
    """Import Keras on the chosen backend; of their messages, all but IGNORED_LINES reach stderr.

    Raises UsageError when they are not installed, or `KERAS_BACKEND` names an unsupported backend.
    """
    check_installed()
    # The variable takes precedence over ~/.keras/keras.json, which may name another backend.
    os.environ["KERAS_BACKEND"] = chosen_backend()
    # JAX warns on a GPU, whenever a program is compiled, that its clocks are not exact.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if chosen_backend() == "jax" else "1")
    started = "keras" in sys.modules
    with nullcontext() if started else without_startup_messages(), _without_garbage_collection():
        import keras  # noqa: F401

        # Even on JAX, Keras imports TensorFlow, if installed, when it saves a model.
        with suppress(ImportError):
            import tensorflow  # noqa: F401
    if not started and chosen_backend() == "jax":
        _keep_compiled_programs()


def cache_folder() -> Path | None:
    """Where JAX keeps compiled programs between processes; None where it does not, as TensorFlow. After start_keras."""
    if chosen_backend() != "jax":
        return None
    import jax

    folder = jax.config.jax_compilation_cache_dir
    return Path(folder) if folder else None


def _keep_compiled_programs() -> None:
    """Have JAX keep compiled programs in the user's cache folder, unless its own variables say otherwise.

    Compiling takes most of a training on a GPU: seconds, where an epoch takes hundredths of one.
    """
    import jax

    if os.environ.get("JAX_COMPILATION_CACHE_DIR") is not None:
        return
    try:
        import filelock  # noqa: F401 - JAX needs it to keep the cache within its size.
        import platformdirs
    except ImportError:
        return
    jax.config.update("jax_compilation_cache_dir", platformdirs.user_cache_dir("mnist-digits/jax", appauthor=False))
    jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@contextmanager
def without_startup_messages() -> Iterator[None]:
    """Buffer what is written to stderr, by native code too, and pass it on at the end without IGNORED_LINES."""
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
                if not line.startswith(IGNORED_LINES):
                    os.write(2, line)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Disable garbage collection for imports: they make millions of long-lived objects, and it is 1/4 of their time.

    The objects are also excluded from later collections: the one at exit alone would take a second.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def describe_machine() -> dict[str, Any]:
    """Versions, processor and the chosen backend, as JSON; starts nothing. Raises UsageError for an unknown backend."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "versions": installed_versions(RECORDED),
        "backend": chosen_backend(),
    }


def describe_environment() -> dict[str, Any]:
    """The machine, the precision and the backend's devices, as JSON. Call after `start_keras`."""
    import keras

    return {
        **describe_machine(),
        "backend": keras.backend.backend(),
        "precision": keras.config.dtype_policy().name,
        "devices": _devices(),
        **({"compiled_programs": str(folder)} if (folder := cache_folder()) else {}),
    }


def available_precision(wanted: str) -> str:
    """The wanted precision where the processor, a GPU or a TPU supports bfloat16, otherwise `float32`."""
    accelerated = any(device.startswith(("GPU", "TPU")) for device in _devices())
    return wanted if accelerated or "bf16" in _cpuinfo("flags") else "float32"


def _devices() -> list[str]:
    """The backend's devices, a GPU with its name: `GPU:0 NVIDIA H100 80GB HBM3`."""
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
    """Distribution → version, for those that are installed."""
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
    """The first value of a key in Linux's /proc/cpuinfo; empty on other systems."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")
