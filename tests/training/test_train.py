import csv
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest

from mnist_digits.dataset import Dataset, Split, load_mnist
from mnist_digits.errors import DataError, QualityError, UsageError
from mnist_digits.evaluation import evaluate
from mnist_digits.evaluation.model_card import write_card
from mnist_digits.evaluation.run_files import read_results
from mnist_digits.files import read_json
from mnist_digits.recognition import Classifier
from mnist_digits.runs import Run
from mnist_digits.training import create_run, find_recipe, keep, open_unfinished, resume, train
from mnist_digits.training.export import calibration
from mnist_digits.training.networks import load

FILES = {
    "recipe.json",
    "environment.json",
    "history.csv",
    "model.keras",
    "model.onnx",
    "predictions.npz",
    "metrics.json",
    "model_card.md",
    "figures",
    "report.html",
}
OF_THE_REPORT = {"model_card.md", "figures", "report.html"}
PLAIN = dict.fromkeys(("corruption", "rotation", "scaling", "shear", "translation", "elastic"), "0")
"""Without what takes longest to compile."""
SHORT = find_recipe("dense-dropout").with_settings({"epochs": "3", "jit_compile": "false"})


@pytest.fixture(scope="module")
def finished(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(SHORT, small, tmp_path_factory.mktemp("run"), seed=7)


def test_a_finished_run_holds_everything_and_nothing_else(finished: Run):
    assert {path.name for path in finished.folder.iterdir()} == FILES


def test_the_recipe_is_recorded_with_seed_and_data(finished: Run, small: Dataset):
    content = json.loads(finished.recipe.read_text())
    assert content["recipe"] == SHORT.to_json()
    assert content["changes"] == {"epochs": 3, "jit_compile": False}
    assert content["seed"] == 7
    assert content["data"] == {"folder": str(small.folder), "seed": 0, "fingerprint": small.fingerprint}


def test_the_environment_is_recorded(finished: Run):
    environment = json.loads(finished.environment.read_text())
    assert environment["versions"]["keras"] == keras.__version__
    assert environment["backend"] == "tensorflow"
    assert environment["cores"] >= 1
    assert environment["devices"][0].startswith("CPU")


def test_history_has_a_row_an_epoch(finished: Run):
    with finished.history.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds", "compile_seconds"]
    compiling = [float(row["compile_seconds"]) for row in rows]
    assert compiling[0] > 0
    assert compiling[1:] == [0, 0]
    training = json.loads(finished.metrics.read_text())["training"]
    assert training["compile_seconds"] == pytest.approx(compiling[0], abs=1e-5)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["loss"]) < float(rows[0]["loss"])


def test_predictions_and_metrics_are_the_saved_models(finished: Run, small: Dataset):
    metrics = json.loads(finished.metrics.read_text())
    model = load(finished.model)
    saved = np.load(finished.predictions)
    for name, split in (("validation", small.validation), ("test", small.test)):
        probabilities = model.predict(split.images / np.float32(255), verbose=0)
        np.testing.assert_allclose(saved[f"{name}_probabilities"], probabilities, atol=1e-6)
        np.testing.assert_array_equal(saved[f"{name}_labels"], split.labels)
        expected = evaluate(saved[f"{name}_labels"], saved[f"{name}_probabilities"])
        assert metrics[name] == json.loads(json.dumps(expected.to_json()))
    training = metrics["training"]
    assert (training["epochs"], training["parameters"]) == (3, 101_770)
    assert training["images_per_second"] == pytest.approx(3 * len(small.train) / training["seconds"])


