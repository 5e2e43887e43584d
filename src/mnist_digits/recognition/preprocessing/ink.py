"""Pixels → ink: which of them a pen has covered, whatever the paper, the light and the pen."""

import cv2
import numpy as np

from mnist_digits.recognition.preprocessing.ruling import SMALLEST, remove_ruling

SKETCH_PX = 512
"""Longest side of the reduced copy on which paper, polarity and colour are judged."""

FAINTEST = 0.06
"""Ink must darken paper by this share; what is paler is not told from the paper."""

GRAINY = 0.15
"""Paper whose own pixels are darkened by this share hides strokes that are none too faint."""

SMOOTHING_PX = 1.5
"""Standard deviation of the blur that quietens such paper."""

DARKEST_SHADOW = 0.4
"""A shadow leaves at least this share of the light."""

PALEST = 0.4
"""Ink of which there is nothing stronger around is taken for a full stroke from here on."""

NORMAL_30 = 0.385
"""Three of ten values of a normal distribution lie within this many standard deviations of its mean."""

BLACK = 16
"""Paper no lighter than this was drawn, not photographed."""


def find_ink(pixels: np.ndarray) -> np.ndarray:
    """How far ink covers each pixel: float32 (h, w) in [0, 1], 1 = full stroke, 0 = paper.

    pixels: uint8 (h, w) or (h, w, 3), as `read_picture` returns them: one digit or a page of them, dark
    on light or light on dark. Zero everywhere when nothing stands out from the paper.

    What darkens is compared with the paper around it, which is what a closing larger than any stroke
    leaves (Gonzalez and Woods, "Digital Image Processing", on the bottom-hat transform); so shadows,
    also those with hard edges, stay paper. Long straight lines that are paler than the writing, or
    many, are ruling and are taken out without breaking the strokes that cross them.
    """
    plane, inverted = _ink_dark(pixels)
    ink = _ink_of(plane, inverted)
    if ink is None and min(plane.shape) >= SMALLEST:
        # In little light a camera's noise may hide what stands out from pixel to pixel, but not from stroke to stroke.
        ink = _ink_of(cv2.GaussianBlur(plane, (0, 0), SMOOTHING_PX), inverted)
    return np.zeros(plane.shape, np.float32) if ink is None else ink


def _ink_of(plane: np.ndarray, inverted: bool) -> np.ndarray | None:
    """The ink of a plane, as in `_darkness`; None as in `_stretched`."""
    darkness, noise = _darkness(plane, inverted)
    darkness = _without_rim(remove_ruling(darkness, noise), noise)
    return _stretched(darkness, noise)


