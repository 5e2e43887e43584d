"""Large pictures are read in processes of their own: whatever becomes of those, no other request waits or is lost."""

import asyncio
import io
import json
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from helpers.asking import InProcess, as_png, serving, wait_for
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Reader
from mnist_digits.recognition.preprocessing.image_io import MAX_JPEG_SCANS
from mnist_digits.serving import Settings
from mnist_digits.serving.pictures import MAX_REFUSED, Pictures, Refused
from mnist_digits.serving.workers import Workers

LARGE_SIDE = 1_500


def large(image: np.ndarray, shade: int = 255) -> bytes:
    """An image, uint8 (28, 28), as a picture that is read in a process. shade: of the paper; makes another file."""
    page = np.full((LARGE_SIDE, LARGE_SIDE), shade, np.uint8)
    page[:1400, :1400] = np.minimum(page[:1400, :1400], 255 - np.kron(image, np.ones((50, 50), np.uint8)))
    return as_png(page)


def slow() -> bytes:
    """A picture that takes seconds to decode: a JPEG of as many scans as are allowed."""
    file = io.BytesIO()
    Image.new("L", (6_000, 6_000), 255).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * (MAX_JPEG_SCANS - content.count(b"\xff\xda") + 1) + content[-2:]


def readers_of(pid: int) -> set[int]:
    """Ids of the processes that read large pictures."""
    children = psutil.Process(pid).children(recursive=True)
    return {child.pid for child in children if any(part.endswith("reading_process") for part in child.cmdline())}


@pytest.fixture(scope="module")
def ask(asking: Callable[..., InProcess]) -> Iterator[InProcess]:
    """A client of an application whose processes are ended with the module."""
    client = asking()

    async def close() -> None:
        async with client.app.router.lifespan_context(client.app):  # type: ignore[attr-defined]
            pass

    yield client
    client.runner.run(close())


def warm_up(pid: int, address: str, picture: bytes) -> None:
    """Have the reading process of each of two workers read once."""
    wait_for(lambda: post(address, picture).status_code == 200 and len(readers_of(pid)) == 2)


def post(address: str, content: bytes, path: str = "/v1/predict") -> httpx.Response:
    return httpx.post(address + path, content=content, timeout=100)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/read", "/v1/inside/page"])
def test_a_large_picture_gets_the_same_answer_as_from_a_reader(
    ask: InProcess, reader: Reader, mnist: Dataset, path: str
):
    picture = large(mnist.test.images[0])
    size = Image.open(io.BytesIO(picture)).size
    expected = {
        "/v1/predict": lambda: {"file": None, **reader.classifier.classify(picture).to_json()},
        "/v1/read": lambda: {"file": None, **reader.read(picture).to_json()},
        "/v1/inside/page": lambda: {"pages": [{**reader.read(picture).to_json(details=True), "size": size}]},
    }[path]()
    assert ask("POST", path, content=picture).json() == json.loads(json.dumps(expected))


def test_options_and_defects_reach_the_process_and_come_back(ask: InProcess, mnist: Dataset):
    whole = large(mnist.test.images[0])
    assert ask("POST", "/v1/predict?min_confidence=1", content=whole).json()["reason"] == "not-a-digit"
    damaged = ask("POST", "/v1/predict", content=whole[:-2000])
    assert damaged.status_code == 422
    assert "damaged picture" in damaged.json()["error"]
    files = [("file", ("a.png", whole)), ("file", ("b.png", whole[:-2000]))]
    assert [one["reason"] for one in ask("POST", "/v1/predict", files=files).json()] == [None, "unreadable"]


def test_a_drawing_for_the_page_must_be_small(ask: InProcess, mnist: Dataset):
    answer = ask("POST", "/v1/inside", content=large(mnist.test.images[0]))
    assert answer.status_code == 422
    assert "expected at most 2,000,000 pixels" in answer.json()["error"]


def test_a_large_picture_that_is_not_read_in_time_is_answered_all_the_same(
    asking: Callable[..., InProcess], mnist: Dataset
):
    # The process does not even start in this time.
    answer = asking(Settings(answer_seconds=0.1))("POST", "/v1/predict", content=large(mnist.test.images[0]))
    assert answer.status_code == 503
    assert "no answer after 0.1 seconds" in answer.json()["error"]


