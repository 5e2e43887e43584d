"""How many requests `digits serve` answers, how soon, and what a minute of good and bad ones does to it.

    python benchmarks/serving.py                        # writes results/serving.json, prints the tables; ~3 minutes
    python benchmarks/serving.py --tiny --output FILE   # seconds, for the tests

The requests come from wrk (apt-get install wrk) on the same machine: it takes its share of the cores.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from mnist_digits.dataset import load_mnist
from mnist_digits.files import write_json
from mnist_digits.recognition import Reader

RESULTS = Path(__file__).parent.parent / "results" / "serving.json"
CONNECTIONS = (1, 8, 64)
WORKERS = 2
WARM_SECONDS = 10
"""After so long a service has taken the memory that it will need."""

SCRIPT = """
local file = io.open("{body}", "rb")
wrk.method, wrk.body = "{method}", file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/octet-stream"
"""
"""Sends one body again and again."""

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
"""Sends them mixed, and compares each answer with what it should be. A thread has one connection: the answer that comes
is that to the last request."""

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


def digit_png(image: np.ndarray) -> bytes:
    """A digit, uint8 (28, 28), as a drawing of 280×280, dark on light."""
    large = Image.fromarray(255 - image).resize((280, 280), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    large.save(file, "PNG")
    return file.getvalue()


@contextmanager
def service(workers: int) -> Iterator[tuple[psutil.Process, str, float]]:
    """`digits serve` on a free port: its process, its address, and the seconds until it answered /readyz."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "mnist_digits", "serve", "--port", "0", "--workers", str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().split()[0]
            urllib.request.urlopen(f"{address}/readyz", timeout=60).close()
            yield psutil.Process(process.pid), address, time.perf_counter() - start
        finally:
            process.terminate()
            process.wait(60)


