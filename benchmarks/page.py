"""Latency of the page in Chromium: after it is opened, and after the last point of a stroke.

    python -m benchmarks.page                        # writes results/page.json, prints the table
    python -m benchmarks.page --tiny --output FILE   # one digit, for the tests

Chromium is headless and on the same machine as the service. Opening is measured from the request for the page to the
first prediction on it, of a digit that is drawn as soon as the drawing pad is there. The other latency is measured from
the browser's time stamp on the event of a stroke's newest point until the page shows the prediction for a drawing with
that point.
"""

import argparse
import os
import shutil
import statistics
import time
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting

RESULTS = harness.RESULTS / "page.json"
SETTINGS = {
    "openings": Setting(9, 1, "how often the page is opened"),
    "digits": Setting(30, 1, "digits drawn"),
}
WEB = harness.ROOT / "src" / "mnist_digits" / "serving" / "page" / "web"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
POINT_INTERVAL_SECONDS = 1 / 60
"""Typical interval between the events of a mouse or a finger."""

SEVEN = (
    *((0.30, 0.20), (0.40, 0.20), (0.50, 0.20), (0.60, 0.20), (0.58, 0.28), (0.55, 0.37)),
    *((0.52, 0.46), (0.49, 0.55), (0.47, 0.64), (0.45, 0.73), (0.43, 0.82)),
)
"""The points of a 7, x and y as shares of the pad's sides."""


def draw_seven(page: Page) -> None:
    """Draw a 7 with the mouse, as fast as a hand does."""
    pad = page.locator("#pad").bounding_box()
    assert pad
    points = [(pad["x"] + pad["width"] * x, pad["y"] + pad["height"] * y) for x, y in SEVEN]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
        time.sleep(POINT_INTERVAL_SECONDS)
    page.mouse.up()


def measure_opening(browser: Browser, address: str) -> float:
    """Milliseconds from the request for the page, with an empty cache, to the prediction for a digit."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    start = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator("#undo").wait_for()
    while page.locator("#answer").inner_text() != "7":
        page.mouse.move(0, 0)
        draw_seven(page)
    milliseconds = 1000 * (time.perf_counter() - start)
    context.close()
    return milliseconds


def measure_answers(browser: Browser, address: str, digits: int) -> list[float]:
    """Milliseconds from a stroke's point to the prediction that includes it, for every prediction while drawing."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(address)
    page.locator("#units canvas").first.wait_for()
    for number in range(digits + 1):
        draw_seven(page)
        expect(page.locator("#answer")).to_have_text("7", timeout=60_000)
        page.wait_for_timeout(300)
        page.click("#clear")
        page.wait_for_timeout(300)
        # The first digit warms up the browser's compiler.
        if number == 0:
            page.evaluate("performance.clearMeasures()")
    latencies_ms = page.evaluate("performance.getEntriesByName('answer').map((entry) => entry.duration)")
    page.close()
    return latencies_ms


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both latencies, and the size of the page's files."""
    with harness.run_service() as (_, address), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        opened = [measure_opening(browser, address) for _ in range(options.openings)]
        answered = measure_answers(browser, address, options.digits)
        version = browser.version
        browser.close()
    return {
        "cores": os.cpu_count(),
        "chromium": version,
        "opening_milliseconds": opened,
        "opening_median_milliseconds": statistics.median(opened),
        "answers": len(answered),
        "answer_median_milliseconds": statistics.median(answered),
        "answer_95_of_100_milliseconds": sorted(answered)[int(0.95 * (len(answered) - 1))],
        "bytes": sum(path.stat().st_size for path in WEB.rglob("*") if path.is_file()),
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    rows = {
        "from the last point to the answer, median": f"{result['answer_median_milliseconds']:.0f} ms",
        "the same, 95 of 100": f"{result['answer_95_of_100_milliseconds']:.0f} ms",
        "from opening the page to the first digit, drawn and read": f"{result['opening_median_milliseconds']:.0f} ms",
        "the page, all files, uncompressed": f"{result['bytes'] / 1000:.0f} kB",
    }
    return harness.as_markdown(["the page", ""], rows.items())


BENCHMARK = Benchmark(RESULTS, __doc__, run, as_table, SETTINGS)

if __name__ == "__main__":
    BENCHMARK.main()
