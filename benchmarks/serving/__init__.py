"""Throughput and latency of `digits serve`, and its answers and memory under a minute of valid and invalid requests.

    python -m benchmarks.serving                        # writes results/serving.json, prints the tables; ~6 minutes
    python -m benchmarks.serving --tiny --output FILE   # seconds, for the tests

The requests come from wrk (apt-get install wrk), which shares the machine's cores with the service.
"""

import argparse
import http.client
import io
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting
from mnist_digits.dataset import load_mnist
from mnist_digits.recognition import Reader

RESULTS = harness.RESULTS / "serving.json"
SETTINGS = {
    "seconds": Setting(10.0, 1.0, "seconds of each throughput"),
    "mixed_seconds": Setting(60, 1),
    "connections": Setting((1, 8, 64), (2,)),
    "starts": Setting(10, 1),
}
WORKERS = 2
WARM_SECONDS = 10
"""Seconds of requests after which the service's memory should no longer grow."""
OCTETS = "application/octet-stream"

PAUSE_SECONDS = 0.2
"""Between two runs of wrk."""

START_CONNECTIONS, START_SECONDS = 8, 5.0
"""Connections, kept, and seconds of requests after each start of the service: is every start as good as the others?"""

SCRIPT = """
local file = io.open("{body}", "rb")
wrk.method, wrk.body = "{method}", file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/octet-stream"
"""
"""wrk script that sends one body again and again."""

MIXED = """
local kinds = {kinds}
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function init()
  math.randomseed(os.time() + tonumber(tostring({{}}):sub(8), 16))
  right, declined, busy, wrong = 0, 0, 0, 0
  for _, kind in ipairs(kinds) do
    local file = io.open(kind.body, "rb")
    kind.request = wrk.format("POST", kind.path, {{["Content-Type"] = kind.type}}, file:read("*a"))
    file:close()
  end
end
function request() last = kinds[math.random(#kinds)]; return last.request end
function response(status, headers, body)
  if status == 503 then busy = busy + 1
  elseif status ~= last.status or not body:find(last.found, 1, true) then wrong = wrong + 1
  elseif status == 200 then right = right + 1
  else declined = declined + 1 end
end
"""
"""wrk script that sends kinds of requests in random order, and compares each response with the expected one. A thread
has one connection, so a response belongs to the thread's last request."""

TOTALS = """
function done(summary, latency, requests)
  local counted = {{right = 0, declined = 0, busy = 0, wrong = 0}}
  for _, thread in ipairs(threads or {{}}) do
    for name in pairs(counted) do counted[name] = counted[name] + (thread:get(name) or 0) end
  end
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('\\nRESULT{{"requests": %d, "seconds": %f, "p50_ms": %f, "p95_ms": %f, "p99_ms": %f, '
    .. '"socket_errors": %d, "statuses_from_400": %d, "right": %d, "declined": %d, "busy": %d, "wrong": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, errors, summary.errors.status, counted.right, counted.declined, counted.busy,
    counted.wrong))
end
"""


