"""Bulk reading of many pictures: pictures a second by workers, memory by pictures, and a Ray cluster.

    python -m benchmarks.scale                        # writes results/scale.json, prints the tables; ~20 minutes
    python -m benchmarks.scale --tiny --output FILE   # a few pictures, for the tests

The pictures are generated: MNIST's training digits on grey paper, one each or forty on a page. Seconds are those of
whole commands, start included, each in a fresh process and with an output of its own; memory is the sum of the unique
set sizes of the command and its processes, sampled ten times a second. The cluster has two machines of one core each,
which are processes on this machine; one of them is killed in the middle.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pyarrow.dataset

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting
from mnist_digits.dataset import load_mnist
from mnist_digits.recognition import Classifier, Reader, read_picture
from mnist_digits.recognition.bulk import Mode

RESULTS = harness.RESULTS / "scale.json"
SETTINGS = {
    "fewer": Setting(2_000, 8),
    "digits": Setting(20_000, 24),
    "pages": Setting(200, 2),
    "names": Setting(1_000_000, 2000),
    "cluster": Setting(True, False),
}
WORKERS = (1, 2)
LINES, DIGITS_PER_LINE = 5, 8
PAGE_DIGITS = LINES * DIGITS_PER_LINE
MEMORY_SAMPLING_SECONDS = 0.1
PICTURES_PER_FILE: dict[Mode, int] = {"predict": 500, "read": 10}
"""So few that a machine that is lost in the middle of a measurement has finished some files."""

LOOP = """
import sys
from pathlib import Path
from mnist_digits.recognition import Classifier, Reader
import cv2
cv2.setNumThreads(1)
one = {"predict": Classifier().classify, "read": Reader().read}[sys.argv[1]]
for path in Path(sys.argv[2]).iterdir():
    one(path).to_json()
"""
"""The program one would write without the command."""

LISTING = """
import sys
from pathlib import Path
from mnist_digits.recognition.bulk import Output, Settings
settings = Settings.of("predict", ["names"], False, 1000, None)
names = (f"/pictures/{number // 1000:06d}/{number:09d}.png" for number in range(int(sys.argv[2])))
Output.create(Path(sys.argv[1]), settings, names, None)
"""
"""Lists a number of paths, as the command does before it reads the first picture."""


def draw_digits(folder: Path, count: int) -> None:
    """Write pictures of 84×84 pixels, a digit each, as PNG."""
    images = load_mnist().train.images
    for number in range(count):
        paper = np.pad(235 - (0.8 * images[number % len(images)]).astype(np.uint8), 6, constant_values=235)
        cv2.imwrite(str(folder / f"{number:06d}.png"), cv2.resize(paper, (84, 84), interpolation=cv2.INTER_CUBIC))


def draw_pages(folder: Path, count: int) -> None:
    """Write pictures of about half a megapixel, forty digits each, as JPEG."""
    images = load_mnist().train.images
    for number in range(count):
        first = number * PAGE_DIGITS % (len(images) - PAGE_DIGITS)
        digits = images[first : first + PAGE_DIGITS].reshape(LINES, DIGITS_PER_LINE, 28, 28)
        lines = np.vstack([np.pad(np.hstack(list(line)), ((0, 12), (0, 0))) for line in digits])
        large = cv2.resize(np.pad(lines, 20), None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:06d}.jpg"), 235 - (0.8 * large).astype(np.uint8))


def run_command(command: Sequence[str]) -> dict[str, float]:
    """Seconds and peak megabytes of a command with its processes."""
    start = time.perf_counter()
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        peak = 0
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(MEMORY_SAMPLING_SECONDS)
                break
            peak = max(peak, _unique_set_size(process.pid))
        seconds = time.perf_counter() - start
        _, complaints = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {complaints.decode()}")
    return {"seconds": seconds, "peak_megabytes": peak / 1e6}


def _unique_set_size(pid: int) -> int:
    """Bytes of memory that a process and its descendants do not share with others."""
    total = 0
    # A process that has just ended needs no counting: the next sample has the others.
    with suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            total += process.memory_full_info().uss
    return total


def read(mode: Mode, pictures: Path, count: int, *options: str) -> dict[str, float]:
    """Measure `digits read --output` on a folder of `count` pictures; checks that the table has each exactly once."""
    with tempfile.TemporaryDirectory(dir=pictures.parent) as folder:
        output = Path(folder, "readings.parquet")
        bulk = ["--mode", mode, "--output", str(output), "--pictures-per-file", str(PICTURES_PER_FILE[mode]), *options]
        measured = run_command([sys.executable, "-m", "mnist_digits", "read", str(pictures), *bulk])
        paths = pyarrow.dataset.dataset(output).to_table(columns=["path"]).column("path")
        assert len(paths) == len(paths.unique()) == count, f"{len(paths)} rows, expected {count}"
        row_bytes = sum(path.stat().st_size for path in output.glob("part-*")) / count
    rate = count / measured["seconds"]
    return {"pictures": count, **measured, "pictures_per_second": rate, "bytes_a_row": row_bytes}


def measure_workers(mode: Mode, pictures: Path, count: int) -> dict[str, Any]:
    """A plain loop in one process, and the command with each number of WORKERS."""
    loop = run_command([sys.executable, "-c", LOOP, mode, str(pictures)])
    rows = {"loop": {"pictures": count, **loop, "pictures_per_second": count / loop["seconds"]}}
    for workers in WORKERS:
        rows[str(workers)] = read(mode, pictures, count, "--workers", str(workers))
    return rows


def measure_listing(names: int) -> dict[str, float]:
    """Seconds and memory to list a number of paths that come from another Parquet file."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", LISTING, f"{folder}/names.parquet", str(names)]
        return {"names": names, **run_command(command)}


