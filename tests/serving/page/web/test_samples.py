"""What the page offers to try: digits, things that are no digit, and pages."""

import re

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from helpers.hand import Open
from mnist_digits.dataset import Dataset
from mnist_digits.serving.page.static import WEB

SAMPLES = WEB / "samples"
# Of a copy: Chromium warns of a canvas that is read more than once without being made for it.
BRIGHTEST = """(() => {
  const copy = new OffscreenCanvas(600, 400).getContext("2d");
  copy.drawImage(document.getElementById("pad"), 0, 0);
  return copy.getImageData(0, 0, 600, 400).data
    .reduce((most, value, i) => (i % 4 < 3 ? Math.max(most, value) : most), 0);
})()"""
LOOK_ALIKES = {"a heart", "infinity", "a question mark", "the letter Z", "the letter S", "the letter O"}


def labels() -> list[int]:
    found = re.search(r'LABELS = "(\d+)"', (WEB / "js" / "views" / "samples.js").read_text(encoding="utf-8"))
    assert found
    return [int(letter) for letter in found[1]]


def test_the_digits_are_those_that_the_readme_names(mnist: Dataset):
    text = (SAMPLES / "README.md").read_text(encoding="utf-8").partition("`note.jpg`")[0]
    numbers = [int(number) for number in re.findall(r"\b\d{3,4}\b", text)]
    sheet = np.array(Image.open(SAMPLES / "digits.png"))
    assert (sheet == np.hstack(mnist.validation.images[numbers])).all()
    assert mnist.validation.labels[numbers].tolist() == labels()


def click_all(page: Page, group: str) -> dict[str, list[str]]:
    """Name of each sample of a group → what is answered."""
    found: dict[str, list[str]] = {}
    for button in page.locator(f"#{group} button").all():
        button.click()
        found.setdefault(button.get_attribute("aria-label") or "", []).append(page.locator("#answer").inner_text())
    return found


def test_samples_are_read_on_the_pad(look: Open):
    page = look()
    expect(page.locator("#sample-digits button")).to_have_count(18)
    # Until there is a network to read them.
    expect(page.locator("#fool-card")).to_be_visible()
    page.locator("#units canvas").first.wait_for()
    digits = click_all(page, "sample-digits")
    expect(page.locator("#sample-says")).to_have_text(re.compile("labelled this one as 8"))
    # The typical ones are read right; of the hard ones not all.
    for digit in range(10):
        assert digits[f"an {digit}" if digit == 8 else f"a {digit}"][0] == str(digit)
    assert sum(len(answers) for answers in digits.values()) == 18
    things = click_all(page, "sample-shapes")
    declined = {name for name, answers in things.items() if answers == ["–"]}
    assert len(things) == 16
    assert set(things) - declined <= LOOK_ALIKES

    # A sample can be drawn on, undone and, in the dark, still be seen.
    page.locator("#sample-digits button").nth(3).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_have_text("3")
    page.emulate_media(color_scheme="dark")
    # The pad is painted anew with the next frame.
    page.wait_for_function(f"() => {BRIGHTEST} > 200")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#sure")).to_have_text("Nothing drawn yet")


def test_sample_pages_are_read(look: Open):
    page = look("photo")
    for name, text in (("sums", "10 71 94\n04 29\n4 53 014"), ("a note", "07487"), ("a table", "04 89 91 87 98")):
        page.get_by_role("button", name=name).click()
        expect(page.locator("#text")).to_contain_text(text)
    assert sum(path.stat().st_size for path in SAMPLES.glob("*.jpg")) <= 100_000
