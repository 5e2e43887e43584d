import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from helpers.asking import InProcess
from mnist_digits.dataset import Dataset, Split
from mnist_digits.recognition import Classifier
from mnist_digits.runs import Run
from mnist_digits.serving import Settings
from mnist_digits.serving.page.dense_network import DenseNetwork
from mnist_digits.serving.page.live_training import TRAINING_COMMAND, BusyError, Choices, KeepingError, Playground
from mnist_digits.training import RECIPES, read_plan

FAKE = """
import base64, io, json, sys, time
import numpy as np

def say(message):
    print(json.dumps(message), flush=True)

say({"event": "ready"})
while "network" in (task := json.loads(sys.stdin.readline())):
    if task["settings"]["hidden_units"] == "1":
        sys.exit(4)
    files = {name: base64.b64encode(name.encode()).decode() for name in ("model.keras", "model.onnx")}
    folder = task["folder"] and task["folder"] + "/page"
    refused = {"event": "refused", "reason": "no room"}
    say(refused if folder and "full" in folder else {"event": "kept", "folder": folder, "files": files})
settings = task["settings"]
units = int(settings["hidden_units"])
shapes = {"hidden_weights": (784, units), "hidden_bias": (units,), "class_weights": (units, 10), "class_bias": (10,)}
for epoch in range(int(settings["epochs"]) + 1):
    turned = {"count": 9, "right": epoch, "wrong": 0, "digits": []} if epoch else None
    row = {"epoch": epoch, "loss": 1 / (epoch + 1), "val_accuracy": 0.5} if epoch else None
    file = io.BytesIO()
    np.savez(file, **{name: np.full(shape, epoch, np.float32) for name, shape in shapes.items()})
    say({"event": "epoch", "row": row, "network": base64.b64encode(file.getvalue()).decode(), "turned": turned})
    if epoch == 1 and float(settings["dropout"]) == 0.9:
        sys.exit(3)
    if epoch == 1 and settings["epochs"] == "50":
        time.sleep(60)
say({"event": "done"})
"""
"""Sends the messages of a training process; with 50 epochs it stops after the first, with a dropout of 0.9 it dies,
and when it is to keep a network with one hidden unit."""
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


def test_the_training_before_stays_to_compare_with():
    async def play(playground: Playground) -> None:
        states = playground.follow()
        await playground.start(Choices(hidden_units=1, epochs=2))
        assert (await until(states, "done"))["before"] is None
        first = playground.network
        await playground.start(Choices(hidden_units=2, epochs=1))
        state = await until(states, "done")
        assert (state["before"]["settings"]["hidden_units"], len(state["before"]["history"])) == (1, 2)
        assert playground.before is not None
        assert playground.before.network is first
        assert playground.turned is not None
        assert playground.turned["right"] == 1
        # A training that has not finished an epoch is not worth comparing with.
        await playground.start(SLOW)
        await playground.stop()
        expected = 3 if playground.state["history"] else 2
        await playground.start(SLOW)
        assert playground.state["before"]["settings"]["hidden_units"] == expected

    played(play)


def test_a_network_is_kept_once_and_not_while_it_is_trained(tmp_path: Path):
    async def play(playground: Playground) -> None:
        playground.runs = tmp_path
        states = playground.follow()
        await playground.start(Choices(hidden_units=2, epochs=1))
        await until(states, "done")
        assert await playground.files() == {name: name.encode() for name in ("model.keras", "model.onnx")}
        assert playground.state["kept"] is None
        kept = await playground.keep()
        assert kept == await playground.keep() == playground.state["kept"] == str(tmp_path / "page")
        # The same process trains the next network, which nobody has kept yet.
        await playground.start(SLOW)
        with pytest.raises(BusyError):
            await playground.keep()
        await until(states, "training", 1)
        await playground.stop()
        assert playground.state["kept"] is None
        playground.runs = tmp_path / "full"
        with pytest.raises(KeepingError, match="no room"):
            await playground.keep()
        # A process that dies while it keeps a network is replaced.
        await playground.start(Choices(hidden_units=1, epochs=1))
        await until(states, "done")
        with pytest.raises(KeepingError, match="ended"):
            await playground.files()
        await playground.start(Choices(hidden_units=2, epochs=1))
        await until(states, "done")
        assert set(await playground.files()) == {"model.keras", "model.onnx"}

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


def test_the_process_trains_a_network_as_accurate_as_it_says_and_ends_with_its_server(mnist: Dataset, tmp_path: Path):
    async def play(playground: Playground) -> None:
        playground.runs = tmp_path / "runs"
        states = playground.follow()
        await playground.start(Choices(hidden_units=64, epochs=1, batch_size=64, dropout=0.1))
        state = await until(states, "done")
        network, row = playground.network, state["history"][-1]
        assert network is not None
        # The accuracy in NumPy is that in Keras.
        right = network.probabilities(mnist.validation.images).argmax(1) == mnist.validation.labels
        assert abs(right.mean() - row["val_accuracy"]) < 0.001
        assert right.mean() > 0.9
        check_turned(playground.turned, mnist.validation, right)
        check_kept(Path(await playground.keep()), state, network, mnist)
        # The process that has kept it waits for the next training. A server that is killed closes its stdin.
        await playground.warm_up()
        waiting = playground._process
        assert waiting is not None
        assert waiting.stdin is not None
        waiting.stdin.close()
        async with asyncio.timeout(60):
            await waiting.wait()

    played(play, TRAINING_COMMAND)


