"""How quickly the page answers: after it is opened, and after the last point of a stroke.

    python benchmarks/page.py                        # writes results/page.json, prints the table
    python benchmarks/page.py --tiny --output FILE   # one digit, for the tests

In Chromium, headless, with the service on the same machine. Opening counts from the call for the page to the first
answer on it, to a digit that is drawn as soon as there is a pad. The other time counts from the browser's own stamp on
the event of a stroke's newest point to the moment at which the answer to a picture that holds it stands in the page.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from mnist_digits.files import write_json

RESULTS = Path(__file__).parent.parent / "results" / "page.json"
WEB = Path(__file__).parent.parent / "src" / "mnist_digits" / "serving" / "web"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
POINT_SECONDS = 1 / 60
"""A mouse or a finger moves about as often."""

STROKE = [
    (0.30, 0.20),
    (0.40, 0.20),
    (0.50, 0.20),
    (0.60, 0.20),
    (0.58, 0.28),
    (0.55, 0.37),
    (0.52, 0.46),
    (0.49, 0.55),
]
STROKE += [(0.47, 0.64), (0.45, 0.73), (0.43, 0.82)]
"""A seven, as shares of the pad."""


@contextmanager
def service() -> Iterator[str]:
    """The address of `digits serve`, which ends with the context."""
    command = [sys.executable, "-m", "mnist_digits", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        try:
            yield found[0]
        finally:
            process.terminate()


def draw(page: Page) -> None:
    """Draw a seven with the mouse, as fast as a hand does."""
    pad = page.locator("#pad").bounding_box()
    assert pad
    points = [(pad["x"] + pad["width"] * x, pad["y"] + pad["height"] * y) for x, y in STROKE]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
        time.sleep(POINT_SECONDS)
    page.mouse.up()


def measure_opening(browser: Browser, address: str) -> float:
    """Milliseconds from the call for the page, with nothing of it in memory, to the answer to a digit."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    start = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator("#undo").wait_for()
    while page.locator("#answer").inner_text() != "7":
        page.mouse.move(0, 0)
        draw(page)
    milliseconds = 1000 * (time.perf_counter() - start)
    context.close()
    return milliseconds


def measure_answers(browser: Browser, address: str, digits: int) -> list[float]:
    """Milliseconds from a stroke's point to the answer that knows it, for every answer given while digits are drawn."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(address)
    page.locator("#units canvas").first.wait_for()
    for _ in range(digits + 1):
        draw(page)
        expect(page.locator("#answer")).to_have_text("7", timeout=60_000)
        page.wait_for_timeout(300)
        page.click("#clear")
        page.wait_for_timeout(300)
        # The first digit also warms up the browser's compiler.
        if _ == 0:
            page.evaluate("performance.clearMeasures()")
    timings = page.evaluate("performance.getEntriesByName('answer').map((entry) => entry.duration)")
    page.close()
    return timings


def measure(openings: int, digits: int) -> dict[str, Any]:
    """Both times, and what the page weighs."""
    with service() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        opened = [measure_opening(browser, address) for _ in range(openings)]
        answered = measure_answers(browser, address, digits)
        version = browser.version
        browser.close()
    return {
        "command": "python benchmarks/page.py",
        "cores": os.cpu_count(),
        "chromium": version,
        "opening_milliseconds": opened,
        "opening_median_milliseconds": statistics.median(opened),
        "answers": len(answered),
        "answer_median_milliseconds": statistics.median(answered),
        "answer_95_of_100_milliseconds": sorted(answered)[int(0.95 * (len(answered) - 1))],
        "bytes": sum(path.stat().st_size for path in WEB.iterdir()),
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    rows = {
        "from the last point to the answer, median": f"{result['answer_median_milliseconds']:.0f} ms",
        "the same, 95 of 100": f"{result['answer_95_of_100_milliseconds']:.0f} ms",
        "from opening the page to the first digit, drawn and read": f"{result['opening_median_milliseconds']:.0f} ms",
        "the page, all files, uncompressed": f"{result['bytes'] / 1000:.0f} kB",
    }
    return "\n".join(["| the page | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows.items())])


def main() -> None:
    """Parse, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="one opening, one digit")
    parser.add_argument("--openings", type=int, default=9, help="how often the page is opened (default: 9)")
    parser.add_argument("--digits", type=int, default=30, help="digits drawn (default: 30)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args()
    if options.tiny and options.output == RESULTS:
        parser.error("--tiny measures nothing worth keeping: name another --output")
    result = measure(*((1, 1) if options.tiny else (options.openings, options.digits)))
    write_json(options.output, result)
    print(as_table(result))


if __name__ == "__main__":
    main()
