import base64
import io
import json
import os
import re
import signal
import time
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from helpers.command import ODD_NAME, unprintable
from mnist_digits.errors import DataError
from mnist_digits.evaluation import report
from mnist_digits.evaluation.report import draw_data, write_report
from mnist_digits.evaluation.report_process import TERMINATION_SECONDS, ReportProcess
from mnist_digits.evaluation.run_files import read_first_weights

DATA_FIGURES = {"samples", "class-counts", "mean-digits"}
RESULT_FIGURES = {"learning-curves", "predictions", "confusion", "mistakes", "reliability", "weights"}


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def write(run, small) -> Page:
    write_report(run, small)
    return Page(run.report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def written(write_run, small, tmp_path_factory):
    """A run with its report, to look at only."""
    run = write_run(tmp_path_factory.mktemp("written"))
    write_report(run, small)
    return run


@pytest.fixture(scope="module")
def page(written) -> Page:
    return Page(written.report.read_text(encoding="utf-8"))


def names(run) -> set[str]:
    """Figures in the run's folder; anything half-written would show up by its full name."""
    return {path.name.removesuffix(".png") for path in run.figures.iterdir()}


def change(path: Path, **content) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


def test_data_figures_need_nothing_of_the_run(tmp_path, small):
    run = report.Run(tmp_path / "new")
    draw_data(run, small)
    assert names(run) == DATA_FIGURES
    assert imread(run.figures / "samples.png").shape[1] == 1600


def test_page_holds_every_figure_with_words_for_it(written, page):
    assert names(written) == DATA_FIGURES | RESULT_FIGURES
    assert {figure["id"] for figure in page.all("figure")} == DATA_FIGURES | RESULT_FIGURES
    assert len(page.all("img")) == len(page.all("figcaption")) == 9
    for figure, image in zip(page.all("figure"), page.all("img"), strict=True):
        assert len(image["alt"]) > 30
        content = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        assert content == (written.figures / f"{figure['id']}.png").read_bytes()


def test_page_needs_nothing_from_outside(written, page):
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"} == set()
    references = [value for _, tag in page.tags for name, value in tag.items() if name in {"src", "href", "srcset"}]
    assert all(value.startswith("data:") for value in references)
    content = written.report.read_text(encoding="utf-8")
    assert "http" not in content
    assert "url(" not in content
    assert written.report.stat().st_size < 3e6


def test_page_says_the_numbers(written, page):
    metrics = json.loads(written.metrics.read_text())
    text = page.text
    assert f"{metrics['test']['accuracy']:.2%}".replace("%", "\N{NO-BREAK SPACE}%") in text
    for bound in metrics["test"]["interval95"]:
        assert f"{100 * bound:.2f}\N{NO-BREAK SPACE}%" in text
    assert f"{metrics['test']['loss']:.4f}" in text
    assert "101,770" in text
    assert "2.5\N{NO-BREAK SPACE}s" in text
    assert "versions: numpy" in text
    assert "128, 10" in text
    truth, predicted, count = report.confused_pairs(metrics["test"]["confusion"])[0]
    assert f"{truth} read as {predicted} {count} times" in " ".join(text.split())


def test_page_is_for_everyone(written, page):
    content = written.report.read_text(encoding="utf-8")
    assert content.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("title")) == len(page.all("main")) == len(page.all("h1")) == 1
    assert all("scope" in cell for cell in page.all("th"))
    for rule in ("prefers-color-scheme: dark", "@media print", "max-width: 30rem"):
        assert rule in content


def test_page_takes_two_sheets_of_paper(written, printed):
    assert printed(written.report) <= 2


def test_the_same_run_gives_the_same_page(written, small):
    first = written.report.read_bytes(), written.card.read_bytes()
    written.card.unlink()
    write_report(written, small)
    assert (written.report.read_bytes(), written.card.read_bytes()) == first


