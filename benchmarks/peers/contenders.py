"""The networks and classifiers that are compared: this project's recipes, and what others commonly train on MNIST.

Each of the others follows its published description and training recipe.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import OnEpoch, Predict
from mnist_digits.dataset import Dataset, Split
from mnist_digits.training import RECIPES, Recipe, backend

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Peer:
    """A network or other classifier, and its published way of training."""

    title: str
    """Its name in the table and the picture."""
    train: Callable[[Dataset, int, OnEpoch], int]
    """Trains for a number of epochs; returns the number of trained parameters."""
    epochs: int
    """Epochs of its published recipe."""
    package: str = "keras"
    """Module that is imported before the clock starts."""
    measured: int | None = None
    """Epochs that are measured where all would take too long; None for all."""
    own: bool = False
    """Whether it is one of this project's recipes."""


def all_training_images(data: Dataset) -> Split:
    """The training and validation splits together."""
    parts = (data.train, data.validation)
    return Split(np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts]))


def scale(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 0-255 → float32 0-1, of the same shape."""
    return images.astype(np.float32) / np.float32(255)


def flatten(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (n, 28, 28) → float32 (n, 784) in [0, 1]."""
    return scale(images).reshape(-1, 784)


def observe_epochs(on_epoch: OnEpoch, predict: Predict) -> "list[keras.callbacks.Callback]":
    """Keras callbacks that call `on_epoch` with `predict` after every epoch."""
    import keras

    return [keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch(predict))]


def train_recipe(recipe: Recipe, data: Dataset, epochs: int, on_epoch: OnEpoch) -> int:
    """Train one of this project's recipes; `on_epoch` gets the averaged weights where the recipe averages them."""
    from mnist_digits.training import networks
    from mnist_digits.training.engine import loop
    from mnist_digits.training.engine.session import TrainingSession

    recipe = replace(recipe, epochs=epochs)
    session = TrainingSession.start(recipe, 0, len(data.train), backend.available_precision(recipe.precision))

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with session.average.applied() if session.average else nullcontext():
            return loop.compile_prediction(networks.for_use(session.model))(images)

    session.fit(data, callbacks=observe_epochs(on_epoch, predict))
    return session.model.count_params()


def train_keras_example(data: Dataset, epochs: int, on_epoch: OnEpoch) -> int:
    """Train `fit_keras_example`."""
    return fit_keras_example(data, epochs, on_epoch).count_params()


def fit_keras_example(data: Dataset, epochs: int, on_epoch: OnEpoch = lambda predict: None) -> "keras.Sequential":
    """The small convolutional network of Keras's documentation (keras.io/examples/vision/mnist_convnet)."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((28, 28, 1))])
    for filters in (32, 64):
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
    for layer in (layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, "softmax")):
        model.add(layer)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return model.predict(scale(images)[..., None], batch_size=1000, verbose=0)

    train = all_training_images(data)
    images, options = scale(train.images)[..., None], {"batch_size": 128, "validation_split": 0.1, "verbose": 0}
    model.fit(images, train.labels, epochs=epochs, callbacks=observe_epochs(on_epoch, predict), **options)
    return model


def export_keras_example(data: Dataset, path: Path, epochs: int) -> None:
    """Train `fit_keras_example` for a number of epochs, and write it as this project's `model.onnx`."""
    backend.start_keras()
    import keras
    from keras import layers

    from mnist_digits.training.export.onnx import export_onnx

    model = fit_keras_example(data, epochs)
    # The model file takes images without a channel.
    flat = keras.Sequential([layers.Input((28, 28)), layers.Reshape((28, 28, 1)), *model.layers])
    path.parent.mkdir(parents=True, exist_ok=True)
    export_onnx(flat, path, {"recipe": "keras.io mnist_convnet", "seed": "0"}, data.train.images[:100])


def train_pytorch_example(data: Dataset, epochs: int, on_epoch: OnEpoch) -> int:
    """Train the network of PyTorch's examples (github.com/pytorch/examples, mnist).

    Its images are normalised once beforehand, where the example has torchvision do it for every image of every epoch.
    """
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    def as_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy((scale(images)[:, None] - 0.1307) / 0.3081)

    torch.manual_seed(0)
    convolutions = (nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25))
    dense = (nn.Flatten(), nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    model = nn.Sequential(*convolutions, *dense)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    train = all_training_images(data)
    examples = TensorDataset(as_tensor(train.images), torch.from_numpy(train.labels.astype(np.int64)))

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        model.eval()
        with torch.no_grad():
            return torch.cat([model(batch).softmax(1) for batch in as_tensor(images).split(1000)]).numpy()

    for _ in range(epochs):
        model.train()
        for images, labels in DataLoader(examples, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        schedule.step()
        on_epoch(predict)
    return sum(parameter.numel() for parameter in model.parameters())


def train_mlp(data: Dataset, epochs: int, on_epoch: OnEpoch) -> int:
    """Train scikit-learn's MLPClassifier with its defaults: 100 hidden units, Adam, batches of 200.

    Its own `fit` would stop after about 60 epochs, when the loss no longer falls.
    """
    from sklearn.neural_network import MLPClassifier

    # With a number as seed, every epoch would have the images in the same order.
    model = MLPClassifier(random_state=np.random.RandomState(0))
    fit_mlp(model, all_training_images(data), epochs, on_epoch)
    return _count_values([*model.coefs_, *model.intercepts_])


def fit_mlp(model: Any, train: Split, epochs: int, on_epoch: OnEpoch) -> None:
    """Fit an MLPClassifier epoch by epoch."""
    images = flatten(train.images)
    for _ in range(epochs):
        model.partial_fit(images, train.labels, classes=range(10))
        on_epoch(lambda images: model.predict_proba(flatten(images)))


def train_svm(data: Dataset, epochs: int, on_epoch: OnEpoch) -> int:
    """Train scikit-learn's support vector machine, RBF kernel, on 10,000 images; its training counts as one epoch."""
    from sklearn.svm import SVC

    model = SVC(C=10)
    train = all_training_images(data)
    model.fit(flatten(train.images[:10_000]), train.labels[:10_000])
    on_epoch(lambda images: np.eye(10)[model.predict(flatten(images))])
    return _count_values([model.support_vectors_, model.dual_coef_, model.intercept_])


def _count_values(arrays: Sequence[NDArray[np.floating]]) -> int:
    return sum(array.size for array in arrays)


PEERS = {
    **{
        name: Peer(f"`{name}`", partial(train_recipe, RECIPES[name]), RECIPES[name].epochs, own=True)
        for name in ("dense", "fast", "cnn")
    },
    "keras": Peer("Keras's example", train_keras_example, 15),
    "pytorch": Peer("PyTorch's example", train_pytorch_example, 14, "torch", measured=2),
    "mlp": Peer("scikit-learn MLP", train_mlp, 60, "sklearn.neural_network"),
    "svm": Peer("scikit-learn SVM", train_svm, 1, "sklearn.svm"),
}
