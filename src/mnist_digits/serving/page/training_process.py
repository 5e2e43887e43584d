"""The process in which the playground trains: `python -m mnist_digits.serving.page.training_process`.

It loads Keras and the images, and waits. A line on stdin, the settings of a recipe as JSON, starts its only training.
Every line on stdout is a message in JSON: {"event": "ready"}, {"event": "epoch", "row", "network"} and
{"event": "done"}. It ends when its stdin is closed, so also when the server is killed.
"""

import base64
import json
import os
import sys
import threading
from collections.abc import Callable
from queue import Queue
from typing import TYPE_CHECKING, Any

from mnist_digits.serving.page.dense_network import DenseNetwork

if TYPE_CHECKING:
    import keras

Send = Callable[[dict[str, Any]], None]
"""Sends one message."""

NICENESS = 2
"""Added to the process's own, so that the service stays responsive during a training."""


def main() -> None:
    """Load, wait for settings, train, end."""
    send, settings = _take_stdout(), Queue[str]()
    threading.Thread(target=_listen, args=[settings], daemon=True).start()
    if hasattr(os, "nice"):  # Windows has none.
        os.nice(NICENESS)
    from mnist_digits.dataset import load_mnist
    from mnist_digits.training import RECIPES, backend

    backend.start_keras()
    from mnist_digits.training.engine.session import TrainingSession

    data = load_mnist()
    send({"event": "ready"})
    recipe = RECIPES["dense"].with_settings(json.loads(settings.get()))
    session = TrainingSession.start(recipe, 0, len(data.train), "float32")
    session.fit(data, callbacks=[_reporter(session.model, send)])
    send({"event": "done"})


def _take_stdout() -> Send:
    """Sends messages to stdout; what libraries print goes to stderr from now on."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def send(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    return send


def _listen(settings: "Queue[str]") -> None:
    """Pass on lines of stdin; end the process when it is closed."""
    for line in sys.stdin:
        settings.put(line)
    os._exit(0)


def _reporter(model: "keras.Model", send: Send) -> "keras.callbacks.Callback":
    """Sends the network before the first step and, with its row of the history, after every epoch."""
    import keras

    def report(row: dict[str, float] | None) -> None:
        network = DenseNetwork(*model.get_weights()).to_bytes()
        send({"event": "epoch", "row": row, "network": base64.b64encode(network).decode()})

    return keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: report(None),
        on_epoch_end=lambda epoch, logs: report({"epoch": epoch + 1, **logs}),
    )


if __name__ == "__main__":
    main()
