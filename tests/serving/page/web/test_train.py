import json
import re

from playwright.sync_api import Browser, Page, Route, expect

from helpers.hand import Open, draw

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
    found = re.search(r"reads ([\d.]+) %", page.locator("#stage").inner_text())
    assert found
    assert float(found[1]) >= 96
    assert before != page.locator("#learning canvas").first.evaluate("canvas => canvas.toDataURL()")
    for chart in ("loss", "accuracy"):
        lines = page.locator(f"#{chart} .line").evaluate_all("all => all.map(one => one.getAttribute('d'))")
        assert [line.count("L") for line in lines] == [4, 4]

    # A page that is opened later shows the same.
    late = look("train")
    expect(late.locator("#stage")).to_have_text(page.locator("#stage").inner_text())
    assert late.locator("#loss .line").count() == 2

    page.get_by_role("link", name="Draw for this network").click()
    expect(page.get_by_label("Your network")).to_be_checked()
    expect(page.locator("#units canvas")).to_have_count(64)
    for digit in (0, 3):
        draw(page, digit)
        expect(page.locator("#answer")).to_have_text(str(digit))
        page.get_by_role("button", name="Clear").click()
    page.get_by_label("The reader").check(force=True)
    expect(page.locator("#units canvas")).to_have_count(128)


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