def test_odd_names_are_escaped(run, small):
    recipe = json.loads(run.recipe.read_text())["recipe"] | {"name": "<script>alert(1)</script>&\"'"}
    change(run.recipe, recipe=recipe)
    page = write(run, small)
    assert page.all("script") == []
    assert "<script>alert(1)</script>&\"'" in page.text


def test_a_perfect_model_has_no_figure_of_mistakes(run, small):
    labels = small.test.labels
    np.savez(run.predictions, test_labels=labels, test_probabilities=np.eye(10, dtype=np.float32)[labels])
    metrics = json.loads(run.metrics.read_text())
    change(run.metrics, test=metrics["test"] | {"confusion": np.diag(np.bincount(labels)).tolist(), "accuracy": 1.0})
    page = write(run, small)
    assert "mistakes" not in names(run)
    assert "with 0 mistakes" in page.text
    assert "every test image was read correctly" in page.text


def test_a_run_without_an_epoch_has_no_curves(run, small):
    run.history.write_text("epoch,loss,accuracy,val_loss,val_accuracy,seconds\n")
    assert "not trained for a single epoch" in write(run, small).text
    assert "learning-curves" not in names(run)


def test_first_weights_are_those_of_the_pixels(run, write_model):
    weights = np.arange(784 * 3, dtype=np.float32).reshape(784, 3)
    moments = {"optimizer/vars/1": weights * 2, "aaa/bias": np.zeros(3)}
    write_model(run.model, moments | {"layers/dense/vars/0": weights, "layers/dense_1/vars/0": np.zeros((3, 10))})
    found = read_first_weights(run.model)
    assert (found[1, 2] == weights[30]).all()
    assert found.shape == (28, 28, 3)


def test_a_convolutional_network_has_no_weight_images_but_what_training_drew(run, small, write_model):
    # 7 × 7 × 16 = 784 features behind the convolutions look like pixels, but are none.
    layers = {"layers/conv2d/vars/0": np.zeros((3, 3, 1, 16)), "layers/dense/vars/0": np.zeros((784, 10))}
    write_model(run.model, layers)
    run.figures.mkdir()
    run.distortions.write_bytes(b"a picture")
    page = write(run, small)
    ids = [figure["id"] for figure in page.all("figure")]
    assert set(ids) == DATA_FIGURES | RESULT_FIGURES - {"weights"} | {"distortions"}
    assert page.all("img")[ids.index("distortions")]["src"].endswith(base64.b64encode(b"a picture").decode())
    assert run.distortions.read_bytes() == b"a picture"


READ = ["recipe", "environment", "history", "model", "predictions", "metrics"]


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "cut", "folder"])
def test_a_damaged_file_is_named_in_one_line(run, small, name, damage):
    path = getattr(run, name)
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(
            {"empty": b"", "noise": b"\x93\xff\x00 no such thing", "cut": content[: len(content) // 3]}[damage]
        )
    with pytest.raises(DataError, match=re.escape(str(path))) as caught:
        write_report(run, small)
    assert "\n" not in str(caught.value)
    assert not run.report.exists()


def test_flipped_bytes_in_a_model_are_noticed(run, small):
    content = bytearray(run.model.read_bytes())
    content[len(content) // 2] ^= 0xFF
    run.model.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        write_report(run, small)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metrics", {"test": {}}, r"has no test\.accuracy"),
        ("metrics", {"training": {"seconds": "long"}}, r"training\.seconds is 'long', should be a valid number"),
        ("metrics", {"training": []}, r"training is \[\], should be an object"),
        ("recipe", {"recipe": {}}, r"has no recipe\.name"),
        ("recipe", {"recipe": "dense"}, "recipe is 'dense', should be an object"),
        ("recipe", {"data": "mnist"}, "data is 'mnist', should be an object"),
    ],
)
def test_json_of_another_kind_is_refused(run, small, name, content, words):
    change(getattr(run, name), **content)
    with pytest.raises(DataError, match=words):
        write_report(run, small)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"test_labels": np.arange(3), "test_probabilities": np.ones((3, 10))}, "sums to 10"),
        ({"test_labels": np.arange(3)}, "has no test_probabilities"),
        ({"test_labels": np.array([None]), "test_probabilities": np.ones((3, 10))}, "damaged"),
    ],
)
def test_predictions_of_another_kind_are_refused(run, small, content, words):
    np.savez(run.predictions, **content)
    with pytest.raises(DataError, match=words):
        write_report(run, small)


