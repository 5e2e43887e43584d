"""Many pictures into a table: pictures a second by workers, and memory by pictures; here and on a Ray cluster.

    python benchmarks/scale.py                        # writes results/scale.json, prints the tables; ~20 minutes
    python benchmarks/scale.py --tiny --output FILE   # a few pictures, for the tests

The pictures are generated: MNIST's training digits on grey paper, one each or forty on a page. Seconds are those of
whole commands, start included, each in a fresh process and an output of its own; memory is the sum over the command and
its processes of what each has for itself (unique set size), looked at ten times a second. The cluster has two machines
of one core each, which are processes on this one; one of them is killed in the middle.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pyarrow.dataset

from mnist_digits.dataset import load_mnist
from mnist_digits.files import write_json
from mnist_digits.recognition import Classifier, Reader, read_picture
from mnist_digits.recognition.bulk import Mode

RESULTS = Path(__file__).parent.parent / "results" / "scale.json"
WORKERS = (1, 2)
ROWS, COLUMNS = 5, 8
SECONDS_A_LOOK = 0.1
PER_FILE: dict[Mode, int] = {"predict": 500, "read": 10}
"""Pictures in a file: so few that a machine lost in the middle of these sizes has finished some."""

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
"""What one would write without this command."""


@dataclass(frozen=True)
class Sizes:
    """How many pictures of each kind."""

    fewer: int = 2_000
    digits: int = 20_000
    pages: int = 200
    names: int = 1_000_000
    """In the list alone."""


def draw_digits(folder: Path, count: int) -> None:
    """So many pictures of 84×84 pixels, a digit each, as PNG."""
    images = load_mnist().train.images
    for number in range(count):
        paper = np.pad(235 - (0.8 * images[number % len(images)]).astype(np.uint8), 6, constant_values=235)
        cv2.imwrite(str(folder / f"{number:06d}.png"), cv2.resize(paper, (84, 84), interpolation=cv2.INTER_CUBIC))


def draw_pages(folder: Path, count: int) -> None:
    """So many pictures of about half a megapixel, forty digits each, as JPEG."""
    images = load_mnist().train.images
    for number in range(count):
        first = number * ROWS * COLUMNS % (len(images) - ROWS * COLUMNS)
        digits = images[first : first + ROWS * COLUMNS].reshape(ROWS, COLUMNS, 28, 28)
        rows = np.vstack([np.pad(np.hstack(list(row)), ((0, 12), (0, 0))) for row in digits])
        large = cv2.resize(np.pad(rows, 20), None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:06d}.jpg"), 235 - (0.8 * large).astype(np.uint8))


def run(command: Sequence[str]) -> dict[str, float]:
    """Seconds and megabytes at most of a command with its processes."""
    start = time.perf_counter()
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        peak = 0
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_A_LOOK)
                break
            peak = max(peak, _memory(process.pid))
        seconds = time.perf_counter() - start
        _, complaints = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {complaints.decode()}")
    return {"seconds": seconds, "peak_megabytes": peak / 1e6}


def _memory(pid: int) -> int:
    """Bytes that a process and those below it have for themselves."""
    total = 0
    # One that has just ended needs no counting: the next look finds the others.
    with suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            total += process.memory_full_info().uss
    return total


def read(mode: Mode, pictures: Path, count: int, *options: str) -> dict[str, float]:
    """The same for the command `digits read --output`, with pictures a second; checks that each is there once."""
    with tempfile.TemporaryDirectory(dir=pictures.parent) as folder:
        output = Path(folder, "readings.parquet")
        bulk = ["--mode", mode, "--output", str(output), "--pictures-per-file", str(PER_FILE[mode]), *options]
        measured = run([sys.executable, "-m", "mnist_digits", "read", str(pictures), *bulk])
        paths = pyarrow.dataset.dataset(output).to_table(columns=["path"]).column("path")
        assert len(paths) == len(paths.unique()) == count, f"{len(paths)} rows, expected {count}"
        row_bytes = sum(path.stat().st_size for path in output.glob("part-*")) / count
    rate = count / measured["seconds"]
    return {"pictures": count, **measured, "pictures_per_second": rate, "bytes_a_row": row_bytes}


def measure_workers(mode: Mode, pictures: Path, count: int) -> dict[str, Any]:
    """A plain loop in one process, and the command with each number of WORKERS."""
    loop = run([sys.executable, "-c", LOOP, mode, str(pictures)])
    rows = {"loop": {"pictures": count, **loop, "pictures_per_second": count / loop["seconds"]}}
    for workers in WORKERS:
        rows[str(workers)] = read(mode, pictures, count, "--workers", str(workers))
    return rows


def measure_listing(names: int) -> dict[str, float]:
    """The list of so many paths, from another Parquet file, until the first picture would be read."""
    program = (
        "import sys; from pathlib import Path; from mnist_digits.recognition.bulk import Output, Settings\n"
        "settings = Settings.of('predict', ['names'], False, 1000, None); count = int(sys.argv[2])\n"
        "names = (f'/pictures/{number // 1000:06d}/{number:09d}.png' for number in range(count))\n"
        "Output.create(Path(sys.argv[1]), settings, names, None)"
    )
    with tempfile.TemporaryDirectory() as folder:
        return {"names": names, **run([sys.executable, "-c", program, f"{folder}/names.parquet", str(names)])}


def measure_stages(digits: Path, pages: Path, count: int) -> dict[str, float]:
    """Milliseconds of processor time for one picture in one process: decoding alone, and all."""
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
    """The command on a Ray cluster of two machines, whole, and with one of them killed when a quarter is finished."""
    # Its processes are otherwise the nicest of the machine, and those of the command are not.
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
    """Kill a machine as soon as so many rows are finished in some output in the folder."""
    files = max(1, rows // PER_FILE["predict"])
    while len(list(folder.glob("*/readings.parquet/part-*.parquet"))) < files:
        time.sleep(0.05)
    cluster.remove_node(node, allow_graceful=False)


def as_reckoning(result: dict[str, Any], pictures: int = 1_000_000_000, cores: int = 1000) -> str:
    """What follows from the result for so many pictures on so many cores, as a Markdown table."""
    digits, pages = (("digit", "predict", "digits"), ("page", "read", "pages"))
    lines = [f"| {pictures:,} pictures | of a digit each | of a page each |", "|---|---:|---:|"]
    rows: dict[str, list[str]] = {}
    for kind, work, many in (digits, pages):
        milliseconds = result["stage_milliseconds"]
        hours = pictures * milliseconds[f"{work} a {kind}"] / 3.6e6
        decoding = milliseconds[f"decode a {kind}"] / milliseconds[f"{work} a {kind}"]
        size, row = result["bytes"][f"a {kind}'s picture"], result["workers"][many]["1"]["bytes_a_row"]
        for name, cell in {
            "core-hours": f"{hours:,.0f}",
            f"on {cores:,} cores": f"{hours / cores:,.1f} h",
            "of which decoding": f"{100 * decoding:.0f} %",
            "pictures in all": f"{pictures * size / 1e12:,.1f} TB",
            f"to be fetched by {cores:,} cores": f"{size * pictures * 8 / (hours / cores * 3600) / 1e9:,.1f} Gbit/s",
            "table in all": f"{pictures * row / 1e9:,.0f} GB",
        }.items():
            rows.setdefault(name, []).append(cell)
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def as_table(result: dict[str, Any]) -> str:
    """The result as Markdown tables."""
    lines = ["| pictures a second | plain loop | 1 process | 2 processes |", "|---|---:|---:|---:|"]
    for name, rows in result["workers"].items():
        cells = (f"{rows[key]['pictures_per_second']:,.1f}" for key in ("loop", "1", "2"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| 2 processes | pictures | memory at most |", "|---|---:|---:|"]
    for row in result["memory"]:
        lines.append(f"| digits | {row['pictures']:,} | {row['peak_megabytes']:.0f} MB |")
    if "cluster" in result:
        lines += ["", "| Ray, 2 machines of a core each | pictures | a second |", "|---|---:|---:|"]
        for name, row in result["cluster"].items():
            lines.append(f"| {name} | {row['pictures']:,} | {row['pictures_per_second']:,.1f} |")
    return "\n".join(lines)


def measure(sizes: Sizes, with_cluster: bool, folder: Path) -> dict[str, Any]:
    """Everything, with the pictures in a folder."""
    fewer, digits, pages = (folder / name for name in ("fewer", "digits", "pages"))
    for one, count, draw in (
        (fewer, sizes.fewer, draw_digits),
        (digits, sizes.digits, draw_digits),
        (pages, sizes.pages, draw_pages),
    ):
        one.mkdir()
        draw(one, count)
    few, many = read("predict", fewer, sizes.fewer, "--workers", "2"), measure_workers("predict", digits, sizes.digits)
    return {
        "workers": {"digits": many, "pages": measure_workers("read", pages, sizes.pages)},
        "memory": [few, many["2"]],
        "listing": measure_listing(sizes.names),
        "stage_milliseconds": measure_stages(digits, pages, min(sizes.pages, 200)),
        "bytes": {
            "a digit's picture": sum(path.stat().st_size for path in digits.iterdir()) / sizes.digits,
            "a page's picture": sum(path.stat().st_size for path in pages.iterdir()) / sizes.pages,
        },
        **({"cluster": measure_cluster(digits, sizes.digits)} if with_cluster else {}),
    }


def main() -> None:
    """Parse, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a few pictures, and no cluster")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args()
    if options.tiny and options.output == RESULTS:
        parser.error("--tiny measures nothing worth keeping: name another --output")
    sizes = Sizes(fewer=8, digits=24, pages=2, names=2000) if options.tiny else Sizes()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(sizes, not options.tiny, Path(folder))
    result = {"command": "python benchmarks/scale.py", "cores": os.cpu_count(), **measured}
    write_json(options.output, result)
    print(as_table(result), as_reckoning(result), sep="\n\n")


if __name__ == "__main__":
    main()
