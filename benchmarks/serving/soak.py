"""What hostile requests take of `digits serve`, and of those beside them: large pictures by kind, and a long soak.

    python -m benchmarks.serving.soak                        # writes results/soak.json, prints the tables; ~65 minutes
    python -m benchmarks.serving.soak --only soak --minutes 5     # measures this anew, keeps the rest
    python -m benchmarks.serving.soak --tiny --output FILE   # seconds, for the tests

First every kind of picture, as large as may be, is read by a process as the service starts them. Then four come at
once, while somebody else asks for a digit again and again. Last, good, bad, slow and large requests come for an hour;
all answers are compared, and memory, file descriptors and temporary files of all of the service's processes counted.
"""

import argparse
import http.client
import io
import itertools
import json
import os
import socket
import statistics
import struct
import tempfile
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting
from benchmarks.serving import WORKERS, digit_png, wait_for_workers
from mnist_digits.dataset import load_mnist
from mnist_digits.errors import DataError
from mnist_digits.files import read_json
from mnist_digits.recognition import Reader
from mnist_digits.recognition.preprocessing.image_io import MAX_JPEG_SCANS
from mnist_digits.recognition.reading_process import ReadingProcess

RESULTS = harness.RESULTS / "soak.json"
SETTINGS = {
    "minutes": Setting(60.0, 0.03, "minutes of the soak"),
    "height": Setting(7_800, 1_600),
    "width": Setting(7_949, 1_700),
    "kinds": Setting(10, 4),
    "kills": Setting(5, 1),
    "samples": Setting(60, 3),
}
PARTS = ("kinds", "beside", "deaths", "soak")
LARGE_AT_ONCE = 4
GOOD_CLIENTS = 3
PAUSE_S = 0.05
"""Between two requests of a client: the soak is not to measure how many there can be."""
LONG_S = 600.0
"""Longer than any reading takes: the machine may be busy."""
Request = tuple[str, bytes]
"""Route and body."""


