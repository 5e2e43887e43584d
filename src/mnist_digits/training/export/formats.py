"""Export of a finished run's model: to ONNX, LiteRT, TensorFlow's SavedModel, or Keras.

All but the Keras file take images as bytes, return calibrated probabilities, and are compared with Keras first.
"""

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits import __version__
from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError, UsageError, install_command
from mnist_digits.files import atomic_folder, atomic_write, read_json
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.plan import Plan, read_plan

if TYPE_CHECKING:
    import keras

SUFFIXES = {"onnx": ".onnx", "litert": ".tflite", "saved_model": "-saved_model", "keras": ".keras"}
"""Format → end of the name of its file or folder."""


def describe_model(plan: Plan, metrics: dict[str, Any]) -> dict[str, str]:
    """Metadata of an ONNX file. metrics: as in metrics.json."""
    description = {
        "recipe": plan.recipe.name,
        "seed": str(plan.seed),
        "test_accuracy": str(metrics["test"]["accuracy"]),
        "temperature": str(temperature_of(metrics)),
        "version": __version__,
    }
    if plan.recipe.corruption:
        description["corruption"] = str(plan.recipe.corruption)
    if plan.recipe.can_reject:
        description["threshold"] = str(metrics["declining"]["threshold"])
    return description


def temperature_of(metrics: dict[str, Any]) -> float:
    """Divisor of the logits. metrics: as in metrics.json; runs of early versions have none, which is 1."""
    return float(metrics.get("calibration", {}).get("temperature", 1.0))


def new_path(run: Run, format_: str, output: Path | None) -> Path:
    """Where to write the model: `output`, or a file of the run's name in the current folder.

    Raises UsageError for an unknown format or one that cannot be written here, DataError when the run is not finished
    or the path exists.
    """
    if format_ not in SUFFIXES:
        raise UsageError(f"--format {format_}: expected one of {', '.join(SUFFIXES)}")
    if format_ in ("litert", "saved_model") and backend.chosen_backend() != "tensorflow":
        raise UsageError(
            f"--format {format_}: TensorFlow writes it; unset KERAS_BACKEND; a run made on JAX is read all the same"
        )
    if format_ == "litert" and importlib.util.find_spec("ai_edge_litert") is None:
        raise UsageError(f"ai_edge_litert is not installed; LiteRT needs it: {install_command('litert')}")
    if not run.finished:
        raise DataError(f"{run.folder}: not finished; expected a finished run: continue it with --resume")
    path = output or Path(run.folder.resolve().name + SUFFIXES[format_])
    if path.exists():
        raise DataError(f"{path}: exists already; name another with --output, or remove it")
    return path


def export_run(run: Run, data: Dataset, format_: str, path: Path) -> None:
    """Write a finished run's model.

    data: as `load_mnist` returns it; the exported model is compared with Keras on its test images. format_: a key of
    SUFFIXES. path: as `new_path` returns it. Raises DataError, and leaves no file, when the outputs of the exported
    model differ from Keras's, or it cannot be written.
    """
    if format_ == "keras":
        with atomic_write(path) as temporary:
            shutil.copyfile(run.model, temporary)
        return
    backend.start_keras()
    from mnist_digits.training.export.onnx import export_onnx
    from mnist_digits.training.networks import load

    model, metrics, images = load(run.model), read_json(run.metrics), data.test.images
    match format_:
        case "onnx":
            export_onnx(model, path, describe_model(read_plan(run), metrics), images, temperature_of(metrics))
        case "litert":
            export_litert(model, path, images, temperature_of(metrics))
        case _:
            export_saved_model(model, path, images, temperature_of(metrics))


def export_saved_model(model: "keras.Model", path: Path, images: NDArray[np.uint8], temperature: float) -> None:
    """Write a SavedModel, a folder: `serve` maps images, uint8 (n, 28, 28), to the outputs of the ONNX model.

    Arguments and errors: as for `onnx.export_onnx`.
    """
    import tensorflow as tf

    from mnist_digits.training.export.parity import check_parity

    with atomic_folder(path) as temporary:
        _write_saved_model(model, temporary, None, temperature)
        loaded = tf.saved_model.load(str(temporary))
        check_parity(model, temperature, path, "SavedModel", lambda batch: _in_order(loaded.serve(batch)), images)


def export_litert(model: "keras.Model", path: Path, images: NDArray[np.uint8], temperature: float) -> None:
    """Write a LiteRT model: its signature `serving_default` maps one image, uint8 (1, 28, 28), to the same outputs.

    Arguments and errors: as for `onnx.export_onnx`.
    """
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from mnist_digits.training.export.parity import check_parity

    with tempfile.TemporaryDirectory() as folder, backend.without_startup_messages():
        _write_saved_model(model, Path(folder), 1, temperature)
        content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
        serve = Interpreter(model_content=content).get_signature_runner("serving_default")
        check_parity(model, temperature, path, "LiteRT", lambda one: _in_order(serve(images=one)), images, batches=(1,))
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _write_saved_model(model: "keras.Model", folder: Path, count: int | None, temperature: float) -> None:
    """Fill a folder with a SavedModel. count: images per call, None for any number."""
    import keras
    import tensorflow as tf

    from mnist_digits.training.engine.loop import can_reject, classify

    def serve(images: Any) -> dict[str, Any]:
        probabilities, is_digit = classify(model, images, temperature)
        return {"probabilities": probabilities} | ({"is_digit": is_digit} if can_reject(model) else {})

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, [tf.TensorSpec((count, 28, 28), tf.uint8, name="images")])
    archive.write_out(str(folder), verbose=False)


def _in_order(outputs: dict[str, Any]) -> list[NDArray[np.float32]]:
    """Probabilities, and is_digit where there is such an output."""
    return [np.asarray(outputs[name]) for name in ("probabilities", "is_digit") if name in outputs]
