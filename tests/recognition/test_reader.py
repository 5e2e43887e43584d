import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from helpers.pictures import encoded, photographed, strokes, written
from helpers.small_pages import ROWS, SmallPage, overlap, write_page
from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError
from mnist_digits.evaluation.readings import score_page
from mnist_digits.recognition import Page, Picture, Reader

Digits = list[list[np.ndarray]]
PEN = (35, 35, 45)
DRAWN = sorted((Path(__file__).parents[2] / "docs" / "digits").glob("[0-9].*"))
"""A picture of each digit."""


@pytest.fixture(scope="module")
def page(sure: Digits) -> SmallPage:
    return write_page(sure)


def boxes(page: Page) -> list[tuple[int, int, int, int]]:
    return [digit.box for line in page.lines for digit in line.digits]


def assert_read(found: Page, page: SmallPage, least_overlap: float = 0.5) -> None:
    """The text is right, and so is where it stands."""
    assert found.text == page.text
    assert found.reason is None
    height, width = page.labels.shape
    for box, true in zip(boxes(found), page.boxes, strict=True):
        assert overlap(box, true) > least_overlap
        assert box[0] >= 0 < box[2]
        assert box[1] >= 0 < box[3]
        assert box[0] + box[2] <= width
        assert box[1] + box[3] <= height


def test_lines_of_different_lengths(reader: Reader, page: SmallPage):
    found = reader.read(page.pixels())
    assert_read(found, page)
    assert tuple(line.text for line in found.lines) == ROWS
    middles = []
    for line in found.lines:
        x, y, _, height = np.array([digit.box for digit in line.digits]).T
        assert (np.diff(x) > 0).all()
        middles.append((y + height / 2).mean())
        assert all(len(word) == len(text) for word, text in zip(line.words, line.text.split(), strict=True))
    assert (np.diff(middles) > 0).all()
    assert all(not digit.uncertain for line in found.lines for digit in line.digits)


NUMBER = st.text("0123456789", min_size=2, max_size=6)


