"""`digits read --output` as a user meets it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pandas
import psutil
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from ray.cluster_utils import Cluster

from helpers.command import run_digits
from helpers.limits import files_of_at_most
from mnist_digits.dataset import Dataset
from mnist_digits.errors import install_command
from mnist_digits.recognition import Classifier
from mnist_digits.recognition.bulk import Output, Settings, list_pictures
from mnist_digits.recognition.bulk.table import PictureReader

COUNT = 240
Read = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folder(mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 digits as pictures, a hundredth of them cut short."""
    folder = tmp_path_factory.mktemp("bulk") / "scans"
    folder.mkdir()
    for number, image in enumerate(mnist.train.images[:COUNT]):
        path = folder / f"{number:04d}.png"
        Image.fromarray(255 - np.pad(image, 6)).resize((120, 120)).save(path)
        if number % 100 == 50:
            path.write_bytes(path.read_bytes()[:300])
    return folder


@pytest.fixture
def read(folder: Path) -> Read:
    """Run `digits read` beside that folder, in this process."""
    return partial(run_digits, "read", folder=folder.parent)


def table_of(folder: Path, output: Path, *options: str) -> list[str]:
    """The arguments that read all its digits, in files of ten."""
    table = ["--mode", "predict", "--output", str(output), "--pictures-per-file", "10"]
    # The last --workers counts; each is a second's work to start.
    return [str(folder), *table, "--workers", "1", *options]


def command(folder: Path, output: Path, *options: str) -> list[str]:
    """The same as a command line that turns warnings into errors."""
    return [sys.executable, "-W", "error", "-m", "mnist_digits", "read", *table_of(folder, output, *options)]


def files(output: Path) -> dict[str, int]:
    """The finished files, and when each was written, in nanoseconds."""
    return {path.name: path.stat().st_mtime_ns for path in output.glob("part-*.parquet")}


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.01)


def check_complete(folder: Path, output: Path) -> pandas.DataFrame:
    """Every picture exactly once, and nothing beside the files; returns the rows."""
    table = pandas.read_parquet(output).sort_values("path", ignore_index=True)
    assert table["path"].tolist() == sorted(map(str, folder.iterdir()))
    assert table["error"].notna().sum() == 2
    assert {path.name[:5] for path in output.iterdir()} == {"part-", "_mani", "_mode", "_path"}
    return table


def begin(folder: Path, output: Path, finished: int) -> dict[str, int]:
    """What the command has done when it has finished so many files; returns these."""
    settings = Settings.of("predict", [str(folder)], False, 10, None)
    begun = Output.create(output, settings, list_pictures([str(folder)]), None)
    reader = PictureReader("predict", begun.model)
    for number in range(finished):
        begun.write(number, reader.read(begun.paths(number)))
    return files(output)


