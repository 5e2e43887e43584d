"""Threads, the queue before them, and images that go through the network together."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.exceptions import HTTPException

from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier, Judgement, Reader
from mnist_digits.serving.workers import MAX_BATCH_IMAGES, MAX_SHARED_IMAGES, BatchQueue, Workers


def test_jobs_run_beside_each_other_and_off_the_loop():
    async def meet() -> list[int]:
        workers, together = Workers(2, 10, 5), threading.Barrier(2, timeout=5)
        threads = await asyncio.gather(*[workers.do(lambda: (together.wait(), threading.get_ident())[1]) for _ in "ab"])
        workers.close()
        return threads

    threads = asyncio.run(meet())
    assert len({*threads, threading.get_ident()}) == 3


def test_what_finds_no_room_is_sent_away_at_once_and_room_comes_back():
    async def meet() -> None:
        workers, gate = Workers(1, 2, 5), threading.Event()
        waiting = [asyncio.create_task(workers.do(gate.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        assert workers.full
        with pytest.raises(HTTPException) as error:
            await workers.do(int)
        assert error.value.status_code == 503
        assert int((error.value.headers or {})["Retry-After"]) >= 1
        gate.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert not workers.full
        assert await workers.do(int, "7") == 7
        workers.close()

    asyncio.run(meet())


def test_what_takes_too_long_is_given_up_and_keeps_its_place_until_it_is_done():
    async def meet() -> None:
        workers, gate, never = Workers(1, 1, 0.1), threading.Event(), threading.Event()
        slow = asyncio.create_task(workers.do(gate.wait))
        await asyncio.sleep(0)
        behind = asyncio.create_task(workers.do(never.set))
        for task in (slow, behind):
            with pytest.raises(HTTPException) as error:
                await task
            assert error.value.status_code == 503
        # The one that had not been begun has made room, and never will be.
        assert not workers.full
        again = asyncio.create_task(workers.do(int))
        await asyncio.sleep(0)
        assert workers.full
        gate.set()
        assert await again == 0
        assert not never.is_set()
        workers.close()

    asyncio.run(meet())


class Counting(Classifier):
    """Counts how often the network is asked, and may be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.gate = threading.Event()

    def judge(self, images: np.ndarray) -> Judgement:
        self.gate.wait(10)
        self.batches.append(len(images))
        return super().judge(images)


def test_requests_that_come_together_share_a_batch_and_each_gets_its_own(mnist: Dataset, reader: Reader):
    sizes = [1, 3, 64, 2, 64, 64, 64, 64, 1, 7]
    starts = np.cumsum([0, *sizes])

    async def meet() -> tuple[list[Judgement], list[int]]:
        classifier = Counting()
        judge = BatchQueue(classifier, 100, 10)
        tasks = [
            asyncio.create_task(judge.judge(mnist.test.images[start : start + size]))
            for start, size in zip(starts, sizes, strict=False)
        ]
        await asyncio.sleep(0)
        classifier.gate.set()
        answers = await asyncio.gather(*tasks)
        judge.close()
        return answers, classifier.batches

    answers, batches = asyncio.run(meet())
    assert batches[0] == 1
    assert len(batches) < len(sizes)
    assert max(batches) <= MAX_BATCH_IMAGES
    assert sum(batches) == sum(sizes)
    expected = reader.classifier.judge(mnist.test.images[: sum(sizes)])
    for answer, start, size in zip(answers, starts, sizes, strict=False):
        own = expected.part(start, start + size)
        np.testing.assert_allclose(answer.probabilities, own.probabilities, atol=1e-5)
        assert answer.digits == own.digits


def test_a_full_queue_and_a_late_answer_are_503(mnist: Dataset):
    image = mnist.test.images[:1]

    async def meet() -> list[object]:
        classifier = Counting()
        judge = BatchQueue(classifier, 2, 0.1)
        answers = await asyncio.gather(*[judge.judge(image) for _ in range(5)], return_exceptions=True)
        classifier.gate.set()
        await asyncio.sleep(0.05)
        assert isinstance(await judge.judge(image), Judgement), "works again"
        judge.close()
        return answers

    answers = asyncio.run(meet())
    assert [error.status_code for error in answers if isinstance(error, HTTPException)] == [503] * 5


def test_a_failure_is_everybodys_and_the_next_ones_are_answered():
    class Failing:
        def judge(self, images: np.ndarray) -> str:
            if not images.any():
                raise RuntimeError("once")
            return super().__repr__()

    async def meet() -> list[object]:
        judge = BatchQueue(Failing(), 10, 5)  # type: ignore[arg-type]
        answers = await asyncio.gather(*[judge.judge(np.zeros((1, 28, 28))) for _ in range(3)], return_exceptions=True)
        judge.close()
        return answers

    assert [str(error) for error in asyncio.run(meet())] == ["once"] * 3


def test_many_requests_share_one_session(reader: Reader, mnist: Dataset):
    images = mnist.test.images[: 2 * MAX_SHARED_IMAGES]
    expected = reader.classifier.judge(images)
    with ThreadPoolExecutor(4) as pool:
        judgements = list(pool.map(lambda _: reader.classifier.judge(images), range(12)))
    for judgement in judgements:
        np.testing.assert_array_equal(judgement.probabilities, expected.probabilities)
        assert judgement.digits == expected.digits


def test_closing_does_not_wait():
    start = time.monotonic()
    workers = Workers(1, 1, 5)
    workers.close()
    assert time.monotonic() - start < 1