def test_the_cards_programs_run_and_agree(
    finished: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(finished.folder)
    programs = re.findall(r"^```python\n(.*?)^```$", finished.card.read_text(), re.MULTILINE | re.DOTALL)
    assert ["keras" in programs[0], "onnxruntime" in programs[1]] == [True, True]
    said = []
    for program in programs:
        names: dict[str, Any] = {}
        exec(program, names)
        assert names["probabilities"].shape == (1, 10)
        said.append(capsys.readouterr().out.split())
    blank = load(finished.model)(np.zeros((1, 28, 28))).numpy()
    calibrated = blank ** (1 / json.loads(finished.metrics.read_text())["calibration"]["temperature"])
    for (digit, confidence), expected in zip(said, (blank, calibrated / calibrated.sum()), strict=True):
        assert digit == f"[{expected.argmax()}]"
        assert float(confidence.strip("[]")) == pytest.approx(expected.max(), abs=1e-5)


def test_the_onnx_model_is_calibrated_on_validation_and_says_so(finished: Run, small: Dataset):
    metrics = json.loads(finished.metrics.read_text())
    session = onnxruntime.InferenceSession(finished.onnx)
    described = session.get_modelmeta().custom_metadata_map
    assert float(described["temperature"]) == metrics["calibration"]["temperature"] != 1
    (validation,) = session.run(None, {"images": small.validation.images})
    found = evaluate(small.validation.labels, validation)
    assert found.loss < metrics["validation"]["loss"]
    assert found.calibration_error == pytest.approx(metrics["calibration"]["calibration_error_after"], abs=1e-4)
    (test,) = session.run(None, {"images": small.test.images})
    found = evaluate(small.test.labels, test)
    assert found.accuracy == metrics["test"]["accuracy"]
    for name in ("loss", "calibration_error"):
        assert getattr(found, name) == pytest.approx(metrics["test_calibrated"][name], abs=1e-4)


def test_a_network_trained_elsewhere_is_kept_as_a_run_like_any_other(finished: Run, small: Dataset, tmp_path: Path):
    weights = load(finished.model).get_weights()
    history = np.loadtxt(finished.history, delimiter=",", skiprows=1, ndmin=2)
    kept = keep(SHORT, small, tmp_path / "kept", weights, history)
    assert {path.name for path in kept.folder.iterdir()} == FILES
    assert kept.history.read_text() == finished.history.read_text()
    was, now = read_json(finished.metrics), read_json(kept.metrics)
    assert now["test"] == was["test"]
    assert now["training"]["parameters"] == was["training"]["parameters"]
    bare = keep(SHORT, small, tmp_path / "bare", weights, history, report=False)
    assert {path.name for path in bare.folder.iterdir()} == FILES - OF_THE_REPORT
    with np.load(bare.predictions) as again, np.load(finished.predictions) as first:
        assert all((again[name] == first[name]).all() for name in first)


@pytest.mark.usefixtures("no_report")
def test_callbacks_tensorboard_and_log(small: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "mnist_digits")
    seen: list[int] = []
    rows: list[dict[str, float]] = []
    run = train(
        SHORT,
        small,
        tmp_path,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))],
        tensorboard=True,
        progress=lambda epoch, row: rows.append({"number": epoch, **row}),
    )
    assert seen == [0, 1, 2]
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert list((run.folder / "tensorboard").rglob("events.*"))
    wanted = ["training dense-dropout with seed 0 on 550 images", "epoch 1, loss ", "epoch 2, loss ", "epoch 3, loss "]
    wanted += ["exported as model.onnx", "finished, test accuracy "]
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("mnist_digits.training")]
    for message, beginning in zip(messages, wanted, strict=True):
        assert message.startswith(f"{tmp_path}: {beginning}")


class Crash(Exception):
    """Something happens between two epochs."""


def crash(epoch: int, row: dict[str, float]) -> None:
    if epoch == 2:
        raise Crash


@pytest.mark.usefixtures("no_report")
def test_a_run_killed_after_its_last_epoch_is_only_completed(small: Dataset, tmp_path: Path):
    run = create_run(SHORT.with_settings({"epochs": "2"}), small, tmp_path, seed=7)
    with pytest.raises(Crash):
        resume(run, small, progress=crash)
    # Killed between the checkpoint and the row in the history, while writing another file.
    run.history.unlink()
    (run.folder / ".123-model.keras").touch()
    epochs: list[int] = []
    resume(run, small, progress=lambda epoch, row: epochs.append(epoch))
    assert epochs == []
    assert len(run.history.read_text().splitlines()) == 1 + 2
    assert {path.name for path in run.folder.iterdir()} == FILES - OF_THE_REPORT


def test_what_cannot_be_resumed(finished: Run, small: Dataset, small_folder: Path, tmp_path: Path, mnist: Dataset):
    with pytest.raises(UsageError, match="finished"):
        resume(finished, small)
    run = create_run(SHORT, small, tmp_path / "run", seed=7)
    with pytest.raises(DataError, match="other images"):
        resume(run, mnist)
    with pytest.raises(UsageError, match="started with name=dense-dropout, asked to go on with name=dense;"):
        open_unfinished(run.folder, "dense", {})
    with pytest.raises(UsageError, match="started with epochs=3, asked to go on with epochs=4"):
        open_unfinished(run.folder, "dense-dropout", {"epochs": "4"})
    with pytest.raises(UsageError, match="started with seed=7, asked to go on with seed=8"):
        open_unfinished(run.folder, "dense-dropout", {}, seed=8)
    assert open_unfinished(run.folder, "dense-dropout", {"epochs": "3", "jit_compile": "false"}, seed=7) == run
    run.recipe.write_text('{"recipe": {"name": "dense", "layers": 3}}')
    with pytest.raises(DataError, match="not a recipe of this version"):
        resume(run, load_mnist(small_folder))


