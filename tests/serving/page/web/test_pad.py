import io

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from helpers.hand import Open

CORNERS = ((0.06, 0.08), (0.94, 0.08), (0.06, 0.92), (0.94, 0.92))
"""Where a dot is set, as shares of the pad's width and height."""
FITS = """() => {
  const pad = document.getElementById("pad");
  return innerWidth === %d && pad.width === Math.round(pad.getBoundingClientRect().width * devicePixelRatio);
}"""
"""Whether the window is that wide, and the pad has been painted in its size."""


def dots(page: Page, density: float) -> np.ndarray:
    """Centres of the ink that is seen on the pad, in pixels of the window: float (n, 2)."""
    # What is read is written over the ink.
    page.evaluate("document.getElementById('pad-number').style.visibility = 'hidden'")
    pad = page.locator("#pad").bounding_box()
    assert pad
    grey = np.array(Image.open(io.BytesIO(page.screenshot(clip=pad))).convert("L"))
    _, _, stats, centres = cv2.connectedComponentsWithStats((grey < 128).astype(np.uint8))
    large = stats[1:, cv2.CC_STAT_AREA] > 20 * density
    # OpenCV counts from the middle of the first pixel.
    return (centres[1:][large] + 0.5) / density + (pad["x"], pad["y"])


def set_dots(page: Page, density: float) -> None:
    """Tap the four corners, and compare what is seen there."""
    page.get_by_role("button", name="Clear").click(force=True)
    pad = page.locator("#pad").bounding_box()
    assert pad
    assert abs(pad["width"] / pad["height"] - 4 / 3) < 0.01
    points = np.array([(pad["x"] + pad["width"] * x, pad["y"] + pad["height"] * y) for x, y in CORNERS]).round()
    for x, y in points:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.up()
    seen = dots(page, density)
    assert len(seen) == len(points)
    for point in points:
        assert np.hypot(*(seen - point).T).min() < 1


@pytest.mark.parametrize(
    ("density", "sizes"),
    [
        (1, ((1440, 900), (1920, 1080))),
        (1.5, ((1280, 800),)),
        (2, ((360, 740), (740, 360), (1440, 900))),
    ],
)
def test_ink_is_under_the_pointer(look: Open, density: float, sizes: tuple[tuple[int, int], ...]):
    width, height = sizes[0]
    page = look(viewport={"width": width, "height": height}, device_scale_factor=density)
    page.locator("#units canvas").first.wait_for()
    set_dots(page, density)
    # Resized, and turned: what was drawn stays where it is on the pad.
    for width, height in sizes[1:]:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(FITS % width)
        pad = page.locator("#pad").bounding_box()
        assert pad
        places = (dots(page, density) - (pad["x"], pad["y"])) / (pad["width"], pad["height"])
        for corner in CORNERS:
            assert np.abs(places - corner).max(axis=1).min() < 0.01
        set_dots(page, density)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