@settings(max_examples=15)
@given(rows=st.lists(st.lists(NUMBER, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=4))
def test_any_numbers(reader: Reader, sure: Digits, rows: list[str]):
    page = write_page(sure, rows, height=48)
    assert_read(reader.read(page.pixels()), page)


@settings(max_examples=8)
@given(
    factor=st.floats(0.6, 2.5),
    margins=st.tuples(*[st.integers(0, 200)] * 4),
    ground=st.sampled_from([(235, 235, 228), (255, 255, 255), (215, 205, 170)]),
)
def test_wherever_and_however_large(
    reader: Reader, page: SmallPage, factor: float, margins: tuple[int, ...], ground: tuple[int, int, int]
):
    moved = page.scaled(factor).moved(*margins)
    assert_read(reader.read(moved.pixels(ground=ground)), moved)


def test_between_two_ones_there_is_no_sign(reader: Reader, sure: Digits):
    """Together they look like a letter with its middle between them."""
    page = write_page(sure, ["17 114"], height=48)
    assert_read(reader.read(page.pixels()), page)


def test_what_is_cut_off_a_digit_does_not_part_a_number(reader: Reader, page: SmallPage):
    """The bar of the 3, which nearly touches the 5 before it."""
    moved = page.scaled(0.6).moved(200, 200, 118, 16)
    assert_read(reader.read(moved.pixels(ground=(255, 255, 255))), moved)


@pytest.mark.parametrize("degrees", [-10, -4, 4, 10])
def test_sloping_lines(reader: Reader, page: SmallPage, degrees: float):
    sloping = page.sloping(degrees)
    assert_read(reader.read(sloping.pixels()), sloping)


@pytest.mark.parametrize("rows", [("31415926535897",), ("3141 592", "65358", "9793")])
def test_curved_lines(reader: Reader, sure: Digits, rows: tuple[str, ...]):
    curved = write_page(sure, rows).curved(50)
    assert_read(reader.read(curved.pixels()), curved)


def test_light_on_dark(reader: Reader, page: SmallPage):
    assert_read(reader.read(page.pixels((240, 240, 240), (35, 50, 45))), page)


def test_drawn_black_on_white_and_grey(reader: Reader, page: SmallPage):
    drawn = np.where(page.mask, 0, 255).astype(np.uint8)
    for picture in (drawn, 255 - drawn, drawn / 255, np.stack([drawn] * 3, axis=2)):
        assert_read(reader.read(picture), page)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_page_on_its_side_or_its_head(reader: Reader, page: SmallPage, turns: int):
    turned = page.quarter_turned(turns)
    assert_read(reader.read(turned.pixels()), turned)


@pytest.mark.parametrize("picture", DRAWN, ids=lambda path: path.stem)
def test_a_single_digit_is_not_turned(reader: Reader, picture: Path):
    assert reader.read(picture).text == picture.stem


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 1), (8, 3)])
def test_boxes_are_in_the_picture_as_displayed(reader: Reader, page: SmallPage, orientation: int, turns: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    # The camera stores the picture turned, and says so.
    Image.fromarray(np.rot90(page.pixels(), turns)).save(file, "PNG", exif=exif)
    assert_read(reader.read(file.getvalue()), page)


def touching(sure: Digits, pair: str) -> SmallPage:
    """A number in which two digits are pushed together until they touch."""
    for hundredths in range(10, -60, -2):
        page = write_page(sure, [pair], gap=hundredths / 100)
        if cv2.connectedComponents(page.mask.astype(np.uint8), connectivity=8)[0] == 2:
            return page
    raise AssertionError(f"{pair} never touch")


def test_digits_that_touch(reader: Reader, sure: Digits):
    pages = [touching(sure, first + second) for first in "23789" for second in "2358"]
    right = sum(reader.read(page.pixels()).text == page.text for page in pages)
    assert right >= 0.7 * len(pages)


def test_a_five_with_a_detached_roof(reader: Reader, sure: Digits, mnist: Dataset):
    apart = [image for image in mnist.train.images[:8000][mnist.train.labels[:8000] == 5] if has_roof_apart(image)]
    with_roofs = [*sure[:5], apart, *sure[6:]]
    assert len(apart) >= 6
    page = write_page(with_roofs, ["3525", "45", "5755"])
    assert_read(reader.read(page.pixels()), page)


def has_roof_apart(image: np.ndarray) -> bool:
    """Whether a five consists of two large components, as MNIST's writers made many."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(strokes(image, 112).astype(np.uint8))
    areas = stats[1:, 4]
    return len(areas) == 2 and areas.min() > 0.12 * areas.sum()


def shaded(page: SmallPage) -> np.ndarray:
    """A hand's shadow with a hard edge across the lines."""
    x, y = np.meshgrid(*map(np.arange, page.labels.shape[::-1]))
    return photographed(page.pixels() * np.where(x + 0.4 * y > 0.4 * x.max(), 0.55, 1)[..., None])


def ruled(page: SmallPage, pitch: int, both: bool) -> np.ndarray:
    sheet = page.sheet().copy()
    for start in range(20, max(sheet.shape), pitch):
        sheet[start : start + 2] = (150, 170, 215)
        if both:
            sheet[:, start : start + 2] = (150, 170, 215)
    return photographed(written(sheet, page.mask))


def boxed(page: SmallPage, colour: tuple[int, int, int]) -> np.ndarray:
    """Every digit in a box of a form."""
    pixels = page.pixels()
    for x, y, width, height in page.boxes:
        cv2.rectangle(pixels, (x - 9, y - 9), (x + width + 9, y + height + 9), colour, 2)
    return pixels


PAPERS: dict[str, Callable[[SmallPage], np.ndarray]] = {
    "shadow": shaded,
    "ruled": lambda page: ruled(page, 45, both=False),
    "ruled widely": lambda page: ruled(page, 80, both=False),
    "squared": lambda page: ruled(page, 45, both=True),
    "squared widely": lambda page: ruled(page, 80, both=True),
    "boxes": lambda page: boxed(page, PEN),
    "pale boxes": lambda page: boxed(page, (140, 140, 150)),
    "blue pen": lambda page: page.pixels((40, 60, 150)),
    "pencil": lambda page: page.pixels((140, 140, 142)),
    "noise": lambda page: photographed(page.pixels() + np.random.default_rng(0).normal(0, 10, page.pixels().shape)),
}


@pytest.mark.parametrize("kind", PAPERS)
def test_paper_and_pen(reader: Reader, page: SmallPage, kind: str):
    # Beside a box's line, a thin one's box reaches as far as the digit mask is fine.
    assert_read(reader.read(PAPERS[kind](page)), page, 0.4 if kind == "boxes" else 0.5)


@pytest.mark.parametrize("rows", [(0, 1), (1, 3)])
def test_what_is_taken_for_a_sheet_and_cuts_writing_off_hides_nothing(
    reader: Reader, page: SmallPage, rows: tuple[int, int], monkeypatch: pytest.MonkeyPatch
):
    def cut(pixels: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        first, last = (len(pixels) * row // 4 for row in rows)
        return pixels[first:last], (0, first)

    monkeypatch.setattr("mnist_digits.recognition.reader.crop_page", cut)
    assert_read(reader.read(page.pixels()), page)


def test_a_pen_that_leaves_gaps(reader: Reader, page: SmallPage):
    edits = 0
    for seed in range(3):
        # Rough paper takes no chalk where it is low, here two pixels of five.
        grain = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=page.labels.shape), (0, 0), 1)
        pixels = page.pixels()
        pixels[grain > 0.3 * grain.std()] = pixels.max()
        edits += score_page(page.text.split("\n"), [line.text for line in reader.read(pixels).lines]).edits
    assert edits <= 3


@pytest.mark.parametrize("colour", [(95, 70, 50), (190, 160, 120)])
@pytest.mark.parametrize("margins", [(80, 60, 90, 70), (0, 160, 90, 0)])
def test_a_desk_around_the_sheet(
    reader: Reader, page: SmallPage, colour: tuple[int, int, int], margins: tuple[int, int, int, int]
):
    moved = page.moved(*margins)
    grain = np.random.default_rng(1).normal(0, 4, (*moved.labels.shape, 1))
    desk = photographed(np.float32(colour) + grain)
    left, top, _, _ = margins
    height, width = page.labels.shape
    desk[top : top + height, left : left + width] = page.pixels()
    assert_read(reader.read(desk), moved)


@pytest.mark.parametrize("word", ["Name", "Datum", "km"])
@pytest.mark.parametrize("font", [cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX])
def test_letters_are_left_out(reader: Reader, page: SmallPage, word: str, font: int):
    temporary = page.moved(300, 0)
    pixels = temporary.pixels()
    cv2.putText(pixels, word, (20, 110), font, 1.6, PEN, 4, cv2.LINE_AA)
    assert_read(reader.read(pixels), temporary)


def large(page: SmallPage, pixels: float) -> SmallPage:
    return page.scaled((pixels / page.labels.size) ** 0.5)


def test_twelve_megapixels_and_a_thumbnail(reader: Reader, page: SmallPage):
    photo = large(page, 12e6)
    assert photo.labels.size > 11.9e6
    assert_read(reader.read(np.where(photo.mask, 30, 230).astype(np.uint8)), photo)
    small = page.scaled(300 / max(page.labels.shape))
    pixels = cv2.resize(page.pixels(), small.labels.shape[::-1], interpolation=cv2.INTER_AREA)
    assert_read(reader.read(pixels), small)


def test_nothing_to_read(reader: Reader, page: SmallPage):
    for pixels in (
        photographed(page.sheet()),
        np.full((300, 400), 255, np.uint8),
        np.zeros((300, 400, 3), np.uint8),
        np.full((300, 400, 3), 128, np.uint8),
        np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8),
    ):
        found = reader.read(pixels)
        assert (found.lines, found.reason, found.text) == ((), "blank", "")
        assert (found.left_out, found.doubtful) == (0.0, False)