def run_wrk(address: str, script: str, threads: int, connections: int, seconds: float) -> dict[str, Any]:
    """What wrk counted."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script + TOTALS.format())
        file.flush()
        command = ["wrk", "--threads", str(threads), "--connections", str(connections), "--timeout", "30s"]
        command += ["--duration", f"{max(1, round(seconds))}s", "--script", file.name, address]
        output = subprocess.check_output(command, text=True)
    return json.loads(output.partition("RESULT")[2].splitlines()[0])


def measure_rate(address: str, path: str, body: Path, connections: int, seconds: float) -> dict[str, Any]:
    """Requests a second and their latencies, of one request again and again, after a second to warm up."""
    script = SCRIPT.format(body=body, method="GET" if path == "/healthz" else "POST")
    run_wrk(address + path, script, 1, connections, 1)
    result = run_wrk(address + path, script, 1, connections, seconds)
    if result["statuses_from_400"] or result["socket_errors"]:
        raise SystemExit(f"{path}: {result}: expected no failures")
    kept = {name: result[name] for name in ("p50_ms", "p95_ms", "p99_ms")}
    return {
        "path": path, "connections": connections, "requests_per_second": result["requests"] / result["seconds"], **kept
    }  # fmt: skip


def write_kinds(folder: Path) -> list[dict[str, Any]]:
    """Files with ten good requests of each kind and some bad ones; what the answer to each must be and hold."""
    images, reader = load_mnist().test.images, Reader()
    kinds: list[dict[str, Any]] = []

    def add(path: str, content: bytes, status: int, found: str, kind: str = "application/octet-stream") -> None:
        file = folder / f"{len(kinds)}.bin"
        file.write_bytes(content)
        kinds.append({"path": path, "body": str(file), "status": status, "found": found, "type": kind})

    for image in images[:10]:
        add(
            "/v1/classify",
            image.tobytes(),
            200,
            f'"digit": {json.dumps(reader.classifier.judge(image[None]).digits[0])}',
        )
        digit = json.dumps(reader.classifier.classify(digit_png(image)).digit)
        add("/v1/predict", digit_png(image), 200, f'"digit": {digit}')
    add("/v1/classify", bytes(783), 400, "783 bytes")
    add("/v1/classify", b'{"images": [[[0, 1, 300]]]}', 400, "images.0", "application/json")
    add("/v1/predict", b"no picture", 422, "not a picture")
    add("/v1/predict", digit_png(images[0])[:900], 422, "damaged picture")
    add("/v1/read", b"--edge\r\nbroken", 400, "form without files", "multipart/form-data; boundary=edge")
    add("/v2/models/digits/infer", b"{}", 400, "inputs")
    return kinds


def as_lua(kinds: list[dict[str, Any]]) -> str:
    """A table of Lua."""
    rows = (", ".join(f"{name} = {json.dumps(value)}" for name, value in kind.items()) for kind in kinds)
    return "{" + ", ".join(f"{{{row}}}" for row in rows) + "}"


def measure_mixed(process: psutil.Process, address: str, folder: Path, connections: int, seconds: float) -> dict:
    """Counts of answers, and the memory of all processes of the service while they are given."""
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


def as_table(result: dict[str, Any]) -> str:
    """The result as Markdown tables."""
    lines = [
        f"| {result['workers']} workers, {result['cores']} cores | connections | requests per s | p50 | p95 | p99 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in result["rates"]:
        times = " | ".join(f"{row[name]:.1f} ms" for name in ("p50_ms", "p95_ms", "p99_ms"))
        lines.append(f"| {row['name']} | {row['connections']} | {row['requests_per_second']:,.0f} | {times} |")
    mixed = result["mixed"]
    warm, end = (f"{mixed[name]:.0f} MB" for name in ("memory_warm_mb", "memory_end_mb"))
    lines += [
        "",
        f"| {mixed['seconds']:.0f} s of good and bad requests, {mixed['connections']} connections | |",
        "|---|---:|",
        f"| right answers | {mixed['right']:,} |",
        f"| bad requests, refused with the right status | {mixed['declined']:,} |",
        f"| sent away with 503 | {mixed['busy']:,} |",
        f"| anything else | {mixed['wrong'] + mixed['socket_errors']:,} |",
        f"| memory of all processes after {WARM_SECONDS} s, at the end | {warm}, {end} |",
        f"| from the command to the first answer, 1 worker | {result['start_seconds']:.1f} s |",
    ]
    return "\n".join(lines)


def measure(seconds: float, mixed_seconds: float, connections: tuple[int, ...], starts: int) -> dict[str, Any]:
    """All of it."""
    waited = []
    for _ in range(starts):
        with service(1) as (_, _, start_seconds):
            waited.append(start_seconds)
    with tempfile.TemporaryDirectory() as name, service(WORKERS) as (process, address, _):
        folder = Path(name)
        image = load_mnist().test.images[0]
        bodies = {"image": image.tobytes(), "picture": digit_png(image), "nothing": b""}
        for body, content in bodies.items():
            (folder / body).write_bytes(content)
        asked = {
            "`/healthz`: HTTP alone": ("/healthz", "nothing"),
            "`/v1/classify`, one image": ("/v1/classify", "image"),
            "`/v1/predict`, PNG of 280×280": ("/v1/predict", "picture"),
        }
        rates = [
            {"name": title, **measure_rate(address, path, folder / body, count, seconds)}
            for title, (path, body) in asked.items()
            for count in connections
        ]
        mixed = measure_mixed(process, address, folder, max(connections), mixed_seconds)
    memory = mixed["memory_mb"]
    warm = min(WARM_SECONDS, len(memory) // 2)
    mixed |= {"memory_warm_mb": memory[warm], "memory_end_mb": statistics.median(memory[-3:])}
    return {
        "command": "python benchmarks/serving.py",
        "cores": os.cpu_count(),
        "workers": WORKERS,
        "start_seconds": statistics.median(waited),
        "rates": rates,
        "mixed": mixed,
    }


def main() -> None:
    """Parse, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a second of each, with few connections")
    parser.add_argument("--seconds", type=float, default=10, help="of each rate (default: 10)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args()
    if options.tiny and options.output == RESULTS:
        parser.error("--tiny measures nothing worth keeping: name another --output")
    if not shutil.which("wrk"):
        parser.error("wrk is not installed: apt-get install wrk")
    result = measure(1, 3, (2,), 1) if options.tiny else measure(options.seconds, 60, CONNECTIONS, 5)
    write_json(options.output, result)
    print(as_table(result))


if __name__ == "__main__":
    main()
