"""train(): the whole job, from a recipe to a finished run folder; resumable after every epoch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_digits.dataset import Dataset, corrected_test_labels
from mnist_digits.errors import UsageError
from mnist_digits.evaluation.report_process import ReportProcess
from mnist_digits.files import atomic_write, read_json, write_json
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.plan import Plan, check_data, check_environment, create_run, read_plan
from mnist_digits.training.recipes import Recipe, find_recipe

if TYPE_CHECKING:
    import keras

Progress = Callable[[int, dict[str, float]], None]
"""Called after every epoch with its number, from 1, and its row of the history."""


def train(
    recipe: str | Recipe,
    data: Dataset,
    folder: Path | str | None = None,
    seed: int = 0,
    *,
    callbacks: Sequence["keras.callbacks.Callback"] = (),
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train, evaluate and describe one network; returns the finished run.

    recipe: a Recipe, or the name of one. data: as `load_mnist` gives it. folder: the run's folder, new
    or empty (default: `runs/<recipe>-<seed>`, numbered when taken). seed: decides the initial weights
    and the order of the images. callbacks: Keras callbacks, called around epochs.
    tensorboard: also write logs for TensorBoard below the folder.

    Same recipe, data, seed and processor: same weights, bit for bit. An interrupted run keeps its last
    finished epoch for `resume`. Raises UsageError for an unknown recipe or a missing extra, DataError
    when the folder cannot be used.
    """
    recipe = find_recipe(recipe) if isinstance(recipe, str) else recipe
    run = create_run(recipe, data, folder, seed)
    return resume(run, data, callbacks=callbacks, tensorboard=tensorboard, progress=progress)


def resume(
    run: Run,
    data: Dataset,
    *,
    callbacks: Sequence["keras.callbacks.Callback"] = (),
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Finish a run from its last finished epoch; the weights are those of an unbroken run.

    data: the images the run was started with. Others as in `train`. What callbacks remember is theirs to keep:
    one that stops early counts its patience anew.
    Raises DataError for other data or a damaged run folder, UsageError when the run is finished, or was begun
    on another backend or in another precision than it would go on with here.
    """
    plan = read_plan(run)
    if tensorboard:
        backend.check_tensorboard()
    if run.finished:
        raise UsageError(f"{run.folder}: this run is finished; train again with another --seed or --output")
    check_data(run, data)
    run.remove_leftovers()
    # Pictures need Matplotlib and seaborn: a second process imports them while this one imports Keras.
    with ReportProcess(run, data.folder, data.seed) as painter:
        backend.start_keras()
        from mnist_digits.training import fitting

        precision = _note_environment(run, plan.recipe)
        if plan.recipe.members > 1:
            model, history = fitting.fit_members(run, plan, data, callbacks, tensorboard, progress)
        else:
            model, history = fitting.fit_network(run, plan, precision, data, callbacks, tensorboard, progress)
        _describe(run, plan, model, data, history)
        _draw_distortions(run, plan.recipe, data)
        painter.finish()
        _export(run, model, plan, data)
    run.link_as_latest()
    run.discard_checkpoint()
    return run


def _note_environment(run: Run, recipe: Recipe) -> str:
    """Write environment.json; returns the precision that the recipe gets on this machine."""
    environment = {**backend.describe_environment(), "precision": backend.available_precision(recipe.precision)}
    check_environment(run, environment)
    write_json(run.environment, environment)
    return environment["precision"]


def _describe(run: Run, plan: Plan, model: "keras.Model", data: Dataset, history: np.ndarray) -> None:
    """Write the model, its predictions, and the numbers; the test images are looked at here, once.

    history: of the training, float64 (epochs, 6).
    """
    from mnist_digits.training.engine import checkpoint, loop

    with atomic_write(run.model) as temporary:
        model.save(temporary)
    predict = loop.compile_prediction(model)
    probabilities = {"validation": predict(data.validation.images), "test": predict(data.test.images)}
    metrics = _score(plan, model, data, probabilities)
    arrays = {f"{name}_probabilities": values for name, values in probabilities.items()}
    arrays |= {"validation_labels": data.validation.labels, "test_labels": data.test.labels}
    with atomic_write(run.predictions) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    seconds = float(history[:, checkpoint.COLUMNS.index("seconds")].sum())
    metrics["training"] = {
        "seconds": seconds,
        "epochs": len(history),
        "images_per_second": len(data.train) * len(history) * plan.recipe.members / seconds,
        "parameters": model.count_params(),
    }
    write_json(run.metrics, metrics)


def _score(
    plan: Plan, model: "keras.Model", data: Dataset, probabilities: dict[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """What metrics.json says of the model. probabilities: float32 (n, 10), of the validation and test images."""
    from mnist_digits.evaluation import evaluate
    from mnist_digits.training import calibration
    from mnist_digits.training.engine import loop

    splits = {"validation": data.validation, "test": data.test}
    metrics = {name: evaluate(split.labels, probabilities[name]).to_json() for name, split in splits.items()}
    metrics["calibration"] = calibration.measure(data.validation, probabilities["validation"])
    temperature = metrics["calibration"]["temperature"]
    calibrated = evaluate(data.test.labels, calibration.temper(probabilities["test"], temperature))
    metrics["test_calibrated"] = {"loss": calibrated.loss, "calibration_error": calibrated.calibration_error}
    if plan.recipe.synthetic_copies:
        from mnist_digits.training import declining

        # It is the exported model that declines, and that is calibrated.
        is_digit = loop.compile_rejection(model, temperature)
        metrics["declining"] = declining.measure(is_digit, data.validation, plan.seed)
    corrected = corrected_test_labels(data)
    if corrected is not None:
        metrics["test_corrected"] = evaluate(corrected, probabilities["test"]).to_json()
    return metrics


def _draw_distortions(run: Run, recipe: Recipe, data: Dataset) -> None:
    """Draw the first training image as the recipe distorts it: here, where TensorFlow is, and not in the painter."""
    from mnist_digits.training.engine.augmentation import Distortion

    distortion = Distortion.of(recipe)
    if not distortion:
        return
    from mnist_digits.evaluation import figures
    from mnist_digits.evaluation.report import save_figure

    save_figure(figures.distortions(distortion.variants(data.train.images[0], 40)), run.distortions)


def _export(run: Run, model: "keras.Model", plan: Plan, data: Dataset) -> None:
    from mnist_digits.training.export.formats import describe_model, temperature_of
    from mnist_digits.training.export.onnx import export_onnx

    metrics = read_json(run.metrics)
    export_onnx(model, run.onnx, describe_model(plan, metrics), data.test.images, temperature_of(metrics))