def writing(height: int, width: int) -> NDArray[np.uint8]:
    """A page with lines of digits, uint8 (height, width)."""
    page = np.full((height, width), 230, np.uint8)
    size = height / 400
    for line in range(8):
        at = (width // 20, round((line + 1) * height / 9))
        cv2.putText(page, "0123456789", at, cv2.FONT_HERSHEY_SIMPLEX, size / 2, 30, max(2, round(size)))
    return page


def saved(pixels: NDArray[Any], kind: str, **options: Any) -> bytes:
    """A file of this kind, by Pillow."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def many_scans(progressive: bytes) -> bytes:
    """A progressive JPEG whose last scan is repeated as often as is allowed."""
    last = progressive.rindex(b"\xff\xda")
    again = MAX_JPEG_SCANS - progressive.count(b"\xff\xda")
    return progressive[:last] + progressive[last:-2] * (again + 1) + progressive[-2:]


def interlaced_png(pixels: NDArray[np.uint8]) -> bytes:
    """An interlaced PNG of pixels, uint8 (h, w, 3), which Pillow cannot write."""
    packed = zlib.compressobj(3)
    data = b""
    for y, x, down, right in (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)
    ):  # fmt: skip
        part = pixels[y::down, x::right]
        data += packed.compress(np.pad(part.reshape(len(part), -1), ((0, 0), (1, 0))).tobytes())
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    chunks = [(b"IHDR", head), (b"IDAT", data + packed.flush()), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def heic(pixels: NDArray[np.uint8]) -> bytes:
    """A HEIC file; needs the extra `heic`."""
    from pillow_heif import from_pillow

    file = io.BytesIO()
    from_pillow(Image.fromarray(pixels)).save(file, quality=20)
    return file.getvalue()


def large_pictures(height: int, width: int) -> dict[str, bytes]:
    """Pictures that take long to decode or much memory, by kind; first LARGE_AT_ONCE of the hardest."""
    grey = writing(height, width)
    colour = np.repeat(grey[..., None], 3, 2)
    deep = np.repeat(grey[..., None].astype(np.uint16) * 257, 4, 2)
    jpeg = saved(colour, "JPEG", progressive=True, quality=60)
    noise = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4), np.uint8)
    return {
        f"JPEG of {MAX_JPEG_SCANS} scans": many_scans(jpeg),
        "PNG, 16 bits, with alpha": cv2.imencode(".png", deep)[1].tobytes(),
        "WebP": saved(colour, "WEBP", quality=30, method=0),
        "HEIC": heic(colour),
        "JPEG, progressive": jpeg,
        "PNG, grey": saved(grey, "PNG"),
        "PNG, interlaced": interlaced_png(colour),
        "PNG, noise of a quarter of the side": saved(noise, "PNG"),
        "GIF": saved(grey, "GIF"),
        "TIFF, LZW": saved(colour, "TIFF", compression="tiff_lzw"),
    }


def ask(address: str, route: str, body: bytes) -> tuple[int, str]:
    """Status and text of the answer; status 0 when there is none."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
    try:
        connection.request("POST", route, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def processes_of(pid: int) -> list[psutil.Process]:
    """The service's processes that are alive."""
    service = psutil.Process(pid)
    return [service, *service.children(recursive=True)]


def sum_of(pid: int, count: Callable[[psutil.Process], float]) -> float:
    """A count, added up over the service's processes."""
    total = 0.0
    for process in processes_of(pid):
        with suppress(psutil.Error):
            total += count(process)
    return total


@contextmanager
def repeated(work: Callable[[], None], pause_s: float) -> Iterator[None]:
    """Do something again and again in a thread while the context lasts."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.is_set():
            work()
            ended.wait(pause_s)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def measure_kinds(pictures: dict[str, bytes]) -> list[dict[str, Any]]:
    """Processor seconds, and the most memory, of a fresh process that reads a picture, by kind and job."""
    rows, reader = [], Reader()
    for (kind, body), job in itertools.product(pictures.items(), ("predict", "read")):
        others, reading = set(psutil.Process().children()), ReadingProcess(reader)
        reading.ask("predict", digit_png(np.zeros((28, 28), np.uint8)), {}, LONG_S)
        (process,) = set(psutil.Process().children()) - others
        before = process.cpu_times()
        try:
            reading.ask(job, body, {}, LONG_S)
            refused = None
        except DataError as error:
            refused = str(error)
        after = process.cpu_times()
        status = Path(f"/proc/{process.pid}/status").read_text()
        reading.close()
        rows.append(
            {
                "kind": kind,
                "job": job,
                "megabytes": len(body) / 1e6,
                "refused": refused,
                "processor_seconds": after.user + after.system - before.user - before.system,
                "memory_mb": 1024 * int(status.split("VmHWM:")[1].split()[0]) / 1e6,
            }
        )
    return rows


def measure_beside(address: str, pictures: dict[str, bytes], good: Request) -> dict[str, Any]:
    """Latency of good requests, one after another, alone and while large pictures are read."""

    def milliseconds() -> float:
        start = time.perf_counter()
        status, _ = ask(address, *good)
        return 1000 * (time.perf_counter() - start) if status == 200 else float("inf")

    alone = [milliseconds() for _ in range(50)]
    hardest = list(pictures.values())[:LARGE_AT_ONCE]
    beside: list[float] = []
    start = time.perf_counter()
    with ThreadPoolExecutor(LARGE_AT_ONCE) as pool:
        asked = [pool.submit(ask, address, "/v1/predict", body) for body in hardest]
        while not all(one.done() for one in asked):
            beside.append(milliseconds())
    return {
        "large": LARGE_AT_ONCE,
        "large_seconds": time.perf_counter() - start,
        "large_statuses": [one.result()[0] for one in asked],
        "alone": latencies(alone),
        "beside": latencies(beside),
    }


def measure_deaths(pid: int, address: str, good: Request, kills: int) -> dict[str, Any]:
    """Seconds from the death of one worker process, and of all, to the next answer; so many times."""
    waits: dict[str, list[float]] = {"one": [], "all": []}
    wait_for_workers(psutil.Process(pid), address)
    for _ in range(kills):
        for name, killed in (("one", 1), ("all", WORKERS)):
            before = workers_of(pid)
            for worker in before[:killed]:
                worker.kill()
            start = time.perf_counter()
            while ask(address, *good)[0] != 200:
                time.sleep(0.01)
            waits[name].append(time.perf_counter() - start)
            # The next one is killed when there are all again.
            wait_for_workers(psutil.Process(pid), address)
    return {"kills": kills, **{f"{name}_seconds": seconds for name, seconds in waits.items()}}


def workers_of(pid: int) -> list[psutil.Process]:
    """The service's worker processes."""
    found = []
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):
            found += [child] if any("spawn_main" in part for part in child.cmdline()) else []
    return found


def latencies(milliseconds: list[float]) -> dict[str, float]:
    """Number, median, 99th percentile and maximum."""
    ordered = sorted(milliseconds)
    place = min(len(ordered) - 1, round(0.99 * len(ordered)))
    return {
        "count": len(ordered),
        "p50_ms": statistics.median(ordered),
        "p99_ms": ordered[place],
        "max_ms": ordered[-1],
    }


class Soak:
    """Clients of all kinds, and what they were answered."""

    def __init__(self, pid: int, address: str, temporary: Path) -> None:
        """temporary: the service's folder for temporary files."""
        self.pid, self.address, self.temporary = pid, address, temporary
        self.answers: Counter[tuple[str, int]] = Counter()
        self.wrong: list[str] = []
        self.milliseconds: dict[str, list[float]] = defaultdict(list)
        self.samples: list[dict[str, float]] = []
        self._start = time.perf_counter()
        self._lock = threading.Lock()

    def good(self, requests: Iterator[tuple[Request, str]]) -> None:
        """Send a request whose answer is known."""
        request, expected = next(requests)
        start = time.perf_counter()
        status, text = ask(self.address, *request)
        with self._lock:
            self.answers["good", status] += 1
            self.milliseconds[request[0]].append(1000 * (time.perf_counter() - start))
            if status not in (200, 503) or (status == 200 and text != expected):
                self.wrong.append(f"good: {status} {text[:200]}")

    def bad(self, requests: Iterator[tuple[Request, int]]) -> None:
        """Send a request that is to be refused."""
        request, expected = next(requests)
        status, text = ask(self.address, *request)
        with self._lock:
            self.answers["bad", status] += 1
            if status not in (expected, 503):
                self.wrong.append(f"bad: {status} {text[:200]}")

    def slow(self, heads: Iterator[bytes]) -> None:
        """Begin a request, and wait."""
        place = urlsplit(self.address)
        status = 0
        with suppress(OSError), socket.create_connection((place.hostname or "", place.port), timeout=120) as connection:
            connection.sendall(next(heads))
            status = int(connection.recv(65536).split()[1])
        with self._lock:
            self.answers["slow", status] += 1
            if status != 408:
                self.wrong.append(f"slow: {status}")

    def large(self, requests: Iterator[Request], known: dict[Request, str]) -> None:
        """Send a large picture; it is to be answered always in the same way, if at all."""
        request = next(requests)
        status, text = ask(self.address, *request)
        with self._lock:
            self.answers["large", status] += 1
            if status not in (200, 503) or (status == 200 and known.setdefault(request, text) != text):
                self.wrong.append(f"large: {status} {text[:200]}")

    def sample(self) -> None:
        """Count what the service's processes hold."""
        self.samples.append(
            {
                "seconds": time.perf_counter() - self._start,
                "memory_mb": sum_of(self.pid, lambda process: process.memory_info().rss / 1e6),
                "descriptors": sum_of(self.pid, lambda process: process.num_fds()),
                "threads": sum_of(self.pid, lambda process: process.num_threads()),
                "processes": len(processes_of(self.pid)),
                "temporary_files": len([path for path in self.temporary.rglob("*") if path.is_file()]),
            }
        )


def good_requests() -> list[tuple[Request, str]]:
    """Requests and the answers that a Reader in this process gives."""
    images, reader = load_mnist().test.images, Reader()
    known: list[tuple[Request, str]] = []
    for image in images[:5]:
        picture = digit_png(image)
        answer = {"file": None, **reader.classifier.classify(picture).to_json()}
        known.append((("/v1/predict", picture), json.dumps(answer)))
        answer = {"predictions": reader.classifier.judge(image[None]).to_json()}
        known.append((("/v1/classify", image.tobytes()), json.dumps(answer)))
    page = saved(writing(600, 700), "PNG")
    known.append((("/v1/read", page), json.dumps({"file": None, **reader.read(page).to_json()})))
    return known


def bad_requests() -> list[tuple[Request, int]]:
    """Requests and the statuses with which they are to be refused."""
    picture = digit_png(load_mnist().test.images[0])
    strip = picture[:16] + struct.pack(">II", 1, 63_999_999) + picture[24:]
    strip = strip[:29] + struct.pack(">I", zlib.crc32(strip[12:29])) + strip[33:]
    return [
        (("/v1/classify", bytes(783)), 400),
        (("/v1/predict", b"no picture"), 422),
        (("/v1/read", picture[:900]), 422),
        (("/v1/predict", strip), 422),
        (("/v2/models/digits/infer", b"{}"), 400),
        (("/v1/predict", bytes(20_000_001)), 413),
        (("/nowhere", b""), 404),
    ]


SLOW_HEADS = (
    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n",
    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\nhalf",
)
"""Requests without the end of their headers, and of their body."""


def soak(pid: int, address: str, temporary: Path, pictures: dict[str, bytes], options: argparse.Namespace) -> Soak:
    """Ask for as many minutes as the options say."""
    kept, known = Soak(pid, address, temporary), dict[Request, str]()
    smaller = large_pictures(options.height // 2, options.width // 2)
    bodies = [body for kind, picture in pictures.items() for body in (picture, smaller[kind])]
    large = [(route, body) for body in bodies for route in ("/v1/predict", "/v1/read")]
    works: list[tuple[Callable[[], None], float]] = [
        (kept.sample, 60 * options.minutes / options.samples),
        *((partial(kept.good, itertools.cycle(good_requests())), PAUSE_S) for _ in range(GOOD_CLIENTS)),
        (partial(kept.bad, itertools.cycle(bad_requests())), PAUSE_S),
        (partial(kept.slow, itertools.cycle(SLOW_HEADS)), PAUSE_S),
        # Each in an order of its own.
        (partial(kept.large, itertools.cycle(large), known), PAUSE_S),
        (partial(kept.large, itertools.cycle(large[::-1]), known), PAUSE_S),
    ]
    contexts = [repeated(*work) for work in works]
    for context in contexts:
        context.__enter__()
    time.sleep(60 * options.minutes)
    with ThreadPoolExecutor(len(contexts)) as pool:
        list(pool.map(lambda context: context.__exit__(None, None, None), contexts))
    kept.sample()
    return kept


def describe_soak(kept: Soak, minutes: float) -> dict[str, Any]:
    """What came of it, as plain values."""
    return {
        "minutes": minutes,
        "answers": {f"{kind} {status}": count for (kind, status), count in sorted(kept.answers.items())},
        "wrong": len(kept.wrong),
        "first_wrong": kept.wrong[:5],
        "good": {route: latencies(all_) for route, all_ in sorted(kept.milliseconds.items())},
        "samples": kept.samples,
    }


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure everything, or what `--only` names."""
    parts = options.only or PARTS
    pictures = {} if parts == ["deaths"] else large_pictures(options.height, options.width)
    pictures = dict(itertools.islice(pictures.items(), options.kinds))
    result = read_json(options.output) if options.only and options.output.exists() else {}
    result |= {"cores": os.cpu_count(), "workers": WORKERS, "pixels": options.height * options.width}
    for part in parts:
        if part == "kinds":
            result[part] = measure_kinds(pictures)
        else:
            result[part] = measure_service(part, pictures, options)
        yield result


def measure_service(part: str, pictures: dict[str, bytes], options: argparse.Namespace) -> dict[str, Any]:
    """What needs the service, and what this has left in its log and in its folder for temporary files."""
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("w+") as log:
        temporary = Path(name) / "tmp"
        temporary.mkdir()
        with harness.run_service("--workers", str(WORKERS), log=log, TMPDIR=str(temporary)) as (pid, address):
            if part == "deaths":
                measured = measure_deaths(pid, address, good_requests()[0][0], options.kills)
            elif part == "beside":
                measured = measure_beside(address, pictures, good_requests()[0][0])
            else:
                measured = describe_soak(soak(pid, address, temporary, pictures, options), options.minutes)
        log.seek(0)
        left = {"log_lines": len(log.readlines()), "temporary_files_left": len(list(temporary.rglob("*")))}
    return measured | left


def as_table(result: dict[str, Any]) -> str:
    """The result as Markdown tables."""
    tables = {"kinds": as_kinds_table, "beside": as_beside_table, "deaths": as_deaths_table, "soak": as_soak_table}
    return "\n\n".join(table(result) for part, table in tables.items() if part in result)


def as_kinds_table(result: dict[str, Any]) -> str:
    """What each kind of large picture takes, as Markdown."""
    rows = []
    for kind in dict.fromkeys(row["kind"] for row in result["kinds"]):
        predict, read = (row for row in result["kinds"] if row["kind"] == kind)
        seconds = [f"{row['processor_seconds']:.1f} s" for row in (predict, read)]
        most = max(row["memory_mb"] for row in (predict, read))
        rows.append([kind, f"{predict['megabytes']:.1f} MB", *seconds, f"{most:,.0f} MB"])
    header = [f"{result['pixels'] / 1e6:.0f} megapixels", "file", "`predict`, processor", "`read`, processor", "memory"]
    return harness.as_markdown(header, rows)


def as_deaths_table(result: dict[str, Any]) -> str:
    """How soon the service answers after worker processes have died, as Markdown."""
    deaths = result["deaths"]
    names = {"one": f"one of {result['workers']} workers is killed", "all": "all are killed at once"}
    rows = [
        [title, *(f"{number:.2f} s" for number in (statistics.median(seconds), max(seconds)))]
        for name, title in names.items()
        for seconds in [deaths[f"{name}_seconds"]]
    ]
    return harness.as_markdown([f"until the next answer, of {deaths['kills']} times", "median", "most"], rows)


def as_beside_table(result: dict[str, Any]) -> str:
    """What good requests wait, as Markdown."""
    beside = result["beside"]
    names = {"alone": "alone", "beside": f"while {beside['large']} of these pictures are read"}
    rows = [
        [text, *(f"{beside[name][key]:.0f} ms" for key in ("p50_ms", "p99_ms", "max_ms"))]
        for name, text in names.items()
    ]
    return harness.as_markdown([f"a digit, {result['workers']} workers", "median", "99 of 100", "most"], rows)


def as_soak_table(result: dict[str, Any]) -> str:
    """What came of the soak, as Markdown."""
    kept = result["soak"]
    first, last = kept["samples"][1], kept["samples"][-1]
    statuses = []
    for name, count in kept["answers"].items():
        kind, status = name.split()
        statuses.append(
            [f"{kind} requests {f'answered {status}' if status != '0' else 'without an answer'}", f"{count:,}"]
        )
    most = max(sample["memory_mb"] for sample in kept["samples"])
    return harness.as_markdown(
        [f"{kept['minutes']:g} minutes of good, bad, slow and large requests", ""],
        [
            *statuses,
            ["wrong answers, or none", f"{kept['wrong']}"],
            *([f"good `{route}`: median, 99 of 100", f"{good['p50_ms']:.0f} ms, {good['p99_ms']:.0f} ms"]
              for route, good in kept["good"].items()),
            ["memory of all processes at the start, at most, at the end",
             f"{first['memory_mb']:,.0f} MB, {most:,.0f} MB, {last['memory_mb']:,.0f} MB"],
            ["file descriptors at the start, at the end", f"{first['descriptors']:.0f}, {last['descriptors']:.0f}"],
            ["lines in the log", f"{kept['log_lines']}"],
            ["temporary files left", f"{kept['temporary_files_left']}"],
        ],
    )  # fmt: skip


BENCHMARK = Benchmark(RESULTS, __doc__, run, as_table, SETTINGS, only=PARTS, folder="serving")

if __name__ == "__main__":
    BENCHMARK.main()
