import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest

from helpers.asking import InProcess
from mnist_digits.dataset import Dataset
from mnist_digits.serving import Settings
from mnist_digits.serving.page.live_training import TRAINING_COMMAND, BusyError, Choices, Playground
from mnist_digits.training import RECIPES

FAKE = """
import base64, io, json, sys, time
import numpy as np

def say(message):
    print(json.dumps(message), flush=True)

say({"event": "ready"})
settings = json.loads(sys.stdin.readline())
units = int(settings["hidden_units"])
shapes = {"hidden_weights": (784, units), "hidden_bias": (units,), "class_weights": (units, 10), "class_bias": (10,)}
for epoch in range(int(settings["epochs"]) + 1):
    row = {"epoch": epoch, "loss": 1 / (epoch + 1), "val_accuracy": 0.5} if epoch else None
    file = io.BytesIO()
    np.savez(file, **{name: np.full(shape, epoch, np.float32) for name, shape in shapes.items()})
    say({"event": "epoch", "row": row, "network": base64.b64encode(file.getvalue()).decode()})
    if epoch == 1 and float(settings["dropout"]) == 0.9:
        sys.exit(3)
    if epoch == 1 and settings["epochs"] == "50":
        time.sleep(60)
say({"event": "done"})
"""
"""Sends the messages of a training process; with 50 epochs it stops after the first, with a dropout of 0.9 it dies."""
JSON = {"Content-Type": "application/json"}
SLOW, DYING = Choices(hidden_units=3, epochs=50), Choices(hidden_units=3, epochs=5, dropout=0.9)


def played(
    play: Callable[[Playground], Awaitable[None]], command: tuple[str, ...] = (sys.executable, "-c", FAKE)
) -> None:
    """Call `play` with a playground, and close it."""

    async def run() -> None:
        playground = Playground(command)
        try:
            async with asyncio.timeout(300):
                await play(playground)
        finally:
            await playground.close()

    asyncio.run(run())


async def until(states: AsyncIterator[dict[str, Any] | None], stage: str, epochs: int = 0) -> dict[str, Any]:
    """The first state of that stage with at least so many epochs."""
    async for state in states:
        if state and state["stage"] == stage and len(state["history"]) >= epochs:
            return state
    raise AssertionError(stage)


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]


def test_a_training_reports_every_epoch_and_leaves_a_network():
    async def play(playground: Playground) -> None:
        assert playground.state["stage"] == "idle"
        states = playground.follow()
        await playground.start(Choices(hidden_units=3, epochs=4))
        state = await until(states, "done")
        assert [row["epoch"] for row in state["history"]] == [1, 2, 3, 4]
        assert state["settings"]["hidden_units"] == state["units"] == 3
        assert playground.network is not None
        assert (playground.network.class_weights == 4).all()

    played(play)


def test_a_late_follower_gets_the_whole_state():
    async def play(playground: Playground) -> None:
        await playground.start(SLOW)
        await until(playground.follow(), "training", 1)
        late = await anext(playground.follow())
        assert late == playground.state
        assert late["stage"] == "training"
        assert len(late["history"]) == 1

    played(play)


def test_only_one_trains_at_a_time_and_it_can_be_stopped_and_followed_by_another():
    async def play(playground: Playground) -> None:
        states = playground.follow()
        await playground.start(SLOW)
        with pytest.raises(BusyError):
            await playground.start(SLOW)
        await until(states, "training", 1)
        await playground.stop()
        assert (await until(states, "stopped"))["history"][0]["epoch"] == 1
        assert playground.network is not None
        await playground.start(Choices(hidden_units=2, epochs=1))
        state = await until(states, "done")
        assert (state["training"], state["units"]) == (2, 2)

    played(play)


def test_trainings_follow_one_another():
    async def play(playground: Playground) -> None:
        states = playground.follow()
        for number in range(1, 4):
            await playground.start(Choices(hidden_units=number, epochs=1))
            assert (await until(states, "done"))["units"] == number

    played(play)


def test_a_process_that_dies_is_a_failed_training_and_another_may_follow():
    async def play(playground: Playground) -> None:
        states = playground.follow()
        await playground.start(DYING)
        assert len((await until(states, "failed"))["history"]) == 1
        await playground.start(Choices(epochs=1))
        await until(states, "done")

    played(play)


