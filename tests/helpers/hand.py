"""A hand that draws ten digits on the page's pad, with a mouse or a finger."""

from collections.abc import Callable

from playwright.sync_api import Page

Open = Callable[..., Page]
"""Opens the page: see the fixture `look`."""

Box = tuple[float, float, float, float]
"""Left, top, width, height, as shares of the pad."""

Stroke = tuple[tuple[float, float], ...]

DIGITS: dict[int, tuple[Stroke, ...]] = {
    0: (
        (
            *((0.52, 0.02), (0.36, 0.05), (0.20, 0.17), (0.09, 0.36), (0.06, 0.56), (0.10, 0.76), (0.22, 0.92)),
            *((0.40, 0.99), (0.60, 0.97), (0.78, 0.86), (0.89, 0.68), (0.93, 0.47), (0.88, 0.27), (0.76, 0.11)),
            *((0.60, 0.03), (0.50, 0.03)),
        ),
    ),
    1: (((0.30, 0.20), (0.42, 0.11), (0.53, 0.01), (0.52, 0.20), (0.51, 0.42), (0.50, 0.66), (0.49, 0.98)),),
    2: (
        (
            *((0.12, 0.25), (0.18, 0.11), (0.34, 0.02), (0.56, 0.01), (0.74, 0.09), (0.81, 0.25), (0.74, 0.42)),
            *((0.58, 0.58), (0.38, 0.74), (0.20, 0.88), (0.08, 0.97), (0.28, 0.96), (0.52, 0.96), (0.74, 0.97)),
            *((0.92, 0.96),),
        ),
    ),
    3: (
        (
            *((0.16, 0.10), (0.34, 0.03), (0.56, 0.02), (0.73, 0.10), (0.78, 0.24), (0.68, 0.38), (0.48, 0.46)),
            *((0.36, 0.48), (0.54, 0.49), (0.73, 0.56), (0.83, 0.70), (0.78, 0.86), (0.60, 0.97), (0.36, 0.98)),
            *((0.14, 0.91),),
        ),
    ),
    4: (
        (
            (0.40, 0.02),
            (0.32, 0.20),
            (0.22, 0.38),
            (0.10, 0.57),
            (0.30, 0.58),
            (0.54, 0.57),
            (0.76, 0.56),
            (0.93, 0.55),
        ),
        ((0.69, 0.26), (0.68, 0.44), (0.66, 0.66), (0.64, 0.84), (0.63, 0.99)),
    ),
    5: (
        (
            *((0.25, 0.03), (0.23, 0.20), (0.20, 0.42), (0.36, 0.38), (0.56, 0.40), (0.74, 0.50), (0.82, 0.66)),
            *((0.76, 0.83), (0.60, 0.95), (0.38, 0.98), (0.16, 0.91)),
        ),
        ((0.24, 0.03), (0.44, 0.04), (0.64, 0.03), (0.84, 0.02)),
    ),
    6: (
        (
            *((0.68, 0.02), (0.50, 0.12), (0.33, 0.29), (0.20, 0.50), (0.14, 0.70), (0.20, 0.88), (0.38, 0.98)),
            *((0.60, 0.97), (0.77, 0.86), (0.80, 0.70), (0.68, 0.57), (0.48, 0.55), (0.29, 0.64), (0.18, 0.76)),
        ),
    ),
    7: (
        (
            *((0.08, 0.06), (0.30, 0.05), (0.54, 0.05), (0.74, 0.04), (0.90, 0.04), (0.80, 0.22), (0.68, 0.42)),
            *((0.57, 0.62), (0.48, 0.82), (0.42, 0.99)),
        ),
    ),
    8: (
        (
            *((0.72, 0.12), (0.56, 0.03), (0.36, 0.04), (0.22, 0.15), (0.26, 0.30), (0.42, 0.42), (0.60, 0.53)),
            *((0.76, 0.66), (0.80, 0.82), (0.66, 0.95), (0.44, 0.99), (0.24, 0.91), (0.20, 0.76), (0.34, 0.61)),
            *((0.52, 0.48), (0.70, 0.34), (0.78, 0.20), (0.71, 0.10)),
        ),
    ),
    9: (
        (
            *((0.76, 0.16), (0.60, 0.04), (0.40, 0.04), (0.23, 0.15), (0.20, 0.32), (0.33, 0.45), (0.53, 0.45)),
            *((0.70, 0.34), (0.77, 0.18), (0.77, 0.34), (0.75, 0.54), (0.71, 0.76), (0.66, 0.98)),
        ),
    ),
}
"""Digit → its strokes, in units of the digit's own box: x across from 0 to 1, y down."""

MIDDLE: Box = (0.36, 0.14, 0.28, 0.7)
LEFT: Box = (0.12, 0.2, 0.22, 0.6)
RIGHT: Box = (0.52, 0.2, 0.22, 0.6)


def paths(page: Page, digit: int, box: Box) -> list[list[tuple[float, float]]]:
    """The digit's strokes, in pixels of the window."""
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
