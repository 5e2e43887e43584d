"""A hand that draws the digits of `strokes` on the page's pad, with a mouse or a finger."""

from collections.abc import Callable

from playwright.sync_api import Page

from helpers.strokes import DIGITS

Open = Callable[..., Page]
"""Opens the page: see the fixture `look`."""

Box = tuple[float, float, float, float]
"""Left, top, width, height, as shares of the pad."""

MIDDLE: Box = (0.36, 0.14, 0.28, 0.7)
LEFT: Box = (0.12, 0.2, 0.22, 0.6)
RIGHT: Box = (0.52, 0.2, 0.22, 0.6)


def paths(page: Page, digit: int, box: Box) -> list[list[tuple[float, float]]]:
    """The digit's strokes in pixels of the window."""
    pad = page.locator("#pad").bounding_box()
    assert pad
    left, top, width, height = box
    return [
        [
            (pad["x"] + pad["width"] * (left + width * x), pad["y"] + pad["height"] * (top + height * y))
            for x, y in stroke
        ]
        for stroke in DIGITS[digit]
    ]


def draw(page: Page, digit: int, box: Box = MIDDLE) -> None:
    """Draw with the mouse."""
    for stroke in paths(page, digit, box):
        page.mouse.move(*stroke[0])
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def touch(page: Page, digit: int, box: Box = MIDDLE) -> None:
    """Draw with a finger."""
    session = page.context.new_cdp_session(page)
    for stroke in paths(page, digit, box):
        for number, (x, y) in enumerate(stroke):
            kind = "touchMove" if number else "touchStart"
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()
