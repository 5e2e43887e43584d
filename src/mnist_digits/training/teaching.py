"""teach: fine-tunes a classifier on somebody's labelled pictures, and keeps it only if it reads such pictures better.

The pictures are mixed with MNIST's training images, and with pictures of no digit where the network can reject, so that
nothing is forgotten; and what is kept lies between the weights before and after (Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models", arXiv:2109.01903). How much is gained is measured by cross-validation: every picture
is read by a network that was taught on the others (Stone 1974, "Cross-validatory choice and assessment of statistical
predictions").
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset import Dataset, Split, load_mnist
from mnist_digits.dataset.pictures import joined
from mnist_digits.errors import DataError, QualityError, printable
from mnist_digits.evaluation.comparison import McNemar, mcnemar
from mnist_digits.evaluation.metrics import evaluate, wilson_interval
from mnist_digits.files import read_json, write_json
from mnist_digits.recognition.classifier import CLASSIFIER_PATH, MIN_ACCEPTED_CONFIDENCE
from mnist_digits.recognition.session import open_session
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.plan import create_run, read_plan
from mnist_digits.training.recipes import RECIPES, Recipe
from mnist_digits.training.train import export, write_results

if TYPE_CHECKING:
    import keras

    from mnist_digits.training.engine.step import EpochProgram, Step

MIN_PICTURES = 20
"""Pictures to teach with, at least; a hundred are better."""

FOLDS = 5
"""Parts of the pictures that are held out in turn."""

OWN_SHARE = 0.5
"""Share of the images of an epoch that are pictures of one's own; the others are MNIST's, and of no digit."""

IMAGES_PER_EPOCH = 6400
"""Images of an epoch, unless there are so many pictures that each would not come twice."""

TAUGHT_SHARE = 0.6
"""Place of the weights that are kept on the line from those before teaching, 0, to those after it, 1."""

NON_DIGITS_PER_KIND = 15
"""Pictures of each kind of no digit, drawn to be rejected."""

VALIDATION_IMAGES = 1000
"""MNIST's validation images that are read after each epoch, and by which the threshold of rejection is set."""

SIGNIFICANCE = 0.05
"""Probability below which a difference is not taken for chance."""

Progress = Callable[[str], None]
"""Called with a few words about what is done now."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gain:
    """What teaching changed on one set of images: shares read correctly, with their 95 % intervals."""

    count: int
    before: float
    before_interval95: tuple[float, float]
    after: float
    after_interval95: tuple[float, float]
    test: McNemar
    """only_first: read correctly only before; only_second: only after."""

    @classmethod
    def of(cls, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> "Gain":
        """before, after: bool (n,), whether each image was read correctly."""
        count, truth = len(before), np.ones(len(before), int)
        return cls(
            count,
            float(before.mean()),
            wilson_interval(int(before.sum()), count),
            float(after.mean()),
            wilson_interval(int(after.sum()), count),
            mcnemar(truth, before.astype(int), after.astype(int)),
        )

    @property
    def is_gain(self) -> bool:
        """Whether more is read correctly, outside of what may be chance."""
        return self.test.only_second > self.test.only_first and self.test.p_value < SIGNIFICANCE

    @property
    def is_loss(self) -> bool:
        """Whether less is read correctly, outside of what may be chance."""
        return self.test.only_second < self.test.only_first and self.test.p_value < SIGNIFICANCE

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Start:
    """The classifier that is taught, as it was."""

    name: str
    """`shipped`, or the run's folder."""
    recipe: Recipe
    """That it was trained by."""
    path: Path
    """The file of its weights, `.onnx` or `.keras`."""
    temperature: float
    threshold: float

    @classmethod
    def find(cls, run: Run | None) -> "Start":
        """The model of a run, None for the shipped one. Raises DataError for one that cannot be taught."""
        path = run.onnx if run else CLASSIFIER_PATH
        metadata = open_session(path, 1).get_modelmeta().custom_metadata_map
        recipe = read_plan(run).recipe if run else RECIPES[metadata["recipe"]]
        if recipe.members > 1:
            raise DataError(f"{path.parent}: an ensemble, expected one network; teach one of its members/")
        temperature, threshold = (float(metadata.get(name, default)) for name, default in DEFAULTS.items())
        name = str(run.folder) if run else "shipped"
        return cls(name, recipe, run.model if run else path, temperature, threshold)

    @property
    def lesson(self) -> Recipe:
        """The recipe by which it is taught."""
        return replace(
            self.recipe,
            name="taught",
            epochs=3,
            batch_size=128,
            learning_rate=5e-4,
            schedule="cosine",
            warm_up=0.1,
            ema_decay=0.98,
            final_distortion=0.3,
            precision="float32",
        )


