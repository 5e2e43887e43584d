import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from helpers.hand import Open, draw
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier
from mnist_digits.runs import Run

LONG_MS = 240_000
"""On a busy machine TensorFlow takes minutes to start."""


def choose(page: Page, **choices: str) -> None:
    for name, value in choices.items():
        page.locator(f"select#{name}").select_option(value)


def test_a_network_is_trained_live_and_then_reads_drawings(look: Open):
    page = look("train")
    choose(page, hidden_units="64", epochs="5", batch_size="64", learning_rate="0.003")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("button", name="Stop")).to_be_enabled()
    # The initial weights are shown before the first step.
    expect(page.locator("#learning canvas")).to_have_count(64, timeout=LONG_MS)
    before = page.locator("#learning canvas").first.evaluate("canvas => canvas.toDataURL()")
    expect(page.locator("#stage")).to_contain_text("Done.", timeout=LONG_MS)
    found = re.search(r"reads ([\d.]+)\s%", page.locator("#stage").inner_text())
    assert found
    assert float(found[1]) >= 96
    # The last epoch's weights are loaded and painted a little after it is said to have ended.
    changed = "before => document.querySelector('#learning canvas').toDataURL() !== before"
    page.wait_for_function(changed, arg=before)
    for chart in ("loss", "accuracy"):
        lines = page.locator(f"#{chart} .line:not(.faint)").evaluate_all("all => all.map(one => one.getAttribute('d'))")
        assert [line.count("L") for line in lines] == [4, 4]

    # A page that is opened later shows the same.
    late = look("train")
    expect(late.locator("#stage")).to_have_text(page.locator("#stage").inner_text())
    assert late.locator("#loss .line:not(.faint)").count() == 2

    page.get_by_role("link", name="Draw for this network").click()
    expect(page.get_by_label("Your network")).to_be_checked()
    expect(page.locator("#units canvas")).to_have_count(64)
    for digit in (0, 3):
        draw(page, digit)
        expect(page.locator("#answer")).to_have_text(str(digit))
        page.get_by_role("button", name="Clear").click()
    page.get_by_label("The reader").check(force=True)
    expect(page.locator("#units canvas")).to_have_count(128)


def test_two_trainings_are_compared_and_the_last_one_is_kept(look: Open, mnist: Dataset, tmp_path: Path):
    page = look("train")
    train(page, hidden_units="16", epochs="1", batch_size="256", learning_rate="0.01")
    train(page, hidden_units="32", epochs="2", batch_size="256", learning_rate="0.01")
    # The curves of the one before are faint.
    assert page.locator("#accuracy .line").count() == 4
    assert page.locator("#accuracy .line.faint").count() == 2
    expect(page.locator("#before-says")).to_contain_text("the training before (Hidden units 16, Epochs 1)")
    rows = [row.split("\t") for row in page.locator("#compared tr").all_inner_texts()]
    assert ["Hidden units", "32", "16"] in rows
    assert [row[0] for row in rows][:3] == ["Hidden units", "Epochs", "Epochs done"]

    # What the last epoch has turned is shown, and what is said of it is so.
    tiles = page.locator("#turned span").all_inner_texts()
    found = re.search(r"turned ([\d,]+) right, and ([\d,]+) wrong", page.locator("#turned-says").inner_text())
    assert found
    right, wrong = (int(text.replace(",", "")) for text in found.groups())
    assert [tile[0] for tile in tiles].count("✓") == min(12, right)
    assert [tile[0] for tile in tiles].count("✗") == min(6, wrong)

    files = {}
    for kind in ("onnx", "keras"):
        with page.expect_download(timeout=LONG_MS) as download:
            page.get_by_role("button", name=f"Save as .{kind}").click()
        files[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[kind])
    assert files["keras"].name == "digits.keras"
    answers = Classifier(files["onnx"]).judge(mnist.validation.images).digits
    said = re.search(r"reads ([\d.]+)\s%", page.locator("#stage").inner_text())
    assert said
    assert 100 * np.mean(np.array(answers) == mnist.validation.labels) == pytest.approx(float(said[1]), abs=0.06)
    page.get_by_role("button", name="Keep it as a run").click()
    expect(page.locator("#kept")).to_contain_text("Kept as a run", timeout=LONG_MS)
    assert page.get_by_role("button", name="Keep it as a run").is_hidden()
    folder = Path(page.locator("#kept").inner_text().split(": ")[1])
    assert Run.open(folder, "report").onnx.read_bytes() == files["onnx"].read_bytes()

    # Both read the same drawing.
    page.get_by_role("link", name="Draw for this network").click()
    draw(page, 1)
    shown = page.locator("#networks b").filter(visible=True)
    expect(shown).to_have_count(3)
    for number in range(3):
        expect(shown.nth(number)).to_contain_text("%")
    page.get_by_label("The one before").check(force=True)
    expect(page.locator("#units canvas")).to_have_count(16)
    before = page.locator("#networks label").nth(2).inner_text()
    assert before.split("\n")[1].split(",")[0] == page.locator("#answer").inner_text()