def check_turned(turned: dict[str, Any] | None, held_out: Split, right: NDArray[np.bool_]) -> None:
    """From a network that knows nothing, most digits turn right, and hardly any of them wrong."""
    assert turned is not None
    assert turned["count"] == len(held_out)
    # Some have been right by chance.
    assert right.sum() / 2 < turned["right"] <= right.sum()
    assert turned["wrong"] < len(held_out) / 20
    for digit in turned["digits"]:
        assert (digit["truth"] == digit["after"]) != (digit["truth"] == digit["before"])
        image = np.frombuffer(base64.b64decode(digit["image"]), np.uint8).reshape(28, 28)
        (number,) = np.flatnonzero((held_out.images == image).all(axis=(1, 2)))
        assert held_out.labels[number] == digit["truth"]
        assert right[number] == (digit["truth"] == digit["after"])
    assert [digit["truth"] == digit["after"] for digit in turned["digits"][:12]] == [True] * 12


def check_kept(folder: Path, state: dict[str, Any], network: DenseNetwork, data: Dataset) -> None:
    """The run's folder is like any other, and its models give the network's answers."""
    run = Run.open(folder, "recipe", "environment", "history", "model", "metrics", "report", "card")
    assert run.finished
    assert read_plan(run).recipe.hidden_units == 64
    assert len(run.history.read_text().splitlines()) == 1 + len(state["history"])
    judged = Classifier(run.onnx).judge(data.validation.images[:500])
    assert judged.digits == network.probabilities(data.validation.images[:500]).argmax(1).tolist()


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
    for path in ("model.keras", "model.onnx"):
        answer = client("GET", f"/v1/playground/{path}")
        assert answer.status_code == 404
        assert "begin a training" in answer.json()["error"]
    # The page asks for these whenever something changes; a browser would tell of an error.
    for path in ("units", "network.bin", "turned", "before.bin"):
        answer = client("GET", f"/v1/playground/{path}")
        assert (answer.status_code, answer.content) == (204, b"")


def test_runs_are_kept_only_where_the_service_has_a_place_for_them(
    client: InProcess, asking: Callable[..., InProcess], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    refused = client("POST", "/v1/playground/run")
    assert refused.status_code == 403
    assert "--keep-runs FOLDER" in refused.json()["error"]

    monkeypatch.setattr("mnist_digits.serving.page.live_training.TRAINING_COMMAND", (sys.executable, "-c", FAKE))
    keeping = asking(Settings(playground=True, runs=tmp_path))
    try:
        assert keeping("POST", "/v1/playground/run").status_code == 404
        keeping("POST", "/v1/playground/training", json={"hidden_units": 3, "epochs": 1})
        while (state := keeping("GET", "/v1/playground").json())["stage"] != "done":
            keeping.runner.run(asyncio.sleep(0.02))
        assert state["keeps"]
        assert keeping("GET", "/v1/playground/model.onnx").content == b"model.onnx"
        kept = keeping("POST", "/v1/playground/run")
        assert (kept.status_code, kept.json()["kept"]) == (201, str(tmp_path / "page"))
        # The folder does not grow without bounds.
        for number in range(100):
            (tmp_path / str(number)).mkdir()
        assert keeping("POST", "/v1/playground/run").status_code == 507
    finally:
        keeping.runner.run(keeping.app.state.playground.close())


def test_only_who_started_a_training_and_this_machine_may_stop_it(
    asking: Callable[..., InProcess], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mnist_digits.serving.page.live_training.TRAINING_COMMAND", (sys.executable, "-c", FAKE))
    client = asking(Settings(playground=True))
    mine, other = {"X-Visitor": "a" * 32}, {"X-Visitor": "b" * 32}
    # Behind a proxy on this machine are all sorts of clients.
    pupil = {"X-Forwarded-For": "192.168.1.20"}
    path = "/v1/playground/training"
    assert client("POST", path, json={"epochs": 50}, headers=pupil | mine).status_code == 202
    for headers in (pupil, pupil | other):
        refused = client("DELETE", path, headers=headers)
        assert refused.status_code == 403
        assert "somebody else started this training" in refused.json()["error"]
    assert client("DELETE", path, headers=pupil | mine).json()["stage"] == "stopped"
    client("POST", path, json={"epochs": 50}, headers=pupil | mine)
    assert client("DELETE", path, headers=other).json()["stage"] == "stopped"
    # One that somebody starts without the page is everybody's.
    client("POST", path, json={"epochs": 50})
    assert client("DELETE", path, headers=pupil | other).json()["stage"] == "stopped"
    assert client("POST", path, json={}, headers={"X-Visitor": "me"}).status_code == 422
    client.runner.run(client.app.state.playground.close())


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