def test_history_with_other_columns_or_a_word_for_a_number_is_refused(run, small):
    run.history.write_text("epoch,loss\n1,0.5\n")
    with pytest.raises(DataError, match="has no column accuracy"):
        write_report(run, small)
    run.history.write_text("loss,accuracy,val_loss,val_accuracy\n1,2,3\n")
    with pytest.raises(DataError, match="damaged"):
        write_report(run, small)


def test_a_model_without_weights_inside_is_refused(run, small):
    with zipfile.ZipFile(run.model, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(DataError, match=r"model\.weights\.h5"):
        write_report(run, small)


def test_other_data_than_the_run_was_made_with_is_refused(run, small):
    recipe = json.loads(run.recipe.read_text())
    change(run.recipe, data=recipe["data"] | {"fingerprint": "0" * 64})
    with pytest.raises(DataError, match=r"000000000000…, but .* name the data"):
        write_report(run, small)


def test_a_figure_that_cannot_be_written(run, small):
    (run.figures / "samples.png").mkdir(parents=True)
    with pytest.raises(DataError, match=r"samples\.png"):
        draw_data(run, small)


@pytest.fixture
def main(run, small, monkeypatch):
    """The report process's main function, in this process, with a given line on its standard input."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(line: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(line))
        return report.main([str(run.folder), str(small.folder), "0"])

    yield call
    signal.signal(signal.SIGTERM, handler)


def test_the_report_process_ends_quietly_when_its_parent_does(main, run, capsys):
    assert main("") == 0
    assert names(run) == DATA_FIGURES
    assert not run.report.exists()
    assert capsys.readouterr() == ("", "")


def test_the_report_process_says_what_is_wrong_in_one_line(main, run, capsys):
    run.history.unlink()
    assert main("finish\n") == 3
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"{run.history}: No such file")
    assert output.err.count("\n") == 1


def test_another_process_writes_the_same_report(run, written, small):
    with ReportProcess(run, small.folder, 0) as process:
        process.finish()
    assert run.report.read_bytes() == written.report.read_bytes()


def test_a_failure_in_the_other_process_is_told_here(run, tmp_path):
    nowhere = tmp_path / "nowhere"
    process = ReportProcess(run, nowhere, 0)
    # A process that has ended reads nothing; that `finish` cannot reach it is no error of its own.
    wait_until(lambda: os.waitid(os.P_PID, process._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    process.finish()
    with pytest.raises(DataError, match=f"^{re.escape(str(nowhere))}: no such folder[^\n]*$"):
        process.wait()


def test_without_finish_the_other_process_leaves_no_report(run, small):
    with ReportProcess(run, small.folder, 0):
        pass
    assert names(run) == DATA_FIGURES
    assert not run.report.exists()


def test_an_interruption_ends_the_other_process_at_once(run, small):
    process = ReportProcess(run, small.folder, 0)
    wait_until((run.figures / "samples.png").exists)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), process:
        raise KeyboardInterrupt
    assert time.monotonic() - start < 4 * TERMINATION_SECONDS
    assert names(run) <= DATA_FIGURES


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_names_hold_no_command_to_a_terminal_or_browser(run, small):
    recipe = json.loads(run.recipe.read_text())["recipe"] | {"name": ODD_NAME, ODD_NAME: ODD_NAME}
    change(run.recipe, recipe=recipe)
    write_report(run, small)
    assert unprintable(run.report.read_text(encoding="utf-8")) == set()
    assert unprintable(run.card.read_text(encoding="utf-8")) == set()
    assert "\\u202e" in run.report.read_text(encoding="utf-8")
