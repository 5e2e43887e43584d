"""Trainings logged to real stores of the tools, without a server."""

import csv
import importlib.util
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mnist_digits.dataset import Dataset
from mnist_digits.errors import UsageError
from mnist_digits.files import read_json
from mnist_digits.runs import Run
from mnist_digits.training import create_run, find_recipe, resume, train
from mnist_digits.training.export import trackers

mlflow = pytest.importorskip("mlflow")

EPOCHS = 3
RECIPE = find_recipe("dense").with_settings({"epochs": str(EPOCHS), "jit_compile": "false"})
COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")

# MLflow leaves connections to its store to the garbage collector, and warns of what it imports.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty store of MLflow; no tool has credentials for a server."""
    folder = tmp_path_factory.mktemp("store")
    address = f"sqlite:///{folder}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", address)
        patch.setenv("NETRC", str(folder / "none"))
        for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE"):
            patch.delenv(name, raising=False)
        yield address


@pytest.fixture(scope="module")
def tracked(store: str, small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was logged to all tools that are installed."""
    names = [name for name in trackers.EXTRAS if importlib.util.find_spec(name)]
    return train(RECIPE, small, tmp_path_factory.mktemp("tracked") / "mine", seed=5, trackers=names)


def history(run: Run) -> list[dict[str, str]]:
    return list(csv.DictReader(run.history.read_text().splitlines()))


def in_mlflow(run: Run) -> tuple[Any, Any]:
    """MLflow's client, and the run there."""
    client = mlflow.MlflowClient()
    return client, client.get_run(read_json(run.trackers)["mlflow"]["key"])


def curve(run: Run, name: str) -> list[tuple[int, float]]:
    client, there = in_mlflow(run)
    return [(metric.step, metric.value) for metric in client.get_metric_history(there.info.run_id, name)]


def test_mlflow_has_parameters_curves_and_metrics(tracked: Run):
    _, there = in_mlflow(tracked)
    assert (there.info.status, there.info.run_name) == ("FINISHED", "mine")
    parameters = there.data.params
    assert (parameters["recipe"], parameters["seed"], parameters["epochs"]) == ("dense", "5", str(EPOCHS))
    assert {name: parameters[name] for name in RECIPE.to_json()} == {
        name: str(value) for name, value in RECIPE.to_json().items()
    }
    for column in COLUMNS:
        rows = [(int(row["epoch"]), pytest.approx(float(row[column]), abs=1e-5)) for row in history(tracked)]
        assert curve(tracked, column) == rows
    test = read_json(tracked.metrics)["test"]
    assert there.data.metrics["test/accuracy"] == test["accuracy"]
    assert there.data.metrics["test/interval95_high"] == test["interval95"][1]


def test_mlflow_has_the_files_and_loads_the_model(tracked: Run, small: Dataset):
    client, there = in_mlflow(tracked)
    kept = {one.path for one in client.list_artifacts(there.info.run_id)}
    assert {"figures", "model", "report.html", "model_card.md", "model.keras"} <= kept
    figures = {Path(one.path).name for one in client.list_artifacts(there.info.run_id, "figures")}
    assert figures == {path.name for path in tracked.figures.iterdir()} != set()
    import mlflow.pyfunc

    loaded = mlflow.pyfunc.load_model(f"{there.info.artifact_uri}/model")
    (expected,) = onnxruntime.InferenceSession(tracked.onnx).run(None, {"images": small.test.images})
    np.testing.assert_array_equal(loaded.predict(small.test.images)["probabilities"], expected)


def test_tensorboard_has_parameters_curves_figures_and_metrics(tracked: Run):
    for split, prefix in (("train", ""), ("validation", "val_")):
        events = EventAccumulator(str(tracked.folder / "tensorboard" / split)).Reload()
        for name in ("loss", "accuracy"):
            found = [(event.step, event.value) for event in events.Scalars(f"epoch_{name}")]
            rows = [(int(row["epoch"]), pytest.approx(float(row[prefix + name]), abs=1e-5)) for row in history(tracked)]
            assert found == rows
    events = EventAccumulator(str(tracked.folder / "tensorboard" / "train")).Reload()
    (accuracy,) = events.Scalars("test/accuracy")
    assert accuracy.value == pytest.approx(read_json(tracked.metrics)["test"]["accuracy"])
    (image,) = events.Images("figures/confusion")
    assert image.encoded_image_string == (tracked.figures / "confusion.png").read_bytes()
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"][-2:]}
    assert "|epochs|3|" in texts["parameters"]
    assert texts["model card"] == tracked.card.read_text()


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_without_a_key_keeps_the_run_for_later(tracked: Run):
    where = read_json(tracked.trackers)["wandb"]["where"]
    assert where.startswith("wandb sync ")
    (folder,) = (tracked.folder / "wandb").glob("offline-run-*")
    assert where.endswith(folder.name)
    (log,) = folder.glob("*.wandb")
    kept = log.read_bytes()
    for name in (b"val_accuracy", b"learning_rate", b"test/accuracy", b"model.onnx"):
        assert name in kept
    assert list(folder.glob("files/media/images/figures/confusion*.png"))


def stop(epoch: int, row: dict[str, float]) -> None:
    if epoch == 2:
        raise KeyboardInterrupt


@pytest.mark.usefixtures("no_report", "store")
def test_an_interrupted_training_goes_on_with_its_run(small: Dataset, tmp_path: Path):
    run = create_run(RECIPE, small, tmp_path / "run", 0)
    with pytest.raises(KeyboardInterrupt):
        resume(run, small, trackers=["mlflow"], progress=stop)
    _, there = in_mlflow(run)
    assert there.info.status == "KILLED"
    resume(run, small, trackers=["mlflow", "tensorboard"])
    _, again = in_mlflow(run)
    assert (again.info.run_id, again.info.status) == (there.info.run_id, "FINISHED")
    assert [step for step, _ in curve(run, "loss")] == [1, 2, 3]
    events = EventAccumulator(str(run.folder / "tensorboard" / "train")).Reload()
    assert [event.step for event in events.Scalars("epoch_loss")] == [1, 2, 3], "it was named only now"


@pytest.mark.usefixtures("no_report", "store")
def test_an_ensemble_is_logged_with_its_members(small: Dataset, tmp_path: Path):
    recipe = replace(RECIPE, members=2, epochs=1)
    run = train(recipe, small, tmp_path / "run", trackers=["mlflow"])
    names = {in_mlflow(Run(folder))[1].info.run_name for folder in (run.folder / "members").glob("seed-*")}
    assert names == {"members/seed-0", "members/seed-1"}
    assert [step for step, _ in curve(run, "loss")] == [1]


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING and "mnist" in one.name]