def test_five_hundred_digits(reader: Reader, sure: Digits):
    random = np.random.default_rng(0)
    page = write_page(sure, ["".join(map(str, random.integers(0, 10, 25))) for _ in range(20)], height=40)
    assert_read(reader.read(page.pixels()), page)


def test_time_is_bounded(reader: Reader):
    random = np.random.default_rng(0)
    specks = np.full((1000, 1000), 255, np.uint8)
    specks[tuple(random.integers(0, 1000, (2, 10_000)))] = 0
    scribble = np.full((1000, 1000), 255, np.uint8)
    cv2.polylines(scribble, [random.integers(0, 1000, (300, 2)).astype(np.int32)], False, 0, 2)
    for pixels in (specks, scribble):
        start = time.process_time()
        reader.read(pixels)
        assert time.process_time() - start < 5


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 3), (40, 20_000), (64, 3000), (70, 70, 3)])
def test_any_shape_and_content(reader: Reader, shape: tuple[int, ...]):
    for pixels in (np.random.default_rng(0).integers(0, 256, shape, np.uint8), np.zeros(shape, np.uint8)):
        found = reader.read(pixels)
        assert (found.reason == "blank") == (not found.lines)
        for x, y, width, height in boxes(found):
            assert 0 <= x < x + width <= shape[1]
            assert 0 <= y < y + height <= shape[0]


