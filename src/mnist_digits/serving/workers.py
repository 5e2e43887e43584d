"""Threads for slow jobs with a bounded queue, and batches of images from several requests."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from mnist_digits.recognition import Classifier, Judgement

Result = TypeVar("Result")

MAX_INLINE_BODY_BYTES = 65_536
"""Size up to which a body is parsed on the event loop: for a small one, a thread takes longer."""

MAX_SHARED_IMAGES = 64
"""Maximum number of images of a request that is batched with others."""

MAX_BATCH_IMAGES = 256
"""Maximum number of images in one batch."""

MAX_INLINE_SECONDS = 0.002
"""Time for which the event loop may be kept by the network: a thread would have to be woken, and wait for the loop."""

RETRY_AFTER_S = 1
"""Seconds after which a client that got 503 may try again: a full queue is half empty by then."""


class Threads:
    """A thread pool that is created when first used, also after it was closed: an application may start again."""

    def __init__(self, count: int) -> None:
        """count: number of threads."""
        self._count = count
        self._pool: ThreadPoolExecutor | None = None

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The pool."""
        if not self._pool:
            self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="digits")
        return self._pool

    def close(self) -> None:
        """Cancel waiting jobs, and let the threads end after those that have begun, without waiting for them."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


class Workers:
    """A fixed number of threads, with a bounded queue."""

    def __init__(self, threads: int, most_waiting: int, seconds: float) -> None:
        """most_waiting: jobs in the queue; seconds: from a job's submission until it times out."""
        self._threads = Threads(threads)
        self._free = threads + most_waiting
        self._seconds = seconds
        self._lock = threading.Lock()

    async def do(self, job: Callable[..., Result], *arguments: Any) -> Result:
        """The result of a job that runs in one of the threads.

        Raises HTTPException 503 when the queue is full, or the job takes too long. A job that has begun cannot be
        stopped: it keeps its thread until it is done.
        """
        with self._lock:
            if self._free <= 0:
                raise busy("more requests than can wait")
            self._free -= 1
        future = self._threads.pool.submit(job, *arguments)
        future.add_done_callback(self._release)
        return await in_time(asyncio.wrap_future(future), self._seconds)

    async def parse(self, parser: Callable[..., Result], body: bytes, *arguments: Any) -> Result:
        """`parser(body, *arguments)`: at once for a body up to MAX_INLINE_BODY_BYTES, as a job for a larger one."""
        if len(body) <= MAX_INLINE_BODY_BYTES:
            return parser(body, *arguments)
        return await self.do(parser, body, *arguments)

    @property
    def full(self) -> bool:
        """Whether the next job would be refused."""
        return self._free <= 0

    def close(self) -> None:
        """As `Threads.close`."""
        self._threads.close()

    def _release(self, _: Future[Any]) -> None:
        with self._lock:
            self._free += 1


class BatchQueue:
    """Batches the images of several requests for the network.

    Images that arrive while a batch is in the network form the next one, so none waits for others to arrive. A batch
    runs in a thread unless it takes no longer than MAX_INLINE_SECONDS, by what the last one took.
    """

    def __init__(self, classifier: Classifier, most_waiting: int, seconds: float) -> None:
        """most_waiting: requests in the queue; seconds: until a request times out."""
        self.classifier = classifier
        self._most_waiting, self._seconds = most_waiting, seconds
        self._threads = Threads(1)
        self._waiting: deque[tuple[NDArray[np.uint8], asyncio.Future[Judgement]]] = deque()
        self._running = False
        self._seconds_per_image = float("inf")

    async def judge(self, images: NDArray[np.uint8]) -> Judgement:
        """`Classifier.judge` of images, uint8 (n, 28, 28), with n up to MAX_SHARED_IMAGES.

        Raises HTTPException 503 when the queue is full, or the result takes too long.
        """
        if len(self._waiting) >= self._most_waiting:
            raise busy("more requests than can wait")
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append((images, future))
        if not self._running:
            self._running = True
            if self._is_quick(len(images)):
                # After all requests that have arrived by now.
                loop.call_soon(self._start_batch)
            else:
                self._start_batch()
        return await in_time(future, self._seconds)

    def close(self) -> None:
        """As `Threads.close`."""
        self._threads.close()

    def _start_batch(self) -> None:
        """Send as many waiting requests as fit into one batch to the network."""
        batch, size = [], 0
        while self._waiting and size + len(self._waiting[0][0]) <= MAX_BATCH_IMAGES:
            images, future = self._waiting.popleft()
            if not future.done():
                batch.append((images, future))
                size += len(images)
        self._running = bool(batch)
        if not batch:
            return
        images = batch[0][0] if len(batch) == 1 else np.concatenate([images for images, _ in batch])
        loop = asyncio.get_running_loop()
        if self._is_quick(len(images)):
            done = loop.create_future()
            try:
                done.set_result(self._timed(images))
            except Exception as error:
                done.set_exception(error)
            self._finish_batch(batch, done)
        else:
            job = loop.run_in_executor(self._threads.pool, self._timed, images)
            job.add_done_callback(lambda done: self._finish_batch(batch, done))

    def _is_quick(self, images: int) -> bool:
        return images * self._seconds_per_image <= MAX_INLINE_SECONDS

    def _timed(self, images: NDArray[np.uint8]) -> Judgement:
        """`Classifier.judge`, whose processor time is remembered."""
        start = time.thread_time()
        judgement = self.classifier.judge(images)
        self._seconds_per_image = (time.thread_time() - start) / len(images)
        return judgement

    def _finish_batch(
        self, batch: list[tuple[NDArray[np.uint8], asyncio.Future[Judgement]]], done: asyncio.Future[Judgement]
    ) -> None:
        """Give each request of a batch its part of the result, and start the next batch."""
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
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._start_batch)
        else:
            self._running = False


async def in_time(future: Awaitable[Result], seconds: float) -> Result:
    """The result of a future. Raises HTTPException 503, and cancels the future, when it takes longer."""
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        raise busy(f"no answer after {seconds:g} seconds") from None


def busy(found: str) -> HTTPException:
    """The error 503, with the time after which to try again."""
    return HTTPException(
        503, f"{found}, expected fewer at a time; try again later", {"Retry-After": str(RETRY_AFTER_S)}
    )