@pytest.mark.usefixtures("no_report", "store")
@pytest.mark.parametrize(
    ("address", "expected"), [("http://127.0.0.1:9", "mlflow: API request to"), ("sqlite:////proc/none.db", "unable")]
)
def test_a_server_that_is_gone_is_named_and_the_training_goes_on(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    address: str, expected: str
):  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    run = train(RECIPE.with_settings({"epochs": "1"}), small, tmp_path / "run", trackers=["mlflow"])
    (complaint,) = complaints(caplog)
    assert expected in complaint
    assert complaint.endswith(f"; the training goes on without it, and {run.folder} keeps everything")
    assert "\n" not in complaint
    assert run.finished
    assert not run.trackers.exists()


@pytest.mark.usefixtures("no_report", "store")
def test_a_store_that_fails_later_is_named_once(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    from mlflow import MlflowClient

    log_batch = MlflowClient.log_batch

    def fail_in_the_second_epoch(self: MlflowClient, run_id: str, metrics: Any = (), **others: Any) -> None:
        if any(metric.step == 2 for metric in metrics):
            raise OSError(28, "No space left on device")
        log_batch(self, run_id, metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", fail_in_the_second_epoch)
    run = train(RECIPE, small, tmp_path / "run", trackers=["mlflow"])
    (complaint,) = complaints(caplog)
    assert complaint.startswith("mlflow: [Errno 28] No space left on device; ")
    assert len(history(run)) == EPOCHS
    assert run.finished


def test_what_is_not_there_is_refused_before_anything_is_written(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UsageError, match=r"^mlflw: no such tracker; did you mean mlflow\?; expected one of mlflow, te"):
        train(RECIPE, small, tmp_path / "run", trackers=["mlflw"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, extra in trackers.EXTRAS.items():
        with pytest.raises(UsageError, match=rf"{name} is not installed; pip install .*\[{extra}\]"):
            train(RECIPE, small, tmp_path / "run", trackers=[name])
    assert not list(tmp_path.iterdir())


def test_no_tool_is_imported_for_those_who_name_none():
    program = (
        "import sys; from mnist_digits.training import train; from mnist_digits.training.export import trackers; "
        "print({'mlflow', 'wandb', 'tensorboard'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
