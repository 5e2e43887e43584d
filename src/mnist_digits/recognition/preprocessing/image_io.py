"""Any picture → its pixels as displayed: formats, bit depths, palettes, transparency, EXIF orientation."""

import ctypes
import functools
import io
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from mnist_digits.errors import DataError

Picture = str | os.PathLike[str] | bytes | NDArray[Any] | Image.Image
"""A file's path, a file's content, an array of pixels or a Pillow image, as `read_picture` takes them."""

MAX_PICTURE_PIXELS = 64_000_000
"""Larger pictures are refused before they are decoded; a phone's largest have about 50 million."""

MAX_PICTURE_SIDE_PX = 20_000
"""Longest side of a picture. A strip of more would be compressed to a small file and reach far in every filter."""

_EXPECTED_SIZE = (
    f"expected at most {MAX_PICTURE_PIXELS:,} in all and {MAX_PICTURE_SIDE_PX:,} along a side; "
    "scale it down or cut it up"
)

MAX_JPEG_SCANS = 100
"""Number of scans of a progressive JPEG, which usually has 10: each takes the time of decoding the whole picture."""

MAX_PICTURE_BYTES = 8 * MAX_PICTURE_PIXELS
"""No file of so many pixels is larger: four channels of 16 bits, uncompressed."""

PICTURE_KINDS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "HEIF": (".heic", ".heif"),
}
"""Pillow's name of each format that can be opened → its suffixes. Some of Pillow's others would start a program."""

PICTURE_SUFFIXES = tuple(suffix for suffixes in PICTURE_KINDS.values() for suffix in suffixes)

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""What a HEIC file has in bytes 8 to 11."""

EXIF_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (1, True), 6: (3, False), 7: (3, True), 8: (1, False)}
"""EXIF orientation → what turns the stored pixels upright: quarter turns to the left, after or without mirroring."""

STRIP_ROWS = 256
"""Rows of a picture that are converted at a time: Pillow's other forms of all of it would take gigabytes."""

LIGHT_KINDS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
"""Formats whose header tells what decoding takes; a TIFF may have tiles, a HEIC file a video of any size."""

LIGHT_BYTES = 1_000_000
"""Size of a light picture's file: in a larger one, even the header may take seconds to parse."""

LIGHT_PIXELS = 2_000_000
"""Pixels of a light picture, in which a digit is found in well below a second."""

LIGHT_PAGE_PIXELS = 600_000
"""Pixels of a light page: one of 2,000,000 may hold ten thousand digits, which take seconds."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""The first bytes of a PNG file."""

USUAL_JPEG_SCANS = 10
"""Number of scans of a usual progressive JPEG."""

MAX_FRAMES_PER_PAGE = 3
"""Frames of a TIFF looked at for each page: a page may have a reduced copy and a mask."""

MIN_CUTTING_FILL, MIN_CUTTING_CONTRAST = 0.6, 64
"""Opaque pixels are a cutting if they fill this share of their rows and columns, and differ by so many grey levels."""


def find_pictures(
    folder: str, recursive: bool = False, in_order: bool = True, skip_unreadable: bool = True
) -> Iterator[str]:
    """Paths of the pictures in a folder, by their suffix, one by one; none when `folder` is no folder.

    recursive: also those in the folders below, after the folder's own. Hidden files and folders are left out, links to
    folders not followed. in_order: sorted by name; else as the file system lists them, so that a million names are
    never in memory together. skip_unreadable: pass over folders that cannot be listed; else raise DataError.
    """
    below = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name) if in_order else entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    below += [] if entry.is_symlink() else [entry.path]
                elif entry.name.lower().endswith(PICTURE_SUFFIXES):
                    yield str(Path(entry.path))
    except OSError as error:
        if not skip_unreadable:
            raise DataError(f"{folder}: {error.strerror}; expected a folder that can be looked into") from error
    for path in below if recursive else []:
        yield from find_pictures(path, recursive, in_order, skip_unreadable)


