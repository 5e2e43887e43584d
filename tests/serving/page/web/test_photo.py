import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from helpers.hand import Open
from mnist_digits.recognition import Reader

LINES = "07487\n794875777\n44 1906\n1 7\n844 5947 1596"
DROP = """([content, type]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "note.jpg", { type: "image/jpeg" }));
  const options = type === "paste" ? { clipboardData: data } : { dataTransfer: data };
  const Kind = type === "paste" ? ClipboardEvent : DragEvent;
  dispatchEvent(new Kind(type, { ...options, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="session")
def note(root: Path) -> bytes:
    return (root / "docs" / "pages" / "note.jpg").read_bytes()


@pytest.fixture(scope="session")
def lying(note: bytes) -> bytes:
    """The note as a camera held sideways stores it: rotated, with an EXIF orientation."""
    picture = Image.open(io.BytesIO(note))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def drop(page: Page, content: bytes, kind: str = "drop") -> None:
    page.evaluate(DROP, [base64.b64encode(content).decode(), kind])
    expect(page.locator("#photo-says")).to_contain_text("33 digits in 5 lines")


def test_a_dropped_page_is_read_and_each_box_shows_its_network_input(look: Open, note: bytes):
    page = look()
    drop(page, note)
    assert page.locator("#text").inner_text().strip() == LINES
    boxes = page.locator("#boxes button")
    expect(boxes).to_have_count(33)
    digits = [digit for line in Reader().read(note).lines for digit in line.digits]
    sheet = page.locator("#picture").bounding_box()
    assert sheet
    width, height = Image.open(io.BytesIO(note)).size
    for number in (0, 17, 32):
        box, expected = boxes.nth(number).bounding_box(), digits[number].box
        assert box
        assert abs((box["x"] - sheet["x"]) / sheet["width"] - expected[0] / width) < 0.005
        assert abs((box["y"] - sheet["y"]) / sheet["height"] - expected[1] / height) < 0.005
        assert abs(box["width"] / sheet["width"] - expected[2] / width) < 0.005
    doubtful = [f"{digit.digit}?" if digit.uncertain else str(digit.digit) for digit in digits]
    assert boxes.all_inner_texts() == doubtful
    boxes.nth(3).click()
    expect(page.locator("#detail-title")).to_contain_text("An 8")
    expect(page.locator("#detail-bars .best")).to_contain_text("8")


def test_an_uncertain_digit_is_marked(look: Open, note: bytes):
    page, number = look(), 12
    pixels = np.array(Image.open(io.BytesIO(note)).convert("RGB"))
    digits = [digit for line in Reader().read(note).lines for digit in line.digits]
    x, y, width, height = digits[number].box
    # Of half a 7 nobody can be sure.
    pixels[y + height // 2 : y + height + 2, x - 1 : x + width + 1] = pixels[y + height // 2, x - 6]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    drop(page, file.getvalue())
    unsure = page.locator("#boxes .unsure")
    expect(unsure).to_have_count(1)
    assert "uncertain" in (unsure.get_attribute("aria-label") or "")
    assert unsure.inner_text() == page.locator("#boxes button").nth(number).inner_text()
    assert unsure.inner_text().endswith("?")


def test_boxes_are_walked_through_with_the_keyboard(look: Open, note: bytes):
    page = look("photo")
    drop(page, note, "paste")
    page.locator("#boxes button").first.focus()
    for key, title in (("ArrowRight", "A 7"), ("ArrowRight", "A 4"), ("End", "A 6"), ("Home", "A 0")):
        page.keyboard.press(key)
        expect(page.locator("#detail-title")).to_contain_text(title)
    assert page.locator("#boxes button[tabindex='0']").count() == 1


def test_a_photo_taken_sideways_has_its_boxes_where_the_digits_are_seen(look: Open, lying: bytes):
    page = look("photo")
    page.set_input_files("#file", {"name": "lying.jpg", "mimeType": "image/jpeg", "buffer": lying})
    expect(page.locator("#photo-says")).to_contain_text("digits in 5 lines")
    size = page.evaluate("[document.getElementById('picture').width, document.getElementById('picture').height]")
    assert size[0] > size[1]
    # Within a box, the displayed picture has ink darker than its paper.
    share = page.evaluate(
        """() => {
          const shown = document.getElementById("picture");
          const canvas = Object.assign(document.createElement("canvas"), { width: shown.width, height: shown.height });
          const context = canvas.getContext("2d", { willReadFrequently: true });
          context.drawImage(shown, 0, 0);
          return [...document.querySelectorAll("#boxes button")].map(({ style }) => {
            const [x, y, w, h] = ["left", "top", "width", "height"].map((name) => parseFloat(style[name]) / 100);
            const at = [x * canvas.width, y * canvas.height, w * canvas.width, h * canvas.height].map(Math.round);
            const greys = [...context.getImageData(...at).data].filter((_, i) => i % 4 === 1).sort((a, b) => a - b);
            return greys[Math.floor(greys.length * 0.05)] / greys[Math.floor(greys.length * 0.9)];
          });
        }"""
    )
    assert len(share) > 30
    assert sum(value < 0.75 for value in share) > 0.9 * len(share)


def test_text_is_copied_and_json_saved_as_the_command_prints_it(look: Open, note: bytes, root: Path):
    page = look("photo", permissions=["clipboard-read", "clipboard-write"])
    drop(page, note)
    page.get_by_role("button", name="Copy the text").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == LINES
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save as JSON").click()
    assert saved.value.suggested_filename == "note.json"
    content = json.loads(Path(saved.value.path()).read_text())
    assert content == json.loads(json.dumps({"file": "note.jpg", **Reader().read(note).to_json()}))


def test_blank_paper_has_no_digits(look: Open):
    page = look("photo")
    file = io.BytesIO()
    Image.new("L", (300, 200), 240).save(file, "PNG")
    page.set_input_files("#file", {"name": "blank.png", "mimeType": "image/png", "buffer": file.getvalue()})
    expect(page.locator("#photo-says")).to_have_text("No digits found in this picture.")
    # There is nothing to copy.
    expect(page.get_by_role("button", name="Copy the text")).to_be_hidden()


def test_several_files_and_all_pages_of_a_document_are_read(look: Open, note: bytes, tmp_path: Path):
    page = look("photo", viewport={"width": 360, "height": 740})
    document, huge, blank = (tmp_path / name for name in ("document.tiff", "huge.jpg", "blank.png"))
    paper = Image.new("L", (300, 200), 240)
    paper.save(blank)
    # No browser but Safari shows a TIFF: the service draws its pages.
    paper.save(document, save_all=True, append_images=[Image.open(io.BytesIO(note)).convert("L")])
    with huge.open("wb") as file:
        file.truncate(21_000_000)
    page.set_input_files("#file", [document, huge, blank])
    expect(page.locator("#which")).to_have_text("1 of 3: document.tiff, page 1")
    expect(page.locator("#photo-says")).to_have_text("No digits found in this picture.")
    expect(page.locator("#unread li")).to_contain_text("huge.jpg was not read: it has 21 MB, and at most 20 MB")
    page.get_by_role("button", name="The next page").click()
    expect(page.locator("#which")).to_have_text("2 of 3: document.tiff, page 2")
    boxes = page.locator("#boxes button")
    expect(boxes).to_have_count(33)
    # On a phone the boxes are too small for names over them, until they are looked at closely.
    assert page.locator("#boxes span >> visible=true").count() == 0
    boxes.nth(3).click()
    assert page.locator("#boxes span >> visible=true").all_inner_texts() == ["8"]
    before = boxes.nth(3).bounding_box()
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    after = boxes.nth(3).bounding_box()
    assert before
    assert after
    assert abs(after["height"] / before["height"] - 3) < 0.2
    expect(page.locator("#boxes span >> visible=true")).to_have_count(33)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save as JSON").click()
    lines = [json.loads(line) for line in Path(saved.value.path()).read_text().splitlines()]
    assert [(line["file"], line["page"]) for line in lines] == [
        ("document.tiff", 1),
        ("document.tiff", 2),
        ("blank.png", 1),
    ]
    assert all("size" not in line for line in lines)
