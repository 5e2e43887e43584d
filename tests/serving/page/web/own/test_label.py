"""The view Label of `digits label`, in Chromium."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from helpers.asking import behind_a_socket
from helpers.hand import Open
from mnist_digits.dataset import Dataset
from mnist_digits.dataset.labelling import DELETED, NO_DIGIT, SKIPPED, Journal, journal
from mnist_digits.recognition import Reader
from mnist_digits.serving import Settings, create_app

SINGLES = (7, 1, 0)


@pytest.fixture
def folder(mnist: Dataset, tmp_path: Path) -> Path:
    """Three pictures of one digit, a row with four, a blank sheet, and a file that is no picture."""
    images = {label: mnist.validation.images[mnist.validation.labels == label] for label in range(10)}
    for label in SINGLES:
        Image.fromarray(on_paper(images[label][2])).save(tmp_path / f"{label}.png")
    row = [on_paper(images[label][1]) for label in (3, 4, 8, 2)]
    Image.fromarray(np.pad(np.hstack(row), 60, constant_values=255)).save(tmp_path / "row.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    return tmp_path


def on_paper(image: np.ndarray) -> np.ndarray:
    return 255 - np.pad(np.kron(image[4:24, 4:24], np.ones((4, 4), np.uint8)), 16)


@pytest.fixture(scope="session")
def reader() -> Reader:
    return Reader()


@pytest.fixture
def at(folder: Path, reader: Reader) -> Iterator[str]:
    with behind_a_socket(create_app(reader, Settings(label=folder))) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture
def address(at: str) -> str:
    """The service that `look` opens: that of the folder, and no other."""
    return at


def come(look: Open, at: str, **options: object) -> Page:
    page = look("label", at, **options)
    page.locator("#label-desk").wait_for()
    expect(page.locator("#label-progress")).to_contain_text("of 7")
    return page


def labels(folder: Path) -> dict[str, list[object]]:
    """File → the labels of its boxes from left to right."""
    found: dict[str, list[object]] = {}
    for one in sorted(Journal(folder).standing(), key=lambda one: (one.file, one.box or (0, 0, 0, 0))):
        found.setdefault(one.file, []).append(one.label)
    return found


def press(page: Page, key: str) -> None:
    """Press a key once the picture that was asked for is there: before, it would be ignored."""
    expect(page.locator("#label-desk.waiting")).to_have_count(0)
    page.keyboard.press(key)


def come_to(page: Page, file: str) -> None:
    """Move on until this picture is shown."""
    for _ in range(12):
        expect(page.locator("#label-desk.waiting")).to_have_count(0)
        if page.locator("#label-name").inner_text() == file:
            return
        page.keyboard.press("ArrowRight")
    raise AssertionError(f"{file} does not come")


def test_everything_is_labelled_with_the_keyboard_alone(look: Open, at: str, folder: Path):
    page = come(look, at)
    progress, says = page.locator("#label-progress"), page.locator("#label-sure")
    come_to(page, "7.png")
    expect(says).to_contain_text("Read as 7")
    press(page, "4")
    expect(progress).to_contain_text("1 of 7")
    press(page, "Control+z")
    expect(progress).to_contain_text("0 of 7")
    expect(page.locator("#label-name")).to_have_text("7.png")
    press(page, "Enter")
    come_to(page, "1.png")
    press(page, "x")
    come_to(page, "0.png")
    press(page, "s")
    expect(progress).to_contain_text("2 of 7, 1 skipped")
    come_to(page, "row.png")
    press(page, "a")
    page.locator("#label-end").wait_for()
    expect(progress).to_contain_text("6 of 7, 1 skipped")
    expect(page.locator("#label-commands")).to_contain_text(f"digits teach {folder}")
    assert labels(folder) == {"7.png": [7], "1.png": [NO_DIGIT], "0.png": [SKIPPED], "row.png": [3, 4, 8, 2]}
    # What was skipped comes back.
    page.locator("#label-skipped").focus()
    press(page, "Enter")
    expect(page.locator("#label-name")).to_have_text("0.png")
    press(page, "0")
    expect(progress).to_have_text("7 of 7")
    assert labels(folder)["0.png"] == [0]


def test_on_a_page_boxes_are_deleted_drawn_and_gone_through(look: Open, at: str, folder: Path):
    page = come(look, at)
    come_to(page, "row.png")
    boxes = page.locator("#label-boxes .box")
    expect(boxes).to_have_count(4)
    boxes.nth(1).click()
    expect(page.locator("#label-sure")).to_contain_text("Read as 4")
    page.get_by_role("button", name="Delete the box").click()
    expect(boxes).to_have_count(3)
    # Drawn anew with the pointer, it is read at once.
    sheet = page.locator("#label-sheet").bounding_box()
    assert sheet
    scale = sheet["width"] / (4 * 112 + 120)
    left, top = sheet["x"] + scale * (60 + 112 + 12), sheet["y"] + scale * (60 + 10)
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(left + 40 * scale, top + 40 * scale)
    page.mouse.move(left + 88 * scale, top + 92 * scale)
    page.mouse.up()
    expect(boxes).to_have_count(4)
    expect(page.locator("#label-sure")).to_contain_text("Read as 4")
    press(page, "Enter")
    # A box that is set with the keyboard, beside the last digit, and taken back.
    press(page, "b")
    expect(page.locator("#label-says")).to_contain_text("Escape")
    for key in ("ArrowUp", "Shift+ArrowRight", "Enter"):
        press(page, key)
    expect(boxes).to_have_count(5)
    press(page, "u")
    expect(boxes).to_have_count(4)
    press(page, "b")
    press(page, "Escape")
    expect(boxes).to_have_count(4)
    press(page, "a")
    expect(page.locator("#label-progress")).to_contain_text("4 of 7")
    digits = [one for one in Journal(folder).standing() if one.file == "row.png"]
    kept = [one for one in sorted(digits, key=lambda one: one.box or ()) if one.label != DELETED]
    assert [one.label for one in kept] == [3, 4, 8, 2]
    drawn = kept[1].box
    assert drawn
    assert np.abs(np.array(drawn) - (60 + 112 + 12, 60 + 10, 88, 92)).max() <= 4


def test_a_full_disk_is_said_at_once_and_nothing_is_lost(
    browser: Browser, at: str, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    # Not by `look`: of a request that fails, the browser itself tells the console.
    page = browser.new_page()
    page.goto(f"{at}/#label")
    page.locator("#label-desk").wait_for()
    write = journal._write

    def fail(file: object, line: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    come_to(page, "7.png")
    monkeypatch.setattr(journal, "_write", fail)
    press(page, "7")
    fault = page.locator("#label-fault")
    expect(fault).to_contain_text("Not saved yet: 1.")
    expect(fault).to_contain_text("No space left on device")
    # Meanwhile nothing else is taken.
    press(page, "3")
    assert labels(folder) == {}
    monkeypatch.setattr(journal, "_write", write)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#label-stuck")).to_be_hidden()
    expect(page.locator("#label-progress")).to_contain_text("1 of 7")
    assert labels(folder) == {"7.png": [7]}
    page.close()


def test_two_people_label_at_the_same_time_and_the_last_answer_stands(look: Open, at: str, folder: Path):
    first, second = come(look, at), come(look, at)
    # Before either answers: what has an answer is shown to nobody.
    for page in (first, second):
        come_to(page, "7.png")
    for page, key in ((first, "1"), (second, "2")):
        press(page, key)
        expect(page.locator("#label-progress")).to_contain_text("1 of 7")
    come_to(first, "row.png")
    press(first, "a")
    expect(first.locator("#label-progress")).to_contain_text("5 of 7")
    assert labels(folder) == {"7.png": [2], "row.png": [3, 4, 8, 2]}
    # What was said before this page was opened is found by going back.
    third = come(look, at)
    press(third, "ArrowLeft")
    expect(third.locator("#label-name")).to_have_text("row.png")
    expect(third.locator("#label-sure")).to_contain_text("You said")


@pytest.mark.parametrize(("width", "height"), [(360, 740), (768, 1024), (1440, 900)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_axe_finds_no_serious_violation(look: Open, at: str, width: int, height: int, scheme: str):
    page = come(look, at, viewport={"width": width, "height": height}, color_scheme=scheme)
    come_to(page, "row.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Picture, answer and all ten digits are in view together.
    for name in ("#label-picture", "#label-digit", "#label-confirm", "#label-digits"):
        box = page.locator(name).bounding_box()
        assert box
        assert box["y"] + box["height"] <= height
    for violation in Axe().run(page).response["violations"]:
        assert violation["impact"] not in ("serious", "critical"), violation


def test_with_a_finger_buttons_label_and_a_box_is_drawn(look: Open, at: str, folder: Path):
    page = come(look, at, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    come_to(page, "row.png")
    page.get_by_role("button", name="Draw a box").tap()
    sheet = page.locator("#label-sheet").bounding_box()
    assert sheet
    session = page.context.new_cdp_session(page)
    x, y = sheet["x"] + 5, sheet["y"] + 5
    for kind, move in (("touchStart", 0), ("touchMove", 10), ("touchMove", 24), ("touchMove", 24), ("touchEnd", None)):
        points = [] if move is None else [{"x": x + move, "y": y + move}]
        # A finger that is lifted while it moves flings, and Chromium takes the next tap for one that ends the fling.
        page.wait_for_timeout(150)
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(page.locator("#label-boxes .box")).to_have_count(5)
    page.get_by_role("button", name="No digit").tap()
    expect(page.locator("#label-progress")).to_contain_text("1 of 8")
    page.locator("#label-digits").get_by_role("button", name="3").tap()
    expect(page.locator("#label-progress")).to_contain_text("2 of 8")
    assert NO_DIGIT in labels(folder)["row.png"]


def test_a_file_that_cannot_be_read_is_named(look: Open, at: str):
    page = come(look, at)
    page.locator("#label-unreadable summary").click()
    expect(page.locator("#label-unreadable li")).to_contain_text("broken.jpg: not a picture")