def read_picture(picture: Picture, frame: int = 0) -> NDArray[np.uint8]:
    """The pixels as displayed: uint8 (h, w) when grey, uint8 (h, w, 3) in red, green, blue when coloured.

    picture: the path or the content of a PNG, JPEG, WebP, BMP, TIFF, GIF or, with the extra `heic`, HEIC file; a Pillow
    image, of any mode; or an array: uint8 or float in [0, 1], of shape (h, w), (h, w, 3) or (h, w, 4) with alpha last.
    frame: of a file with several, from 0; `read_pages` finds those that are pages of their own.

    EXIF orientation is applied. Transparent pixels are blended with a ground that contrasts with the visible ones,
    or with the paper of a cutting that has its ink on it.

    Raises DataError when a file cannot be read, is damaged, or has more than MAX_PICTURE_PIXELS, a side of more than
    MAX_PICTURE_SIDE_PX or more than MAX_JPEG_SCANS; ValueError when an array has another dtype, shape or range, or an
    image no pixels or too many.
    """
    if isinstance(picture, np.ndarray):
        return _without_alpha(_checked(picture))
    if isinstance(picture, Image.Image):
        if 0 in picture.size:
            raise ValueError(f"image of {picture.width} × {picture.height} pixels, expected at least one")
        if wrong := _size_fault(*picture.size):
            raise ValueError(f"image of {wrong}")
        with _as_data_error("picture"):
            return _pixels(picture)
    if isinstance(picture, bytes):
        return _decode(io.BytesIO(picture), "picture", frame)
    path = Path(picture)
    try:
        with path.open("rb") as file:
            return _decode(file, str(path), frame)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; expected a picture that can be read") from None


def is_light(content: bytes, pixels: int = LIGHT_PIXELS) -> bool:
    """Whether a picture is read soon and with little memory, by its header; True also for what is no picture.

    content: that of a file. A light one has at most LIGHT_BYTES and so many pixels, and is of one of LIGHT_KINDS.
    """
    return len(content) <= LIGHT_BYTES and pixels_to_decode(content) <= pixels


def pixels_to_decode(content: bytes) -> float:
    """How many pixels a picture file has by its header, each counted as often as it is decoded.

    0 for what is refused before it is decoded; infinity for a format whose header does not tell, such as TIFF and HEIC.
    """
    if content[:2] in (b"II", b"MM") or content[4:8] == b"ftyp" or b"%PDF-" in content[:1024]:
        return float("inf")
    if content[:8] == PNG_SIGNATURE and content[12:16] == b"IHDR":
        width, height = struct.unpack(">II", content[16:24].ljust(8, b"\0"))
        return 0.0 if _size_fault(width, height) else width * height
    file = io.BytesIO(content)
    try:
        with Image.open(file, formats=LIGHT_KINDS) as image:
            turns = max(1.0, _count_scans(io.BytesIO(content)) / USUAL_JPEG_SCANS) if image.format == "JPEG" else 1.0
            return 0.0 if _size_fault(*image.size) else image.width * image.height * turns
    # What cannot even be opened is refused as soon as it is read.
    except Exception:
        return 0.0


def _checked(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The array as uint8, grey, RGB or RGBA; ValueError when it is not one of those."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise ValueError(f"array of shape {array.shape}, expected (h, w), (h, w, 3) or (h, w, 4) with pixels in it")
    if wrong := _size_fault(array.shape[1], array.shape[0]):
        raise ValueError(f"array of {wrong}")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"array of {array.dtype}, expected uint8 or float in [0, 1]; scale and convert it")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"array from {low:g} to {high:g}, expected every value in [0, 1]; scale it")
    return np.rint(array * 255).astype(np.uint8)


def tiff_pages(file: IO[bytes], name: str, most: int) -> list[int]:
    """The frames of a TIFF that are pages: not reduced copies, and not masks. At most `most`, and one more.

    Raises DataError, with its name, when the file is damaged.
    """
    pages: list[int] = []
    with _as_data_error(name), Image.open(file, formats=["TIFF"]) as image:
        assert isinstance(image, TiffImageFile)
        _silence_libtiff()
        for frame in range(MAX_FRAMES_PER_PAGE * (most + 1)):
            try:
                image.seek(frame)
            except EOFError:
                break
            if not frame or not image.tag_v2.get(ExifTags.Base.NewSubfileType, 0) & 0b101:
                pages.append(frame)
            if len(pages) > most:
                break
    return pages