DEFAULTS = {"temperature": "1.0", "threshold": "0.0"}
"""Names in a model's metadata, and what they are where they are missing."""


def teach(
    pictures: Split,
    run: Run | None = None,
    folder: Path | str | None = None,
    seed: int = 0,
    *,
    force: bool = False,
    report: bool = True,
    origin: Path | None = None,
    progress: Progress = lambda words: None,
) -> Run:
    """Fine-tune a classifier on labelled pictures; returns the finished run, whose metrics.json has `teaching`.

    pictures: as a classifier sees them, at least MIN_PICTURES. run: whose model is taught; None for the shipped one.
    folder: of the new run; None for `runs/taught-<seed>`. force: keep the model even if nothing was gained.
    report: also write report.html and the model card. origin: where the pictures come from, to be recorded. progress:
    see Progress.

    Raises DataError for too few pictures, or a model that cannot be taught; QualityError, and leaves no run, when such
    pictures are not read better outside of chance, or MNIST's validation images are read worse, unless forced.
    """
    if len(pictures) < MIN_PICTURES:
        raise DataError(f"{len(pictures)} pictures, expected at least {MIN_PICTURES} to teach with; label more")
    begun, start, mnist = time.perf_counter(), Start.find(run), load_mnist()
    backend.check_installed()
    backend.start_keras()
    progress("starting")
    lesson = _Lesson.prepare(start, pictures, mnist.train, seed)
    own = lesson.cross_validate(progress)
    if not (own.is_gain or force):
        raise QualityError(f"your pictures: {in_words(own)}: no gain beyond chance, so no model; {_advice(own)}")
    progress("teaching with all pictures")
    validation = mnist.validation
    lesson.learn(np.arange(len(pictures)), first(validation, VALIDATION_IMAGES))
    kept = lesson.kept(validation)
    if kept.is_loss and not force:
        raise QualityError(
            f"MNIST's validation images: {in_words(kept)}: it would forget, so no model; --force keeps it all the same"
        )
    progress("writing the model")
    taught = _write(lesson, own, mnist, folder, seed, begun, {"pictures": str(origin) if origin else None})
    if report:
        from mnist_digits.evaluation.report import write_report

        progress("writing the report")
        write_report(taught, mnist)
    return taught


def in_words(gain: Gain) -> str:
    """As `91.2 → 98.4 %`."""
    return f"{100 * gain.before:.1f} → {100 * gain.after:.1f} %"


def _advice(own: Gain) -> str:
    if own.before == 1:
        return "it reads all of them already"
    return "label more of them, or keep it all the same with --force"


