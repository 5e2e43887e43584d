"""The process in which the playground trains: `python -m mnist_digits.serving.page.training_process`.

It loads Keras and the images, and waits. A line on stdin is a task in JSON. {"settings"}, of a recipe, is its only
training; {"settings", "network", "history", "folder"} makes a run of a network that has been trained: in a new folder
in `folder`, or, where that is null, only to have its files. Every line on stdout is a message in JSON: {"event":
"ready"}, {"event": "epoch", "row", "network", "turned"} and {"event": "done"} of a training, {"event": "kept",
"folder", "files"} or {"event": "refused", "reason"} of a run. It ends when its stdin is closed, so also when the server
is killed.
"""

import base64
import json
import math
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

from mnist_digits.serving.page.dense_network import DenseNetwork
from mnist_digits.serving.page.turned_digits import TurnedDigits

if TYPE_CHECKING:
    import keras

    from mnist_digits.dataset import Dataset, Split

Send = Callable[[dict[str, Any]], None]
"""Sends one message."""

NICENESS = 2
"""Added to the process's own, so that the service stays responsive during a training."""

RUN_NAME = "page"
"""Name of the folder of a kept run; those after the first have a number appended."""


def main() -> None:
    """Load, make runs until there are settings to train by, train, end."""
    send, tasks = _take_stdout(), Queue[str]()
    threading.Thread(target=_listen, args=[tasks], daemon=True).start()
    if hasattr(os, "nice"):  # Windows has none.
        os.nice(NICENESS)
    from mnist_digits.dataset import load_mnist
    from mnist_digits.training import RECIPES, backend

    backend.start_keras()
    from mnist_digits.training.engine.session import TrainingSession

    data = load_mnist()
    send({"event": "ready"})
    while "network" in (task := json.loads(tasks.get())):
        send(_keep(task, data))
    recipe = RECIPES["dense"].with_settings(task["settings"])
    session = TrainingSession.start(recipe, 0, len(data.train), "float32")
    session.fit(data, callbacks=[_reporter(session.model, data.validation, send)])
    send({"event": "done"})


def _keep(task: dict[str, Any], data: "Dataset") -> dict[str, Any]:
    """The message about a run that is made of a trained network."""
    import numpy as np

    from mnist_digits.errors import DigitsError
    from mnist_digits.runs import Run
    from mnist_digits.training import RECIPES, keep
    from mnist_digits.training.engine.checkpoint import COLUMNS

    recipe = RECIPES["dense"].with_settings(task["settings"])
    network = DenseNetwork.load(base64.b64decode(task["network"]))
    history = np.array([[row[column] for column in COLUMNS] for row in task["history"]])
    parent = task["folder"]
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Run.create(RUN_NAME, parent=Path(parent or temporary)).folder
            run = keep(recipe, data, folder, list(vars(network).values()), history, report=parent is not None)
            files = {path.name: base64.b64encode(path.read_bytes()).decode() for path in (run.model, run.onnx)}
    except (DigitsError, OSError) as error:
        return {"event": "refused", "reason": str(error)}
    return {"event": "kept", "folder": parent and str(folder), "files": files}


def _take_stdout() -> Send:
    """Sends messages to stdout; what libraries print goes to stderr from now on."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def send(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    return send


def _listen(tasks: "Queue[str]") -> None:
    """Pass on lines of stdin; end the process when it is closed."""
    for line in sys.stdin:
        tasks.put(line)
    os._exit(0)


def _reporter(model: "keras.Model", held_out: "Split", send: Send) -> "keras.callbacks.Callback":
    """Sends the network before the first step and, with its row of the history, after every epoch."""
    import keras

    turned = TurnedDigits(held_out)

    def report(row: dict[str, float] | None) -> None:
        network = DenseNetwork(*model.get_weights())
        predictions = network.probabilities(held_out.images).argmax(axis=1)
        content = base64.b64encode(network.to_bytes()).decode()
        send({"event": "epoch", "row": row, "network": content, "turned": turned.update(predictions)})

    def report_epoch(epoch: int, logs: dict[str, float]) -> None:
        if not all(math.isfinite(value) for value in logs.values()):
            sys.exit(f"the loss became {logs['loss']} in epoch {epoch + 1}")
        report({"epoch": epoch + 1, **logs})

    return keras.callbacks.LambdaCallback(on_train_begin=lambda logs: report(None), on_epoch_end=report_epoch)


if __name__ == "__main__":
    main()