def train(page: Page, **choices: str) -> None:
    """Train to the end."""
    choose(page, **choices)
    page.locator("#start").click()
    expect(page.locator("#start")).to_be_disabled()
    expect(page.locator("#start")).to_be_enabled(timeout=LONG_MS)
    expect(page.locator("#stage")).to_contain_text("Done.")
    expect(page.locator("#turned-says")).to_contain_text("turned")


GOOD = {"hidden_units": 128, "learning_rate": 0.001, "batch_size": 32, "epochs": 10, "dropout": 0.0, "distortion": 0.0}
"""Settings with nothing wrong."""


# The numbers are those of trainings with these settings.
@pytest.mark.parametrize(
    ("stage", "settings", "rows", "says", "setting"),
    [
        ("done", {}, [(0.21, 0.94, 0.14, 0.96), (0.05, 0.98, 0.138, 0.97)], None, None),
        (
            "training",
            {"learning_rate": 1},
            [(7.44, 0.12, 2.45, 0.1)],
            "too big.* only guesses",
            ["learning_rate", 0.001],
        ),
        ("done", {"learning_rate": 0.1}, [(1.23, 0.6, 1.42, 0.52)], "too big.* never comes", ["learning_rate", 0.001]),
        (
            "training",
            {"learning_rate": 0.01},
            [(0.15, 0.956, 0.168, 0.955), (0.14, 0.96, 0.218, 0.945)],
            "rather big",
            ["learning_rate", 0.001],
        ),
        (
            "training",
            {"learning_rate": 1e-5, "epochs": 5},
            [(1.72, 0.58, 1.19, 0.79)],
            "too small to get anywhere in 5 epochs.* about 100 times",
            ["learning_rate", 0.001],
        ),
        ("done", {"dropout": 0.9}, [(0.8, 0.72, 0.28, 0.93)], "dropout of 90.*reads 72", ["dropout", 0.2]),
        ("done", {"hidden_units": 1}, [(1.58, 0.4, 1.57, 0.41)], "1 hidden unit is too few", ["hidden_units", 128]),
        ("training", {"hidden_units": 4}, [(0.52, 0.85, 0.55, 0.84)], "4 hidden units are", ["hidden_units", 128]),
        (
            "training",
            {"hidden_units": 512, "epochs": 20},
            [(0.02, 0.993, 0.072, 0.979), (0.009, 0.997, 0.09, 0.98)],
            "by heart: it reads 99.7.* since epoch 1",
            ["distortion", 0.5],
        ),
        (
            "training",
            {"distortion": 0.1, "epochs": 20},
            [(0.02, 0.993, 0.072, 0.979), (0.009, 0.997, 0.09, 0.98)],
            "by heart",
            ["epochs", 1],
        ),
        ("done", {"batch_size": 1024, "epochs": 5}, [(0.19, 0.947, 0.2, 0.94)], "only 54 steps", ["batch_size", 32]),
        ("training", {"distortion": 1}, [(0.47, 0.86, 0.24, 0.934)], "because they are bent", [None, None]),
        ("done", {}, [(0.2, 0.94, 0.2, 0.94), (0.1, 0.97, 0.15, 0.96)], "still getting better", ["epochs", 20]),
        ("done", {"epochs": 1}, [(0.2, 0.94, 0.2, 0.95)], "still getting better", ["epochs", 5]),
        ("failed", {"learning_rate": 1}, [], None, None),
        ("starting", {}, [], None, None),
    ],
)
def test_bad_settings_are_explained(
    advise: Page, stage: str, settings: dict[str, Any], rows: list[tuple[float, ...]], says: str | None, setting: Any
):
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    history = [{"epoch": number, **dict(zip(names, row, strict=True))} for number, row in enumerate(rows, 1)]
    state = {"stage": stage, "settings": GOOD | settings, "history": history}
    advice = advise.evaluate("async state => (await import('./js/training/advice.js')).advise(state)", state)
    if says is None:
        assert advice is None
    else:
        assert re.search(says, advice["says"].replace("\u00a0", " "))
        assert [advice["field"], advice["value"]] == setting