@pytest.mark.usefixtures("no_report")
def test_a_diverging_training_says_so(small: Dataset, tmp_path: Path):
    with pytest.raises(QualityError, match=r"loss became nan in epoch 1.*lower learning_rate than 1e\+30"):
        train(SHORT.with_settings({"learning_rate": "1e30", "epochs": "2"}), small, tmp_path)


def test_bad_arguments(small: Dataset, tmp_path: Path):
    with pytest.raises(UsageError, match="no such recipe"):
        train("lenet", small, tmp_path)
    for seed in (-1, 2**32):
        with pytest.raises(UsageError, match=f"seed {seed}: expected 0 to 4294967295"):
            train("dense", small, tmp_path, seed=seed)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_report")
def test_a_run_is_not_continued_in_another_precision_or_backend(small: Dataset, tmp_path: Path):
    run = create_run(SHORT, small, tmp_path, seed=7)
    with pytest.raises(Crash):
        resume(run, small, progress=crash)
    environment = json.loads(run.environment.read_text())
    for name, other, ours in (("precision", "mixed_bfloat16", "float32"), ("backend", "jax", "tensorflow")):
        run.environment.write_text(json.dumps({**environment, name: other}))
        with pytest.raises(UsageError, match=f"begun with {name} {other}, here it would go on with {ours}"):
            resume(run, small)


@pytest.mark.usefixtures("no_report")
def test_a_broken_run_keeps_its_epochs_and_goes_on_bit_for_bit(small: Dataset, tmp_path: Path):
    # Distortion, dropout and averaged weights, with XLA; test_making has convolutions with batch norm.
    recipe = find_recipe("dense-plus").with_settings({"epochs": "3", "dropout": "0.1"})
    broken = create_run(recipe, small, tmp_path / "broken", seed=1)
    with pytest.raises(Crash):
        resume(broken, small, progress=crash)
    assert broken.checkpoint.exists()
    assert len(broken.history.read_text().splitlines()) == 1 + 2
    assert not broken.metrics.exists()
    resume(broken, small)
    whole = train(recipe, small, tmp_path / "whole", seed=1)
    assert whole.distortions.read_bytes() == broken.distortions.read_bytes()
    assert {path.name for path in broken.folder.iterdir()} == FILES - {"model_card.md", "report.html"}
    for a, b in zip(load(broken.model).get_weights(), load(whole.model).get_weights(), strict=True):
        assert a.dtype == np.float32
        assert a.tobytes() == b.tobytes()


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    ("name", "settings", "can_reject"),
    [
        ("reader", {"synthetic_copies": "1", "label_smoothing": "0.1", **PLAIN}, True),
        ("reader", {"synthetic_copies": "0", **PLAIN}, False),
        ("dense", {"pictures": "1"}, True),
    ],
)
def test_what_is_trained_on_non_digits_rejects_and_nothing_else(
    small: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    settings: dict[str, str],
    can_reject: bool,
):
    monkeypatch.setattr(calibration, "PICTURES_PER_KIND", 5)
    few = replace(small, train=Split(small.train.images[:200], small.train.labels[:200]))
    run = train(find_recipe(name).with_settings({"epochs": "1", **settings}), few, tmp_path)
    metrics = json.loads(run.metrics.read_text())
    assert np.load(run.predictions)["test_probabilities"].shape == (200, 10)
    assert np.isfinite(metrics["test"]["loss"])
    assert load(run.model).output_shape == (None, 11 if can_reject else 10)
    # Refuses a model that can reject and has no threshold.
    Classifier(run.onnx)
    session = onnxruntime.InferenceSession(run.onnx)
    assert [output.name for output in session.get_outputs()] == ["probabilities", "is_digit"][: 1 + can_reject]
    assert ("declining" in metrics) == can_reject
    write_card(run, read_results(run), few)
    assert ("`is_digit`" in run.card.read_text()) == can_reject
    if can_reject:
        threshold = metrics["declining"]["threshold"]
        assert float(session.get_modelmeta().custom_metadata_map["threshold"]) == threshold
        (is_digit,) = session.run(["is_digit"], {"images": small.validation.images})
        assert metrics["declining"]["kept"]["mnist"] == (is_digit >= threshold).mean()


def test_of_several_that_begin_in_one_folder_one_gets_it(small: Dataset, tmp_path: Path):
    together = threading.Barrier(8)

    def begin(seed: int) -> int | str:
        together.wait()
        try:
            create_run(find_recipe("dense"), small, tmp_path / "run", seed)
        except DataError as error:
            return str(error)
        return seed

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(begin, range(8)))
    (winner,) = [result for result in results if isinstance(result, int)]
    assert read_json(tmp_path / "run" / "recipe.json")["seed"] == winner
    for error in results:
        assert error == winner or re.search("not empty|another training has just begun", str(error))
