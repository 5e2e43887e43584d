"""Corrections in Draw and Photo, and "Teach it my hand", as `digits serve --collect` has them, in Chromium."""

import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from helpers.asking import as_png, behind_a_socket
from helpers.hand import Open, draw
from mnist_digits.dataset.labelling import NO_DIGIT, Journal
from mnist_digits.recognition import Reader
from mnist_digits.serving import Settings, create_app
from mnist_digits.serving.page.own import teaching
from mnist_digits.serving.page.own.collecting import Collection, Correction

PROGRAM = Path(__file__).parents[2] / "own" / "taught_at_once.py"


@pytest.fixture(scope="session")
def reader() -> Reader:
    return Reader()


@pytest.fixture
def address(tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A service that keeps corrections, and teaches at once."""
    monkeypatch.setattr(teaching, "COMMAND", (sys.executable, str(PROGRAM), "teach"))
    with behind_a_socket(create_app(reader, Settings(collect=tmp_path, most_collected=20))) as (host, port):
        yield f"http://{host}:{port}"


def kept(folder: Path) -> list[tuple[object, object]]:
    """What was read, and what it is."""
    return [(one.read, one.label) for one in Journal(folder).standing()]


def keep_twenty(folder: Path) -> None:
    collection = Collection(folder, Settings())
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 10:18] = 255
    for number in range(20):
        collection.keep(Correction(label=number % 10, image=base64.b64encode(as_png(image)).decode()))


def correct(page: Page, name: str) -> None:
    page.locator(".answer .correct").get_by_role("button", name=name, exact=True).click()


def test_a_click_says_what_was_drawn_and_another_takes_it_back(look: Open, tmp_path: Path):
    page = look()
    expect(page.locator("footer")).to_contain_text("What you correct is kept by this service")
    expect(page.locator("#teach-says")).to_contain_text("0 of your digits are kept, and twenty are needed")
    expect(page.locator("#teach-start")).to_be_disabled()
    expect(page.locator(".answer .correct")).to_be_hidden()
    draw(page, 7)
    expect(page.locator("#answer")).to_have_text("7")
    correct(page, "1")
    says = page.locator(".answer .correct [role=status]")
    expect(says).to_contain_text("Kept as 1")
    expect(page.locator("#teach-says")).to_contain_text("1 of your digits is kept")
    assert kept(tmp_path) == [(7, 1)]
    # The same drawing has another answer then, and is not kept twice.
    correct(page, "No digit")
    expect(says).to_contain_text("Kept as no digit")
    assert kept(tmp_path) == [(7, NO_DIGIT)]
    correct(page, "No digit")
    expect(says).to_be_empty()
    assert kept(tmp_path) == []
    assert list((tmp_path / "collected").iterdir()) == []
    for violation in Axe().run(page).response["violations"]:
        assert violation["impact"] not in ("serious", "critical"), violation


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_a_digit_of_a_photo_is_corrected_with_the_keyboard(look: Open, tmp_path: Path, root: Path, width: int):
    page = look("photo", viewport={"width": width, "height": 800})
    page.set_input_files("#file", root / "docs" / "pages" / "note.jpg")
    page.locator("#boxes button").nth(3).focus()
    page.keyboard.press("Enter")
    page.locator("#detail .correct").get_by_role("button", name="3", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#detail .correct [role=status]")).to_contain_text("Kept as 3")
    assert kept(tmp_path) == [(8, 3)]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_taught_and_there_is_a_way_back(look: Open, tmp_path: Path):
    keep_twenty(tmp_path)
    page = look()
    expect(page.locator("#teach-says")).to_contain_text("20 of your digits are kept")
    page.locator("#teach-start").click()
    expect(page.locator("#teach-says")).to_contain_text("Your digits: 50")
    taught = page.get_by_role("radio", name="Taught by you")
    expect(taught).to_be_checked(timeout=60_000)
    page.evaluate("scrollTo(0, 0)")
    draw(page, 7)
    expect(page.locator("#answer")).to_have_text("7")
    page.get_by_role("button", name="Back to the reader as it was").click()
    expect(taught).to_be_hidden()
    expect(page.locator("#answer")).to_have_text("7")
    page.get_by_role("button", name="Draw for the taught reader").click()
    expect(taught).to_be_checked()


def test_when_it_is_full_the_page_says_so(browser: Browser, address: str, tmp_path: Path):
    keep_twenty(tmp_path)
    # Not by `look`: of a request that is refused, the browser itself tells the console.
    page = browser.new_page()
    page.goto(address)
    draw(page, 7)
    expect(page.locator("#answer")).to_have_text("7")
    correct(page, "1")
    expect(page.locator(".answer .correct [role=status]")).to_contain_text("Not kept: 20 drawings or 50 MB are kept")
    assert len(kept(tmp_path)) == 20
    page.close()