def _decode(file: IO[bytes], name: str, frame: int) -> NDArray[np.uint8]:
    """Pixels of an opened file, without alpha. Raises DataError, with its name, when it is damaged or no picture."""
    with _as_data_error(name), Image.open(file, formats=_formats(file, name)) as image:
        if image.format == "TIFF":
            _silence_libtiff()
        if frame:
            image.seek(frame)
        if wrong := _size_fault(*image.size):
            raise DataError(f"{name}: {wrong}")
        return _pixels(image)


@contextmanager
def _as_data_error(name: str) -> Iterator[None]:
    """Raise whatever Pillow raises for a picture as DataError, with its name and in one line."""
    try:
        yield
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{name}: many times {MAX_PICTURE_PIXELS:,} pixels, {_EXPECTED_SIZE}") from None
    except UnidentifiedImageError:
        kinds = ", ".join(kind for kind in PICTURE_KINDS if kind != "HEIF")
        raise DataError(f"{name}: not a picture, expected {kinds} or HEIC; convert it or copy it again") from None
    except MemoryError:
        raise DataError(f"{name}: decoding takes more memory than there is, expected less; scale it down") from None
    # Decoders of damaged files raise anything, from IndexError to struct.error.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: damaged picture ({reason}), expected a whole one; copy it again") from None


def _size_fault(width: int, height: int) -> str | None:
    """What is wrong with a picture of so many pixels along its sides; None when it may be read."""
    if width * height <= MAX_PICTURE_PIXELS and max(width, height) <= MAX_PICTURE_SIDE_PX:
        return None
    return f"{width:,} × {height:,} pixels, {_EXPECTED_SIZE}"


def _count_scans(file: IO[bytes]) -> int:
    """Number of scans in a JPEG file: of its markers "start of scan", which its compressed data cannot contain."""
    count, last = 0, b""
    while chunk := file.read(1 << 20):
        count += (last + chunk).count(b"\xff\xda")
        last = chunk[-1:]
    file.seek(0)
    return count


@functools.cache
def _silence_libtiff() -> None:
    """Keep the libtiff in Pillow's wheels from writing what it finds wrong to stderr: Pillow raises it anyway."""
    for library in Path(Image.__file__).parents[1].glob("pillow.libs/libtiff-*.so*"):
        ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)