@dataclass(eq=False)
class _Lesson:
    """A network, compiled once, that is taught from the same beginning as often as needed."""

    start: Start
    pictures: Split
    model: "keras.Model"
    step: "Step"
    initial: list[NDArray[Any]]
    """Values of the step's variables before teaching."""
    weights_before: list[NDArray[np.float32]]
    others: Split
    """Images besides the pictures."""
    judge: Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]
    seed: int
    history: list[list[float]]

    @classmethod
    def prepare(cls, start: Start, pictures: Split, train: Split, seed: int) -> "_Lesson":
        """Load the weights, and compile. train: MNIST's training images."""
        import keras

        from mnist_digits.training import networks
        from mnist_digits.training.engine.augmentation import Distortion
        from mnist_digits.training.engine.corruption import Corruption
        from mnist_digits.training.engine.loop import compile_prediction, compile_rejection
        from mnist_digits.training.engine.step import ClassifierStep
        from mnist_digits.training.engine.weight_average import WeightAverage
        from mnist_digits.training.export.onnx import load_weights

        recipe, count = start.lesson, max(IMAGES_PER_EPOCH, round(2 * len(pictures) / OWN_SHARE))
        others = _others(train, count - len(pictures), recipe.can_reject, seed)
        keras.utils.set_random_seed(seed)
        model = networks.build(recipe, count)
        if start.path.suffix == ".onnx":
            load_weights(start.path, model)
        else:
            model.set_weights(networks.load(start.path).get_weights())
        for layer in model.layers:
            # Statistics of a few pictures would not be those of what is read later.
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
        corruption = Corruption(recipe.corruption) if recipe.corruption else None
        step = ClassifierStep(model, WeightAverage(model, recipe.ema_decay), Distortion.of(recipe), corruption)
        read, accept = (make(model, start.temperature) for make in (compile_prediction, compile_rejection))
        initial = [np.array(variable) for variable in step.variables]
        return cls(
            *(start, pictures, model, step, initial, model.get_weights(), others),
            judge=lambda images: (read(images), accept(images)),
            seed=seed,
            history=[],
        )

    @cached_property
    def run_epoch(self) -> "EpochProgram":
        """An epoch, compiled once for all parts."""
        from mnist_digits.training.engine.loop import compile_epoch

        recipe, all_ = self.start.lesson, joined([self.pictures, self.others])
        return compile_epoch(self.step, (all_.images, all_.labels), recipe.batch_size, recipe.jit_compile)

    def cross_validate(self, progress: Progress) -> Gain:
        """How the pictures are read before, and each after teaching with the others."""
        before, after = self.right(self.pictures), np.zeros(len(self.pictures), bool)
        if before.all():
            return Gain.of(before, before)
        folds = folds_of(self.pictures.labels, self.seed)
        for fold in range(FOLDS):
            progress(f"holding out part {fold + 1} of {FOLDS}")
            held_out = folds == fold
            self.learn(np.flatnonzero(~held_out))
            after[held_out] = self.right(self.pictures)[held_out]
        self._reset()
        return Gain.of(before, after)

    def learn(self, chosen: NDArray[np.int_], validation: Split | None = None) -> None:
        """Teach anew, with the pictures at these places, and the others. validation: to be read after each epoch."""
        self._reset()
        recipe = self.start.lesson
        self.history = []
        for epoch in range(recipe.epochs):
            start = time.perf_counter()
            random = np.random.default_rng([self.seed, epoch, len(chosen)])
            order = mixed_order(random, chosen, len(self.pictures), len(self.others))
            totals = self.run_epoch(order, int(random.integers(2**31)), recipe.distortion_strength(epoch))
            loss, accuracy = (totals / len(order)).tolist()
            seconds = time.perf_counter() - start
            scores = self._validate(validation) if validation else (0.0, 0.0)
            self.history.append([epoch + 1, loss, accuracy, *scores, seconds, 0.0])
        self._settle()

    def _settle(self) -> None:
        """Replace the weights by their average over the last steps, moved back towards those before teaching."""
        assert self.step.average
        self.step.average.apply()
        for weight, before in zip(self.model.weights, self.weights_before, strict=True):
            weight.assign(before + TAUGHT_SHARE * (weight.numpy() - before))

    def _validate(self, split: Split) -> tuple[float, float]:
        """Loss and accuracy of the weights that would be kept now."""
        trained = self.model.get_weights()
        self._settle()
        scores = evaluate(split.labels, self.judge(split.images)[0])
        self.model.set_weights(trained)
        return scores.loss, scores.accuracy

    def right(self, split: Split, accepted: bool = True) -> NDArray[np.bool_]:
        """Whether each image is read correctly, bool (n,). accepted: and accepted as a digit, as a picture must be."""
        probabilities, is_digit = self.judge(split.images)
        right = probabilities.argmax(1) == split.labels
        if not (accepted and self.start.recipe.can_reject):
            return right
        confident = probabilities.max(1) * is_digit >= MIN_ACCEPTED_CONFIDENCE
        return right & (is_digit >= self.start.threshold) & confident

    def kept(self, split: Split) -> Gain:
        """How MNIST's images are read before and after, which are digits, and for the network as they are."""
        after, taught = self.right(split, accepted=False), self.model.get_weights()
        self._reset()
        before = self.right(split, accepted=False)
        self.model.set_weights(taught)
        return Gain.of(before, after)

    def _reset(self) -> None:
        for variable, value in zip(self.step.variables, self.initial, strict=True):
            variable.assign(value)


