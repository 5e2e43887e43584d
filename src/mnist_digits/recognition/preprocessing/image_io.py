"""Any picture → its pixels as displayed: formats, bit depths, palettes, transparency, EXIF orientation."""

import ctypes
import functools
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

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

EXIF_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what turns the stored pixels upright."""

BLENDED_ROWS = 256
"""Rows of a picture with transparency that are blended at a time: floats of all would take gigabytes."""


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


def read_picture(picture: Picture) -> NDArray[np.uint8]:
    """The pixels as displayed: uint8 (h, w) when grey, uint8 (h, w, 3) in red, green, blue when coloured.

    picture: the path or the content of a PNG, JPEG, WebP, BMP, TIFF, GIF (its first frame) or, with the extra `heic`,
    HEIC file; a Pillow image, of any mode; or an array: uint8 or float in [0, 1], of shape (h, w), (h, w, 3) or
    (h, w, 4) with alpha last. EXIF orientation is applied. Transparent pixels are blended with a plain ground that
    contrasts with the visible ones.

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
            return _without_alpha(_pixels(picture))
    if isinstance(picture, bytes):
        return _decode(io.BytesIO(picture), "picture")
    path = Path(picture)
    try:
        with path.open("rb") as file:
            return _decode(file, str(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; expected a picture that can be read") from None


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


def _decode(file: IO[bytes], name: str) -> NDArray[np.uint8]:
    """Pixels of an opened file, without alpha. Raises DataError, with its name, when it is damaged or no picture."""
    with _as_data_error(name), Image.open(file, formats=_formats(file, name)) as image:
        if wrong := _size_fault(*image.size):
            raise DataError(f"{name}: {wrong}")
        if image.format == "TIFF":
            _silence_libtiff()
        return _without_alpha(_pixels(image))


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
        raise DataError(f"{name}: a HEIC picture; pip install 'mnist-digits[heic]' or convert it to JPEG") from None
    register_heif_opener()
    return list(PICTURE_KINDS)


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """The first (or current) frame, upright by its EXIF orientation: uint8 (h, w), (h, w, 3) or (h, w, 4)."""
    turn = _exif_turn(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode != "L":
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.asarray(image if turn is None else image.transpose(turn))


def _exif_turn(image: Image.Image) -> Image.Transpose | None:
    """What turns the picture upright; None when it is upright or its EXIF data are damaged."""
    try:
        return EXIF_TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    # Damaged EXIF data are no reason to refuse the pixels beside them.
    except Exception:
        return None


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
    strips = [pixels[top : top + BLENDED_ROWS] for top in range(0, len(pixels), BLENDED_ROWS)]
    opacity = sum(float(_alpha(strip).sum(dtype=np.float64)) for strip in strips)
    visible = sum(float((strip[..., :3] * _alpha(strip)).sum(dtype=np.float64)) for strip in strips)
    mean = visible / max(3 * opacity, 1e-6)
    # Mostly opaque is paper with holes or round corners, mostly transparent a drawing on nothing.
    ground = mean if opacity > 0.5 * pixels[..., 3].size else 255 * (mean < 128)
    flat = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top, strip in zip(range(0, len(pixels), BLENDED_ROWS), strips, strict=True):
        alpha = _alpha(strip)
        flat[top : top + BLENDED_ROWS] = np.rint(strip[..., :3] * alpha + np.float32(ground) * (1 - alpha))
    return flat


def _alpha(strip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Opacity of each pixel of uint8 (h, w, 4): float32 (h, w, 1) in [0, 1]."""
    return strip[..., 3:].astype(np.float32) / np.float32(255)
