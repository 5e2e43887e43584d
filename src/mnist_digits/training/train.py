"""train(): the whole job, from a recipe to a finished run folder; resumable after every epoch."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mnist_digits import __version__
from mnist_digits.dataset import Dataset, corrected_test_labels
from mnist_digits.errors import QualityError, UsageError
from mnist_digits.evaluation.painter import Painter
from mnist_digits.runs import Run, read_json, whole, write_json, write_text
from mnist_digits.training import backend
from mnist_digits.training.plan import Plan, check_data, check_precision, create_run, read_plan
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
    in a precision that this machine does not have.
    """
    plan = read_plan(run)
    if run.finished:
        raise UsageError(f"{run.folder}: this run is finished; train again with another --seed or --output")
    check_data(run, data)
    run.remove_leftovers()
    # Pictures need Matplotlib and seaborn: a second process imports them while this one imports TensorFlow.
    with Painter(run, data.folder, data.seed) as painter:
        backend.start_keras()
        model, history = _fit(run, plan, data, callbacks, tensorboard, progress)
        _describe(run, model, data, history)
        painter.finish()
        _export(run, model, plan, data)
    run.link_as_latest()
    run.discard_checkpoint()
    return run


def _fit(
    run: Run,
    plan: Plan,
    data: Dataset,
    callbacks: Sequence["keras.callbacks.Callback"],
    tensorboard: bool,
    progress: Progress | None,
) -> tuple["keras.Model", np.ndarray]:
    """The trained model, and its history: float64 (epochs, 6), columns as in `checkpoint.COLUMNS`."""
    import keras

    from mnist_digits.training import checkpoint, engine, networks
    from mnist_digits.training.augmentation import Distortion
    from mnist_digits.training.averaging import WeightAverage

    recipe = plan.recipe
    # The one place where a global seed is set: Keras's layers draw their initial weights from it.
    keras.utils.set_random_seed(plan.seed)
    model = networks.build(recipe, len(data.train), _note_environment(run, recipe))
    average = WeightAverage(model, recipe.averaging) if recipe.averaging else None
    state = [*model.variables, *model.optimizer.variables, *(average.variables if average else [])]
    history = list(checkpoint.restore(run.checkpoint, state)) if run.checkpoint.exists() else []
    keep = _keep_epochs(run, recipe, state, history, progress)
    observers = [keras.callbacks.LambdaCallback(on_epoch_end=keep), *callbacks]
    if tensorboard:
        observers.append(keras.callbacks.TensorBoard(run.folder / "tensorboard"))
    engine.fit(
        model,
        data.train.images,
        data.train.labels,
        validation=(data.validation.images, data.validation.labels),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=plan.seed,
        initial_epoch=len(history),
        callbacks=observers,
        distortion=Distortion(recipe.rotation, recipe.scaling, recipe.shear, recipe.translation, recipe.elastic),
        strength=recipe.distortion_strength,
        average=average,
        jit_compile=recipe.jit_compile,
    )
    # The last epoch may have been kept before its row was written.
    write_text(run.history, _as_csv(history))
    if average:
        average.apply()
    return networks.for_use(model, recipe), np.array(history)


def _keep_epochs(
    run: Run, recipe: Recipe, state: Sequence["keras.Variable"], history: list[np.ndarray], progress: Progress | None
) -> Callable[[int, dict[str, float]], None]:
    """What happens after every epoch: its row is added to the history, and both are kept on disk."""
    from mnist_digits.training import checkpoint

    def keep(epoch: int, logs: dict[str, float]) -> None:
        if not np.isfinite(logs["loss"]):
            raise QualityError(
                f"{run.folder}: the loss became {logs['loss']} in epoch {epoch + 1}; expected it to fall: "
                f"train anew with a lower learning_rate than {recipe.learning_rate:g}"
            )
        row = {"epoch": epoch + 1, **logs}
        history.append(np.array([row[column] for column in checkpoint.COLUMNS]))
        checkpoint.save(run.checkpoint, state, np.array(history))
        write_text(run.history, _as_csv(history))
        if progress:
            progress(epoch + 1, row)

    return keep


def _note_environment(run: Run, recipe: Recipe) -> str:
    """Write environment.json; returns the precision that the recipe gets on this machine."""
    precision = backend.available_precision(recipe.precision)
    check_precision(run, precision)
    write_json(run.environment, {**backend.describe_environment(), "precision": precision})
    return precision


def _describe(run: Run, model: "keras.Model", data: Dataset, history: np.ndarray) -> None:
    """Write the model, its predictions, and the numbers; the test images are looked at here, once."""
    from mnist_digits.evaluation import evaluate
    from mnist_digits.training import checkpoint, engine

    with whole(run.model) as beside:
        model.save(beside)
    predict = engine.compile_prediction(model)
    arrays: dict[str, np.ndarray] = {}
    metrics = {}
    for name, split in (("validation", data.validation), ("test", data.test)):
        probabilities = predict(split.images)
        arrays |= {f"{name}_labels": split.labels, f"{name}_probabilities": probabilities}
        metrics[name] = evaluate(split.labels, probabilities).to_json()
    corrected = corrected_test_labels(data)
    if corrected is not None:
        metrics["test_corrected"] = evaluate(corrected, arrays["test_probabilities"]).to_json()
    with whole(run.predictions) as beside:
        np.savez_compressed(beside, allow_pickle=False, **arrays)
    seconds = float(history[:, checkpoint.COLUMNS.index("seconds")].sum())
    metrics["training"] = {
        "seconds": seconds,
        "epochs": len(history),
        "images_per_second": len(data.train) * len(history) / seconds,
        "parameters": model.count_params(),
    }
    write_json(run.metrics, metrics)


def _export(run: Run, model: "keras.Model", plan: Plan, data: Dataset) -> None:
    from mnist_digits.training.export import export_onnx

    metadata = {
        "recipe": plan.recipe.name,
        "seed": str(plan.seed),
        "test_accuracy": str(read_json(run.metrics)["test"]["accuracy"]),
        "temperature": "1.0",
        "version": __version__,
    }
    export_onnx(model, run.onnx, metadata, data.test.images)


def _as_csv(history: Iterable[np.ndarray]) -> str:
    from mnist_digits.training.checkpoint import COLUMNS

    rows = (f"{int(epoch)}," + ",".join(f"{value:.6f}" for value in values) for epoch, *values in history)
    return "\n".join([",".join(COLUMNS), *rows]) + "\n"
