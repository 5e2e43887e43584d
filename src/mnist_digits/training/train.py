"""train() and keep(): from a recipe and images, or a trained network, to a finished run folder."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset import Dataset, corrected_test_labels
from mnist_digits.errors import UsageError, printable
from mnist_digits.evaluation.comparison import summarise_runs
from mnist_digits.evaluation.report_process import ReportProcess
from mnist_digits.files import atomic_write, write_json
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.export import trackers as tools
from mnist_digits.training.plan import Plan, check_data, check_environment, check_same, create_run, read_plan
from mnist_digits.training.recipes import Recipe, find_recipe

if TYPE_CHECKING:
    import keras

SUMMARY = "summary.json"

Progress = Callable[[int, dict[str, float]], None]
"""Called after every epoch with its number, from 1, and its row of the history."""

Announce = Callable[[Run], Progress]
"""Called before each training of a series with its run; returns what is called after every epoch of it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Observers:
    """What is told of a training; see `train`."""

    callbacks: Sequence["keras.callbacks.Callback"] = ()
    trackers: Sequence[str] = ()
    progress: Progress | None = None

    @classmethod
    def of(
        cls,
        callbacks: Sequence["keras.callbacks.Callback"],
        trackers: Sequence[str],
        tensorboard: bool,
        progress: Progress | None = None,
    ) -> "Observers":
        """Those that `train` was asked to tell. Raises UsageError for a tracker that is not there."""
        trackers = (*trackers, *["tensorboard"] * tensorboard)
        tools.check(trackers)
        return cls(callbacks, trackers, progress)