def test_many_pictures_become_one_table(read: Read, folder: Path, tmp_path: Path):
    output = tmp_path / "new" / "readings.parquet"
    result = read(*table_of(folder, output, "--json"))
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {"output": str(output), "pictures": COUNT, "unreadable": 2}
    table = check_complete(folder, output)
    expected = Classifier().classify_many(sorted(folder.glob("*1.png")))
    rows = table[table["path"].str.endswith("1.png")]
    for (_, row), prediction in zip(rows.iterrows(), expected, strict=True):
        assert (None if pandas.isna(row["digit"]) else int(row["digit"])) == prediction.digit
        assert row["confidence"] == pytest.approx(prediction.confidence, abs=1e-5)
    before = files(output)
    again = read(*table_of(folder, output))
    assert (again.returncode, again.stdout) == (0, f"{output}: {COUNT} pictures, 2 of them unreadable\n")
    assert again.stderr == f"{output} is finished; --overwrite reads it anew\n"
    assert files(output) == before


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_what_was_ended_in_the_middle_is_continued(read: Read, folder: Path, tmp_path: Path, end: signal.Signals):
    output = tmp_path / "readings.parquet"
    options = command(folder, output, "--workers", "2")
    with subprocess.Popen(options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        wait_for(lambda: len(files(output)) >= 3)
        workers = psutil.Process(process.pid).children(recursive=True)
        # Ctrl-C goes to all processes of a terminal, a kill to one.
        (os.killpg if end == signal.SIGINT else os.kill)(process.pid, end)
        said, complained = (text.decode() for text in process.communicate(timeout=60))
    assert said == ""
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    # Had it been finished, nothing would be tested.
    before = files(output)
    assert 3 <= len(before) < COUNT / 10
    if end == signal.SIGINT:
        assert process.returncode == 130
        left = f"interrupted: {10 * len(before)} of {COUNT} pictures are in {output}; the same command continues\n"
        assert complained == left
    assert read(*table_of(folder, output)).returncode == 0
    check_complete(folder, output)
    assert before.items() <= files(output).items()


def test_a_full_disk_costs_no_finished_file(read: Read, folder: Path, tmp_path: Path):
    output = tmp_path / "readings.parquet"
    before = begin(folder, output, 3)
    with files_of_at_most(1024):
        result = read(*table_of(folder, output))
    assert (result.returncode, result.stdout) == (3, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"digits: {output}/part-0000")
    assert "File too large" in line
    assert line.endswith("make room or choose another folder; what is finished is kept, and the same command continues")
    assert files(output) == before
    assert list(output.glob(".*")) == []


def test_a_process_that_dies_is_told_in_a_line(folder: Path, tmp_path: Path):
    output = tmp_path / "readings.parquet"
    options = command(folder, output, "--workers", "2")
    with subprocess.Popen(options, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(lambda: files(output))
        # The youngest are the workers; the eldest keeps account of semaphores.
        psutil.Process(process.pid).children()[-1].kill()
        said, complained = (text.decode() for text in process.communicate(timeout=60))
    assert (process.returncode, said) == (3, "")
    assert complained.startswith(f"digits: {output}: a process died, perhaps for want of memory;")
    assert len(complained.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["scans", "--output", "o.parquet", "--annotate", "boxes"], 2, "--annotate with --output"),
        (["scans", "--output", "o.parquet", "--debug-folder", "why"], 2, "--debug-folder with --output"),
        (["-", "--output", "o.parquet"], 2, "- with --output"),
        (["scans", "--mode", "predict"], 2, "--mode goes with --output NAME.parquet"),
        (["scans", "--pictures-per-file", "7"], 2, "--pictures-per-file goes with --output"),
        (["scans", "--overwrite"], 2, "--overwrite goes with --output"),
        (["scans", "--output", "o.parquet", "--workers", "0"], 2, "x>=1"),
        (["scans", "--output", "o.parquet", "--model", "none.onnx"], 3, "none.onnx: No such file"),
        (["empty", "--output", "o.parquet"], 3, "empty: a folder without pictures"),
        (["files.parquet", "--output", "o.parquet"], 3, "has the columns file, expected one called path; rename it"),
        (["scans", "--output", "scans"], 3, "scans: exists, and is no output of `digits read`"),
        (["scans", "--output", "files.parquet", "--overwrite"], 3, "files.parquet: exists, and is no output"),
        (["scans", "--output", "files.parquet/o"], 3, "files.parquet/o: Not a directory"),
        (["scans", "--output", "o.parquet", "--cluster", "localhost:1"], 3, "localhost:1: Connection refused"),
        (["scans", "--output", "o.parquet", "--cluster", "ray://localhost:1"], 3, "ray://localhost:1: Connection ref"),
        (["scans", "--output", "o.parquet", "--cluster", "here"], 3, "here: not an address"),
        (["scans", "--output", "o.parquet", "--cluster", "localhost:70000"], 3, "localhost:70000: not an address"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    read: Read, folder: Path, arguments: list[str], status: int, message: str
):
    (folder.parent / "empty").mkdir(exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table({"file": ["7.png"]}), folder.parent / "files.parquet")
    result = read(*arguments)
    assert (result.returncode, result.stdout) == (status, "")
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not (folder.parent / "o.parquet").exists()


def test_another_call_needs_another_output_or_overwrite(read: Read, folder: Path, tmp_path: Path):
    output = tmp_path / "readings.parquet"
    begin(folder, output, 1)
    few = tmp_path / "few"
    few.mkdir()
    (few / "7.png").write_bytes((folder / "0000.png").read_bytes())
    options = table_of(few, output)
    result = read(*options, "--recursive")
    assert result.returncode == 3
    assert result.stderr == (
        f"digits: {output}: begun with other inputs and recursive; "
        "name another --output, or replace this one with --overwrite\n"
    )
    assert read(*options, "--overwrite").returncode == 0
    assert pandas.read_parquet(output)["path"].tolist() == [str(few / "7.png")]


@pytest.mark.parametrize(("answer", "message"), [(b"HTTP/1.1 400", "a web server answers"), (None, "timed out")])
def test_who_answers_otherwise_than_ray(
    read: Read, monkeypatch: pytest.MonkeyPatch, answer: bytes | None, message: str
):
    monkeypatch.setattr("mnist_digits.recognition.bulk.cluster.ADDRESS_TIMEOUT_SECONDS", 1)
    with socket.create_server(("localhost", 0)) as server:
        peers: list[socket.socket] = []

        def serve() -> None:
            peers.append(server.accept()[0])
            if answer:
                peers[0].sendall(answer)

        Thread(target=serve, daemon=True).start()
        address = f"ray://localhost:{server.getsockname()[1]}"
        result = read("scans", "--output", "o.parquet", "--cluster", address)
        assert result.returncode == 3
        peers[0].close()
    assert f"--cluster {address}: {message}; expected a Ray cluster" in result.stderr


@pytest.mark.parametrize("module", ["pyarrow", "ray"])
def test_a_missing_extra_is_named(folder: Path, tmp_path: Path, module: str):
    program = f"import sys; sys.modules[{module!r}] = None; from mnist_digits.cli import main; main()"
    options = [sys.executable, "-c", program, "read", str(folder), "--output", str(tmp_path / "o.parquet")]
    with socket.create_server(("localhost", 0)) as server:

        def answer_nothing() -> None:
            with server.accept()[0] as peer:
                # Closed with that unread, it would be a broken connection.
                peer.recv(100)

        Thread(target=answer_nothing, daemon=True).start()
        options += ["--cluster", f"localhost:{server.getsockname()[1]}"]
        result = subprocess.run(options, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == f"digits: {module} is not installed; {install_command('cluster')}\n"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Two machines with a core each, as processes of this one."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # or other tests leave it nothing
    # It gives a machine half a minute to start.
    slowly = SimpleNamespace(**{**vars(time), "monotonic": lambda: time.monotonic() / 10})
    monkeypatch.setattr("ray._private.node.time", slowly)
    machine = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=machine)
    cluster.add_node(**machine)
    cluster.wait_for_nodes(timeout=120)
    yield cluster
    cluster.shutdown()


def test_a_cluster_loses_a_machine_but_no_picture(folder: Path, tmp_path: Path, cluster: Cluster):
    output = tmp_path / "readings.parquet"
    options = command(folder, output, "--workers", "2", "--cluster", cluster.address)
    options.remove("error")
    options.remove("-W")  # Ray's own are not for this project to mend
    with subprocess.Popen(options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: process.poll() is not None or len(files(output)) >= 2)
        (lost,) = cluster.worker_nodes
        cluster.remove_node(lost, allow_graceful=False)
        before = files(output)
        said, complained = process.communicate(timeout=300)
    assert len(before) < COUNT / 10
    assert (process.returncode, said) == (0, f"{output}: {COUNT} pictures, 2 of them unreadable\n"), complained
    check_complete(folder, output)
    assert before.items() <= files(output).items()
