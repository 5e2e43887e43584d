"""Pixels → ink: how far a pen has covered each of them, whatever the paper, the light and the pen."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.preprocessing.mnist_format import square
from mnist_digits.recognition.preprocessing.ruling import MIN_RULED_SIDE_PX, remove_ruling
from mnist_digits.recognition.results import Box

SKETCH_SIDE_PX = 512
"""Longest side of the reduced copy on which paper, polarity and colour are judged."""

MIN_STROKE_DARKNESS = 0.06
"""Share of the paper's light that a stroke takes away at least; what is paler is part of the paper."""

MAX_GRAIN_DARKNESS = 0.15
"""Where the noise of the paper alone takes away more than this share, it may hide strokes, and is smoothed."""

SMOOTHING_SIGMA_PX = 1.5
"""Standard deviation of the Gaussian blur that smooths such noise."""

MIN_SHADOW_LIGHT = 0.4
"""A shadow leaves at least this share of the light."""

MIN_FULL_STROKE = 0.4
"""Least ink that `equalise_ink` scales to a full stroke."""

DRAWN_MARGIN_PX = 4
"""Ground around the ink of a drawing up to which filters reach that tell noise and thin strokes."""

MAX_DRAWN_PAPER = 1 / 32
"""Share of the pixels of a drawing on dark ground, in the middle of thick strokes, that a closing may take for other
paper: of so few, the median is still that of the ground."""

COARSE_SIDE_PX, SHARE_ERROR = 56, 0.04
"""Shorter side of the reduced copy by which a drawing's polarity is judged, and how far that may be off at most: of 900
drawings, none was by more than 0.024."""

NORMAL_QUANTILE_30 = 0.385
"""Three of ten values of a normal distribution lie within so many standard deviations of its mean."""

MAX_DRAWN_BLACK = 16
"""A dark ground whose median grey level, 0 to 255, is below this was drawn by a program, not photographed."""


Inks = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Ink, and ink before lines were removed."""


def find_ink(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far ink covers each pixel: float32 (h, w) in [0, 1], 1 = full stroke, 0 = paper.

    pixels: uint8 (h, w) or (h, w, 3), as `read_picture` returns them: one digit or a page of them, dark on light or
    light on dark. Zero everywhere when nothing stands out from the paper.

    Each pixel is compared with the paper around it, which is what a closing larger than any stroke leaves (Gonzalez and
    Woods, "Digital Image Processing", on the bottom-hat transform); so shadows, also those with hard edges, stay paper.
    Long straight lines that are paler than the writing, or many, are ruling: they are removed without breaking the
    strokes that cross them.
    """
    return find_ink_and_lines(pixels)[0]


def find_ink_and_lines(pixels: NDArray[np.uint8]) -> Inks:
    """What `find_ink` returns, and the same before ruling and the picture's rim were removed: float32 (h, w) each.

    Both are one array where nothing was removed.
    """
    return _found(pixels, keep_lines=False)