def train(
    recipe: str | Recipe,
    data: Dataset,
    folder: Path | str | None = None,
    seed: int = 0,
    *,
    callbacks: Sequence["keras.callbacks.Callback"] = (),
    trackers: Sequence[str] = (),
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train, evaluate and describe one network; returns the finished run.

    recipe: a Recipe, or the name of one. data: as `load_mnist` returns it. folder: the run's folder, new or empty;
    None for `runs/<recipe>-<seed>`, numbered when taken. seed: 0 to 2**32 - 1; decides the initial weights, and the
    order and distortion of the images. callbacks: Keras callbacks, called around epochs. trackers: `mlflow`,
    `tensorboard`, `wandb`: the tools that the training is logged to. tensorboard: the same as naming it among them.
    progress: called after every epoch with its number, from 1, and its row of the history.

    Same recipe, data, seed and processor: same weights, bit for bit. An interrupted run can go on with `resume` after
    its last finished epoch. Raises UsageError for an unknown recipe, a seed out of range or a missing extra, DataError
    when the folder cannot be used, QualityError when the loss becomes infinite.
    """
    observers = Observers.of(callbacks, trackers, tensorboard, progress)
    recipe = find_recipe(recipe) if isinstance(recipe, str) else recipe
    return _finish(create_run(recipe, data, folder, seed), data, observers)


def resume(
    run: Run,
    data: Dataset,
    *,
    callbacks: Sequence["keras.callbacks.Callback"] = (),
    trackers: Sequence[str] = (),
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Finish a run from its last finished epoch; its weights are those of an uninterrupted run.

    data: the images the run was started with. Others as in `train`; the state of callbacks is not restored: early
    stopping begins to count its epochs anew.
    Raises DataError for other data or a damaged run folder, UsageError when the run is finished, or was begun on
    another backend or in another precision than here, QualityError when the loss becomes infinite.
    """
    return _finish(run, data, Observers.of(callbacks, trackers, tensorboard, progress))


def _finish(run: Run, data: Dataset, observers: Observers) -> Run:
    plan = read_plan(run)
    if run.finished:
        raise UsageError(f"{run.folder}: this run is finished; train again with another --seed or --output")
    check_data(run, data)
    run.remove_leftovers()
    logger.info(
        "%s: training %s with seed %d on %d images", printable(run.folder), plan.recipe.name, plan.seed, len(data.train)
    )
    with ExitStack() as tracked:
        # The report needs Matplotlib and seaborn: another process imports them while this one imports Keras.
        with _report_of(run, data) as report:
            backend.start_keras()
            precision = backend.available_precision(plan.recipe.precision)
            _note_environment(run, precision)
            tracking = tracked.enter_context(tools.Tracking(run, _parameters(plan), observers.trackers))
            if plan.recipe.members > 1:
                model, history = fit_members(run, plan, data, observers)
                tracking.log_history()
            else:
                told = replace(observers, progress=_both(tracking.log_epoch, observers.progress))
                model, history = fit_network(run, plan, data, told, precision)
            metrics = _conclude(run, plan, data, model, history, report)
        tracking.log_results(metrics)
    run.link_as_latest()
    run.discard_checkpoint()
    return run


def keep(
    recipe: Recipe,
    data: Dataset,
    folder: Path | None,
    weights: Sequence[NDArray[np.float32]],
    history: NDArray[np.float64],
    *,
    report: bool = True,
) -> Run:
    """A finished run of a network that has been trained already, by this recipe, with seed 0, in float32.

    folder: as in `train`. weights: as Keras's `get_weights` gives them. history: float64 (epochs, 7), columns as in
    `checkpoint.COLUMNS`. report: also draw the figures, and write the report and the model card.
    Raises DataError when the folder cannot be used.
    """
    run = create_run(recipe, data, folder, 0)
    plan = read_plan(run)
    with _report_of(run, data) if report else nullcontext() as process:
        backend.start_keras()
        from mnist_digits.training import networks
        from mnist_digits.training.engine.checkpoint import write_history

        _note_environment(run, "float32")
        write_history(run.history, history)
        model = networks.build(recipe, len(data.train), "float32")
        model.set_weights(weights)
        _conclude(run, plan, data, networks.for_use(model), history, process)
    run.link_as_latest()
    run.discard_checkpoint()
    return run


def _report_of(run: Run, data: Dataset) -> ReportProcess:
    return ReportProcess(run, run.data if run.data.is_dir() else data.folder, data.seed)


def _note_environment(run: Run, precision: str) -> None:
    environment = {**backend.describe_environment(), "precision": precision}
    check_environment(run, environment)
    write_json(run.environment, environment)


def _conclude(
    run: Run,
    plan: Plan,
    data: Dataset,
    model: "keras.Model",
    history: NDArray[np.float64],
    report: ReportProcess | None,
) -> dict[str, Any]:
    """Write all that a trained model has in its run's folder but its history; returns its metrics."""
    metrics = write_results(run, plan, data, model, history)
    if report:
        _draw_distortions(run, plan.recipe, data)
        report.finish()
    export(run, plan, data, model, metrics)
    logger.info("%s: finished, test accuracy %.4f", printable(run.folder), metrics["test"]["accuracy"])
    return metrics


def _parameters(plan: Plan) -> dict[str, Any]:
    """What decides the result, for trackers."""
    data = {"data": plan.data_folder or "MNIST", "data_seed": plan.data_seed, "data_fingerprint": plan.fingerprint}
    return {"recipe": plan.recipe.name, **plan.recipe.to_json(), "seed": plan.seed, **data}


def _both(first: Progress, second: Progress | None) -> Progress:
    """Calls both."""

    def tell(epoch: int, row: dict[str, float]) -> None:
        for one in (first, second):
            if one:
                one(epoch, row)

    return tell


def fit_network(
    run: Run, plan: Plan, data: Dataset, observers: Observers, precision: str
) -> tuple["keras.Model", NDArray[np.float64]]:
    """The trained model, and its history: float64 (epochs, 7), columns as in `checkpoint.COLUMNS`.

    precision: the one that the recipe gets on this machine. Every finished epoch is kept in the run's folder.
    """
    from mnist_digits.training.engine.checkpoint import EpochRecorder, write_history
    from mnist_digits.training.engine.session import TrainingSession

    if plan.recipe.synthetic_copies:
        # Imports fonts and image processing, which other recipes need not wait for.
        from mnist_digits.training.synthesis.digits import synthesise

        data = synthesise(data, plan.recipe.synthetic_copies, plan.seed)
    session = TrainingSession.start(plan.recipe, plan.seed, len(data.train), precision)
    recorder = EpochRecorder(run, session, observers.progress)
    session.fit(data, initial_epoch=len(recorder.history), callbacks=[recorder, *observers.callbacks])
    # A process may have died between the last checkpoint and its row in the file.
    write_history(run.history, recorder.history)
    return session.finish(), recorder.history


def fit_members(run: Run, plan: Plan, data: Dataset, observers: Observers) -> tuple["keras.Model", NDArray[np.float64]]:
    """An ensemble as one model, and its history: the mean of its members', float64 (epochs, 7), with their total time.

    Each member is a run of its own in `members/`, kept or resumed like any other. Raises DataError when a member's
    file is missing.
    """
    from mnist_digits.training import networks
    from mnist_digits.training.engine.checkpoint import with_all_columns, write_history

    recipe, count = plan.recipe.member, plan.recipe.members
    first_seed, folder = plan.seed * count, run.folder / "members"

    def announce(member: Run) -> Progress:
        epochs_before = (read_plan(member).seed - first_seed) * recipe.epochs
        return lambda epoch, row: observers.progress(epochs_before + epoch, row) if observers.progress else None

    callbacks, trackers = observers.callbacks, observers.trackers
    train_seeds(recipe, data, count, folder, first_seed, callbacks=callbacks, trackers=trackers, announce=announce)
    members = [Run.open(folder / f"seed-{first_seed + number}", "model", "history") for number in range(count)]
    histories = (np.loadtxt(member.history, delimiter=",", skiprows=1, ndmin=2) for member in members)
    history = np.mean([with_all_columns(one) for one in histories], axis=0)
    history[:, -2:] *= count
    write_history(run.history, history)
    return networks.average([networks.load(member.model) for member in members]), history


def write_results(
    run: Run, plan: Plan, data: Dataset, model: "keras.Model", history: NDArray[np.float64]
) -> dict[str, Any]:
    """Write the model, its predictions and its metrics, which are returned; the only look at the test images.

    history: of the training, float64 (epochs, 7).
    """
    from mnist_digits.training.engine import loop

    predict = loop.compile_prediction(model)
    probabilities = {"validation": predict(data.validation.images), "test": predict(data.test.images)}
    metrics = _score(plan, data, model, probabilities)
    seconds, compile_seconds = history[:, -2:].sum(axis=0).tolist()
    metrics["training"] = {
        "seconds": seconds,
        "compile_seconds": compile_seconds,
        "epochs": len(history),
        "images_per_second": len(data.train) * len(history) * plan.recipe.members / seconds,
        "parameters": model.count_params(),
    }
    arrays: dict[str, NDArray[Any]] = {f"{name}_probabilities": values for name, values in probabilities.items()}
    arrays |= {"validation_labels": data.validation.labels, "test_labels": data.test.labels}
    with atomic_write(run.model) as temporary:
        model.save(temporary)
    with atomic_write(run.predictions) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    write_json(run.metrics, metrics)
    return metrics


def _score(
    plan: Plan, data: Dataset, model: "keras.Model", probabilities: dict[str, NDArray[np.float32]]
) -> dict[str, dict[str, Any]]:
    """The model's part of metrics.json. probabilities: float32 (n, 10), of the validation and test images."""
    from mnist_digits.evaluation import evaluate
    from mnist_digits.training.engine.loop import compile_rejection
    from mnist_digits.training.export import calibration

    splits = {"validation": data.validation, "test": data.test}
    metrics = {name: evaluate(split.labels, probabilities[name]).to_json() for name, split in splits.items()}
    metrics["calibration"] = calibration.measure_calibration(data.validation, probabilities["validation"])
    temperature = metrics["calibration"]["temperature"]
    calibrated = evaluate(data.test.labels, calibration.temper(probabilities["test"], temperature))
    metrics["test_calibrated"] = {"loss": calibrated.loss, "calibration_error": calibrated.calibration_error}
    if plan.recipe.can_reject:
        # It is the exported model that rejects, and that is calibrated.
        is_digit = compile_rejection(model, temperature)
        metrics["declining"] = calibration.measure_rejection(is_digit, data.validation, plan.seed)
    corrected = corrected_test_labels(data)
    if corrected is not None:
        metrics["test_corrected"] = evaluate(corrected, probabilities["test"]).to_json()
    return metrics


def _draw_distortions(run: Run, recipe: Recipe, data: Dataset) -> None:
    """Draw the first training image as the recipe distorts it; the report process has no TensorFlow to do it with."""
    from mnist_digits.training.engine.augmentation import Distortion

    distortion = Distortion.of(recipe)
    if not distortion:
        return
    from mnist_digits.evaluation import figures
    from mnist_digits.evaluation.report import save_figure

    save_figure(figures.distortions(distortion.variants(data.train.images[0], 40)), run.distortions)


def export(run: Run, plan: Plan, data: Dataset, model: "keras.Model", metrics: dict[str, Any]) -> None:
    """Write the calibrated model.onnx. metrics: as in metrics.json."""
    from mnist_digits.training.export.formats import describe_model, temperature_of
    from mnist_digits.training.export.onnx import export_onnx

    export_onnx(model, run.onnx, describe_model(plan, metrics), data.test.images, temperature_of(metrics))
    logger.info("%s: exported as %s", printable(run.folder), run.onnx.name)


def new_series(recipe: Recipe, count: int, folder: Path | None = None) -> Path:
    """A new, empty folder for `train_seeds`: `folder`, or `runs/<recipe>-x<count>`, numbered when taken.

    Raises DataError when the folder is not empty or cannot be made.
    """
    return Run.create(f"{recipe.name}-x{count}", folder).folder


def train_seeds(
    recipe: Recipe,
    data: Dataset,
    count: int,
    folder: Path,
    first_seed: int = 0,
    *,
    callbacks: Sequence["keras.callbacks.Callback"] = (),
    trackers: Sequence[str] = (),
    tensorboard: bool = False,
    announce: Announce | None = None,
) -> Path:
    """Train one recipe with several seeds, one run after another, and summarise them; returns the summary's path.

    count: number of seeds, from `first_seed` on. folder: of a `seed-N` for each run, and of `summary.json`. callbacks,
    trackers, tensorboard: as in `train`. announce: see Announce. Runs in the folder that are finished are kept, an
    interrupted one is resumed: the same call goes on with an interrupted series.
    Raises UsageError for a count below 1 or a run of another recipe, DataError for a run on other data, both before
    anything is trained; and what `train` raises.
    """
    if count < 1:
        raise UsageError(f"{count} seeds: expected at least 1")
    observers = Observers.of(callbacks, trackers, tensorboard)
    runs = {seed: Run(folder / f"seed-{seed}") for seed in range(first_seed, first_seed + count)}
    begun = {seed for seed, run in runs.items() if run.recipe.exists()}
    for seed in begun:
        check_same(runs[seed], recipe, seed)
        check_data(runs[seed], data)
    for seed, run in runs.items():
        if seed not in begun:
            create_run(recipe, data, run.folder, seed)
        if not run.finished:
            progress = announce(run) if announce else None
            _finish(run, data, replace(observers, progress=progress))
    write_json(folder / SUMMARY, summarise_runs(list(runs.values())))
    return folder / SUMMARY