@pytest.fixture(scope="module")
def advise(browser: Browser, address: str) -> Page:
    """A page whose modules can be asked."""
    page = browser.new_context().new_page()
    page.goto(f"{address}/#draw")
    return page


def test_advice_is_followed_with_a_click(browser: Browser, address: str):
    row = {"epoch": 1, "loss": 2.4, "accuracy": 0.1, "val_loss": 2.4, "val_accuracy": 0.1, "seconds": 1.0}
    state = {"training": 1, "stage": "done", "settings": GOOD | {"learning_rate": 1}, "history": [row], "units": 0}
    page = browser.new_context().new_page()
    event = f"data: {json.dumps(state | {'version': 1})}\n\n"
    page.route("**/v1/playground/events", lambda route: route.fulfill(body=event, content_type="text/event-stream"))
    page.goto(f"{address}/#train")
    choose(page, learning_rate="1")
    expect(page.locator("#advice-says")).to_contain_text("The steps are too big")
    page.get_by_role("button", name="Choose a learning rate of 0.001").click()
    expect(page.locator("#learning_rate")).to_have_value("0.001")
    expect(page.locator("#learning_rate")).to_be_focused()


def test_a_training_is_stopped_in_the_middle(look: Open):
    page = look("train")
    choose(page, hidden_units="16", epochs="50", batch_size="256")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#stage")).to_contain_text(re.compile(r"Epoch \d+ of 50"), timeout=LONG_MS)
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    # A second training is refused.
    answer = page.request.post(page.url.split("#")[0] + "v1/playground/training", data={})
    assert answer.status == 409
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#stage")).to_contain_text("Stopped after epoch")
    expect(page.get_by_role("button", name="Start anew")).to_be_enabled()
    expect(page.locator("#learning canvas")).to_have_count(16)
    assert page.locator("#try").is_visible()


def test_a_service_that_is_gone_is_missed(browser: Browser, address: str):
    row = {"epoch": 2, "loss": 0.2, "accuracy": 0.9, "val_loss": 0.2, "val_accuracy": 0.91, "seconds": 1.0}
    settings = {"epochs": 50, "learning_rate": 0.001}
    state = {"training": 1, "stage": "training", "settings": settings, "history": [row], "units": 0, "version": 1}
    connections = []

    def events(route: Route) -> None:
        """One event, and then nothing more."""
        connections.append(route)
        if len(connections) > 1:
            return route.abort()
        return route.fulfill(body=f"data: {json.dumps(state)}\n\n", content_type="text/event-stream")

    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.route("**/v1/playground/events", events)
    # A network that the page cannot run is run by the service, which is then gone.
    page.route("**/v1/inside/reader.bin", lambda route: route.fulfill(status=204))
    page.route("**/v1/inside", lambda route: route.abort())
    page.goto(f"{address}/#train")
    expect(page.locator("#stage")).to_contain_text("The service cannot be reached. Before: Epoch 2 of 50")
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    page.get_by_role("link", name="Draw", exact=True).click()
    before = page.locator("#pad").bounding_box()
    draw(page, 7)
    expect(page.locator("#sure")).to_have_text("No answer from the service")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    assert page.locator("#pad").bounding_box() == before
    context.close()
