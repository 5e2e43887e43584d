import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest

from helpers.command import Digits, run_digits
from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError, UsageError
from mnist_digits.recognition import Classifier
from mnist_digits.runs import Run
from mnist_digits.training.shipped import making

pytestmark = [
    pytest.mark.usefixtures("eagerly"),
    pytest.mark.filterwarnings("ignore:Even though the .tf.config:UserWarning"),
]


class NothingButTheCard:
    """In the place of a run's report, which takes longer than tiny models."""

    def __init__(self, run: Run, *_: object) -> None:
        self.run = run

    def __enter__(self) -> "NothingButTheCard":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def finish(self) -> None:
        self.run.card.write_text("the card")


def in_a_thread(mp_context: object, initializer: object, initargs: tuple[Any, ...]) -> ThreadPoolExecutor:
    """In the place of processes, which first have to start."""
    first, *arguments = initargs
    return ThreadPoolExecutor(1, initializer=first, initargs=tuple(arguments))


@pytest.fixture(scope="module", autouse=True)
def _in_this_process() -> Iterator[None]:
    with (
        mock.patch("mnist_digits.training.train.ReportProcess", NothingButTheCard),
        mock.patch("mnist_digits.training.synthesis.drawing.ProcessPoolExecutor", in_a_thread),
    ):
        yield


Made = tuple[Path, "CompletedProcess[str]"]


@pytest.fixture(scope="module")
def made(eagerly: None, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Tiny models, by one command without a break: their folder, and what the command said."""
    folder = tmp_path_factory.mktemp("models")
    return folder / "tiny", run_digits("models", "tiny", "--tiny", folder=folder)


def test_all_that_is_shipped_is_made_and_told(made: Made):
    folder, result = made
    assert result.returncode == 0, result.stderr
    assert {*making.DESTINATIONS, making.RESULTS} <= {path.name for path in folder.iterdir()}
    assert set(making.DESTINATIONS.values()) | {"recognition/models/README.md"} == {
        path.relative_to(making.PACKAGE).as_posix()
        for room in ("recognition/models", "serving/page/models")
        for path in (making.PACKAGE / room).iterdir()
    }
    results = json.loads((folder / making.RESULTS).read_text())
    rows = [line.split() for line in result.stdout.splitlines()[1:4]]
    for row, model in zip(rows, results["models"], strict=True):
        size = (folder / model["file"]).stat().st_size
        assert model["bytes"] == size
        assert row[:3] == [model["file"], f"{size / 1000:,.0f}", "kB"]
        assert model["seconds"] > 0
    accuracy = json.loads((folder / "runs/reader/seed-0/metrics.json").read_text())["test"]["accuracy"]
    assert rows[0][3] == f"{100 * accuracy:.2f}"
    assert [line for line in result.stderr.splitlines() if line.startswith("detector: epoch")]
    assert results["training"]["reader"]["synthetic_copies"] == 1
    assert Classifier(folder / "digits.onnx").can_reject
    assert "on 16 pages that" in (folder / "detector.md").read_text()
    assert f"`dense-plus`, {results['seed']} |" in (folder / "page.md").read_text()


class Crash(Exception):
    """The power fails."""


def test_what_was_killed_and_goes_on_makes_the_same_files(made: Made, mnist: Dataset, tmp_path: Path):
    whole, broken = made[0], tmp_path / "broken"
    # Killed before the classifier was begun, and in the midst of it.
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "runs/reader")
    for name in ("digits.onnx", "digits.md", "detector.onnx", "detector.md", "detector/state.npz"):
        (broken / name).unlink()
    job, lines = making.Job(broken, mnist, tiny=True), list[str]()

    def crash(epoch: int, row: dict[str, float]) -> None:
        raise Crash

    with pytest.raises(Crash):
        making.make_models(job, lines.append, lambda run: crash)
    assert (broken / "runs/reader/seed-0/history.csv").exists()
    with pytest.raises(DataError, match=r"has no digits\.onnx"):
        making.install(broken, tmp_path / "package")
    making.make_models(job, lines.append)
    for name in ("digits.onnx", "detector.onnx", "dense.npz"):
        assert as_stored(broken / name) == as_stored(whole / name), name
    assert not [line for line in lines if "composed" in line], "was composed again"


def as_stored(path: Path) -> bytes:
    """A file's content, without the time at which it was written."""
    if path.suffix != ".npz":
        return path.read_bytes()
    with np.load(path) as arrays:
        return b"".join(array.tobytes() for array in arrays.values())


def test_a_folder_goes_on_as_it_was_begun(made: Made, mnist: Dataset, digits: Digits):
    folder, _ = made
    with pytest.raises(UsageError, match="begun with seed 0, asked to go on with 1; ask for what it was begun with"):
        making.make_models(making.Job(folder, mnist, seed=1, tiny=True), print)
    with pytest.raises(UsageError, match="0 minutes: expected more than 0"):
        making.make_models(making.Job(folder, mnist, minutes=0), print)
    result = digits("models", folder, "--minutes", "5")
    assert (result.returncode, result.stdout) == (2, "")
    assert "begun with minutes None, asked to go on with 5" in result.stderr


def test_one_network_is_made_alone(mnist: Dataset, tmp_path: Path):
    folder, package = tmp_path / "models", tmp_path / "package"
    with pytest.raises(UsageError, match="best: no network of the package; expected reader, detector, dense-plus"):
        making.make_models(making.Job(folder, mnist, tiny=True, only=("best",)), print)
    result = making.make_models(making.Job(folder, mnist, tiny=True, only=("dense-plus",)), print)
    assert [one["file"] for one in result["models"]] == ["dense.npz"]
    assert not (folder / "detector").exists()
    results = json.loads((folder / making.RESULTS).read_text())
    (folder / making.RESULTS).write_text(json.dumps({**results, "tiny": False}))
    assert {path.name for path in making.install(folder, package)} == {"dense.npz", "README.md"}
    with pytest.raises(UsageError, match="begun with only"):
        making.make_models(making.Job(folder, mnist, tiny=True), print)


def test_only_models_that_are_of_use_are_installed(made: Made, tmp_path: Path, digits: Digits):
    folder, package = made[0], tmp_path / "package"
    with pytest.raises(UsageError, match="made with --tiny"):
        making.install(folder, package)
    assert digits("models", folder, "--tiny", "--install").returncode == 2
    assert not package.exists()
    results = json.loads((folder / making.RESULTS).read_text())
    finished = tmp_path / "finished"
    finished.mkdir()
    for name in making.DESTINATIONS:
        (finished / name).write_bytes((folder / name).read_bytes())
    (finished / making.RESULTS).write_text(json.dumps({**results, "tiny": False}))
    installed = making.install(finished, package)
    assert {path.relative_to(package).as_posix() for path in installed} == set(making.DESTINATIONS.values())
    assert onnx.load(package / "recognition/models/detector.onnx").graph.output[0].name == "marks"