def measure_stages(digits: Path, pages: Path, count: int) -> dict[str, float]:
    """Milliseconds of processor time for a picture in one process: decoding alone, and all of reading it."""
    cv2.setNumThreads(1)
    classifier, reader = Classifier(), Reader()
    some_digits, some_pages = ([str(path) for path in sorted(folder.iterdir())[:count]] for folder in (digits, pages))
    works: dict[str, Callable[[], Any]] = {
        "decode a digit": lambda: [read_picture(path) for path in some_digits],
        "predict a digit": lambda: classifier.classify_many(some_digits),
        "decode a page": lambda: [read_picture(path) for path in some_pages],
        "read a page": lambda: [reader.read(path) for path in some_pages[: max(1, count // 10)]],
    }
    milliseconds = {}
    for name, work in works.items():
        start = time.process_time()
        done = work()
        milliseconds[name] = 1000 * (time.process_time() - start) / len(done)
    return milliseconds


def measure_cluster(pictures: Path, count: int) -> dict[str, Any]:
    """The command on a Ray cluster of two machines: undisturbed, and with one killed when a quarter is finished."""
    # By default Ray's workers have the lowest priority, which those of the command on one machine do not have.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    from ray.cluster_utils import Cluster

    machine = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=machine)
    try:
        lost = cluster.add_node(**machine)
        cluster.wait_for_nodes()
        rows = {"two machines": read("predict", pictures, count, "--cluster", cluster.address)}
        killer = threading.Thread(target=_kill_when, args=(cluster, lost, pictures.parent, count // 4), daemon=True)
        killer.start()
        rows["one of them killed"] = read("predict", pictures, count, "--cluster", cluster.address)
        assert not killer.is_alive(), "all was finished before the machine was killed"
    finally:
        cluster.shutdown()
    return rows


def _kill_when(cluster: Any, node: Any, folder: Path, rows: int) -> None:
    """Kill a machine as soon as a number of rows is finished in an output in the folder."""
    files = max(1, rows // PICTURES_PER_FILE["predict"])
    while len(list(folder.glob("*/readings.parquet/part-*.parquet"))) < files:
        time.sleep(0.05)
    cluster.remove_node(node, allow_graceful=False)


def as_estimate(result: dict[str, Any], pictures: int = 1_000_000_000, cores: int = 1000) -> str:
    """Extrapolation from the result to a number of pictures on a number of cores, as a Markdown table."""
    rows: dict[str, list[str]] = {}
    for kind, work, many in (("digit", "predict", "digits"), ("page", "read", "pages")):
        milliseconds = result["stage_milliseconds"]
        hours = pictures * milliseconds[f"{work} a {kind}"] / 3.6e6
        decoding = milliseconds[f"decode a {kind}"] / milliseconds[f"{work} a {kind}"]
        size, row = result["bytes"][f"a {kind}'s picture"], result["workers"][many]["1"]["bytes_a_row"]
        for name, cell in {
            "core-hours": f"{hours:,.0f}",
            f"on {cores:,} cores": f"{hours / cores:,.1f} h",
            "of which decoding": harness.as_percent(decoding, 0),
            "pictures in all": f"{pictures * size / 1e12:,.1f} TB",
            f"to be fetched by {cores:,} cores": f"{size * pictures * 8 / (hours / cores * 3600) / 1e9:,.1f} Gbit/s",
            "table in all": f"{pictures * row / 1e9:,.0f} GB",
        }.items():
            rows.setdefault(name, []).append(cell)
    header = [f"{pictures:,} pictures", "of a digit each", "of a page each"]
    return harness.as_markdown(header, ([name, *cells] for name, cells in rows.items()))


def as_table(result: dict[str, Any]) -> str:
    """The result as Markdown tables."""
    speed = (
        [name, *(f"{rows[key]['pictures_per_second']:,.1f}" for key in ("loop", "1", "2"))]
        for name, rows in result["workers"].items()
    )
    memory = (["digits", f"{row['pictures']:,}", f"{row['peak_megabytes']:.0f} MB"] for row in result["memory"])
    tables = [
        harness.as_markdown(["pictures a second", "plain loop", "1 process", "2 processes"], speed),
        harness.as_markdown(["2 processes", "pictures", "memory at most"], memory),
    ]
    if "cluster" in result:
        cluster = (
            [name, f"{row['pictures']:,}", f"{row['pictures_per_second']:,.1f}"]
            for name, row in result["cluster"].items()
        )
        tables.append(harness.as_markdown(["Ray, 2 machines of a core each", "pictures", "a second"], cluster))
    return "\n\n".join(tables)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Generate the pictures in a folder, and measure everything."""
    fewer, digits, pages = (folder / name for name in ("fewer", "digits", "pages"))
    for pictures, count, draw in (
        (fewer, options.fewer, draw_digits),
        (digits, options.digits, draw_digits),
        (pages, options.pages, draw_pages),
    ):
        pictures.mkdir()
        draw(pictures, count)
    few = read("predict", fewer, options.fewer, "--workers", "2")
    many = measure_workers("predict", digits, options.digits)
    return {
        "workers": {"digits": many, "pages": measure_workers("read", pages, options.pages)},
        "memory": [few, many["2"]],
        "listing": measure_listing(options.names),
        "stage_milliseconds": measure_stages(digits, pages, min(options.pages, 200)),
        "bytes": {
            "a digit's picture": sum(path.stat().st_size for path in digits.iterdir()) / options.digits,
            "a page's picture": sum(path.stat().st_size for path in pages.iterdir()) / options.pages,
        },
        **({"cluster": measure_cluster(digits, options.digits)} if options.cluster else {}),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return {"cores": os.cpu_count(), **measure(options, Path(folder))}


BENCHMARK = Benchmark(RESULTS, __doc__, run, lambda result: f"{as_table(result)}\n\n{as_estimate(result)}", SETTINGS)

if __name__ == "__main__":
    BENCHMARK.main()
