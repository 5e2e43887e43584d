"""Any picture → its pixels as displayed: formats, bit depths, palettes, transparency, the camera's turn."""

import io
import os
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mnist_digits.errors import DataError

Picture = str | os.PathLike[str] | bytes | np.ndarray
"""A file's path, a file's content, or an array of pixels."""

MOST_PIXELS = 64_000_000
"""Larger pictures are declined before they are decoded; a phone's largest have about 50 million."""

FORMATS = ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"]
"""What Pillow may try; some of its other formats would start another program. The last two load most."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""

STRIP_ROWS = 256
"""Of a picture with transparency, so many rows are laid on plain ground at a time."""

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def read_picture(picture: Picture) -> np.ndarray:
    """The pixels as displayed: uint8 (h, w) when grey, uint8 (h, w, 3) in red, green, blue when coloured.

    picture: the path or the content of a PNG, JPEG, WebP, BMP, TIFF, GIF (its first frame) or, with
    the extra `heic`, HEIC file; or an array: uint8 or float in [0, 1], of shape (h, w), (h, w, 3) or
    (h, w, 4) with alpha last. What is transparent becomes plain ground that sets off what is not.

    Raises DataError when a file cannot be read, is damaged, or has more than MOST_PIXELS; ValueError
    when an array has another dtype, shape or range.
    """
    if isinstance(picture, np.ndarray):
        return _flatten(_checked(picture))
    if isinstance(picture, bytes):
        return _decode(io.BytesIO(picture), "picture")
    path = Path(picture)
    try:
        with path.open("rb") as file:
            return _decode(file, str(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; expected a picture that can be read") from None


def _checked(array: np.ndarray) -> np.ndarray:
    """The array as uint8, grey, RGB or RGBA; ValueError when it is not one of those."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise ValueError(f"array of shape {array.shape}, expected (h, w), (h, w, 3) or (h, w, 4) with pixels in it")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"array of {array.dtype}, expected uint8 or float in [0, 1]; scale and convert it")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"array from {low:g} to {high:g}, expected every value in [0, 1]; scale it")
    return np.rint(array * 255).astype(np.uint8)


def _decode(file: IO[bytes], name: str) -> np.ndarray:
    """Pixels of an opened file; DataError, with its name, for whatever is wrong with it."""
    try:
        with Image.open(file, formats=[*FORMATS, *_heic(file, name)]) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise DataError(_too_large(name, f"{width:,} × {height:,}"))
            return _flatten(_pixels(image))
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(_too_large(name, f"many times {MOST_PIXELS:,}")) from None
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise DataError(f"{name}: not a picture, expected {kinds} or HEIC; convert it or copy it again") from None
    # Decoders of damaged files raise whatever comes to hand, from IndexError to struct.error.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: damaged picture ({reason}), expected a whole one; copy it again") from None


def _too_large(name: str, found: str) -> str:
    return f"{name}: {found} pixels, expected at most {MOST_PIXELS:,}; scale it down"


def _heic(file: IO[bytes], name: str) -> list[str]:
    """Pillow's name for HEIC when the file is one and the plugin is there, else nothing."""
    head = file.read(12)
    file.seek(0)
    if head[4:8] != b"ftyp" or head[8:] not in HEIF_BRANDS:
        return []
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise DataError(f"{name}: a HEIC picture; pip install 'mnist-digits[heic]' or convert it to JPEG") from None
    register_heif_opener()
    return ["HEIF"]


def _pixels(image: Image.Image) -> np.ndarray:
    """The first frame, turned as the camera was held: uint8 (h, w), (h, w, 3) or (h, w, 4)."""
    turn = _orientation(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode != "L":
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.asarray(image if turn is None else image.transpose(turn))


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """What turns the picture upright; None when it is, or when its EXIF data make no sense."""
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    # Damaged EXIF data are no reason to decline the pixels beside them.
    except Exception:
        return None


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Integers of 12 to 32 bits or floats, (h, w), as uint8: whole range of 16 bits kept, any other stretched."""
    if values.dtype == np.uint16 and values.max() > 4095:
        return (values >> 8).astype(np.uint8)
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = min(values.min(), 0.0), values.max()
    if high > 255 or low < 0 or high <= 1:
        values = (values - low) * (255 / max(high - low, 1e-12))
    return np.rint(values).astype(np.uint8)


def _flatten(pixels: np.ndarray) -> np.ndarray:
    """Without alpha: laid on plain ground. uint8 (h, w[, 3 or 4]) → uint8 (h, w[, 3])."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    # A strip at a time: floats of a whole large picture would take gigabytes.
    strips = [pixels[top : top + STRIP_ROWS] for top in range(0, len(pixels), STRIP_ROWS)]
    cover = sum(float(_alpha(strip).sum(dtype=np.float64)) for strip in strips)
    shown = sum(float((strip[..., :3] * _alpha(strip)).sum(dtype=np.float64)) for strip in strips)
    visible = shown / max(3 * cover, 1e-6)
    # Mostly opaque is paper with holes or round corners, mostly transparent a drawing on nothing.
    ground = visible if cover > 0.5 * pixels[..., 3].size else 255 * (visible < 128)
    flat = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top, strip in zip(range(0, len(pixels), STRIP_ROWS), strips, strict=True):
        alpha = _alpha(strip)
        flat[top : top + STRIP_ROWS] = np.rint(strip[..., :3] * alpha + np.float32(ground) * (1 - alpha))
    return flat


def _alpha(strip: np.ndarray) -> np.ndarray:
    """How opaque each pixel of uint8 (h, w, 4) is: float32 (h, w, 1) in [0, 1]."""
    return strip[..., 3:].astype(np.float32) / 255