def first(split: Split, count: int) -> Split:
    """The first images of a split, at most so many."""
    return Split(split.images[:count], split.labels[:count])


def _others(train: Split, count: int, can_reject: bool, seed: int) -> Split:
    """So many images that keep the network from forgetting: MNIST's, and pictures of no digit if it can reject."""
    images, labels = [], []
    if can_reject:
        from mnist_digits.training.synthesis.digits import NON_DIGIT_LABEL, draw_non_digits

        drawn = np.concatenate(list(draw_non_digits(train, NON_DIGITS_PER_KIND, seed).values()))
        images, labels = [drawn], [np.full(len(drawn), NON_DIGIT_LABEL, np.uint8)]
        count -= len(drawn)
    chosen = np.random.default_rng(seed).permutation(len(train))[:count]
    return Split(np.concatenate([train.images[chosen], *images]), np.concatenate([train.labels[chosen], *labels]))


def folds_of(labels: NDArray[np.uint8], seed: int) -> NDArray[np.int_]:
    """The part of each picture, int (n,), from 0 to FOLDS - 1, stratified by class."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    folds = np.empty(len(labels), int)
    folds[by_class] = np.arange(len(labels)) % FOLDS
    return folds


def mixed_order(random: np.random.Generator, chosen: NDArray[np.int_], pictures: int, others: int) -> NDArray[np.int32]:
    """The images of an epoch, int32 (pictures + others,): OWN_SHARE of them pictures, each as often as any other."""
    count = pictures + others
    own = round(OWN_SHARE * count)
    repeated = np.concatenate([random.permutation(chosen) for _ in range(-(-own // len(chosen)))])[:own]
    rest = pictures + random.permutation(others)
    rest = np.concatenate([rest] * -(-(count - own) // others))[: count - own]
    return random.permutation(np.concatenate([repeated, rest])).astype(np.int32)


def _write(
    lesson: _Lesson,
    own: Gain,
    mnist: Dataset,
    folder: Path | str | None,
    seed: int,
    begun: float,
    origin: dict[str, Any],
) -> Run:
    """The finished run of a network that was taught: its test images are MNIST's, looked at here for the first time."""
    from mnist_digits.training import networks
    from mnist_digits.training.engine.checkpoint import write_history

    run = create_run(lesson.start.lesson, mnist, folder, seed)
    plan = read_plan(run)
    write_json(run.recipe, {**read_json(run.recipe), "taught": {"from": lesson.start.name, **origin}})
    write_json(run.environment, {**backend.describe_environment(), "precision": "float32"})
    history = np.array(lesson.history)
    write_history(run.history, history)
    model = networks.for_use(lesson.model)
    images = len(lesson.pictures) + len(lesson.others)
    fewer = replace(mnist, train=first(mnist.train, images), validation=first(mnist.validation, VALIDATION_IMAGES))
    metrics = write_results(run, plan, fewer, model, history)
    kept = lesson.kept(mnist.test)
    metrics["teaching"] = {"from": lesson.start.name, **origin, "own": own.to_json(), "mnist": kept.to_json()}
    metrics["teaching"]["seconds"] = time.perf_counter() - begun
    write_json(run.metrics, metrics)
    export(run, plan, mnist, model, metrics)
    run.link_as_latest()
    run.discard_checkpoint()
    logger.info("%s: taught, own %.4f → %.4f", printable(run.folder), own.before, own.after)
    return run
