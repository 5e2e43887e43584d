"""Files of several pages → the pixels of one page after another: TIFF, and PDF with the extra `pdf`.

Of animations (GIF, WebP, PNG) and of HEIC files with several pictures, the first is read: the others show the same.
"""

import io
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_digits.errors import DataError
from mnist_digits.recognition.preprocessing.image_io import Picture, read_picture, tiff_pages

MAX_PAGES = 100
"""Pages of a document; one of more is refused before any of them is read."""

PDF_DOTS_PER_INCH = 200
"""At which a page of a PDF is drawn."""

MAX_PDF_PAGE_PIXELS = 9_000_000
"""A larger page of a PDF is drawn with fewer dots per inch."""

PDF_SUFFIX = ".pdf"

TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_PDF_LOCK = threading.Lock()
"""PDFium is not made for several threads."""


def read_pages(picture: Picture) -> Iterator[NDArray[np.uint8]]:
    """The pixels of each page, as `read_picture` gives them, made when they are asked for.

    picture: what `read_picture` takes, and the path or content of a PDF file. Raises DataError as it does, also for a
    document of more than MAX_PAGES, and for a PDF where the extra `pdf` is missing or the file asks for a password.
    """
    if isinstance(picture, np.ndarray | Image.Image):
        yield read_picture(picture)
        return
    name = "picture" if isinstance(picture, bytes) else str(Path(picture))
    head = _head(picture, name)
    if b"%PDF-" in head:
        yield from _pdf_pages(picture, name)
    elif head[:4] in TIFF_HEADS:
        with io.BytesIO(picture) if isinstance(picture, bytes) else Path(picture).open("rb") as file:
            pages = tiff_pages(file, name, MAX_PAGES)
        if len(pages) > MAX_PAGES:
            raise _too_many(name, f"more than {MAX_PAGES}")
        for page in pages:
            yield read_picture(picture, page)
    else:
        yield read_picture(picture)


def _head(picture: Any, name: str) -> bytes:
    """The first bytes of a file, by its path or content."""
    if isinstance(picture, bytes):
        return picture[:1024]
    try:
        with Path(picture).open("rb") as file:
            return file.read(1024)
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or error}; expected a picture that can be read") from None


def _too_many(name: str, count: str) -> DataError:
    return DataError(f"{name}: {count} pages, expected at most {MAX_PAGES}; cut it up")


def _pdf_pages(picture: Any, name: str) -> Iterator[NDArray[np.uint8]]:
    try:
        import pypdfium2
    except ImportError:
        raise DataError(f"{name}: a PDF; install the extra pdf, or save its pages as pictures") from None
    try:
        with _PDF_LOCK:
            document = pypdfium2.PdfDocument(picture if isinstance(picture, bytes) else Path(picture))
            count = len(document)
    except (pypdfium2.PdfiumError, OSError) as error:
        raise DataError(f"{name}: {_reason(error)}; expected a PDF without a password, not damaged") from None
    try:
        if count > MAX_PAGES:
            raise _too_many(name, f"{count:,}")
        for number in range(count):
            try:
                with _PDF_LOCK:
                    pixels = _drawn(document[number])
            except pypdfium2.PdfiumError as error:
                raise DataError(f"{name}: page {number + 1}: {_reason(error)}; expected a whole PDF") from None
            yield pixels
    finally:
        with _PDF_LOCK:
            document.close()


def _drawn(page: Any) -> NDArray[np.uint8]:
    """A page of a PDF: uint8 (h, w, 3) in red, green and blue."""
    width, height = (max(side, 1.0) for side in page.get_size())
    scale = min(PDF_DOTS_PER_INCH / 72, math.sqrt(MAX_PDF_PAGE_PIXELS / (width * height)))
    bitmap = page.render(scale=scale, rev_byteorder=True)
    pixels: NDArray[np.uint8] = bitmap.to_numpy()[..., :3].copy()
    bitmap.close()
    page.close()
    return pixels


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())
