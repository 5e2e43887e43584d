"""Jobs in threads, their queue, and batches of images."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from starlette.exceptions import HTTPException

from helpers.asking import InProcess
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier, Judgement, Reader
from mnist_digits.serving import Settings
from mnist_digits.serving.workers import MAX_BATCH_IMAGES, MAX_SHARED_IMAGES, BatchQueue, Workers


def test_jobs_run_beside_each_other_and_off_the_loop():
    async def meet() -> list[int]:
        workers, together = Workers(2, 10, 60), threading.Barrier(2, timeout=60)
        threads = await asyncio.gather(*[workers.do(lambda: (together.wait(), threading.get_ident())[1]) for _ in "ab"])
        workers.close()
        return threads

    threads = asyncio.run(meet())
    assert len({*threads, threading.get_ident()}) == 3


def test_a_job_without_room_is_refused_at_once_and_room_is_freed():
    async def meet() -> None:
        workers, released = Workers(1, 2, 60), threading.Event()
        waiting = [asyncio.create_task(workers.do(released.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        assert workers.full
        with pytest.raises(HTTPException) as error:
            await workers.do(int)
        assert error.value.status_code == 503
        assert int((error.value.headers or {})["Retry-After"]) >= 1
        released.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert not workers.full
        assert await workers.do(int, "7") == 7
        workers.close()

    asyncio.run(meet())


def test_a_job_that_times_out_keeps_its_thread_until_it_is_done():
    async def meet() -> None:
        workers, released, never = Workers(1, 1, 0.5), threading.Event(), threading.Event()
        slow = asyncio.create_task(workers.do(released.wait))
        await asyncio.sleep(0)
        behind = asyncio.create_task(workers.do(never.set))
        for task in (slow, behind):
            with pytest.raises(HTTPException) as error:
                await task
            assert error.value.status_code == 503
        # The job that had not begun is cancelled and has made room.
        assert not workers.full
        again = asyncio.create_task(workers.do(int))
        await asyncio.sleep(0)
        assert workers.full
        released.set()
        assert await again == 0
        assert not never.is_set()
        workers.close()

    asyncio.run(meet())


class Counting(Classifier):
    """Records the batch sizes; waits until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.released = threading.Event()

    def judge(self, images: np.ndarray) -> Judgement:
        self.released.wait(60)
        self.batches.append(len(images))
        return super().judge(images)


def test_requests_that_come_together_share_a_batch_and_each_gets_its_own(mnist: Dataset, reader: Reader):
    sizes = [1, 3, 64, 2, 64, 64, 64, 64, 1, 7]
    starts = np.cumsum([0, *sizes])

    async def meet() -> tuple[list[Judgement], list[int]]:
        classifier = Counting()
        queue = BatchQueue(classifier, 100, 60)
        tasks = [
            asyncio.create_task(queue.judge(mnist.test.images[start : start + size]))
            for start, size in zip(starts, sizes, strict=False)
        ]
        await asyncio.sleep(0)
        classifier.released.set()
        answers = await asyncio.gather(*tasks)
        queue.close()
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


def test_quick_batches_run_on_the_loop_and_slow_ones_in_a_thread(mnist: Dataset, monkeypatch: pytest.MonkeyPatch):
    class Located(Counting):
        def judge(self, images: np.ndarray) -> Judgement:
            self.thread = threading.get_ident()
            return super().judge(images)

    async def meet(seconds: float, count: int) -> tuple[bool, list[int]]:
        monkeypatch.setattr("mnist_digits.serving.workers.MAX_INLINE_SECONDS", seconds)
        classifier = Located()
        classifier.released.set()
        queue = BatchQueue(classifier, 100, 60)
        await queue.judge(mnist.test.images[:1])
        assert classifier.thread != threading.get_ident(), "nothing is known of the network yet"
        answers = await asyncio.gather(*[queue.judge(mnist.test.images[n : n + 1]) for n in range(count)])
        queue.close()
        assert [answer.digits for answer in answers] == [[7], [2], [1], [0], [4]][:count]
        return classifier.thread == threading.get_ident(), classifier.batches

    assert asyncio.run(meet(1.0, 5)) == (True, [1, 5])
    on_loop, batches = asyncio.run(meet(0.0, 5))
    assert not on_loop
    assert sum(batches) == 6


def test_a_full_queue_and_a_late_answer_are_503(mnist: Dataset):
    image = mnist.test.images[:1]

    async def meet() -> list[object]:
        classifier = Counting()
        queue = BatchQueue(classifier, 2, 0.1)
        answers = await asyncio.gather(*[queue.judge(image) for _ in range(5)], return_exceptions=True)
        classifier.released.set()

        async def works_again() -> Judgement:
            while True:
                with suppress(HTTPException):
                    return await queue.judge(image)
                await asyncio.sleep(0.01)

        await asyncio.wait_for(works_again(), 60)
        queue.close()
        return answers

    answers = asyncio.run(meet())
    assert [error.status_code for error in answers if isinstance(error, HTTPException)] == [503] * 5


def test_a_failure_is_reported_to_every_request_of_the_batch_and_later_ones_are_answered(
    reader: Reader, mnist: Dataset
):
    class FailsOnBlank:
        def judge(self, images: np.ndarray) -> Judgement:
            if not images.any():
                raise RuntimeError("blank")
            return reader.classifier.judge(images)

    async def meet() -> list[object]:
        queue, blank = BatchQueue(FailsOnBlank(), 10, 60), np.zeros((1, 28, 28), np.uint8)  # type: ignore[arg-type]
        answers = await asyncio.gather(*[queue.judge(blank) for _ in range(3)], return_exceptions=True)
        assert (await queue.judge(mnist.test.images[:1])).digits == [7]
        queue.close()
        return answers

    assert [str(error) for error in asyncio.run(meet())] == ["blank"] * 3


def test_many_requests_share_one_session(reader: Reader, mnist: Dataset):
    images = mnist.test.images[: 2 * MAX_SHARED_IMAGES]
    expected = reader.classifier.judge(images)
    with ThreadPoolExecutor(4) as pool:
        judgements = list(pool.map(lambda _: reader.classifier.judge(images), range(12)))
    for judgement in judgements:
        np.testing.assert_array_equal(judgement.probabilities, expected.probabilities)
        assert judgement.digits == expected.digits


def test_the_service_answers_503_when_its_queue_is_full(page_png: bytes, asking: Callable[..., InProcess]):
    ask = asking(Settings(threads=1, most_waiting=2))

    async def crowd() -> list:
        return await asyncio.gather(*[ask.answer("POST", "/v1/read", content=page_png) for _ in range(12)])

    answers = ask.runner.run(crowd())
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) == 3
    assert codes.count(503) == 9
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
            assert "more requests than can wait" in answer.json()["error"]
        else:
            assert answer.json()["lines"]
    assert ask("POST", "/v1/read", content=page_png).status_code == 200


def test_closing_does_not_wait():
    async def meet() -> None:
        workers, released = Workers(1, 1, 60), threading.Event()
        # Were it waited for, it would not be released.
        job = asyncio.create_task(workers.do(released.wait, 30))
        await asyncio.sleep(0)
        workers.close()
        released.set()
        assert await job

    asyncio.run(meet())
