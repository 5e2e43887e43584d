"""`/v1/teach`: what the page starts, follows, stops and gets, with a teaching that takes no time."""

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.exceptions import HTTPException

from helpers.asking import as_png, wait_for
from mnist_digits.recognition.classifier import CLASSIFIER_PATH
from mnist_digits.serving import Settings
from mnist_digits.serving.page.own.collecting import Collection, Correction
from mnist_digits.serving.page.own.teaching import Teacher

PROGRAM = Path(__file__).with_name("taught_at_once.py")


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Twenty drawings, labelled."""
    kept = Collection(tmp_path, Settings())
    for number in range(20):
        image = np.zeros((28, 28), np.uint8)
        image[4:24, 10:18] = 255 - number
        drawing = base64.b64encode(as_png(image)).decode()
        kept.keep(Correction(label=number % 10, image=drawing))
    return kept


def teacher(collection: Collection, mode: str) -> Teacher:
    return Teacher(collection, CLASSIFIER_PATH, (sys.executable, str(PROGRAM), mode))


@pytest.fixture
def waiting(collection: Collection) -> Iterator[Teacher]:
    """One that teaches, and is not done."""
    one = teacher(collection, "wait")
    assert one.state() == {"stage": "idle"}
    assert one.start()["stage"] == "running"
    yield one
    one.close()


def test_it_is_followed_to_its_end_and_gives_a_network(collection: Collection):
    one = teacher(collection, "teach")
    with pytest.raises(HTTPException, match="nothing has been taught"):
        one.network()
    one.start()
    wait_for(lambda: one.state()["stage"] != "running")
    state = one.state()
    assert state["stage"] == "done", state
    assert (state["own"]["before"], state["own"]["after"], state["step"]) == (0.5, 0.75, state["steps"])
    packed = one.network()
    assert packed
    assert Path(state["run"]).parent == collection.folder / "taught"
    # Another worker process, or the next start of the service, knows it, too.
    again = teacher(collection, "refuse")
    assert again.state() == state
    # What was taught before stays when the next one is refused.
    again.start()
    wait_for(lambda: again.state()["stage"] != "running")
    assert again.state()["stage"] == "refused"
    assert "no gain beyond chance" in again.state()["says"]
    assert again.network() == packed


def test_one_is_taught_at_a_time_and_any_worker_stops_it(waiting: Teacher, collection: Collection):
    other = teacher(collection, "wait")
    with pytest.raises(HTTPException, match="being taught already"):
        other.start()
    wait_for(lambda: other.state()["step"] == 1)
    assert other.state()["says"] == "starting"
    other.stop()
    wait_for(lambda: other.state()["stage"] == "stopped")
    assert waiting.state()["stage"] == "stopped"


def test_a_process_that_dies_is_told(collection: Collection, waiting: Teacher, capfd: pytest.CaptureFixture[str]):
    waiting.close()
    wait_for(lambda: waiting.state()["stage"] == "failed")
    assert "has ended" in waiting.state()["says"]
    crashing = teacher(collection, "crash")
    crashing.start()
    wait_for(lambda: crashing.state()["stage"] == "failed")
    assert "a bug" in capfd.readouterr().err


def test_too_few_drawings_are_a_sentence(tmp_path: Path):
    one = teacher(Collection(tmp_path, Settings()), "teach")
    with pytest.raises(HTTPException, match="0 drawings are labelled with a digit, expected at least 20; correct more"):
        one.start()
    assert json.dumps(one.state()) == '{"stage": "idle"}'