@settings(max_examples=40)
@given(data=st.data())
def test_any_small_picture(reader: Reader, data: st.DataObject):
    """Blocks of any size and grey, which are now strokes, now form boxes, now paper."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shape = data.draw(st.tuples(st.integers(1, 120), st.integers(1, 120)))
    pixels = np.full(shape, data.draw(st.integers(0, 255)), np.uint8)
    for _ in range(data.draw(st.integers(0, 30))):
        y, x, high, wide = (int(random.integers(0, side)) for side in (*shape, 30, 30))
        pixels[y : y + high, x : x + wide] = random.integers(0, 256)
    for x, y, width, height in boxes(reader.read(pixels)):
        assert 0 <= x < x + width <= shape[1]
        assert 0 <= y < y + height <= shape[0]


@pytest.mark.parametrize(
    ("picture", "error"),
    [(np.zeros((2, 2), np.int64), ValueError), (np.zeros((0, 5), np.uint8), ValueError), ("none.png", DataError)],
)
def test_what_is_no_picture_is_refused(reader: Reader, picture: Picture, error: type[Exception]):
    with pytest.raises(error, match="expected"):
        reader.read(picture)


def test_path_content_and_array_are_read_alike(reader: Reader, page: SmallPage, tmp_path: Path):
    path = tmp_path / "page.png"
    Image.fromarray(page.pixels()).save(path)
    expected = reader.read(page.pixels()).to_json()
    for picture in (path, str(path), path.read_bytes()):
        assert reader.read(picture).to_json() == expected
    assert reader.follow(path).to_page().to_json() == expected


def test_each_page_is_logged(reader: Reader, page: SmallPage, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, "mnist_digits"):
        reader.read(page.pixels())
    (record,) = (one for one in caplog.records if one.name == "mnist_digits.recognition.reader")
    height, width = page.labels.shape
    assert record.getMessage().startswith(f"read a page of {width} × {height} pixels")
    assert record.getMessage().endswith(f"{len(page.boxes)} detections, {len(page.rows)} text lines")


def test_a_picture_is_left_as_it_is(reader: Reader, page: SmallPage):
    pixels = page.pixels()
    before = pixels.copy()
    pixels.flags.writeable = False
    reader.read(pixels)
    np.testing.assert_array_equal(pixels, before)


def test_small_digits_are_enlarged(reader: Reader, sure: Digits):
    page = write_page(sure, ["2345 678", "90 17", "4628"], height=16, margin=30)
    assert_read(reader.read(page.pixels()), page, least_overlap=0.3)


def test_a_table_whose_digits_stand_under_one_another(reader: Reader, sure: Digits):
    page = write_page(
        sure, [" ".join(f"{(7 * row + 13 * column) % 90 + 10}" for column in range(5)) for row in range(8)]
    )
    pixels = page.pixels()
    pixels = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert reader.read(pixels).text == page.text


def test_signs_part_numbers(reader: Reader, sure: Digits):
    page = write_page(sure, ["34 56 78"], height=60)
    pixels = page.pixels().copy()
    digits = page.boxes
    for before, after, kind in ((digits[1], digits[2], "+"), (digits[3], digits[4], "=")):
        middle, y = (before[0] + before[2] + after[0]) // 2, before[1] + 30
        for lines in {
            "+": (((-14, 0), (14, 0)), ((0, -14), (0, 14))),
            "=": (((-14, -7), (14, -7)), ((-14, 7), (14, 7))),
        }[kind]:
            start, stop = ((middle + x, y + z) for x, z in lines)
            cv2.line(pixels, start, stop, PEN, 5)
    (line,) = reader.read(pixels).lines
    assert line.text == "34 56 78"
    # Where the space between the words was too narrow to part them, the signs do; elsewhere they stand between words.
    assert all(box[2] < 40 for box in line.other)


def test_pages_of_a_document_are_read_one_after_another(reader: Reader, sure: Digits):
    pages = [write_page(sure, [text]) for text in ("123", "4567", "89")]
    first, *others = [Image.fromarray(page.pixels()) for page in pages]
    content = encoded(first, "TIFF", save_all=True, append_images=others)
    found = list(reader.read_pages(content))
    assert [(page.number, page.text) for page in found] == [(1, "123"), (2, "4567"), (3, "89")]
    assert reader.read(content).text == "123"


def test_what_was_left_out_is_told(reader: Reader, page: SmallPage):
    pixels = page.pixels().copy()
    pixels = np.concatenate([pixels, np.full_like(pixels, pixels.max())])
    for number in range(8):
        place = (40, len(pixels) // 2 + 60 * number + 20)
        cv2.putText(
            pixels, "unreadable words and more", place, cv2.FONT_HERSHEY_SCRIPT_COMPLEX, 1.6, PEN, 3, cv2.LINE_AA
        )
    assert reader.read(pixels).left_out > 2 * reader.read(page.pixels()).left_out + 0.1


def test_threads_share_a_reader(reader: Reader, sure: Digits, page: SmallPage):
    pages = [page.pixels(), page.sloping(8).pixels(), page.quarter_turned(1).pixels(), touching(sure, "23").pixels()]
    expected = [reader.read(pixels).to_json() for pixels in pages]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(reader.read, pages * 3))
    assert [one.to_json() for one in found] == expected * 3


def test_json_is_as_promised(reader: Reader, page: SmallPage):
    found = json.loads(json.dumps(reader.read(page.pixels()).to_json()))
    assert list(found) == ["page", "lines", "reason", "doubtful", "left_out"]
    assert (found["page"], found["doubtful"]) == (1, False)
    assert found["reason"] is None
    assert [line["text"] for line in found["lines"]] == list(ROWS)
    for line in found["lines"]:
        assert list(line) == ["text", "digits", "other"]
        assert "".join(str(digit["digit"]) for digit in line["digits"]) == line["text"].replace(" ", "")
        for digit in line["digits"]:
            assert list(digit) == ["digit", "confidence", "box"]
            assert type(digit["digit"]) is int
            assert type(digit["confidence"]) is float
            assert 0 < digit["confidence"] <= 1
            assert [type(side) for side in digit["box"]] == [int] * 4


def test_every_digit_says_what_it_was_judged_by(reader: Reader, page: SmallPage):
    for line in reader.read(page.pixels()).lines:
        for digit in line.digits:
            assert digit.image.shape == (28, 28)
            assert digit.image.dtype == np.uint8
            assert digit.probabilities.argmax() == digit.digit
            assert digit.probabilities.sum() == pytest.approx(1, abs=1e-4)
            assert digit.confidence <= digit.probabilities.max() + 1e-6


def test_memory_is_bounded(page: SmallPage, tmp_path: Path):
    photo = large(page, 12e6)
    path = tmp_path / "photo.bmp"
    pixels = np.stack([np.where(photo.mask, 30, 230).astype(np.uint8)] * 3, axis=2)
    Image.fromarray(pixels).save(path)
    Image.fromarray(page.pixels()).save(tmp_path / "small.bmp")
    program = (
        "import resource, sys\n"
        "from mnist_digits.recognition import Reader\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "reader = Reader(); reader.read(sys.argv[1]); before = peak()\n"
        "text = reader.read(sys.argv[2]).text; print((peak() - before) * 1024); print(text)"
    )
    command = [sys.executable, "-c", program, tmp_path / "small.bmp", path]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, *lines = result.stdout.splitlines()
    assert tuple(lines) == ROWS
    assert int(grown) < 12 * pixels.nbytes


@pytest.mark.parametrize("on_a_desk", [True, False])
def test_an_upright_stroke_at_the_border_is_the_edge_of_a_sheet_that_was_cut_out(
    reader: Reader, page: SmallPage, on_a_desk: bool
):
    moved = page.moved(*(80, 60, 90, 70)) if on_a_desk else page
    height, width = page.labels.shape
    sheet = page.pixels()
    sheet[60:116, -8:] = PEN
    desk = photographed(np.float32((95, 70, 50)) + np.random.default_rng(1).normal(0, 4, (*moved.labels.shape, 1)))
    top, left = (60, 80) if on_a_desk else (0, 0)
    desk[top : top + height, left : left + width] = sheet
    expected = page.text if on_a_desk else page.text.replace("3141 59", "3141 59 1")
    assert reader.read(desk).text == expected


# Documents that people photograph.


def test_letters_in_a_row_of_digits_are_not_read(reader: Reader, sure: Digits):
    page = write_page(sure, ("314 26", "535 89", "979 32", "718 04"), gap=0.25)
    pixels = page.moved(0, 0, 260).pixels()
    for number, grade in enumerate("AEFK"):
        drawn = np.zeros(pixels.shape[:2], np.uint8)
        place = (page.labels.shape[1] + 60, 60 + 56 + round(number * 1.9 * 56))
        cv2.putText(drawn, grade, place, cv2.FONT_HERSHEY_SIMPLEX, 2.4, 1, 6, cv2.LINE_AA)
        pixels = photographed(written(pixels.astype(np.float32), drawn > 0, PEN))
    assert reader.read(pixels).text == page.text


@pytest.mark.parametrize("rows", [("3000", "500"), ("70000", "2900"), ("1000 400", "60")])
def test_zeros_that_touch(reader: Reader, sure: Digits, rows: tuple[str, ...]):
    page = write_page(sure, rows, gap=-0.03)
    assert reader.read(page.pixels()).text == page.text


@pytest.mark.parametrize("thickness", [1, 3])
@pytest.mark.parametrize("grey", [35, 120])
def test_a_pen_across_the_lines_of_boxes(reader: Reader, sure: Digits, thickness: int, grey: int):
    page = write_page(sure, ("30 42 59", "26 05"), gap=0.5)
    lines = np.zeros(page.labels.shape, np.uint8)
    for x, y, width, height in page.boxes:
        # Each box cuts through the right and the lower end of its digit.
        cv2.rectangle(lines, (x - 12, y - 12), (x + width - 4, y + height - 4), 1, thickness)
    sheet = written(page.sheet(), lines > 0, (grey, grey, grey))
    pixels = photographed(written(sheet, page.mask, PEN))
    assert "".join(reader.read(pixels).text.split()) == "".join(page.text.split())


@pytest.mark.parametrize("pen", [5, 9, 13])
@pytest.mark.parametrize("colours", [((35, 35, 45), (235, 235, 228)), ((90, 200, 240), (150, 110, 90))])
def test_thick_digits_that_fill_a_small_picture(
    reader: Reader, sure: Digits, pen: int, colours: tuple[tuple[int, int, int], tuple[int, int, int]]
):
    page = write_page(sure, ("10",), gap=0.3)
    thick = cv2.dilate(page.mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen, pen)))
    x, y, width, height = cv2.boundingRect(thick)
    pixels = photographed(written(page.sheet(colours[1]), thick > 0, colours[0]))[y : y + height, x : x + width]
    small = cv2.resize(pixels, (28, 28), interpolation=cv2.INTER_AREA)
    assert reader.read(small).text == "10"


@pytest.mark.parametrize("bridge", [0, 4])
def test_printed_and_stencilled_numbers(reader: Reader, bridge: int):
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSansMono-Bold.ttf")), 64)
    image = Image.new("L", (520, 140), 235)
    draw, number = ImageDraw.Draw(image), "482 6931"
    for place, character in enumerate(number):
        left = 30 + 58 * place
        draw.text((left, 30), character, 30, font)
        if bridge and character != " ":
            box = draw.textbbox((left, 30), character, font)
            middle = (box[0] + box[2]) / 2
            draw.rectangle((middle - bridge / 2, box[1], middle + bridge / 2, box[3]), 235)
    assert reader.read(np.asarray(image)).text.replace(" ", "") == number.replace(" ", "")