def find_lined_ink(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As the second of `find_ink_and_lines`, in a third of the time: float32 (h, w).

    The typical stroke is judged with the lines, too, so where they are many it may be another.
    """
    return _found(pixels, keep_lines=True)[1]


def _found(pixels: NDArray[np.uint8], keep_lines: bool) -> Inks:
    drawn = _drawn_ink(pixels)
    if drawn is not None:
        return drawn
    plane, inverted = _ink_dark(pixels)
    inks = _ink_of(plane, inverted, keep_lines)
    if inks is None and min(plane.shape) >= MIN_RULED_SIDE_PX:
        # In little light a camera's noise hides strokes from pixel to pixel, but not on average.
        inks = _ink_of(cv2.GaussianBlur(plane, (0, 0), SMOOTHING_SIGMA_PX), inverted, keep_lines)
    if inks is None:
        blank = np.zeros(plane.shape, np.float32)
        return blank, blank
    return inks


def equalise_ink(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ink, float32 (h, w) in [0, 1], of pens of any strength scaled to the full stroke of each: for pages of several.

    Each pixel is divided by the strongest ink around it, but by no less than MIN_FULL_STROKE.
    """
    block = max(1, max(ink.shape) // 128)
    width, height = (max(1, round(side / block)) for side in ink.shape[::-1])
    strongest = cv2.resize(cv2.dilate(ink, square(block)), (width, height), interpolation=cv2.INTER_NEAREST)
    around = cv2.blur(cv2.dilate(strongest, square(9)), (9, 9))
    scale = cv2.resize(np.maximum(around, MIN_FULL_STROKE), ink.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.minimum(ink / scale, 1)


def _drawn_ink(pixels: NDArray[np.uint8]) -> Inks | None:
    """What `find_ink_and_lines` returns otherwise, in a fraction of the time, of a drawing; None of anything else.

    A drawing here has one grey level, the ground, all along its border and in a third of its pixels, and no pixel lies
    on the other side of that. So there is neither noise nor shadow, and all there is to be looked at is around the ink.
    """
    plane = _only_plane(pixels)
    if plane is None or max(plane.shape) > SKETCH_SIDE_PX:
        return None
    ground = int(plane[0, 0])
    if any((side != ground).any() for side in (plane[0], plane[-1], plane[:, 0], plane[:, -1])):
        return None
    lowest, highest, _, _ = cv2.minMaxLoc(plane)
    inverted = ground == lowest < highest
    if inverted:
        plane, ground = cv2.bitwise_not(plane), 255 - ground
    elif ground != highest:
        return None
    hat = cv2.subtract(np.full_like(plane, ground), plane)
    box = cv2.boundingRect(hat)
    if not (_is_still(hat, box) and _is_darker(plane)):
        return None
    ink = np.zeros(plane.shape, np.float32)
    inner = _grown(box, DRAWN_MARGIN_PX, plane.shape)
    paper = _paper(plane[inner], inverted, plane.shape)
    if inverted and np.count_nonzero(paper != ground) > MAX_DRAWN_PAPER * plane.size:
        return None
    darkness = np.zeros_like(plane)
    if (paper == ground).all():
        # A level's darkness is the same everywhere.
        levels = np.arange(256, dtype=np.uint8)[None]
        table, _ = _missing_light(levels, np.full_like(levels, ground), inverted, float(ground))
        darkness[inner] = cv2.LUT(plane[inner], table)
    else:
        darkness[inner], _ = _missing_light(plane[inner], paper, inverted, float(ground))
    cleared = remove_ruling(darkness, 0.0, inner)
    part = cleared[inner]
    stretched = _stretched(part, 0.0, part if cleared is darkness else darkness[inner])
    assert stretched is not None
    ink[inner] = stretched[0]
    if cleared is darkness:
        return ink, ink
    lined = np.zeros(plane.shape, np.float32)
    lined[inner] = stretched[1]
    return ink, lined


def _only_plane(pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The plane of a grey picture, uint8 (h, w), also of one stored in three equal ones; None of a coloured one."""
    if pixels.ndim == 2:
        return pixels
    # A photo's first row is enough to tell.
    if (pixels[0] != pixels[0, :, :1]).any():
        return None
    red, green, blue = cv2.split(pixels)
    return red if np.array_equal(red, green) and np.array_equal(red, blue) else None


def _grown(box: Box, margin: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a box with a margin around it, in a picture of (h, w)."""
    x, y, width, height = box
    rows = slice(max(0, y - margin), min(shape[0], y + height + margin))
    return rows, slice(max(0, x - margin), min(shape[1], x + width + margin))


def _is_still(hat: NDArray[np.uint8], box: Box) -> bool:
    """Whether the quantiles by which `_darkness` and `_grain` measure noise lie in even ground.

    hat: uint8 (h, w), how much darker than the ground. box: around the ink.
    """
    enough = 0.3 * hat.size
    if hat.size - cv2.countNonZero(hat) < enough:
        return False
    # The grain is estimated from the 9×9 pixels around each.
    near = hat[_grown(box, DRAWN_MARGIN_PX, hat.shape)]
    if hat.size - near.size >= enough or min(hat.shape) < MIN_RULED_SIDE_PX:
        return True
    return hat.size - cv2.countNonZero(cv2.dilate(near, square(9))) >= enough


def _is_darker(plane: NDArray[np.uint8]) -> bool:
    """Whether `_is_light_on_dark` is sure to see ink darker than ground, uint8 (h, w), where that fills the border.

    It is where none of its three shares can tell the reverse; a sixteenth of the pixels, or fewer, tell them within
    SHARE_ERROR.
    """
    height, width = plane.shape
    middle = plane[height // 5 : height - height // 5, width // 5 : width - width // 5]
    for part, parts, limit in ((plane, 12, 0.55), (middle, 12, 0.62), (plane, 2, 0.75)):
        step = max(1, min(part.shape) // COARSE_SIDE_PX)
        coarse = np.ascontiguousarray(part[::step, ::step])
        if _dark_share(coarse, parts) >= limit - (SHARE_ERROR if step > 1 else 0):
            return False
    return True


def _ink_of(plane: NDArray[np.uint8], inverted: bool, keep_lines: bool) -> Inks | None:
    """The ink of a plane, as for `_darkness`, without and with lines; None where noise may hide it."""
    darkness, noise = _darkness(plane, inverted)
    if keep_lines:
        return _stretched(darkness, noise, darkness)
    return _stretched(_without_rim(remove_ruling(darkness, noise), noise), noise, darkness)


def _sketch(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy halved until no side is longer than SKETCH_SIDE_PX; the picture itself when none is."""
    while max(pixels.shape[:2]) > SKETCH_SIDE_PX:
        height, width = pixels.shape[:2]
        pixels = cv2.resize(pixels, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    return pixels


def _odd(length: float, least: int = 3) -> int:
    """The length, in pixels, rounded to an odd number, so that a window has a middle."""
    return max(least, int(length) // 2 * 2 + 1)


def _ink_dark(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], bool]:
    """One plane, uint8 (h, w), in which ink of any colour is darker than paper; and whether it is inverted for that."""
    sketch = _sketch(pixels)
    grey = sketch if sketch.ndim == 2 else cv2.cvtColor(sketch, cv2.COLOR_RGB2GRAY)
    inverted = _is_light_on_dark(grey)
    if inverted:
        pixels, sketch, grey = (cv2.bitwise_not(array) for array in (pixels, sketch, grey))
    if pixels.ndim == 2:
        return pixels, inverted
    if not _is_coloured(sketch, grey):
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), inverted
    # Every pen darkens at least one colour channel, relative to that of the paper.
    paper = np.median(sketch[::4, ::4].reshape(-1, 3), axis=0)
    balance = max(paper.max(), 1) / np.maximum(paper, 32)
    planes = [cv2.convertScaleAbs(cv2.extractChannel(pixels, i), alpha=balance[i]) for i in range(3)]
    return cv2.min(cv2.min(planes[0], planes[1]), planes[2]), inverted


def _is_light_on_dark(grey: NDArray[np.uint8]) -> bool:
    """Whether strokes are lighter than the paper around them. grey: uint8 (h, w).

    Around a stroke there is more paper than ink. Where strokes are too thick to tell, as in a tight crop of a marker's
    digit, the border counts as well, which is mostly paper.
    """
    height, width = grey.shape
    # A desk around the page would count as much as the writing; in the middle there is none.
    middle = grey[height // 5 : height - height // 5, width // 5 : width - width // 5]
    for part, margin in ((grey, 0.05), (middle, 0.12)):
        near = _dark_share(part, 12)
        if abs(near - 0.5) > margin:
            return near > 0.5
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]).astype(np.float32)
    lightest, darkest = float(grey.max()), float(grey.min())
    # A shadow, which is neither dark nor light, counts for neither.
    dark_rim = np.rint(2 * (lightest - rim) / max(lightest - darkest, 1)).mean() / 2
    return 2 * _dark_share(grey, 2) + float(dark_rim) > 1.5


def _dark_share(grey: NDArray[np.uint8], parts: int) -> float:
    """Mean level of a pixel between the lightest (0) and the darkest (1) pixel of the window around it.

    Pixels are weighted by the squared contrast in their windows. parts: windows along the shorter side.
    """
    window = square(_odd(min(grey.shape) / parts))
    light, dark = cv2.dilate(grey, window), cv2.erode(grey, window)
    pairs = ((light, dark), (light, grey), (grey, dark))
    contrast, depth, height = (cv2.norm(upper, lower, cv2.NORM_L2SQR) for upper, lower in pairs)
    # Contrast is depth and height together, so this is the sum of contrast × depth over that of contrast².
    return (contrast + depth - height) / 2 / max(contrast, 1e-6)


def _is_coloured(sketch: NDArray[np.uint8], grey: NDArray[np.uint8]) -> bool:
    """Whether the darkest details differ from the paper in one colour channel more than in brightness."""
    window = square(_odd(min(grey.shape) / 10))
    red, green, blue = cv2.split(cv2.morphologyEx(sketch, cv2.MORPH_BLACKHAT, window))
    hats = cv2.max(cv2.max(red, green), blue)
    detail = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, window)
    strongest = hats >= max(20, _quantile(hats, 0.99))
    return bool(strongest.any()) and float(detail[strongest].mean()) < 0.75 * float(hats[strongest].mean())


def _darkness(plane: NDArray[np.uint8], inverted: bool) -> tuple[NDArray[np.uint8], float]:
    """Share of the paper's light that is missing, uint8 (h, w), 255 = all of it; and the level that noise reaches.

    plane: uint8 (h, w), ink dark. inverted: whether the picture shows light ink on dark paper.
    """
    sketch = _paper(_sketch(plane), inverted)
    darkness, light = _missing_light(plane, sketch, inverted, float(np.median(sketch[::4, ::4])))
    # Both quantiles are of paper, however much ink there is; for paper alone, this is its mean and three standard
    # deviations.
    upper, lower = _quantile(darkness, 0.3), _quantile(darkness, 0.05)
    return darkness, upper + max(3.2 * (upper - lower), _grain(plane, light))


def _missing_light(
    plane: NDArray[np.uint8], sketch: NDArray[np.uint8], inverted: bool, typical: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The first of what `_darkness` returns, and the light it is a share of: uint8 (h, w) each.

    sketch: the paper's, of any size. typical: its median.
    """
    size = plane.shape[::-1]
    lowest, highest = (cv2.resize(change(sketch, square(3)), size) for change in (cv2.erode, cv2.dilate))
    # At a shadow's hard edge the full-size pixels are more precise than the sketch.
    paper = cv2.min(cv2.max(plane, lowest), highest)
    # Deep shadows are noisy: the offset makes a difference count less there.
    light = cv2.convertScaleAbs(paper, beta=8)
    if inverted:
        # Light ink and dark paper grow darker together in a shadow; only paper drawn as pure black does not.
        drawn = typical > 255 - MAX_DRAWN_BLACK
        light = np.full_like(plane, 255) if drawn else cv2.convertScaleAbs(cv2.bitwise_not(plane), beta=8)
    return cv2.divide(cv2.subtract(paper, plane), light, scale=255), light


def _grain(plane: NDArray[np.uint8], light: NDArray[np.uint8]) -> float:
    """Darkness, 0 to 255, that the paper's grain reaches: three standard deviations, estimated where it is quiet."""
    if min(plane.shape) < MIN_RULED_SIDE_PX:
        return 0.0
    # The middle of a large picture is enough for an estimate.
    top, left = (max(0, side - SKETCH_SIDE_PX) // 2 for side in plane.shape)
    window = np.s_[top : top + SKETCH_SIDE_PX, left : left + SKETCH_SIDE_PX]
    values = plane[window].astype(np.float32)
    deviation = cv2.absdiff(values, cv2.blur(values, (9, 9)))
    # In sixteenths, because clean paper varies by less than one grey level.
    sixteenths = cv2.convertScaleAbs(cv2.divide(deviation, light[window].astype(np.float32)), alpha=16 * 255)
    return 3 * _quantile(sixteenths, 0.3) / 16 / NORMAL_QUANTILE_30


def _quantile(plane: NDArray[np.uint8], share: float) -> float:
    """The grey level, 0 to 255, that this share of the pixels does not exceed."""
    return float(np.searchsorted(np.cumsum(_histogram(plane)), share * plane.size))


def _paper(sketch: NDArray[np.uint8], inverted: bool, whole: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """The sketch, uint8 (h, w), without its ink: a closing by a window a few strokes wide.

    whole: shape of the sketch of which this is a part, where all that is left out is even ground, as is the border.
    """
    shape = whole or sketch.shape
    shorter, size = min(shape), shape[0] * shape[1]
    side = _odd(shorter / 2)
    widest = closed = _closed(sketch, side, whole is not None)
    # A wide window takes shadows for strokes; with a narrower one, the estimated stroke width shrinks as well.
    for _ in range(4 if shorter >= MIN_RULED_SIDE_PX else 0):
        narrower = _odd(2.5 * _stroke_width(cv2.subtract(closed, sketch), size), least=7)
        if narrower >= 0.95 * side:
            break
        narrowed = _closed(sketch, narrower, whole is not None)
        if np.array_equal(narrowed, closed):
            # From the same strokes follows the same window.
            break
        # Darker than any shadow: the window has become too narrow for a thick stroke among thin ones.
        darker, lighter = (cv2.bitwise_not(widest), cv2.bitwise_not(narrowed)) if inverted else (narrowed, widest)
        if _inner((darker < MIN_SHADOW_LIGHT * lighter).view(np.uint8)) > 0.001 * size:
            break
        side, closed = narrower, narrowed
    return cv2.blur(closed, (3, 3))


def _closed(sketch: NDArray[np.uint8], side: int, on_ground: bool) -> NDArray[np.uint8]:
    """A closing of the sketch, uint8 (h, w), by a square window. on_ground: its corner's level goes on around it."""
    if not on_ground:
        return cv2.morphologyEx(sketch, cv2.MORPH_CLOSE, square(side))
    ground = int(sketch[0, 0])
    inked = cv2.integral((sketch != ground).view(np.uint8))
    windows = inked[side:, side:] - inked[:-side, side:] - inked[side:, :-side] + inked[:-side, :-side]
    # Where there is ground in each window, the lightest pixel of each is ground.
    if not windows.size or windows.max() < side * side:
        return np.full_like(sketch, ground)
    border = {"borderType": cv2.BORDER_CONSTANT, "borderValue": ground}
    return cv2.morphologyEx(sketch, cv2.MORPH_CLOSE, square(side), **border)


def _inner(mask: NDArray[np.uint8]) -> int:
    """Pixels of a mask, uint8 (h, w) of 0 and 1, in components that do not touch its border, as a desk would."""
    count, labels = cv2.connectedComponents(mask)
    areas = np.bincount(labels.ravel(), minlength=count)
    areas[[0, *labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]]] = 0
    return int(areas.sum())


def _stroke_width(hat: NDArray[np.uint8], size: int) -> float:
    """Mean stroke width in pixels of a bottom hat, uint8 (h, w): twice the area over the length of the outline.

    size: pixels of the picture; the hat is 0 beyond its own.
    """
    levels = np.zeros(size, np.uint8)
    levels[: hat.size] = hat.ravel()
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    # Holes that chalk and dry pens leave in a stroke are no part of its outline.
    mask = cv2.morphologyEx((hat > max(threshold, 8)).view(np.uint8), cv2.MORPH_CLOSE, square(3))
    area = cv2.countNonZero(mask)
    return 2.0 * area / max(area - cv2.countNonZero(cv2.erode(mask, square(3))), 1)


def _histogram(plane: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Number of pixels of each grey level: float64 (256,)."""
    return cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel().astype(np.float64)


def _stretched(cleared: NDArray[np.uint8], noise: float, darkness: NDArray[np.uint8]) -> Inks | None:
    """Ink, float32 (h, w) in [0, 1], from darkness, uint8 (h, w): noise becomes 0, the typical stroke 1.

    cleared: the darkness without lines, by which the typical stroke is judged. None where no stroke stands out from
    noise above MAX_GRAIN_DARKNESS.
    """
    full = _full_stroke(_histogram(cleared), noise)
    if full < max(255 * MIN_STROKE_DARKNESS, 1.5 * noise):
        blank = np.zeros(darkness.shape, np.float32)
        return None if noise > 255 * MAX_GRAIN_DARKNESS else (blank, blank)
    floor = min(noise, full / 2)
    scale = np.clip((np.arange(256, dtype=np.float32) - floor) / (full - floor), 0, 1)
    ink = cv2.LUT(cleared, scale)
    return ink, ink if cleared is darkness else cv2.LUT(darkness, scale)


def _full_stroke(counts: NDArray[np.float64], noise: float) -> float:
    """Darkness of a full stroke: upper quartile of the darker class (Otsu 1979) of the levels above the noise.

    counts: float64 (256,), a histogram of darkness.
    """
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


def _without_rim(darkness: NDArray[np.uint8], noise: float) -> NDArray[np.uint8]:
    """Darkness, uint8 (h, w), without what runs along the picture's border: a desk, the page's edge.

    A component is removed when it covers more than half of a side and either is a narrow strip or leaves others that
    do not touch the border.
    """
    sketch = _sketch(darkness)
    mask = (sketch > max(noise, 0.25 * float(sketch.max()))).astype(np.uint8)
    # Where no side is covered by more than half, no component does so.
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
    hidden = cv2.resize(cv2.dilate(hidden, square(5)), darkness.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.where(hidden, 0, darkness).astype(np.uint8)
