import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_digits.errors import DataError
from mnist_digits.recognition import read_pages
from mnist_digits.recognition.preprocessing.documents import MAX_PAGES, MAX_PDF_PAGE_PIXELS

GREYS = (40, 90, 200)


def tiff(greys: tuple[int, ...], **options: object) -> bytes:
    """A page of each grey level."""
    first, *others = [Image.new("L", (30, 20 + number), grey) for number, grey in enumerate(greys)]
    content = io.BytesIO()
    first.save(content, "TIFF", save_all=True, append_images=others, **options)
    return content.getvalue()


def pdf(greys: tuple[int, ...], size: tuple[int, int] = (200, 100)) -> bytes:
    first, *others = [Image.new("RGB", size, (grey, grey, grey)) for grey in greys]
    content = io.BytesIO()
    first.save(content, "PDF", save_all=True, append_images=others)
    return content.getvalue()


@pytest.mark.parametrize("compression", [None, "tiff_deflate", "group4"])
def test_all_pages_of_a_tiff(tmp_path: Path, compression: str | None):
    if compression == "group4":
        pages = [Image.new("1", (30, 20 + number), number % 2) for number in range(3)]
        content = io.BytesIO()
        pages[0].save(content, "TIFF", save_all=True, append_images=pages[1:], compression=compression)
        data, greys = content.getvalue(), (0, 255, 0)
    else:
        data, greys = tiff(GREYS, compression=compression), GREYS
    path = tmp_path / "pages.tif"
    path.write_bytes(data)
    for document in (data, path, str(path)):
        found = list(read_pages(document))
        assert [page.shape for page in found] == [(20, 30), (21, 30), (22, 30)]
        assert [int(np.median(page)) for page in found] == list(greys)


def test_a_reduced_copy_is_no_page():
    first, second, copy = Image.new("L", (30, 20), 40), Image.new("L", (30, 20), 90), Image.new("L", (3, 2), 90)
    copy.encoderinfo = {"tiffinfo": {254: 1}}
    content = io.BytesIO()
    first.save(content, "TIFF", save_all=True, append_images=[second, copy])
    assert [page.shape for page in read_pages(content.getvalue())] == [(20, 30), (20, 30)]


def test_animations_have_one_page():
    frames = [Image.new("L", (30, 20), grey) for grey in GREYS]
    for kind in ("GIF", "WEBP", "PNG"):
        content = io.BytesIO()
        frames[0].save(content, kind, save_all=True, append_images=frames[1:])
        (page,) = read_pages(content.getvalue())
        assert abs(int(np.median(page)) - GREYS[0]) < 5


def test_an_array_is_a_page():
    (page,) = read_pages(np.full((4, 5), 7, np.uint8))
    np.testing.assert_array_equal(page, np.full((4, 5), 7))


@pytest.mark.parametrize("make", [tiff, pdf])
def test_as_many_pages_as_are_allowed_and_one_more(make):
    if make is pdf:
        pytest.importorskip("pypdfium2")
    assert len(list(read_pages(make(tuple([90] * MAX_PAGES))))) == MAX_PAGES
    with pytest.raises(DataError, match=f"pages, expected at most {MAX_PAGES} pages|expected at most {MAX_PAGES}"):
        next(read_pages(make(tuple([90] * (MAX_PAGES + 1)))))


def test_pages_of_a_pdf(tmp_path: Path):
    pytest.importorskip("pypdfium2")
    path = tmp_path / "pages.pdf"
    path.write_bytes(pdf(GREYS))
    for document in (path, path.read_bytes()):
        found = list(read_pages(document))
        assert [int(np.median(page)) for page in found] == pytest.approx(GREYS, abs=3)
        assert all(page.dtype == np.uint8 and page.ndim == 3 for page in found)


def test_a_huge_page_of_a_pdf_is_drawn_smaller():
    pytest.importorskip("pypdfium2")
    (page,) = read_pages(pdf((40,), (6000, 4000)))
    assert page.shape[0] * page.shape[1] < 1.01 * MAX_PDF_PAGE_PIXELS


def test_a_damaged_pdf_is_told_in_one_line(tmp_path: Path):
    pytest.importorskip("pypdfium2")
    path = tmp_path / "broken.pdf"
    path.write_bytes(b"%PDF-1.7 nothing")
    with pytest.raises(DataError, match=r"broken\.pdf: .*; expected a PDF") as raised:
        list(read_pages(path))
    assert "\n" not in str(raised.value)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(DataError, match="install the extra pdf"):
        next(read_pages(b"%PDF-1.7"))


def test_no_file_is_told(tmp_path: Path):
    with pytest.raises(DataError, match="nothing.tif: No such file"):
        next(read_pages(tmp_path / "nothing.tif"))
