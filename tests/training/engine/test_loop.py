import csv
from pathlib import Path

import keras
import numpy as np
import pytest

from mnist_digits import fit
from mnist_digits.dataset import Dataset
from mnist_digits.training import find_recipe
from mnist_digits.training.engine.loop import compile_prediction, sample_order
from mnist_digits.training.networks import build


def new_model(name: str = "dense", optimizer: keras.optimizers.Optimizer | None = None) -> keras.Model:
    """Always the same initial weights."""
    keras.utils.set_random_seed(1)
    model = build(find_recipe(name))
    if optimizer is not None:
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit_with_keras(model: keras.Model, images: np.ndarray, labels: np.ndarray, epochs: int, **options) -> dict:
    """`model.fit` over the same batches in the same order."""
    rows: dict[str, list[float]] = {"loss": [], "accuracy": []}
    for epoch in range(epochs):
        order = sample_order(len(labels), 5, epoch)
        history = model.fit(images[order] / np.float32(255), labels[order], shuffle=False, verbose=0, **options)
        for name, values in rows.items():
            values += history.history[name]
    return rows


@pytest.mark.parametrize("count", [20, 64, 100])
def test_every_step_is_that_of_model_fit(small: Dataset, count: int):
    """One short batch, two full ones, and three full ones with a short one."""
    images, labels = small.train.images[:count], small.train.labels[:count]
    ours, theirs = (new_model(optimizer=keras.optimizers.SGD(0.1)) for _ in range(2))
    history = fit(ours, images, labels, seed=5).history
    expected = fit_with_keras(theirs, images, labels, 1, batch_size=32)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert history["accuracy"] == pytest.approx(expected["accuracy"])


@pytest.mark.parametrize("name", ["dense", "dense-batchnorm"])
def test_epochs_with_adam_are_those_of_model_fit(small: Dataset, name: str):
    ours, theirs = new_model(name), new_model(name)
    history = fit(ours, small.train.images, small.train.labels, seed=5, epochs=3).history
    expected = fit_with_keras(theirs, small.train.images, small.train.labels, 3, batch_size=32)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    assert history["accuracy"] == pytest.approx(expected["accuracy"], abs=2 / 550)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_compiled_and_plain_graphs_agree(small: Dataset):
    weights = []
    for jit_compile in (True, False):
        model = new_model(optimizer=keras.optimizers.SGD(0.1))
        fit(model, small.train.images, small.train.labels, jit_compile=jit_compile)
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_allclose(*weights, atol=1e-6)


def test_the_same_seed_gives_the_same_weights(small: Dataset):
    states = []
    for seed in (3, 3, 4):
        model = new_model("dense-dropout")
        fit(model, small.train.images, small.train.labels, seed=seed, epochs=2, jit_compile=False)
        states.append([w.tobytes() for w in model.get_weights()])
    assert states[0] == states[1] != states[2]


def test_it_learns(small: Dataset):
    history = fit(new_model(), small.train.images, small.train.labels, epochs=8, jit_compile=False).history
    assert history["accuracy"][-1] > 0.95 > 0.7 > history["accuracy"][0]


def test_sample_order_is_a_permutation_of_seed_and_epoch():
    order = sample_order(1000, 1, 2)
    assert sorted(order) == list(range(1000))
    np.testing.assert_array_equal(order, sample_order(1000, 1, 2))
    assert not np.array_equal(order, sample_order(1000, 1, 3))
    assert not np.array_equal(order, sample_order(1000, 2, 2))


def test_validation_is_what_keras_evaluates(small: Dataset):
    model = new_model("dense-dropout")
    validation = (small.test.images, small.test.labels)
    history = fit(model, small.train.images, small.train.labels, validation=validation, jit_compile=False).history
    loss, accuracy = model.evaluate(small.test.images / 255, small.test.labels, verbose=0)
    assert history["val_loss"] == pytest.approx([loss], rel=1e-5)
    assert history["val_accuracy"] == pytest.approx([accuracy])


def test_predictions_are_what_keras_predicts(small: Dataset):
    model = new_model("dense-dropout")
    predict = compile_prediction(model)
    for images in (small.train.images, small.test.images[:1], small.test.images[:0]):
        expected = np.asarray(model(images / np.float32(255), training=False))
        np.testing.assert_allclose(predict(images), expected, atol=1e-6)


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.events: list = []

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(epoch)

    def on_epoch_end(self, epoch, logs=None):
        self.events.append((epoch, set(logs)))

    def on_train_end(self, logs=None):
        self.events.append("end")


def test_the_first_epoch_compiles_nothing(small: Dataset):
    """No part of the program is compiled anew for the steps of an epoch: here these take a hundredth of compiling."""
    history = fit(new_model(), small.train.images[:512], small.train.labels[:512], epochs=2).history
    assert history["compile_seconds"][1] == 0
    assert history["seconds"][0] < history["compile_seconds"][0] / 3


def test_callbacks_see_every_epoch(small: Dataset):
    recorder = Recorder()
    history = fit(
        new_model(),
        small.train.images,
        small.train.labels,
        epochs=4,
        initial_epoch=2,
        callbacks=[recorder],
        jit_compile=False,
    )
    names = {"loss", "accuracy", "seconds", "compile_seconds"}
    assert recorder.events == ["begin", 2, (2, names), 3, (3, names), "end"]
    assert isinstance(history, keras.callbacks.History)
    assert history.epoch == [2, 3]


def test_keras_own_callbacks_work(small: Dataset, tmp_path: Path):
    log = tmp_path / "log.csv"
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", mode="max"),
        keras.callbacks.CSVLogger(log),
        keras.callbacks.TensorBoard(tmp_path / "board"),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras"),
        keras.callbacks.LearningRateScheduler(lambda epoch: 10.0**-epoch),
    ]
    model = new_model()
    validation = (small.test.images, small.test.labels)
    history = fit(
        model,
        small.train.images,
        small.train.labels,
        validation=validation,
        epochs=9,
        callbacks=callbacks,
        jit_compile=False,
    ).history
    assert len(history["loss"]) < 9, "EarlyStopping was not obeyed"
    assert history["learning_rate"][0] == 1
    with log.open() as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == pytest.approx(history["loss"])
    assert list((tmp_path / "board").rglob("events.*"))
    assert (tmp_path / "best.keras").exists()


def test_learning_rate_changes_reach_the_compiled_program(small: Dataset):
    model = new_model(optimizer=keras.optimizers.SGD(0.1))
    before = model.get_weights()
    still = keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)
    fit(model, small.train.images, small.train.labels, callbacks=[still])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((4, 28, 28), np.float32), np.zeros(4, np.uint8), "images float32"),
        (np.zeros((4, 784), np.uint8), np.zeros(4, np.uint8), r"expected uint8 \(n, 28, 28\)"),
        (np.zeros((4, 28, 28), np.uint8), np.zeros(3, np.uint8), r"labels \(3,\), expected \(4,\)"),
        (np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8), "at least one image"),
    ],
)
def test_other_arrays_are_refused(images: np.ndarray, labels: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        fit(new_model(), images, labels)


def test_an_uncompiled_model_is_refused(small: Dataset):
    model = keras.Sequential([keras.layers.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    with pytest.raises(ValueError, match="call model.compile first"):
        fit(model, small.train.images, small.train.labels)
