"""From a recipe and images to trained weights and their history; every finished epoch is kept on disk."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from mnist_digits.dataset import Dataset
from mnist_digits.errors import QualityError
from mnist_digits.files import write_text
from mnist_digits.runs import Run
from mnist_digits.training import networks
from mnist_digits.training.engine import checkpoint, loop
from mnist_digits.training.engine.augmentation import Distortion
from mnist_digits.training.engine.weight_average import WeightAverage
from mnist_digits.training.plan import Plan, read_plan
from mnist_digits.training.recipes import Recipe

if TYPE_CHECKING:
    from mnist_digits.training.train import Progress


def start(recipe: Recipe, seed: int, images: int, precision: str) -> tuple[keras.Model, WeightAverage | None]:
    """The recipe's network before its first step, and what averages its weights, if the recipe does.

    images: how many there are to an epoch. precision: the one that the recipe gets on this machine.
    """
    # The one place where a global seed is set: Keras's layers draw their initial weights from it.
    keras.utils.set_random_seed(seed)
    model = networks.build(recipe, images, precision)
    return model, WeightAverage(model, recipe.ema_decay) if recipe.ema_decay else None


def follow(
    recipe: Recipe,
    seed: int,
    data: Dataset,
    model: keras.Model,
    average: WeightAverage | None,
    *,
    initial_epoch: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Take all steps that the recipe has left; model and average are what `start` gave, and change in place.

    initial_epoch: how many epochs are done already. callbacks: as in `train`.
    """
    loop.fit(
        model,
        data.train.images,
        data.train.labels,
        validation=(data.validation.images, data.validation.labels),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=seed,
        initial_epoch=initial_epoch,
        callbacks=callbacks,
        distortion=Distortion.of(recipe),
        strength=recipe.distortion_strength,
        average=average,
        jit_compile=recipe.jit_compile,
    )


def fit_network(
    run: Run,
    plan: Plan,
    precision: str,
    data: Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
    tensorboard: bool,
    progress: "Progress | None",
) -> tuple[keras.Model, np.ndarray]:
    """The trained model, and its history: float64 (epochs, 6), columns as in `checkpoint.COLUMNS`."""
    recipe = plan.recipe
    if recipe.synthetic_copies:
        # Fonts and image work, which no other recipe should wait for.
        from mnist_digits.training.synthesis.digits import redraw

        data = redraw(data, recipe.synthetic_copies, plan.seed)
    model, average = start(recipe, plan.seed, len(data.train), precision)
    state = [*model.variables, *model.optimizer.variables, *(average.variables if average else [])]
    history = list(checkpoint.restore(run.checkpoint, state)) if run.checkpoint.exists() else []
    keep = _keep_epochs(run, recipe, state, history, progress)
    observers = [keras.callbacks.LambdaCallback(on_epoch_end=keep), *callbacks]
    if tensorboard:
        observers.append(keras.callbacks.TensorBoard(run.folder / "tensorboard"))
    follow(recipe, plan.seed, data, model, average, initial_epoch=len(history), callbacks=observers)
    # The last epoch may have been kept before its row was written.
    write_text(run.history, _as_csv(history))
    if average:
        average.apply()
    return networks.for_use(model), np.array(history)


def fit_members(
    run: Run,
    plan: Plan,
    data: Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
    tensorboard: bool,
    progress: "Progress | None",
) -> tuple[keras.Model, np.ndarray]:
    """Several networks as one, each a run of its own in `members/`, which is kept or resumed like any other.

    The history, float64 (epochs, 6), is their mean, with the seconds of all. Raises DataError when a member's
    file is missing.
    """
    # It trains runs, each of which comes here in turn.
    from mnist_digits.training.seeds import train_seeds

    recipe, count = plan.recipe.member, plan.recipe.members
    first_seed = plan.seed * count

    def announce(member: Run) -> "Progress":
        before = (read_plan(member).seed - first_seed) * recipe.epochs
        return lambda epoch, row: progress(before + epoch, row) if progress else None

    folder = run.folder / "members"
    train_seeds(
        recipe, data, count, folder, first_seed, callbacks=callbacks, tensorboard=tensorboard, announce=announce
    )
    members = [Run.open(folder / f"seed-{first_seed + number}", "model", "history") for number in range(count)]
    history = np.mean([np.loadtxt(member.history, delimiter=",", skiprows=1, ndmin=2) for member in members], axis=0)
    history[:, -1] *= count
    write_text(run.history, _as_csv(history))
    return networks.average([networks.load(member.model) for member in members]), history


def _keep_epochs(
    run: Run, recipe: Recipe, state: Sequence[keras.Variable], history: list[np.ndarray], progress: "Progress | None"
) -> Callable[[int, dict[str, float]], None]:
    """What happens after every epoch: its row is added to the history, and both are kept on disk."""

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


def _as_csv(history: Iterable[np.ndarray]) -> str:
    rows = (f"{int(epoch)}," + ",".join(f"{value:.6f}" for value in values) for epoch, *values in history)
    return "\n".join([",".join(checkpoint.COLUMNS), *rows]) + "\n"