def test_good_requests_do_not_wait_for_large_pictures(mnist: Dataset, digit_png: bytes):
    with serving("--workers", "2") as (process, address), ThreadPoolExecutor(4) as pool:
        warm_up(process.pid, address, large(mnist.test.images[0]))
        # Suspended, they take as long as they may.
        for reader in readers_of(process.pid):
            psutil.Process(reader).suspend()
        asked = [pool.submit(post, address, large(image)) for image in mnist.test.images[:4]]
        wait_for(lambda: "digits_requests_in_flight 5.0" in httpx.get(f"{address}/metrics", timeout=60).text)
        for _ in range(10):
            assert post(address, digit_png).json()["digit"] == 7
        for reader in readers_of(process.pid):
            psutil.Process(reader).resume()
        # On a slow machine, their time may be over.
        assert {one.result().status_code for one in asked} <= {200, 503}


def test_a_picture_whose_process_is_killed_is_answered_once_and_refused_from_then_on(mnist: Dataset, digit_png: bytes):
    fatal, other = slow(), large(mnist.test.images[0])
    with serving("--workers", "2") as (process, address), ThreadPoolExecutor(1) as pool:
        warm_up(process.pid, address, other)
        used = {reader: psutil.Process(reader).memory_info().rss for reader in readers_of(process.pid)}
        asked = pool.submit(post, address, fatal)
        reading: list[int] = []

        def begun() -> bool:
            reading[:] = [pid for pid in used if psutil.Process(pid).memory_info().rss > used[pid] + 20_000_000]
            return bool(reading)

        wait_for(begun)
        psutil.Process(reading[0]).kill()
        lost = asked.result()
        assert lost.status_code == 500
        assert "the process that read this picture died" in lost.json()["error"]
        # A new connection each time, so that either worker may answer.
        for _ in range(10):
            again = post(address, fatal)
            assert again.status_code == 422
            assert "has ended the process that read it before" in again.json()["error"]
        form = httpx.post(f"{address}/v1/predict", files=[("file", fatal), ("file", digit_png)], timeout=60).json()
        assert [one["reason"] for one in form] == ["unreadable", None]
        assert {post(address, other).status_code for _ in range(4)} == {200}
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_no_process_outlives_a_service_that_is_killed(mnist: Dataset):
    with serving() as (process, address), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, address, large(mnist.test.images[0]))
        wait_for(lambda: bool(readers_of(process.pid)))
        readers = [psutil.Process(pid) for pid in readers_of(process.pid)]
        process.kill()
        with pytest.raises(httpx.HTTPError):
            asked.result()
        assert psutil.wait_procs(readers, timeout=60)[1] == []


def test_refused_pictures_are_known_to_all_workers_and_bounded(tmp_path: Path):
    mine, theirs, own = Refused(tmp_path / "refused"), Refused(tmp_path / "refused"), Refused()
    checksum, other = bytes(range(32)), bytes(range(1, 33))
    for table in (mine, theirs, own):
        assert checksum not in table
    mine.add(checksum)
    assert checksum in theirs
    assert other not in theirs
    assert checksum not in own
    random = np.random.default_rng(0)
    many = [random.bytes(32) for _ in range(10 * MAX_REFUSED)]
    for one in many:
        mine.add(one)
        assert one in theirs
    assert MAX_REFUSED / 2 < sum(one in theirs for one in many) <= MAX_REFUSED


def test_a_small_picture_waits_for_no_thread_and_a_larger_one_does(reader: Reader, mnist: Dataset):
    small = as_png(255 - mnist.test.images[0])
    larger = as_png(cv2.resize(255 - mnist.test.images[0], (280, 280)))
    largest = as_png(cv2.resize(255 - mnist.test.images[0], (400, 400)))

    async def waits(threads: int, content: bytes) -> bool:
        workers, released = Workers(threads, 10, 30), threading.Event()
        pictures = Pictures(reader, workers, Settings(threads=threads))
        busy = [asyncio.create_task(workers.do(released.wait)) for _ in range(threads)]
        await asyncio.sleep(0)
        asked = asyncio.create_task(pictures.do("predict", content))
        await asyncio.sleep(0.1)
        waited = not asked.done()
        released.set()
        assert (await asked)["digit"] == 7
        await asyncio.gather(*busy)
        workers.close()
        pictures.close()
        return waited

    found = [asyncio.run(waits(threads, one)) for threads in (1, 2) for one in (small, larger, largest)]
    assert found == [False, False, True, False, True, True]
