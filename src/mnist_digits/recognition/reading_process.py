"""A process that reads large pictures for the service: it can be ended, and takes no other request with it if it dies.

The program is `python -m mnist_digits.recognition.reading_process MODEL`. A request is a line of JSON on stdin,
{"job", "options", "size"}, and the picture's bytes. On stdout, BEGUN tells that it is being read, and a line of JSON
what came of it: {"result"}, or {"error"} for a defect of the picture. The program ends when its stdin is closed, so
also when the service is killed.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.errors import DataError
from mnist_digits.recognition.preprocessing.documents import read_pages
from mnist_digits.recognition.reader import Reader

JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "predict": lambda reader, content, **options: reader.classifier.classify(content, **options).to_json(),
    "read": lambda reader, content: {"pages": [page.to_json() for page in reader.read_pages(content)]},
    "inspect": lambda reader, content, **options: {"pages": list(_inspected(reader, content, **options))},
}
"""Name → what it makes of a Reader and a picture's bytes: the JSON of a `Prediction`, or of `pages`."""

MAX_SHOWN_SIDE_PX, SHOWN_QUALITY = 1600, 80
"""Longest side, and quality as a JPEG, of a page as it is shown."""

BEGUN = b"begun\n"

MOST_STARTS = 2
"""How often the process is started for a picture: one that died before it began with it is replaced once."""

NICENESS = 3
"""Added to the process's own: small pictures come first where there are fewer cores than processes."""

MAX_READING_BYTES = 1_500_000_000
"""Memory that the process may have; on Linux a picture that needs more is refused. The largest take a gigabyte."""

OOM_SCORE = 500
"""On Linux, where all memory is taken: this process is ended before others of the same size."""


class ProcessDiedError(Exception):
    """The process gave no answer. `by_picture`: because it ended by itself while it read the picture."""

    def __init__(self, found: str, by_picture: bool = False) -> None:
        """found: what happened."""
        super().__init__(found)
        self.by_picture = by_picture


class ReadingProcess:
    """Starts the program when it is first needed, and again when it has died. For one thread at a time."""

    def __init__(self, reader: Reader) -> None:
        """reader: the process has one like it."""
        self._reader = reader
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, job: str, content: bytes, options: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The result of one of JOBS for a picture's bytes.

        Raises DataError when the picture cannot be read, ProcessDiedError when the process dies or takes more seconds.
        """
        request = json.dumps({"job": job, "options": options, "size": len(content)}).encode() + b"\n" + content
        end = time.monotonic() + seconds
        for _ in range(MOST_STARTS):
            process = self._process = self._process or self._start()
            begun, line = _exchange(process, request, end - time.monotonic())
            if line.endswith(b"\n"):
                break
            self.close()
            # The next picture then does not wait for it to load.
            self._process = self._start()
            if time.monotonic() >= end:
                raise ProcessDiedError(f"no answer after {seconds:g} seconds")
            if begun:
                raise ProcessDiedError("the process that read this picture died", by_picture=True)
        else:
            raise ProcessDiedError("no process to read it in")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DataError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the process, if there is one, at once."""
        process, self._process = self._process, None
        if process:
            process.kill()
            # What was not sent yet cannot be.
            with suppress(OSError), process:
                pass

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mnist_digits.recognition.reading_process"]
        command.append(str(self._reader.classifier.path.absolute()))
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _exchange(process: "subprocess.Popen[bytes]", request: bytes, seconds: float) -> tuple[bool, bytes]:
    """Whether the process began with a request, and the line that it answered; none when it died or was ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    timer = threading.Timer(max(0.0, seconds), process.kill)
    timer.start()
    try:
        # If it has died, there is no answer either.
        with suppress(OSError):
            process.stdin.write(request)
            process.stdin.flush()
        return process.stdout.readline() == BEGUN, process.stdout.readline()
    finally:
        timer.cancel()


def _inspected(reader: Reader, content: bytes, pictures: bool = False) -> Iterator[dict[str, Any]]:
    """Each page of a document with details, and its `size`, width and height in pixels.

    pictures: also as a `picture`, a JPEG in base64, for browsers that cannot show the document.
    """
    for number, pixels in enumerate(read_pages(content), 1):
        page = reader.follow(pixels).to_page(number).to_json(details=True)
        page["size"] = [pixels.shape[1], pixels.shape[0]]
        if pictures:
            page["picture"] = base64.b64encode(as_jpeg(pixels)).decode()
        yield page


def as_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """A picture, reduced to MAX_SHOWN_SIDE_PX, as the content of a JPEG file."""
    factor = min(1.0, MAX_SHOWN_SIDE_PX / max(pixels.shape[:2]))
    size = [max(1, round(factor * side)) for side in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if factor < 1 else pixels
    colours = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, SHOWN_QUALITY])[1].tobytes()


def main() -> None:
    """Load, and answer requests until stdin is closed. Signals to the whole group are left to the service."""
    # What libraries print goes to stderr.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: Queue[tuple[dict[str, Any], bytes]] = Queue()
    threading.Thread(target=_listen, args=[requests], daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(1)
    # Defects of a picture are reported in the answer.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        reader = Reader(sys.argv[1])
    except DataError as error:
        sys.exit(str(error))
    _limit()
    while True:
        head, content = requests.get()
        channel.write(BEGUN)
        channel.flush()
        channel.write(json.dumps(_answer(reader, head, content)).encode() + b"\n")
        channel.flush()


def _listen(requests: "Queue[tuple[dict[str, Any], bytes]]") -> None:
    """Pass on the requests on stdin; end the process when it is closed, or there is no memory for one."""
    with suppress(MemoryError):
        while line := sys.stdin.buffer.readline():
            head = json.loads(line)
            requests.put((head, sys.stdin.buffer.read(head["size"])))
    os._exit(0)


def _limit() -> None:
    """Take second place, and a bounded part of the machine's memory."""
    if hasattr(os, "nice"):  # Windows has none.
        os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MAX_READING_BYTES, MAX_READING_BYTES))


def _answer(reader: Reader, head: dict[str, Any], content: bytes) -> dict[str, Any]:
    try:
        return {"result": JOBS[head["job"]](reader, content, **head["options"])}
    except DataError as error:
        return {"error": str(error)}
    except Exception as error:
        # OpenCV and ONNX Runtime have their own words for a failed allocation.
        if not isinstance(error, MemoryError) and not any(word in str(error) for word in ("memory", "alloc")):
            raise
        found = f"picture: takes more than {MAX_READING_BYTES // 10**6:,} MB of memory to read"
        return {"error": f"{found}, expected less; scale it down or cut it up"}


if __name__ == "__main__":
    main()