def digit_png(image: NDArray[np.uint8], side: int = 280) -> bytes:
    """A digit, uint8 (28, 28), as a PNG of 280×280 pixels, or another side's square, dark on light."""
    large = Image.fromarray(255 - image).resize((side, side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    large.save(file, "PNG")
    return file.getvalue()


@contextmanager
def run_ready_service(workers: int) -> Iterator[tuple[psutil.Process, str, float]]:
    """`digits serve`: its process, its address, and the seconds from the command until it answered /readyz."""
    start = time.perf_counter()
    with harness.run_service("--workers", str(workers)) as (pid, address):
        urllib.request.urlopen(f"{address}/readyz", timeout=60).close()
        yield psutil.Process(pid), address, time.perf_counter() - start


def run_wrk(address: str, script: str, threads: int, connections: int, seconds: float) -> dict[str, Any]:
    """Run a wrk script; returns the numbers that TOTALS prints."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script + TOTALS.format())
        file.flush()
        command = ["wrk", "--threads", str(threads), "--connections", str(connections), "--timeout", "30s"]
        command += ["--duration", f"{max(1, round(seconds))}s", "--script", file.name, address]
        output = subprocess.check_output(command, text=True)
    return json.loads(output.partition("RESULT")[2].splitlines()[0])


def measure_rate(address: str, path: str, body: Path, connections: int, seconds: float) -> dict[str, Any]:
    """Throughput and latencies of one request sent again and again, after a second to warm up."""
    script = SCRIPT.format(body=body, method="GET" if path == "/healthz" else "POST")
    run_wrk(address + path, script, 1, connections, 1)
    # Until the service has noticed that those connections are closed.
    time.sleep(PAUSE_SECONDS)
    result = run_wrk(address + path, script, 1, connections, seconds)
    if result["statuses_from_400"] or result["socket_errors"]:
        raise SystemExit(f"{path}: {result}: expected no failures")
    kept = {name: result[name] for name in ("p50_ms", "p95_ms", "p99_ms")}
    return {
        "path": path, "connections": connections, "requests_per_second": result["requests"] / result["seconds"], **kept
    }  # fmt: skip


def measure_starts(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """`measure_rate` of a picture after each start of the service, and the workers' share of its processor time."""
    body = folder / "body"
    body.write_bytes(digit_png(load_mnist().test.images[0]))
    rates = []
    for _ in range(options.starts):
        with run_ready_service(WORKERS) as (process, address, _):
            wait_for_workers(process, address)
            before = processor_seconds(process)
            seconds = min(options.seconds, START_SECONDS)
            rate = measure_rate(address, "/v1/predict", body, START_CONNECTIONS, seconds)
            took = [after - before.get(pid, 0.0) for pid, after in processor_seconds(process).items()]
            rates.append({**rate, "busiest_worker_share": max(took) / max(sum(took), 1e-9)})
    return rates


def wait_for_workers(process: psutil.Process, address: str) -> None:
    """Ask until every worker has answered: one that is still loading is given no connection."""
    port = int(address.rpartition(":")[2])
    while True:
        asked = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(WORKERS)]
        for connection in asked:
            # One that has just been killed resets its connections.
            with suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/healthz")
                connection.getresponse().read()
        held = [connections_of(child, port) for child in process.children()]
        for connection in asked:
            connection.close()
        if sum(count > 0 for count in held) == WORKERS:
            return
        time.sleep(0.1)


def connections_of(process: psutil.Process, port: int) -> int:
    """How many connections to a port a process holds; none when it has just ended."""
    try:
        return sum(one.laddr.port == port and one.status == "ESTABLISHED" for one in process.net_connections())
    except psutil.Error:
        return 0


def processor_seconds(process: psutil.Process) -> dict[int, float]:
    """Processor time of each process that the service has started, by its id."""
    return {child.pid: sum(child.cpu_times()[:2]) for child in process.children()}


def write_kinds(folder: Path) -> list[dict[str, Any]]:
    """Write the bodies of valid and invalid requests; returns for each its path, type, expected status and content."""
    images, reader = load_mnist().test.images, Reader()
    kinds: list[dict[str, Any]] = []

    def add(path: str, content: bytes, status: int, found: str, kind: str = OCTETS) -> None:
        file = folder / f"{len(kinds)}.bin"
        file.write_bytes(content)
        kinds.append({"path": path, "body": str(file), "status": status, "found": found, "type": kind})

    for image in images[:10]:
        digit = reader.classifier.judge(image[None]).digits[0]
        add("/v1/classify", image.tobytes(), 200, f'"digit": {json.dumps(digit)}')
        digit = reader.classifier.classify(digit_png(image)).digit
        add("/v1/predict", digit_png(image), 200, f'"digit": {json.dumps(digit)}')
    add("/v1/classify", bytes(783), 400, "783 bytes")
    add("/v1/classify", b'{"images": [[[0, 1, 300]]]}', 400, "images.0", "application/json")
    add("/v1/predict", b"no picture", 422, "not a picture")
    add("/v1/predict", digit_png(images[0])[:900], 422, "damaged picture")
    add("/v1/read", b"--edge\r\nbroken", 400, "form without files", "multipart/form-data; boundary=edge")
    add("/v2/models/digits/infer", b"{}", 400, "inputs")
    return kinds


def as_lua(kinds: list[dict[str, Any]]) -> str:
    """The kinds of requests as a Lua table."""
    rows = (", ".join(f"{name} = {json.dumps(value)}" for name, value in kind.items()) for kind in kinds)
    return "{" + ", ".join(f"{{{row}}}" for row in rows) + "}"


def measure_mixed(
    process: psutil.Process, address: str, folder: Path, connections: int, seconds: float
) -> dict[str, Any]:
    """Counts of responses by kind, and the memory of the service's processes, in megabytes, sampled once a second."""
    memory: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            processes = [process, *process.children(recursive=True)]
            memory.append(sum(one.memory_info().rss for one in processes) / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        script = MIXED.format(kinds=as_lua(write_kinds(folder)))
        counted = run_wrk(address, script, connections, connections, seconds)
    finally:
        ended.set()
        watcher.join()
    return {"connections": connections, **counted, "memory_mb": memory}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed: apt-get install wrk")
    waited = []
    for _ in range(options.starts):
        with run_ready_service(1) as (_, _, start_seconds):
            waited.append(start_seconds)
    with tempfile.TemporaryDirectory() as name:
        starts = measure_starts(Path(name), options)
    with tempfile.TemporaryDirectory() as name, run_ready_service(WORKERS) as (process, address, _):
        folder = Path(name)
        rates = measure_rates(address, folder, options)
        connections = max(options.connections)
        mixed = measure_mixed(process, address, folder, connections, options.mixed_seconds)
    memory = mixed["memory_mb"]
    warm = min(WARM_SECONDS, len(memory) // 2)
    mixed |= {"memory_warm_mb": memory[warm], "memory_end_mb": statistics.median(memory[-3:])}
    return {
        "cores": os.cpu_count(),
        "workers": WORKERS,
        "start_seconds": statistics.median(waited),
        "starts": starts,
        "rates": rates,
        "mixed": mixed,
    }


def measure_rates(address: str, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """`measure_rate` of HTTP alone, an image and a picture, each with every number of connections."""
    image = load_mnist().test.images[0]
    requests = {
        "`/healthz`: HTTP alone": ("/healthz", b""),
        "`/v1/classify`, one image": ("/v1/classify", image.tobytes()),
        "`/v1/predict`, PNG of 28×28": ("/v1/predict", digit_png(image, 28)),
        "`/v1/predict`, PNG of 280×280": ("/v1/predict", digit_png(image)),
    }
    rates = []
    for title, (path, content) in requests.items():
        body = folder / "body"
        body.write_bytes(content)
        for count in options.connections:
            rates.append({"name": title, **measure_rate(address, path, body, count, options.seconds)})
    return rates


def as_table(result: dict[str, Any]) -> str:
    """The result as Markdown tables."""
    rates = []
    for row in result["rates"]:
        latencies = [f"{row[name]:.1f} ms" for name in ("p50_ms", "p95_ms", "p99_ms")]
        rates.append([row["name"], str(row["connections"]), f"{row['requests_per_second']:,.0f}", *latencies])
    mixed = result["mixed"]
    warm, end = (f"{mixed[name]:.0f} MB" for name in ("memory_warm_mb", "memory_end_mb"))
    under_load = {
        "right answers": f"{mixed['right']:,}",
        "bad requests, refused with the right status": f"{mixed['declined']:,}",
        "sent away with 503": f"{mixed['busy']:,}",
        "anything else": f"{mixed['wrong'] + mixed['socket_errors']:,}",
        f"memory of all processes after {WARM_SECONDS} s, at the end": f"{warm}, {end}",
        "from the command to the first answer, 1 worker": f"{result['start_seconds']:.1f} s",
    }
    machine = f"{result['workers']} workers, {result['cores']} cores"
    load = f"{mixed['seconds']:.0f} s of good and bad requests, {mixed['connections']} connections"
    tables = [
        harness.as_markdown([machine, "connections", "requests per s", "p50", "p95", "p99"], rates),
        harness.as_markdown([load, ""], under_load.items()),
    ]
    if "starts" in result:
        tables.insert(1, starts_table(result["starts"]))
    return "\n\n".join(tables)


def starts_table(starts: list[dict[str, Any]]) -> str:
    """What each start of the service was good for, as Markdown."""
    rates = sorted(row["requests_per_second"] for row in starts)
    rows = {
        "requests per s: least, median, most": f"{rates[0]:,.0f}, {statistics.median(rates):,.0f}, {rates[-1]:,.0f}",
        "p99: most": f"{max(row['p99_ms'] for row in starts):.1f} ms",
        f"processor time of the busier of {WORKERS} workers: most": harness.as_percent(
            max(row["busiest_worker_share"] for row in starts)
        ),
    }
    kind = f"PNG of 280×280, {START_CONNECTIONS} connections, {len(starts)} starts"
    return harness.as_markdown([kind, ""], rows.items())


BENCHMARK = Benchmark(RESULTS, __doc__, run, as_table, SETTINGS)
