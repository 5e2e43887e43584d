"""The page in Chromium: its latency, after it is opened and after the last point of a stroke, and its answers.

    python -m benchmarks.page                        # writes results/page.json, prints the table
    python -m benchmarks.page --tiny --output FILE   # one digit, for the tests

Chromium is headless and on the same machine as the service. Opening is measured from the request for the page to the
first prediction on it, of a digit that is drawn as soon as the drawing pad is there. The other latency is measured from
the browser's time stamp on the event of a stroke's newest point until the page shows the prediction for a drawing with
that point. The processor's time for an answer is that of the tab, drawing and all, for one after another.

The page reads drawings itself. Test digits, drawn smoothly on white paper in many sizes, are read by it and by
`/v1/predict`, and the answers compared.
"""

import argparse
import base64
import os
import shutil
import statistics
import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting
from mnist_digits.dataset import load_mnist

RESULTS = harness.RESULTS / "page.json"
SETTINGS = {
    "openings": Setting(9, 1, "how often the page is opened"),
    "digits": Setting(30, 1, "digits drawn"),
    "compared": Setting(1000, 3, "drawings read by page and service"),
}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
POINT_INTERVAL_SECONDS = 1 / 60
"""Typical interval between the events of a mouse or a finger."""

SEVEN = (
    *((0.30, 0.20), (0.40, 0.20), (0.50, 0.20), (0.60, 0.20), (0.58, 0.28), (0.55, 0.37)),
    *((0.52, 0.46), (0.49, 0.55), (0.47, 0.64), (0.45, 0.73), (0.43, 0.82)),
)
"""The points of a 7, x and y as shares of the pad's sides."""


PAD_PX = (400, 300)
"""Width and height of the pad's pixels that are read."""

COMPARE = """async (drawings) => {
  const [{ classify }, { Network }, { encodeGrey }] = await Promise.all(
    ["recognition/classifier.js", "recognition/network.js", "png.js"].map((name) => import(`./js/${name}`)));
  const network = new Network(await (await fetch("v1/inside/reader.bin")).arrayBuffer());
  return Promise.all(drawings.map(async (text) => {
    const values = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const pixels = { width: 400, height: 300, values };
    const answer = await fetch("v1/predict", { method: "POST", body: await encodeGrey(pixels) });
    return [classify(network, pixels).prediction, await answer.json()];
  }));
}"""
"""Reads drawings in base64 in the page and by the service."""

COMPARED_AT_ONCE = 20


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


BYTES_BEFORE_NETWORK = """() => {
  const loaded = ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind));
  const network = loaded.find(({ name }) => name.endsWith("/reader.bin"));
  return loaded.filter((one) => one.startTime < network.startTime).reduce((sum, one) => sum + one.decodedBodySize, 0);
}"""
"""Script: bytes of what the page has loaded, uncompressed, when it asks for the network."""


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


def measure_processor(page: Page) -> float:
    """Milliseconds of the tab's processor time for an answer, from the pad's pixels to the bars."""
    session = page.context.browser.new_browser_cdp_session()  # type: ignore[union-attr]
    draw_seven(page)

    def seconds() -> float:
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        return sum(process["cpuTime"] for process in processes if process["type"] == "renderer")

    before = seconds()
    answers = 200
    # Choosing a network has the drawing read anew.
    page.evaluate(
        """answers => {
          const networks = document.getElementById("networks");
          for (let i = 0; i < answers; i += 1) networks.dispatchEvent(new Event("change"));
        }""",
        answers,
    )
    return 1000 * (seconds() - before) / answers


def some_drawings(count: int) -> list[NDArray[np.uint8]]:
    """Test digits, enlarged smoothly, as black ink on a white pad: uint8 (300, 400) each."""
    random = np.random.default_rng(0)
    images = load_mnist().test.images
    drawings = []
    for image in images[random.permutation(len(images))[:count]]:
        factor = random.uniform(3, 9)
        large = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC).astype(float)
        ink = np.clip((large - 96) / 64, 0, 1)
        pad = np.full(PAD_PX[::-1], 255, np.uint8)
        top, left = (int(random.integers(0, most - side + 1)) for most, side in zip(pad.shape, ink.shape, strict=True))
        pad[top : top + ink.shape[0], left : left + ink.shape[1]] = np.rint(255 * (1 - ink))
        drawings.append(pad)
    return drawings


def compare_answers(page: Page, count: int) -> dict[str, Any]:
    """How many drawings are read alike by page and service, and the largest difference of a probability."""
    drawings = [base64.b64encode(drawing.tobytes()).decode() for drawing in some_drawings(count)]
    pairs = []
    for start in range(0, count, COMPARED_AT_ONCE):
        pairs += page.evaluate(COMPARE, drawings[start : start + COMPARED_AT_ONCE])
    differences = [np.abs(np.subtract(here["probabilities"], there["probabilities"])).max() for here, there in pairs]
    return {
        "compared": count,
        "same_answers": sum(all(here[name] == there[name] for name in ("digit", "reason")) for here, there in pairs),
        "largest_difference": float(max(differences)),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both latencies, and the size of the page's files."""
    with harness.run_service() as (_, address), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        opened = [measure_opening(browser, address) for _ in range(options.openings)]
        answered = measure_answers(browser, address, options.digits)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        page.locator("#units canvas").first.wait_for()
        processor = measure_processor(page)
        size = page.evaluate(BYTES_BEFORE_NETWORK)
        compared = compare_answers(page, options.compared)
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
        "answer_processor_milliseconds": processor,
        **compared,
        "bytes_before_network": size,
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    rows = {
        "from the last point to the answer, median": f"{result['answer_median_milliseconds']:.0f} ms",
        "the same, 95 of 100": f"{result['answer_95_of_100_milliseconds']:.0f} ms",
        "processor's time for an answer": f"{result['answer_processor_milliseconds']:.1f} ms",
        "from opening the page to the first digit, drawn and read": f"{result['opening_median_milliseconds']:.0f} ms",
        "loaded before the network, uncompressed": f"{result['bytes_before_network'] / 1000:.0f} kB",
        "drawings read as by the service": f"{result['same_answers']:,} of {result['compared']:,}",
        "largest difference of a probability": f"{result['largest_difference']:.6f}",
    }
    return harness.as_markdown(["the page", ""], rows.items())


BENCHMARK = Benchmark(RESULTS, __doc__, run, as_table, SETTINGS)

if __name__ == "__main__":
    BENCHMARK.main()
