import json
import re
import shlex
from dataclasses import replace
from typing import Any

import pytest

from mnist_digits.dataset import load_mnist
from mnist_digits.dataset.mnist import MNIST_FINGERPRINT
from mnist_digits.errors import DataError
from mnist_digits.evaluation.model_card import write_card
from mnist_digits.evaluation.run_files import read_results


def read_yaml(text: str) -> Any:
    """The part of YAML that the card uses, and no more: blocks, JSON's strings and numbers, plain words."""
    lines = [(len(line) - len(line.lstrip(" ")), line.strip(" ")) for line in text.splitlines()]

    def scalar(value: str) -> Any:
        if re.fullmatch(r"[A-Za-z][\w/-]*( [\w/-]+)*", value) and value not in ("true", "false", "null", "yes", "no"):
            return value
        return json.loads(value)

    def block(indent: int) -> Any:
        if lines[0][1].startswith("- "):
            items = []
            while lines and lines[0][0] == indent and lines[0][1].startswith("- "):
                lines[0] = (indent + 2, lines[0][1][2:])
                items.append(block(indent + 2))
            return items
        if not re.match(r"[a-z_-]+:", lines[0][1]):
            return scalar(lines.pop(0)[1])
        mapping = {}
        while lines and lines[0][0] == indent and not lines[0][1].startswith("- "):
            key, value = re.fullmatch(r"([a-z_-]+):(?: (.+))?", lines.pop(0)[1]).groups()
            assert key not in mapping
            mapping[key] = scalar(value) if value else block(lines[0][0])
        return mapping

    content = block(0)
    assert not lines
    return content


def write(run, data) -> tuple[dict[str, Any], str]:
    """The card's front matter and its text."""
    write_card(run, read_results(run), data)
    before, front, text = run.card.read_text(encoding="utf-8").split("---\n", 2)
    assert before == ""
    return read_yaml(front), text


def change(path, **content) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


@pytest.fixture
def of_mnist(run, small):
    """A run as if it had been made with MNIST, and that data."""
    metrics = json.loads(run.metrics.read_text())
    change(run.metrics, test_corrected=metrics["test"] | {"accuracy": 0.125})
    plan = json.loads(run.recipe.read_text())
    change(run.recipe, data=plan["data"] | {"folder": None})
    return run, replace(small, fingerprint=MNIST_FINGERPRINT)


def test_front_matter_of_a_run_on_mnist(of_mnist):
    run, data = of_mnist
    front, _ = write(run, data)
    (model,) = front.pop("model-index")
    assert front == {
        "license": "mit",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["keras", "onnx", "mnist", "handwriting"],
        "datasets": ["ylecun/mnist"],
        "metrics": ["accuracy"],
    }
    accuracy = json.loads(run.metrics.read_text())["test"]["accuracy"]
    assert model == {
        "name": "dense-0",
        "results": [
            {
                "task": {"type": "image-classification", "name": "Image classification"},
                "dataset": {"type": "ylecun/mnist", "name": "MNIST", "split": "test"},
                "metrics": [{"type": "accuracy", "name": "Accuracy", "value": accuracy, "verified": False}],
            }
        ],
    }


def test_figures_are_those_of_the_run(of_mnist):
    run, data = of_mnist
    _, text = write(run, data)
    metrics = json.loads(run.metrics.read_text())
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    table = {row[0]: row[1:] for row in rows}
    for row, split in {"test": "test", "test, corrected labels": "test_corrected", "validation": "validation"}.items():
        scores = metrics[split]
        percents = [scores["accuracy"], *scores["interval95"], scores["calibration_error"]]
        accuracy, low, high, error = (f"{100 * value:.2f}\N{NO-BREAK SPACE}%" for value in percents)
        assert table[row] == [accuracy, f"{low} to {high}", f"{scores['loss']:.4f}", error, f"{scores['count']:,}"]
    for scores in metrics["test"]["per_class"]:
        assert table[str(scores["digit"])][1] == f"{100 * scores['recall']:.2f}\N{NO-BREAK SPACE}%"
    assert "101,770 parameters" in text
    assert "CC BY-SA 3.0" in text
    assert table["versions: numpy"] == ["2.0"]
    assert f"on {len(data.train):,} images of MNIST" in " ".join(text.split())


def test_another_set_is_called_by_its_folder_and_not_mnist(run, small):
    front, text = write(run, small)
    assert "datasets" not in front
    assert "mnist" not in front["tags"]
    assert front["model-index"][0]["results"][0]["dataset"] == {
        "type": "local",
        "name": small.folder.name,
        "split": "test",
    }
    assert "MNIST" not in text.replace("MNIST Digits", "")
    assert "corrected" not in text
    assert str(small.folder) not in text, "where it lies is nobody's business"


ODD = 'a"b: #c \\ {d} | <script>\n---\n- *e* é 数 👍'


def test_odd_names_stay_what_they_are(run, small):
    plan = json.loads(run.recipe.read_text())
    change(run.recipe, recipe=plan["recipe"] | {"name": ODD}, data=plan["data"] | {"folder": f"/data/{ODD}"})
    write_card(run, read_results(run), small)
    _, front, text = re.split(r"^---\n", run.card.read_text(encoding="utf-8"), maxsplit=2, flags=re.MULTILINE)
    (model,) = read_yaml(front)["model-index"]
    assert model["name"] == f"{ODD}-0"
    assert model["results"][0]["dataset"]["name"] == ODD
    (heading,) = re.findall("^# .*$", text, re.MULTILINE)
    assert re.sub(r"\\(.)", r"\1", heading).startswith(f"# {' '.join(ODD.split())}, seed 0: ")
    assert "<script>" not in re.sub("^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL).replace("\\<", "")


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_command_holds_what_was_changed(run, small):
    plan = json.loads(run.recipe.read_text())
    changes = {"epochs": 2, "learning_rate": 1e-05, "batch_norm": True, "schedule": "cosine"}
    change(run.recipe, changes=changes, seed=7, data=plan["data"] | {"folder": "/data/my digits"})
    (command,) = fenced(write(run, small)[1], "sh")
    settings = ["epochs=2", "learning_rate=1e-05", "batch_norm=true", "schedule=cosine"]
    expected = ["digits", "train", "dense", "--seed", "7", *(part for one in settings for part in ("--set", one))]
    assert shlex.split(command) == [*expected, "--data", "my digits"]


@pytest.mark.parametrize(("changes", "split_seed"), [(None, 0), ({}, 5)])
def test_what_no_command_makes_again_is_made_in_python(run, small_folder, changes, split_seed):
    plan = json.loads(run.recipe.read_text())
    change(run.recipe, changes=changes, data=plan["data"] | {"seed": split_seed})
    _, text = write(run, load_mnist(small_folder, split_seed))
    assert not fenced(text, "sh")
    program = fenced(text, "python")[-1]
    assert f'load_mnist("{small_folder.name}", seed={split_seed}), seed=0)' in program
    compile(program, "card", "exec")


def test_damaged_figures_of_corrected_labels_are_refused(of_mnist):
    run, _ = of_mnist
    change(run.metrics, test_corrected={"accuracy": 1.0})
    with pytest.raises(DataError, match=r"has no test_corrected\.interval95"):
        read_results(run)
