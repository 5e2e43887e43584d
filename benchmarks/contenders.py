"""Who takes part in the race of peers.py: this project's recipes, and what others commonly train on MNIST.

Each of the others is written after its published description, with the recipe that stands there.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mnist_digits.dataset import Dataset, Split
from mnist_digits.training import RECIPES, Recipe, backend
from stopwatch import OnEpoch

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Peer:
    """A network or other classifier, and how those who publish it train it."""

    title: str
    """What the table and the picture call it."""
    train: Callable[[Dataset, int, OnEpoch], int]
    """Trains for some epochs and returns how many numbers the result consists of."""
    epochs: int
    """Those of its recipe."""
    package: str = "keras"
    """The module to import before the clock starts."""
    measured: int | None = None
    """How many of them are measured, when it would take too long to measure all."""
    own: bool = False
    """Whether it is one of this project's recipes."""


def all_training_images(data: Dataset) -> Split:
    """What training and validation were split from."""
    parts = (data.train, data.validation)
    return Split(np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts]))


def scale(images: np.ndarray) -> np.ndarray:
    """uint8 0-255 → float32 0-1, of the same shape."""
    return images.astype(np.float32) / 255


def flatten(images: np.ndarray) -> np.ndarray:
    """uint8 (n, 28, 28) → float32 (n, 784) in [0, 1]."""
    return scale(images).reshape(-1, 784)


def train_recipe(recipe: Recipe, data: Dataset, epochs: int, on_epoch: OnEpoch) -> int:
    """One of this project's recipes; what is looked up is the network it would keep after this epoch."""
    import keras

    from mnist_digits.training import networks
    from mnist_digits.training.engine import loop
    from mnist_digits.training.engine.session import TrainingSession

    recipe = replace(recipe, epochs=epochs)
    session = TrainingSession.start(recipe, 0, len(data.train), backend.available_precision(recipe.precision))

    def predict(images: np.ndarray) -> np.ndarray:
        with session.average.applied() if session.average else nullcontext():
            return loop.compile_prediction(networks.for_use(session.model))(images)

    observer = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch(predict))
    session.fit(data, callbacks=[observer])
    return session.model.count_params()


def train_keras_example(data: Dataset, epochs: int, on_epoch: OnEpoch) -> int:
    """What `fit_keras_example` trains."""
    return fit_keras_example(data, epochs, on_epoch).count_params()


def fit_keras_example(data: Dataset, epochs: int, on_epoch: OnEpoch) -> "keras.Sequential":
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

    def predict(images: np.ndarray) -> np.ndarray:
        return model.predict(scale(images)[..., None], batch_size=1000, verbose=0)

    train = all_training_images(data)
    observer = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch(predict))
    images, options = scale(train.images)[..., None], {"batch_size": 128, "validation_split": 0.1, "verbose": 0}
    model.fit(images, train.labels, epochs=epochs, callbacks=[observer], **options)
    return model


def train_pytorch_example(data: Dataset, epochs: int, on_epoch: OnEpoch) -> int:
    """The network of PyTorch's examples (github.com/pytorch/examples, mnist).

    Its images are normalised beforehand, once, where the example has torchvision do it anew for every image.
    """
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    def as_tensor(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy((scale(images)[:, None] - 0.1307) / 0.3081)

    torch.manual_seed(0)
    convolutions = (nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25))
    dense = (nn.Flatten(), nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    model = nn.Sequential(*convolutions, *dense)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    train = all_training_images(data)
    examples = TensorDataset(as_tensor(train.images), torch.from_numpy(train.labels.astype(np.int64)))

    def predict(images: np.ndarray) -> np.ndarray:
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
    """scikit-learn's MLPClassifier as it comes: 100 hidden units, Adam, batches of 200.

    Left alone, its `fit` stops after about 60 epochs, when the loss no longer falls.
    """
    from sklearn.neural_network import MLPClassifier

    # A generator, not a number, which would bring the images in the same order in every epoch.
    model = MLPClassifier(random_state=np.random.RandomState(0))
    train = all_training_images(data)
    images = flatten(train.images)
    for _ in range(epochs):
        model.partial_fit(images, train.labels, classes=range(10))
        on_epoch(lambda images: model.predict_proba(flatten(images)))
    return sum(array.size for array in (*model.coefs_, *model.intercepts_))


def train_svm(data: Dataset, epochs: int, on_epoch: OnEpoch) -> int:
    """scikit-learn's support vector machine, RBF kernel, on 10,000 images; it has no epochs, and counts as one."""
    from sklearn.svm import SVC

    model = SVC(C=10)
    train = all_training_images(data)
    model.fit(flatten(train.images[:10_000]), train.labels[:10_000])
    on_epoch(lambda images: np.eye(10)[model.predict(flatten(images))])
    return model.support_vectors_.size + model.dual_coef_.size + model.intercept_.size


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
