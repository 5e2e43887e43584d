"""Threads for what takes long, and how many requests may wait for them."""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from starlette.exceptions import HTTPException

from mnist_digits.recognition import Classifier, Judgement

Result = TypeVar("Result")

LARGEST_SHARED = 64
"""Images of one request that still go through the network together with those of others."""

LARGEST_BATCH = 256
"""Images that go through it at once."""

RETRY_SECONDS = 1
"""After which one who was sent away may ask again: a full queue is half empty by then."""


class Threads:
    """A pool of threads that is there when it is needed, also after it was closed: an application may start again."""

    def __init__(self, count: int) -> None:
        """count: of threads."""
        self._count = count
        self._pool: ThreadPoolExecutor | None = None

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The pool."""
        if not self._pool:
            self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="digits")
        return self._pool

    def close(self) -> None:
        """Let the threads end with what they are doing."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


class Workers:
    """A fixed number of threads, and a bounded queue before them."""

    def __init__(self, threads: int, most_waiting: int, seconds: float) -> None:
        """Seconds: in which a job must be done, counted from when it was handed over."""
        self._threads = Threads(threads)
        self._room = threads + most_waiting
        self._seconds = seconds
        self._lock = threading.Lock()

    async def do(self, job: Callable[..., Result], *arguments: Any) -> Result:
        """What a job returns, done in one of the threads.

        Raises HTTPException 503 when too many wait, or when it takes too long. One that has been begun then
        goes on, for a thread cannot be stopped, and keeps its place until it is done.
        """
        with self._lock:
            if self._room <= 0:
                raise busy("more requests than can wait")
            self._room -= 1
        future = self._threads.pool.submit(job, *arguments)
        future.add_done_callback(self._make_room)
        return await in_time(asyncio.wrap_future(future), self._seconds)

    @property
    def full(self) -> bool:
        """Whether the next job would be sent away."""
        return self._room <= 0

    def close(self) -> None:
        """Let the threads end with what they are doing."""
        self._threads.close()

    def _make_room(self, _: Future[Any]) -> None:
        with self._lock:
            self._room += 1


class BatchQueue:
    """Sends images of requests that come together through the network together.

    While one batch is on its way, what comes in is collected; so nobody waits for others to come.
    """

    def __init__(self, classifier: Classifier, most_waiting: int, seconds: float) -> None:
        """most_waiting: requests; seconds: until the answer."""
        self._classifier = classifier
        self._most_waiting, self._seconds = most_waiting, seconds
        self._threads = Threads(1)
        self._waiting: deque[tuple[np.ndarray, asyncio.Future[Judgement]]] = deque()
        self._running = False

    async def judge(self, images: np.ndarray) -> Judgement:
        """What the network says of images, uint8 (n, 28, 28), n up to LARGEST_SHARED.

        Raises HTTPException 503 when too many wait, or when it takes too long.
        """
        if len(self._waiting) >= self._most_waiting:
            raise busy("more requests than can wait")
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((images, future))
        if not self._running:
            self._send()
        return await in_time(future, self._seconds)

    def close(self) -> None:
        """Let the thread end with what it is doing."""
        self._threads.close()

    def _send(self) -> None:
        """Start with as many of the waiting as fit into one batch."""
        batch, size = [], 0
        while self._waiting and size + len(self._waiting[0][0]) <= LARGEST_BATCH:
            images, future = self._waiting.popleft()
            if not future.done():
                batch.append((images, future))
                size += len(images)
        self._running = bool(batch)
        if batch:
            images = batch[0][0] if len(batch) == 1 else np.concatenate([images for images, _ in batch])
            job = asyncio.get_running_loop().run_in_executor(self._threads.pool, self._classifier.judge, images)
            job.add_done_callback(lambda done: self._hand_out(batch, done))

    def _hand_out(
        self, batch: list[tuple[np.ndarray, asyncio.Future[Judgement]]], done: asyncio.Future[Judgement]
    ) -> None:
        """Give each of a batch its part, and start with the next."""
        start = 0
        for images, future in batch:
            stop = start + len(images)
            if future.done():
                pass
            elif done.cancelled() or done.exception():
                future.set_exception(done.exception() or asyncio.CancelledError())
            else:
                future.set_result(done.result().part(start, stop))
            start = stop
        self._send()


async def in_time(future: Awaitable[Result], seconds: float) -> Result:
    """Its result. Raises HTTPException 503 when it is not there in time; what has not been begun never will be."""
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        raise busy(f"no answer after {seconds:g} seconds") from None


def busy(found: str) -> HTTPException:
    """503, and when to come again."""
    return HTTPException(
        503, f"{found}, expected fewer at a time; try again later", {"Retry-After": str(RETRY_SECONDS)}
    )
