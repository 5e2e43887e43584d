"""`digits serve` as a process: signals, workers that die, and their counts."""

import http.client
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from helpers.asking import as_png, serving
from mnist_digits.dataset import Dataset


def workers_of(pid: int) -> set[int]:
    """The processes that answer; Python's resource tracker beside them is none of them."""
    found = set()
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):  # nor is one that has just died
            found |= {child.pid} if any("spawn_main" in part for part in child.cmdline()) else set()
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "does not come about"
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_loses_nothing_that_was_begun(workers: int, mnist: Dataset, digit_png: bytes):
    broken: list[str] = []
    done = [0]
    with serving("--workers", str(workers)) as (process, address):
        host, port = address.removeprefix("http://").split(":")
        ended = threading.Event()

        def load(content: bytes, path: str) -> None:
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            while not ended.is_set():
                try:
                    connection.request("POST", path, content)
                    # From the first byte of an answer on it must be whole.
                    answer = connection.getresponse()
                except (ConnectionError, http.client.RemoteDisconnected):
                    connection.close()
                    continue
                try:
                    if answer.status != 200 or not answer.read().endswith(b"}"):
                        broken.append(f"{path} {answer.status}")
                    done[0] += 1
                except (ConnectionError, http.client.IncompleteRead) as error:
                    broken.append(f"{path} {error!r}")

        with ThreadPoolExecutor(4) as pool:
            for content, path in [(digit_png, "/v1/predict"), (mnist.test.images[:1].tobytes(), "/v1/classify")] * 2:
                pool.submit(load, content, path)
            wait_for(lambda: done[0] >= 20)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            ended.set()
    assert broken == []


def test_requests_in_the_middle_of_their_work_are_finished(mnist: Dataset):
    # A page that takes a while, asked for by six at once: all are in the service's hands when the signal comes.
    page = np.full((760, 1400), 255, np.uint8)
    digits = 255 - np.hstack(list(mnist.test.images[:45]))
    for row in range(10):
        page[40 + 70 * row : 68 + 70 * row, 100 : 100 + digits.shape[1]] = digits
    picture = as_png(page)
    with serving() as (process, address), ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(httpx.post, f"{address}/v1/read", content=picture, timeout=60) for _ in range(6)]
        wait_for(lambda: "digits_requests_in_flight 7.0" in httpx.get(f"{address}/metrics").text)
        process.send_signal(signal.SIGTERM)
        answers = [one.result() for one in asked]
        assert process.wait(30) == 0
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.text for answer in answers}) == 1
    assert len(answers[0].json()["lines"]) >= 8


def test_a_worker_that_is_killed_is_replaced_and_counts_go_on(mnist: Dataset):
    image = mnist.test.images[:1].tobytes()

    def ask(address: str, count: int) -> int:
        answered = 0
        for _ in range(count):
            # A connection of its own each time, so that either worker may take it.
            answered += httpx.post(f"{address}/v1/classify", content=image).status_code == 200
        return answered

    def counted(address: str) -> float:
        text = httpx.get(f"{address}/metrics").text
        name = 'digits_requests_total{method="POST",route="/v1/classify",status="200"} '
        return float(text.partition(name)[2].split()[0])

    with serving("--workers", "2") as (process, address):
        wait_for(lambda: len(workers_of(process.pid)) == 2)
        before = workers_of(process.pid)
        assert ask(address, 20) == 20
        assert [counted(address) for _ in range(6)] == [20] * 6
        victim = min(before)
        psutil.Process(victim).kill()
        wait_for(lambda: victim not in workers_of(process.pid) and len(workers_of(process.pid)) == 2)
        assert ask(address, 20) == 20
        assert [counted(address) for _ in range(6)] == [40] * 6
        text = httpx.get(f"{address}/metrics").text
        assert "digits_requests_in_flight 1.0" in text
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert not any(psutil.pid_exists(pid) for pid in before)


def test_workers_of_a_model_that_cannot_be_loaded_are_not_even_started(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(b"none")
    with (
        pytest.raises(AssertionError, match="not a model"),
        serving("--workers", "2", "--model", tmp_path / "model.onnx"),
    ):
        pass