def test_closing_ends_the_process_and_all_followers():
    async def play(playground: Playground) -> None:
        before = children()
        await playground.start(SLOW)
        states = playground.follow()
        await until(states, "training", 1)
        assert len(children()) == len(before) + 1
        waiting = asyncio.ensure_future(anext(states))
        await asyncio.sleep(0)
        await playground.close()
        with pytest.raises(StopAsyncIteration):
            await waiting
        assert children() == before

    played(play)


def test_the_process_trains_a_network_as_accurate_as_it_says_and_ends_with_its_server(mnist: Dataset):
    async def play(playground: Playground) -> None:
        states = playground.follow()
        await playground.start(Choices(hidden_units=64, epochs=1, batch_size=64, dropout=0.1, distortion=0.1))
        state = await until(states, "done")
        network, row = playground.network, state["history"][-1]
        assert network is not None
        # The accuracy in NumPy is that in Keras.
        right = network.probabilities(mnist.validation.images).argmax(1) == mnist.validation.labels
        assert abs(right.mean() - row["val_accuracy"]) < 0.001
        assert right.mean() > 0.9
        # The next training's process has been started. A server that is killed closes its stdin.
        await playground.warm_up()
        waiting = playground._process
        assert waiting is not None
        assert waiting.stdin is not None
        waiting.stdin.close()
        async with asyncio.timeout(60):
            await waiting.wait()

    played(play, TRAINING_COMMAND)


def test_choices_make_a_recipe():
    recipe = RECIPES["dense"].with_settings(Choices(distortion=0.5, dropout=0.3, learning_rate=3e-4).for_recipe())
    assert (recipe.dropout, recipe.learning_rate) == (0.3, 3e-4)
    assert recipe.rotation == RECIPES["dense-plus"].rotation / 2
    assert RECIPES["dense"].with_settings(Choices().for_recipe()) == RECIPES["dense"]
    most = RECIPES["dense"].with_settings(Choices(distortion=1).for_recipe())
    for name in ("rotation", "scaling", "shear", "translation", "elastic"):
        assert getattr(most, name) == getattr(RECIPES["dense-plus"], name)


@pytest.fixture(scope="module")
def client(asking: Callable[..., InProcess]) -> InProcess:
    return asking(Settings(playground=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("hidden_units", value) for value in (0, 513, 1.5, "many", None)),
        *(("learning_rate", value) for value in (0, -1, 2, "NaN")),
        *(("batch_size", value) for value in (0, 7, 1025)),
        *(("epochs", value) for value in (0, 51, 10**9)),
        *(("dropout", value) for value in (-0.1, 1)),
        *(("distortion", value) for value in (-0.1, 1.1)),
        ("network", "cnn"),
    ],
)
def test_hyperparameters_out_of_range_are_refused_by_name(client: InProcess, name: str, value: Any):
    answer = client("POST", "/v1/playground/training", content=json.dumps({name: value}), headers=JSON)
    assert answer.status_code == 422
    assert name in answer.json()["error"]
    assert client("GET", "/v1/playground").json()["stage"] == "idle"


def test_before_any_training_there_is_no_network(client: InProcess):
    for path in ("/v1/playground/units", "/v1/playground/network.bin"):
        answer = client("GET", path)
        assert answer.status_code == 404
        assert "begin a training" in answer.json()["error"]


def test_stopping_without_a_training_is_no_error(client: InProcess):
    assert client("DELETE", "/v1/playground/training").json()["stage"] == "idle"


def test_the_trained_network_is_sent_while_it_trains(asking: Callable[..., InProcess], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mnist_digits.serving.page.live_training.TRAINING_COMMAND", (sys.executable, "-c", FAKE))
    client = asking(Settings(playground=True))
    try:
        started = client("POST", "/v1/playground/training", json={"hidden_units": 3, "epochs": 50})
        assert started.status_code == 202
        busy = client("POST", "/v1/playground/training", json={})
        assert busy.status_code == 409
        assert "stop it first" in busy.json()["error"]
        while not client("GET", "/v1/playground").json()["history"]:
            client.runner.run(asyncio.sleep(0.02))
        packed = client("GET", "/v1/playground/network.bin").content
        head = json.loads(packed[4 : 4 + int.from_bytes(packed[:4], "little")])
        assert [(layer["kind"], layer["outputs"]) for layer in head["layers"]] == [("dense", 3), ("dense", 10)]
        assert len(client("GET", "/v1/playground/units").content) == 3 * 784
        assert client("DELETE", "/v1/playground/training").json()["stage"] == "stopped"
    finally:
        client.runner.run(client.app.state.playground.close())