def even(ink: np.ndarray) -> np.ndarray:
    """The ink, float32 (h, w) in [0, 1], of pens of any strength at the full stroke of each, as on a page of several.

    Each pixel is divided by the strongest ink around it, but by no less than PALEST.
    """
    block = max(1, max(ink.shape) // 128)
    width, height = (max(1, round(side / block)) for side in ink.shape[::-1])
    strongest = cv2.resize(cv2.dilate(ink, _square(block)), (width, height), interpolation=cv2.INTER_NEAREST)
    around = cv2.blur(cv2.dilate(strongest, _square(9)), (9, 9))
    scale = cv2.resize(np.maximum(around, PALEST), ink.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.minimum(ink / scale, 1)


def _sketch(pixels: np.ndarray) -> np.ndarray:
    """A copy halved until no side is longer than SKETCH_PX; the picture itself when none is."""
    while max(pixels.shape[:2]) > SKETCH_PX:
        height, width = pixels.shape[:2]
        pixels = cv2.resize(pixels, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    return pixels


def _odd(length: float, least: int = 3) -> int:
    """The nearest odd number of pixels, so that a window has a middle."""
    return max(least, int(length) // 2 * 2 + 1)


def _square(side: int) -> np.ndarray:
    return np.ones((side, side), np.uint8)


def _ink_dark(pixels: np.ndarray) -> tuple[np.ndarray, bool]:
    """One plane, uint8 (h, w), in which ink of any colour is darker than paper; and whether that inverts."""
    sketch = _sketch(pixels)
    grey = sketch if sketch.ndim == 2 else cv2.cvtColor(sketch, cv2.COLOR_RGB2GRAY)
    inverted = _is_light_on_dark(grey)
    if inverted:
        pixels, sketch, grey = (cv2.bitwise_not(array) for array in (pixels, sketch, grey))
    if pixels.ndim == 2:
        return pixels, inverted
    if not _is_coloured(sketch, grey):
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), inverted
    # Every pen darkens one of three colours at least; which one, the paper decides as well.
    paper = np.median(sketch[::4, ::4].reshape(-1, 3), axis=0)
    balance = max(paper.max(), 1) / np.maximum(paper, 32)
    planes = [cv2.convertScaleAbs(cv2.extractChannel(pixels, i), alpha=balance[i]) for i in range(3)]
    return cv2.min(cv2.min(planes[0], planes[1]), planes[2]), inverted


def _is_light_on_dark(grey: np.ndarray) -> bool:
    """Whether strokes are lighter than the paper around them. grey: uint8 (h, w).

    Paper is what there is more of around a stroke. Where strokes are so thick that this is open,
    as in a tight crop of a marker's digit, paper is also what there is more of along the border.
    """
    height, width = grey.shape
    # A table around the page counts as much as the writing; in the middle there is none.
    middle = grey[height // 5 : height - height // 5, width // 5 : width - width // 5]
    for part, margin in ((grey, 0.05), (middle, 0.12)):
        near = _dark_share(part, 12)
        if abs(near - 0.5) > margin:
            return near > 0.5
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]).astype(np.float32)
    lightest, darkest = float(grey.max()), float(grey.min())
    # What is neither dark nor light, as a shadow, counts for neither.
    dark_rim = np.rint(2 * (lightest - rim) / max(lightest - darkest, 1)).mean() / 2
    return 2 * _dark_share(grey, 2) + float(dark_rim) > 1.5


def _dark_share(grey: np.ndarray, parts: int) -> float:
    """Mean place of a pixel between the lightest (0) and the darkest (1) of the picture's part around it.

    A pixel counts as much as these two differ; parts: so many windows lie along the shorter side.
    """
    window = _square(_odd(min(grey.shape) / parts))
    light, dark = cv2.dilate(grey, window), cv2.erode(grey, window)
    contrast = cv2.subtract(light, dark).astype(np.float32).ravel()
    depth = cv2.subtract(light, grey).astype(np.float32).ravel()
    return float(contrast @ depth) / max(float(contrast @ contrast), 1e-6)


def _is_coloured(sketch: np.ndarray, grey: np.ndarray) -> bool:
    """Whether the darkest details differ from the paper in colour more than in brightness."""
    window = _square(_odd(min(grey.shape) / 10))
    red, green, blue = cv2.split(cv2.morphologyEx(sketch, cv2.MORPH_BLACKHAT, window))
    hats = cv2.max(cv2.max(red, green), blue)
    detail = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, window)
    strongest = hats >= max(20, _quantile(hats, 0.99))
    return bool(strongest.any()) and float(detail[strongest].mean()) < 0.75 * float(hats[strongest].mean())


def _darkness(plane: np.ndarray, inverted: bool) -> tuple[np.ndarray, float]:
    """Share of the paper's light that is missing, uint8 (h, w), 255 = all of it; and what paper alone reaches.

    plane: uint8 (h, w), ink dark. inverted: the picture shows it light on dark.
    """
    sketch = _paper(_sketch(plane), inverted)
    size = plane.shape[::-1]
    lowest, highest = (cv2.resize(change(sketch, _square(3)), size) for change in (cv2.erode, cv2.dilate))
    # Where the paper changes sharply, at a shadow's edge, the full-size pixels know better where.
    paper = cv2.min(cv2.max(plane, lowest), highest)
    # Deep shadows hold more noise than light: there a difference counts less.
    light = cv2.convertScaleAbs(paper, beta=8)
    if inverted:
        # Light ink and dark paper grow darker together in a shadow; only paper drawn as pure black does not.
        drawn = np.median(sketch[::4, ::4]) > 255 - BLACK
        light = np.full_like(plane, 255) if drawn else cv2.convertScaleAbs(cv2.bitwise_not(plane), beta=8)
    darkness = cv2.divide(cv2.subtract(paper, plane), light, scale=255)
    # Both quantiles belong to paper, however much ink there is; were it all paper, three standard
    # deviations above its mean would lie so far beyond them.
    upper, lower = _quantile(darkness, 0.3), _quantile(darkness, 0.05)
    return darkness, upper + max(3.2 * (upper - lower), _grain(plane, light))


def _grain(plane: np.ndarray, light: np.ndarray) -> float:
    """How dark, from 0 to 255, the paper's grain makes a pixel: three standard deviations, by its quieter places."""
    if min(plane.shape) < SMALLEST:
        return 0.0
    # The middle of a large picture tells as much as all of it.
    top, left = (max(0, side - SKETCH_PX) // 2 for side in plane.shape)
    window = np.s_[top : top + SKETCH_PX, left : left + SKETCH_PX]
    values = plane[window].astype(np.float32)
    deviation = cv2.absdiff(values, cv2.blur(values, (9, 9)))
    # In sixteenths, for clean paper varies by less than one value.
    sixteenths = cv2.convertScaleAbs(cv2.divide(deviation, light[window].astype(np.float32)), alpha=16 * 255)
    return 3 * _quantile(sixteenths, 0.3) / 16 / NORMAL_30


def _quantile(plane: np.ndarray, share: float) -> float:
    """The value, 0 to 255, that this share of the pixels does not exceed."""
    return float(np.searchsorted(np.cumsum(_histogram(plane)), share * plane.size))


def _paper(sketch: np.ndarray, inverted: bool) -> np.ndarray:
    """The sketch, uint8 (h, w), without its ink: closed by a window a few strokes wide."""
    shorter = min(sketch.shape)
    side = _odd(shorter / 2)
    widest = closed = cv2.morphologyEx(sketch, cv2.MORPH_CLOSE, _square(side))
    # A wide window takes shadows for strokes; once they are gone, strokes look thinner.
    for _ in range(4 if shorter >= SMALLEST else 0):
        narrower = _odd(2.5 * _stroke_width(cv2.subtract(closed, sketch)), least=7)
        if narrower >= 0.95 * side:
            break
        narrowed = cv2.morphologyEx(sketch, cv2.MORPH_CLOSE, _square(narrower))
        # So dark no shadow is: there the window has lost a thick stroke among thin lines.
        darker, lighter = (cv2.bitwise_not(widest), cv2.bitwise_not(narrowed)) if inverted else (narrowed, widest)
        if _inner((darker < DARKEST_SHADOW * lighter).view(np.uint8)) > 0.001 * sketch.size:
            break
        side, closed = narrower, narrowed
    return cv2.blur(closed, (3, 3))


def _inner(mask: np.ndarray) -> int:
    """How many pixels of a mask, uint8 (h, w) of 0 and 1, do not hang together with its border: a desk's do."""
    count, labels = cv2.connectedComponents(mask)
    areas = np.bincount(labels.ravel(), minlength=count)
    areas[[0, *labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]]] = 0
    return int(areas.sum())


def _stroke_width(hat: np.ndarray) -> float:
    """Mean width in pixels of what stands out: twice its mass over the length of its outline."""
    threshold, _ = cv2.threshold(hat, 0, 255, cv2.THRESH_OTSU)
    # Chalk and dry pens leave holes in a stroke, which are no outline.
    mask = cv2.morphologyEx((hat > max(threshold, 8)).astype(np.uint8), cv2.MORPH_CLOSE, _square(3))
    outline = int(mask.sum()) - int(cv2.erode(mask, _square(3)).sum())
    return 2.0 * float(mask.sum()) / max(outline, 1)


def _histogram(plane: np.ndarray) -> np.ndarray:
    """How many pixels have each of the 256 values: float64 (256,)."""
    return cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel().astype(np.float64)


def _stretched(darkness: np.ndarray, noise: float) -> np.ndarray | None:
    """Ink in [0, 1] from darkness, uint8 (h, w): the paper's grain becomes 0, the typical stroke 1.

    None when the grain hides whatever there may be.
    """
    full = _full_stroke(_histogram(darkness), noise)
    if full < max(255 * FAINTEST, 1.5 * noise):
        return None if noise > 255 * GRAINY else np.zeros(darkness.shape, np.float32)
    floor = min(noise, full / 2)
    scale = np.clip((np.arange(256, dtype=np.float32) - floor) / (full - floor), 0, 1)
    return cv2.LUT(darkness, scale)


def _full_stroke(counts: np.ndarray, noise: float) -> float:
    """Darkness of a well covered pixel: upper quartile of the darker class (Otsu 1979) above the noise."""
    values = np.arange(256)
    counts = np.where(values > noise, counts, 0)
    below, mass = np.cumsum(counts), np.cumsum(counts * values)
    if not below[-1]:
        return 0.0
    above = below[-1] - below
    between = (mass * below[-1] - mass[-1] * below) ** 2 / np.maximum(below * above, 1)
    threshold = int(np.argmax(between))
    darker = np.cumsum(np.where(values > threshold, counts, 0))
    return float(np.searchsorted(darker, 0.75 * darker[-1])) if darker[-1] else float(np.flatnonzero(counts)[-1])


def _without_rim(darkness: np.ndarray, noise: float) -> np.ndarray:
    """Darkness without what runs along the picture's border: the table under the paper, the page's edge.

    A piece is taken out when it covers more than half of a side and is a narrow strip, or other pieces
    keep off the border.
    """
    sketch = _sketch(darkness)
    mask = (sketch > max(noise, 0.25 * float(sketch.max()))).astype(np.uint8)
    # Then no piece covers more than half of one.
    if max(side.mean() for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])) <= 0.5:
        return darkness
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    touched = np.array([np.bincount(side, minlength=count) / len(side) for side in sides])[:, 1:].max(axis=0)
    rim, free = touched > 0.5, touched == 0
    if stats[1:, 4][free].sum() < 0.002 * sketch.size:
        rim &= stats[1:, 2:4].min(axis=1) < min(sketch.shape) / 16
    if not rim.any():
        return darkness
    hidden = np.concatenate([[False], rim])[labels].astype(np.uint8)
    hidden = cv2.resize(cv2.dilate(hidden, _square(5)), darkness.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.where(hidden, 0, darkness).astype(np.uint8)