def _formats(file: IO[bytes], name: str) -> list[str]:
    """The formats that Pillow may try.

    Raises DataError for a HEIC file when its plugin is missing, and for a JPEG file of too many scans.
    """
    head = file.read(12)
    file.seek(0)
    if head.startswith(b"\xff\xd8") and (scans := _count_scans(file)) > MAX_JPEG_SCANS:
        raise DataError(f"{name}: a JPEG of {scans:,} scans, expected at most {MAX_JPEG_SCANS}; save it anew")
    if head[4:8] != b"ftyp" or head[8:] not in HEIF_BRANDS:
        return [kind for kind in PICTURE_KINDS if kind != "HEIF"]
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        raise DataError(f"{name}: a HEIC picture; install the extra heic, or convert it to JPEG") from None
    register_heif_opener()
    return list(PICTURE_KINDS)


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """The first (or current) frame, upright by its EXIF orientation, without alpha: uint8 (h, w) or (h, w, 3)."""
    turns, mirrored = _exif_turn(image)
    pixels = _stored_pixels(image)
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _stored_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """The same, as stored. All but the decoded picture and the result is made in strips of it."""
    if image.mode.startswith(("I", "F")):
        return _eight_bits(np.asarray(image))
    with_alpha = image.has_transparency_data
    mode = "RGBA" if with_alpha else "L" if image.mode in ("1", "L") else "RGB"
    image.load()

    def strip(top: int) -> NDArray[np.uint8]:
        bottom = min(top + STRIP_ROWS, image.height)
        part = image if bottom - top == image.height else image.crop((0, top, image.width, bottom))
        return np.asarray(part if part.mode == mode else part.convert(mode))

    if with_alpha:
        return _blended(image.height, image.width, strip)
    pixels = np.empty((image.height, image.width) if mode == "L" else (image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, STRIP_ROWS):
        pixels[top : top + STRIP_ROWS] = strip(top)
    return pixels


def _exif_turn(image: Image.Image) -> tuple[int, bool]:
    """What turns the picture upright, as in EXIF_TURNS; nothing when its EXIF data are damaged."""
    try:
        return EXIF_TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1), (0, False))
    # Damaged EXIF data are no reason to refuse the pixels beside them.
    except Exception:
        return 0, False


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Integers of 12 to 32 bits or floats, (h, w), as uint8: 16 bits keep their range, others are stretched to 255."""
    if values.dtype == np.uint16 and values.max() > 4095:
        return (values >> 8).astype(np.uint8)
    values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    low, high = min(float(values.min()), 0.0), float(values.max())
    if high > 255 or low < 0 or high <= 1:
        scale = 255 / max(high - low, 1e-12)
        values *= np.float32(scale)
        values -= np.float32(low * scale)
    return np.rint(values).astype(np.uint8)


def _without_alpha(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blended with a plain ground where there is alpha: uint8 (h, w[, 3 or 4]) → uint8 (h, w[, 3])."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    height, width, _ = pixels.shape
    return _blended(height, width, lambda top: pixels[top : top + STRIP_ROWS])


def _blended(height: int, width: int, strip: Callable[[int], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Blended with a plain ground: uint8 (h, w, 3). strip: STRIP_ROWS rows from one on, uint8 (n, w, 4)."""
    opacity = visible = 0.0
    for top in range(0, height, STRIP_ROWS):
        part = strip(top)
        if part[..., 3].min() == 255:
            opacity += part[..., 3].size
            visible += float(part[..., :3].sum(dtype=np.int64))
            continue
        opacity += float(_alpha(part).sum(dtype=np.float64))
        visible += float((part[..., :3] * _alpha(part)).sum(dtype=np.float64))
    mean = visible / max(3 * opacity, 1e-6)
    # Mostly opaque is paper with holes or round corners, mostly transparent a drawing on nothing, or a cutting.
    ground = mean if opacity > 0.5 * height * width else _paper_of_cutting(strip, (height, width))
    ground = 255.0 * (mean < 128) if ground is None else ground
    flat = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, STRIP_ROWS):
        part = strip(top)
        if part[..., 3].min() == 255:
            flat[top : top + STRIP_ROWS] = part[..., :3]
            continue
        alpha = _alpha(part)
        flat[top : top + STRIP_ROWS] = np.rint(part[..., :3] * alpha + np.float32(ground) * (1 - alpha))
    return flat


def _paper_of_cutting(strip: Callable[[int], NDArray[np.uint8]], shape: tuple[int, int]) -> float | None:
    """Grey level of the paper of a cutting with its ink: a compact opaque part that is light and dark; None if neither.

    strip: the rows from one on, uint8 (h, w, 4). shape: height and width of the picture.
    """
    counts, rows, columns = np.zeros(256, int), 0, np.zeros(shape[1], bool)
    for top in range(0, shape[0], STRIP_ROWS):
        part = strip(top)
        opaque = part[..., 3] > 127
        grey = cv2.cvtColor(np.ascontiguousarray(part[..., :3]), cv2.COLOR_RGB2GRAY)
        counts += np.bincount(grey[opaque], minlength=256)
        rows, columns = rows + int(opaque.any(axis=1).sum()), columns | opaque.any(axis=0)
    total = counts.sum()
    if total < MIN_CUTTING_FILL * rows * columns.sum() or not total:
        return None
    dark, middle, light = np.searchsorted(np.cumsum(counts), np.array([0.03, 0.5, 0.97]) * total)
    return float(middle) if light - dark > MIN_CUTTING_CONTRAST else None


def _alpha(strip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Opacity of each pixel of uint8 (h, w, 4): float32 (h, w, 1) in [0, 1]."""
    return strip[..., 3:].astype(np.float32) / np.float32(255)
