"""The process in which the playground trains: `python -m mnist_digits.serving.page.training_process`.

It loads Keras and the images, says that it is ready, and waits. A line on stdin, a recipe's settings as JSON, starts
the one training of its life; every message on stdout is a line of JSON. It ends with the server, however that ends:
then its stdin is closed.
"""

import base64
import json
import os
import sys
import threading
from collections.abc import Callable
from queue import Queue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

Say = Callable[[dict[str, Any]], None]
"""Sends one message."""

ARRAYS = ("hidden_weights", "hidden_bias", "class_weights", "class_bias")
"""The weights of the network, in the order of its layers."""


def main() -> None:
    """Get ready, wait for settings, train, end."""
    say, settings = _take_stdout(), Queue[str]()
    threading.Thread(target=_listen, args=[settings], daemon=True).start()
    # Whoever draws while the network learns should not wait for it.
    os.nice(2)
    from mnist_digits.dataset import load_mnist
    from mnist_digits.training import RECIPES, backend

    backend.start_keras()
    from mnist_digits.training import fitting

    data = load_mnist()
    say({"event": "ready"})
    recipe = RECIPES["dense"].with_settings(json.loads(settings.get()))
    model, average = fitting.start(recipe, 0, len(data.train), "float32")
    fitting.follow(recipe, 0, data, model, average, callbacks=[_reporter(model, say)])
    say({"event": "done"})


def _take_stdout() -> Say:
    """A way to send messages on stdout, which nothing else in the process reaches any more."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    return say


def _listen(settings: "Queue[str]") -> None:
    """Hand over the line that comes, and end the process, whatever it is at, when no more can come."""
    for line in sys.stdin:
        settings.put(line)
    os._exit(0)


def _reporter(model: "keras.Model", say: Say) -> "keras.callbacks.Callback":
    """Sends the weights before the first step and, with the row of the history, after every epoch."""
    import keras

    def report(row: dict[str, float] | None) -> None:
        weights = {name: _packed(values) for name, values in zip(ARRAYS, model.get_weights(), strict=True)}
        say({"event": "epoch", "row": row, "weights": weights})

    return keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: report(None),
        on_epoch_end=lambda epoch, logs: report({"epoch": epoch + 1, **logs}),
    )


def _packed(values: Any) -> str:
    """The bytes of a float32 array in base64."""
    return base64.b64encode(values.tobytes()).decode()


if __name__ == "__main__":
    main()
