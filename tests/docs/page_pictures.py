"""Makes the pictures of the page in docs/pictures/page/, of the page as it is now: a program, not a test.

Run by `make pictures`; needs Chromium. Takes a minute, most of it for the training that one of them shows.
"""

import io
import itertools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, expect, sync_playwright

from helpers.asking import serving
from helpers.hand import LEFT, MIDDLE, RIGHT, Box, draw, paths

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures" / "page"
COLOURS = 256
"""Colours of a picture: enough for the page, and a third of the bytes."""
FRAME_MS = 60
HOLD_MS = 1600
ANIMATION_WIDTH_PX = 860


def main() -> None:
    with serving("--playground") as (_, address), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for scheme, name in (("light", "draw.png"), ("dark", "draw-dark.png")):
            page = opened(browser, address, viewport={"width": 1200, "height": 1460}, color_scheme=scheme)
            draw(page, 7)
            expect(page.locator("#shares-say")).to_contain_text("against a 7", timeout=60_000)
            store(page, name)
        phone: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5}
        page = opened(browser, f"{address}/#photo", color_scheme="dark", **phone)
        page.set_input_files("#file", ROOT / "docs" / "pages" / "note.jpg")
        page.locator("#boxes button").first.wait_for(timeout=60_000)
        page.locator("#photo-says").scroll_into_view_if_needed()
        page.evaluate("document.getElementById('photo-says').scrollIntoView()")
        store(page, "phone.png")
        page = opened(browser, f"{address}/#train", viewport={"width": 1200, "height": 900})
        page.locator("#start").click()
        expect(page.locator("#stage")).to_contain_text("Done.", timeout=600_000)
        store(page, "train.png")
        animate(opened(browser, address, viewport={"width": 1160, "height": 760}))
        browser.close()


def opened(browser: Browser, address: str, **options: Any) -> Page:
    page = browser.new_page(**options)
    page.goto(address)
    page.locator("#units canvas").first.wait_for(state="attached", timeout=60_000)
    return page


def store(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)
    report(FOLDER / name)


def animate(page: Page) -> None:
    """A digit, and then a number, as they are drawn, with the answers that follow."""
    desk = page.locator("#draw-view .desk").bounding_box()
    assert desk
    clip: FloatRect = {
        "x": desk["x"] - 8,
        "y": desk["y"] - 8,
        "width": desk["width"] + 16,
        "height": desk["height"] + 16,
    }
    frames, durations = [], []

    def show(milliseconds: int) -> None:
        frame = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
        height = round(frame.height * ANIMATION_WIDTH_PX / frame.width)
        frames.append(frame.resize((ANIMATION_WIDTH_PX, height), Image.Resampling.LANCZOS))
        durations.append(milliseconds)

    for digits, answer in (((3, MIDDLE),), "3"), (((4, LEFT), (2, RIGHT)), "42"):
        page.locator("#clear").click() if frames else page.wait_for_timeout(2500)
        show(HOLD_MS // 2)
        for digit, box in digits:
            for _ in drawn(page, digit, box):
                show(FRAME_MS)
        expect(page.locator("#answer")).to_have_text(answer, timeout=60_000)
        page.wait_for_timeout(500)
        show(HOLD_MS)
    file = FOLDER / "drawing.webp"
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=60, method=4)
    report(file)


def drawn(page: Page, digit: int, box: Box) -> Iterator[None]:
    """Draw a digit as `hand.draw` does, slowly; yields when there is something new to be seen."""
    for stroke in paths(page, digit, box):
        page.mouse.move(*stroke[0])
        page.mouse.down()
        for (x, y), (to_x, to_y) in itertools.pairwise(stroke):
            page.mouse.move((x + to_x) / 2, (y + to_y) / 2)
            page.mouse.move(to_x, to_y)
            yield
        page.mouse.up()


def report(file: Path) -> None:
    sys.stdout.write(f"{file.relative_to(ROOT)}  {file.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
