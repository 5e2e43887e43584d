"""`digits serve` as a process: graceful shutdown, and workers that die."""

import http.client
import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from helpers.asking import as_png, serving, wait_for
from mnist_digits.dataset import Dataset
from mnist_digits.serving import acceptor


def workers_of(pid: int) -> set[int]:
    """Ids of the worker processes, without Python's resource tracker."""
    found = set()
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):
            found |= {child.pid} if any("spawn_main" in part for part in child.cmdline()) else set()
    return found


class Load:
    """Clients that send requests until they are stopped."""

    def __init__(self, address: str) -> None:
        self.broken: list[str] = []
        self.done = 0
        self._host, _, self._port = address.removeprefix("http://").partition(":")
        self._stopped = threading.Event()

    def send(self, path: str, content: bytes) -> None:
        """Send this request again and again."""
        connection = http.client.HTTPConnection(self._host, int(self._port), timeout=60)
        while not self._stopped.is_set():
            try:
                connection.request("POST", path, content)
                # From the first byte of a response on it must be complete.
                answer = connection.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected):
                connection.close()
                continue
            try:
                if answer.status != 200 or not answer.read().endswith(b"}"):
                    self.broken.append(f"{path} {answer.status}")
                self.done += 1
            except (ConnectionError, http.client.IncompleteRead) as error:
                self.broken.append(f"{path} {error!r}")

    def stop(self) -> None:
        self._stopped.set()


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_loses_no_request_in_progress(workers: int, mnist: Dataset, digit_png: bytes):
    with serving("--workers", str(workers)) as (process, address), ThreadPoolExecutor(4) as pool:
        load = Load(address)
        for _ in range(2):
            pool.submit(load.send, "/v1/predict", digit_png)
            pool.submit(load.send, "/v1/classify", mnist.test.images[:1].tobytes())
        try:
            wait_for(lambda: load.done >= 20)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            load.stop()
    assert load.broken == []


def test_long_requests_are_finished_after_sigterm(mnist: Dataset):
    # All four are in progress when the signal comes: two in threads, two in the queue.
    page = np.full((620, 1400), 255, np.uint8)
    digits = 255 - np.hstack(list(mnist.test.images[:45]))
    for line in range(8):
        page[40 + 70 * line : 68 + 70 * line, 100 : 100 + digits.shape[1]] = digits
    picture = as_png(page)
    with serving() as (process, address), ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(httpx.post, f"{address}/v1/read", content=picture, timeout=60) for _ in range(4)]
        wait_for(lambda: "digits_requests_in_flight 5.0" in httpx.get(f"{address}/metrics", timeout=60).text)
        process.send_signal(signal.SIGTERM)
        answers = [one.result() for one in asked]
        assert process.wait(60) == 0
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.text for answer in answers}) == 1
    assert len(answers[0].json()["lines"]) >= 6


def test_a_worker_that_is_killed_is_replaced_and_counts_go_on(mnist: Dataset):
    image = mnist.test.images[:1].tobytes()

    def ask(address: str, count: int) -> int:
        answered = 0
        for _ in range(count):
            # A new connection each time, so that either worker may accept it.
            answered += httpx.post(f"{address}/v1/classify", content=image, timeout=60).status_code == 200
        return answered

    def counted(address: str) -> float:
        text = httpx.get(f"{address}/metrics", timeout=60).text
        name = 'digits_requests_total{method="POST",route="/v1/classify",status="200"} '
        return float(text.partition(name)[2].split()[0])

    with serving("--workers", "2") as (process, address):
        wait_for(lambda: len(workers_of(process.pid)) == 2)
        before = workers_of(process.pid)
        assert ask(address, 20) == 20
        assert [counted(address) for _ in range(6)] == [20] * 6
        victim = min(before)
        psutil.Process(victim).kill()
        # By the other worker.
        assert ask(address, 1) == 1
        wait_for(lambda: victim not in workers_of(process.pid) and len(workers_of(process.pid)) == 2)
        assert ask(address, 19) == 19
        assert [counted(address) for _ in range(6)] == [40] * 6
        text = httpx.get(f"{address}/metrics", timeout=60).text
        assert "digits_requests_in_flight 1.0" in text
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert not any(psutil.pid_exists(pid) for pid in before)


@pytest.mark.skipif(not acceptor.CAN_PASS, reason="this system cannot pass connections")
def test_connections_are_spread_evenly_over_the_workers():
    with serving("--workers", "2") as (process, address):
        wait_for(lambda: len(workers_of(process.pid)) == 2)
        host, _, port = address.removeprefix("http://").partition(":")

        def held() -> list[int]:
            return [
                sum(one.laddr.port == int(port) and one.status == "ESTABLISHED" for one in worker.net_connections())
                for worker in map(psutil.Process, workers_of(process.pid))
            ]

        def connect(opened: ExitStack, count: int) -> list[http.client.HTTPConnection]:
            made = []
            for _ in range(count):
                made.append(opened.enter_context(closing(http.client.HTTPConnection(host, int(port), timeout=60))))
                made[-1].request("GET", "/healthz")
                made[-1].getresponse().read()
            return made

        def both_ready() -> bool:
            with ExitStack() as opened:
                connect(opened, 2)
                return min(held()) > 0

        wait_for(both_ready)
        wait_for(lambda: sum(held()) == 0)
        with ExitStack() as opened:
            made = connect(opened, 8)
            assert held() == [4, 4]
            # Every second one closes: those of one worker.
            for one in made[::2]:
                one.close()
            wait_for(lambda: sum(held()) == 4)
            connect(opened, 4)
            assert held() == [4, 4]


def test_the_access_log_is_written_to_stderr(digit_png: bytes):
    with serving("--workers", "2", "--access-log") as (process, address):
        for _ in range(4):
            assert httpx.post(f"{address}/v1/predict?from=a", content=digit_png, timeout=60).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr is not None
        rows = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert [row["status"] for row in rows if row["path"] == "/v1/predict"] == [200] * 4


def test_workers_end_when_the_process_that_started_them_is_killed():
    with serving("--workers", "2") as (process, _):
        wait_for(lambda: len(workers_of(process.pid)) == 2)
        workers = [psutil.Process(pid) for pid in workers_of(process.pid)]
        process.kill()
        assert psutil.wait_procs(workers, timeout=60)[1] == []


def test_workers_of_a_model_that_cannot_be_loaded_are_not_even_started(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(b"none")
    with (
        pytest.raises(AssertionError, match="not a model"),
        serving("--workers", "2", "--model", tmp_path / "model.onnx"),
    ):
        pass
