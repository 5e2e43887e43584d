"""Latency and throughput of inference: networks, whole commands, and pages.

    python -m benchmarks.inference                 # writes results/inference.json, prints the tables; ~4 minutes
    python -m benchmarks.inference --tiny --data FOLDER --output FILE    # seconds on a small set, for the tests

Measured are the latency of one image, with everything loaded and warm; the throughput of many on all cores, beside the
limit of the processor's arithmetic; whole commands, each in a fresh process; the size of an installation; and the
latency of reading a page of forty digits of about a megapixel, and of the same as a photo of twelve megapixels.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting, measure_seconds
from benchmarks.inference.networks import RUNTIMES, SHIPPED, measure_network
from benchmarks.inference.pages import PAGES, measure_page
from mnist_digits.dataset import load_mnist

RESULTS = harness.RESULTS / "inference.json"
SETTINGS = {
    "rounds": Setting(5, 1, "turns that each runtime takes"),
    "processes": Setting(10, 1, "runs of `digits predict`"),
    "runs": Setting(5, 1, "runs of each other command"),
    "readings": Setting(15, 1, "readings of each page"),
    "warm_up": Setting(1, 0),
    "networks": Setting(("dense", "cnn", "reader"), ("dense",)),
    "images": Setting(10_000, 100),
    "seconds": Setting(0.2, 0.01),
    "side": Setting(2048, 128),
    "training": Setting((), ("--set=epochs=1", "--set=jit_compile=false")),
}
LOADING = "load_mnist"

WATCH = """
import json, os, sys, time
start = time.perf_counter()
command = [sys.executable, "-m", "mnist_digits", *sys.argv[1:]]
_, status, usage = os.wait4(os.spawnv(os.P_NOWAIT, sys.executable, command), 0)
assert status == 0
print(json.dumps([time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""
"""Runs `digits` from a small process, because Linux counts the parent's memory at the start as a child's."""


def measure_command(arguments: list[str], runs: int, warm_up: int) -> dict[str, Any]:
    """Wall-clock and processor seconds and resident megabytes of `digits`, each time in a fresh process and folder."""
    measured = []
    for _ in range(warm_up + runs):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", WATCH, *arguments]
            output = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
        measured.append(json.loads(output.splitlines()[-1]))
    seconds, processor, memory = zip(*measured[warm_up:], strict=True)
    return {
        "seconds": seconds,
        "median_seconds": statistics.median(seconds),
        "processor_seconds": statistics.median(processor),
        "resident_megabytes": max(memory),
    }


def measure_loading(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds that `load_mnist` takes in fresh processes, after its module is imported."""
    seconds = [BENCHMARK.run_part(LOADING, options) for _ in range(options.warm_up + options.runs)][options.warm_up :]
    return {"median_seconds": statistics.median(seconds), "seconds": seconds}


def measure_part(part: str, options: argparse.Namespace) -> Any:
    """What needs a process of its own: loading MNIST, or reading one of the pages."""
    if part == LOADING:
        return measure_seconds(lambda: load_mnist(options.data))
    return measure_page(part, options.readings)


def measure_installation() -> float:
    """Megabytes of files that `pip install .` puts into an empty virtual environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder)
        pip = [sys.executable, "-m", "pip", "--python", str(Path(folder) / "bin" / "python"), "--quiet"]
        # pip takes no folder where it is to verify hashes.
        lines = (harness.ROOT / "constraints.txt").read_text().splitlines()
        pinned = [line.rstrip(" \\") for line in lines if "==" in line]
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(pinned))
        subprocess.run([*pip, "install", "--constraint", str(constraints), str(harness.ROOT)], check=True)
        packages = next(Path(folder).glob("lib/*/site-packages"))
        return sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) / 1e6


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    images = load_mnist().test.images[: options.images]
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "one.png"
        Image.fromarray(255 - np.kron(images[0], np.ones((10, 10), np.uint8))).save(picture)
        predict = measure_command(["predict", str(picture)], options.processes, options.warm_up)
    train = ["train", "dense", *options.training]
    if options.data:
        train.append(f"--data={options.data.resolve()}")
    commands = {
        "digits --help": measure_command(["--help"], options.runs, options.warm_up),
        LOADING: measure_loading(options),
        "digits train dense": measure_command(train, options.runs, options.warm_up),
    }
    # NumPy has one thread, too, as in `digits read`.
    pages = {name: BENCHMARK.run_part(name, options, OPENBLAS_NUM_THREADS="1") for name in PAGES}
    environment = harness.describe_environment()
    networks = []
    for name in options.networks:
        networks.append(measure_network(name, images, options))
        print(networks[-1], file=sys.stderr)
    return {
        "images": len(images),
        "shipped": SHIPPED,
        "environment": environment,
        "networks": networks,
        "digits_predict": predict,
        # In tiny mode nothing is installed: that needs a network.
        "installation_megabytes": None if options.tiny else measure_installation(),
        "commands": commands,
        "pages": pages,
    }


def as_table(result: dict[str, Any]) -> str:
    """Networks and `digits predict` as three Markdown tables."""
    networks = result["networks"]
    names = [f"`{network['name']}`" + ", shipped" * (network["name"] == result["shipped"]) for network in networks]
    single = (
        [runtime, *(_duration(network["one_image_microseconds"].get(runtime)) for network in networks)]
        for runtime in RUNTIMES
    )
    many = (
        [runtime, *(_rate(network, runtime) for network in networks)] for runtime in networks[0]["images_per_second"]
    )
    process = result["digits_predict"]
    times = [f"{process[key]:.2f} s" for key in ("median_seconds", "processor_seconds")]
    sizes = [
        f"{size:.0f} MB" if size else "" for size in (process["resident_megabytes"], result["installation_megabytes"])
    ]
    header = ["a process of its own", "from start to end", "processor", "memory", "installed"]
    tables = [
        harness.as_markdown(["one image", *names], single),
        harness.as_markdown([f"{result['images']:,} images", *names], many),
        harness.as_markdown(header, [["`digits predict one.png`", *times, *sizes]]),
    ]
    return "\n\n".join(tables)


def _duration(microseconds: float | None) -> str:
    if microseconds is None:
        return ""
    return f"{microseconds:.0f} µs" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"


def _rate(network: dict[str, Any], runtime: str) -> str:
    share = network["share_of_arithmetic_limit"][runtime]
    return f"{network['images_per_second'][runtime]:,.0f} per s, {harness.as_percent(share, 0)}"


def as_page_table(result: dict[str, Any]) -> str:
    """Pages as a Markdown table."""
    rows = ((name, f"{page['median_milliseconds']:.0f} ms") for name, page in result["pages"].items())
    return harness.as_markdown(["a page of 40 digits", "one core"], rows)


def as_command_table(result: dict[str, Any]) -> str:
    """Whole commands as a Markdown table."""
    rows = ((name, f"{command['median_seconds']:.2f} s") for name, command in result["commands"].items())
    return harness.as_markdown(["a process of its own", "median"], rows)


def as_tables(result: dict[str, Any]) -> str:
    """All of the result."""
    return "\n\n".join((as_table(result), as_command_table(result), as_page_table(result)))


BENCHMARK = Benchmark(
    RESULTS, __doc__, run, as_tables, SETTINGS, needs_small_set=True, parts=(LOADING, *PAGES), measure_part=measure_part
)
