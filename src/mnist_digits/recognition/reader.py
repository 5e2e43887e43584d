"""Pages → lines of digits, each with its box and confidence: photos, scans and drawings of any number of text lines."""

import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.classifier import Classifier
from mnist_digits.recognition.layout.components import (
    MIN_COMPONENT_MASK,
    Components,
    add_overlooked,
    find_components,
    ink_of_digits,
)
from mnist_digits.recognition.layout.decoding import decode_lines
from mnist_digits.recognition.layout.detector import Detections, Detector, DetectorOutput
from mnist_digits.recognition.layout.scale import SEARCHED_HEIGHTS_PX, detect_at_scale, is_clear
from mnist_digits.recognition.layout.segments import Segments, find_segments
from mnist_digits.recognition.layout.text_lines import TextLine, find_text_lines
from mnist_digits.recognition.layout.words import Token, numbers, part
from mnist_digits.recognition.preprocessing.documents import read_pages
from mnist_digits.recognition.preprocessing.image_io import Picture
from mnist_digits.recognition.preprocessing.ink import equalise_ink, find_ink_and_lines, find_lined_ink
from mnist_digits.recognition.preprocessing.mnist_format import square
from mnist_digits.recognition.preprocessing.page_crop import PagePlacement, crop_page
from mnist_digits.recognition.results import Digit, Line, Page

logger = logging.getLogger(__name__)

READING_PIXELS = (1_000_000, 3_000_000)
"""Larger pictures are reduced to the first; to the second, where the digits are too small in the first."""

LEGIBLE_DIGIT_HEIGHT_PX = 24
"""Digits of this height and more are large enough to be read."""

SMALL_DIGIT_HEIGHT_PX, MAX_ENLARGEMENT, MIN_ENLARGEMENT = 20, 2.0, 1.2
"""A picture of digits below the first is enlarged by the second before all else, or by less where it would have more
than READING_PIXELS; less than the third is not worth the time."""

MAX_ENLARGED_SIDE_PX = 4000
"""Longest side of an enlarged picture: a strip of more would take much memory for few digits."""

MAX_TIGHT_CROP_PX = 64
"""Longest side of a picture in which no sheet is looked for, because it might be found within a digit, and which is
looked at again with a margin in the colour of its rim where it has no ink."""

MIN_TURNED_MEAN_SCORE = 0.4
"""Minimum mean score of a page's detections for it to be turned: a texture has less."""

UPRIGHT_MEAN_SCORE = 0.6
"""Mean score above which a page surely is not upside down."""

UPRIGHT_DETECTIONS = 0.3
"""Detections per component at least half as high or wide as a digit, above which a page surely is not on its side."""

MIN_TURN_SCORE = 0.7
"""Total score that another orientation must have beyond MIN_GAIN: about that of two clear digits."""

MIN_GAIN = 1.1
"""Ratio of total scores above which another digit height or orientation is preferred."""

MIN_GAIN_OF_WHOLE = 1.2
"""Ratio of the scores of certain detections above which the whole picture is preferred to the sheet in it."""

MIN_GAIN_OF_CLEARED = 0.9
"""The same of the ink without lines, to that with them: where it is lower, digits were taken for lines."""

LEGIBLE_MEAN_SCORE = 0.65
"""Mean score of detections above which lines do not disturb."""

MIN_SCORE_OF_HEIGHT = 1.0
"""Score of certain detections, about that of two clear ones, above which their height is known."""

MIN_SIGN_SCORE = 0.25
"""Score of letters and signs above which ink between two digits is a sign."""

SIGN_HEIGHTS = 0.3
"""Side, in digit heights, of the box of a sign whose ink touches a digit's, around its centre."""


@dataclass(frozen=True)
class Writing:
    """What is found on a page before its text lines; all in pixels of the page crop."""

    page: NDArray[np.uint8]
    """uint8 (h, w) or (h, w, 3): the page crop, of the reduced and turned picture."""
    ink: NDArray[np.float32]
    """float32 (h, w) in [0, 1], 1 = full stroke: all ink but the lines that were removed."""
    lined_ink: NDArray[np.float32] | None
    """The same with them; None where there are none."""
    output: DetectorOutput
    digit_height: float
    reduction: float
    """Pixels of the picture per pixel of the page crop, along each side."""
    corner: tuple[int, int]
    """x, y of the page crop in the reduced picture."""

    @cached_property
    def components(self) -> Components:
        """Of the ink."""
        return find_components(self.ink)


@dataclass(frozen=True)
class Reading:
    """How a page was read, from the picture to the hypotheses in its text lines."""

    writing: Writing
    detections: Detections
    """The detector's, and those of overlooked components."""
    digit_ink: NDArray[np.float32]
    """float32 (h, w) in [0, 1]: the ink of digits alone."""
    segments: Segments
    """Of the digit ink."""
    text_lines: Sequence[TextLine]
    """Of the detections."""
    tokens: Sequence[Sequence[Token]]
    """What stands in each text line, digits or not."""
    placement: PagePlacement

    @property
    def words(self) -> list[list[list[Token]]]:
        """In each text line the words that are numbers."""
        mean_score = self.writing.output.detections.mean_score
        inner = [[token for token in tokens if not self._is_rim(token)] for tokens in self.tokens]
        return [numbers(tokens, self.writing.digit_height, mean_score) for tokens in inner]

    def _is_rim(self, token: Token) -> bool:
        """Whether it stands at the border of a sheet that was cut out of the picture: it is the sheet's edge."""
        height, width = self.writing.ink.shape
        whole = [round(side / self.writing.reduction) for side in self.placement.picture_size]
        x, y, right, bottom = *token.box[:2], token.box[0] + token.box[2], token.box[1] + token.box[3]
        cut = width < whole[0], height < whole[1]
        return (cut[0] and (x <= 1 or right >= width - 1)) or (cut[1] and (y <= 1 or bottom >= height - 1))

    def to_page(self, number: int = 1) -> Page:
        """The lines, with boxes in pixels of the picture. number: of the page in its file."""
        output, marks, lines = self.writing.output, self._other_marks, []
        for tokens, words in zip(self.tokens, self.words, strict=True):
            if words:
                # What was cut off a digit is a part of it, and no sign beside it.
                read = frozenset().union(*(token.components for word in words for token in word))
                rejected = [token.box for token in tokens if not (token.prediction or token.components & read)]
                boxes = np.concatenate([marks, np.array(rejected, int).reshape(-1, 4)])
                # What is left of a line beside a digit looks like no sign.
                lines.append(self._line(words, boxes[output.letter_scores(boxes) > MIN_SIGN_SCORE]))
        return Page(tuple(lines), None if lines else "blank", number, self._left_out)

    def _line(self, words: Sequence[Sequence[Token]], marks: NDArray[np.int_]) -> Line:
        """A line of these words. marks: boxes of what is no digit, int (n, 4), in pixels of the page crop."""
        parted = [part(word, marks, self.writing.digit_height) for word in words]
        parts = tuple(tuple(map(self._digit, own)) for all_parts, _ in parted for own in all_parts)
        return Line(parts, tuple(self.placement.box_in_picture(box) for _, boxes in parted for box in boxes))

    @property
    def _other_marks(self) -> NDArray[np.int_]:
        """Boxes of the components that belong to no digit, and of signs that touch one: int (n, 4)."""
        components = self.writing.components
        share = components.mean_mask((self.digit_ink > 0).astype(np.float32))
        is_apart = share < MIN_COMPONENT_MASK
        # The paper is no mark.
        is_apart[0] = False
        side = max(1, round(SIGN_HEIGHTS * self.writing.digit_height))
        centres = np.rint(self.writing.output.letter_centres).astype(int)
        # Pixel by pixel, because pairs of all signs and all components could be too many.
        near = cv2.dilate(is_apart[components.labels].astype(np.uint8), square(side))
        # Two ones look like a letter that has its middle between them, where nothing is.
        inked = cv2.dilate((self.digit_ink > 0).view(np.uint8), square(max(1, 2 * side // 3)))
        x, y = (np.clip(place, 0, most - 1) for place, most in zip(centres.T, near.shape[::-1], strict=True))
        touching = centres[(near[y, x] == 0) & (inked[y, x] > 0)]
        signs = np.concatenate([touching - side // 2, np.full_like(touching, side)], axis=1)
        return np.concatenate([components.boxes[is_apart], signs])

    @property
    def _left_out(self) -> float:
        """Share of the ink that looks like writing and belongs to no digit that was read, 0 to 1."""
        components = self.writing.components
        read = np.zeros(self.writing.ink.shape, np.float32)
        for token in (token for words in self.words for word in words for token in word):
            x, y, width, height = token.box
            read[y : y + height, x : x + width] = 1
        share, areas = components.mean_mask(read), components.areas
        writing = components.look_like_writing(self.writing.digit_height)
        total = float(areas[writing].sum())
        return float((areas * (1 - share))[writing].sum()) / total if total else 0.0

    def _digit(self, token: Token) -> Digit:
        """A token that was read as a digit, with its box in pixels of the picture."""
        prediction = token.prediction
        assert prediction is not None
        box, value = self.placement.box_in_picture(token.box), int(prediction.probabilities.argmax())
        return Digit(value, prediction.confidence, box, prediction.probabilities, prediction.image)


def _find_lined_ink(page: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As `find_lined_ink`, also in a crop so tight that the pen covers more of it than paper does."""
    ink = find_lined_ink(page)
    if ink.any() or max(page.shape[:2]) > MAX_TIGHT_CROP_PX:
        return ink
    rim = np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]])
    margin = math.ceil(max(page.shape[:2]) / 4)
    paper = np.median(rim, axis=0).ravel().tolist()
    wider = cv2.copyMakeBorder(page, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=paper)
    return np.ascontiguousarray(find_lined_ink(wider)[margin:-margin, margin:-margin])


def _heights_like(seen: Writing, reduction: float) -> Sequence[float]:
    """Digit heights to look for, in pixels of a picture so much reduced, in which this writing was seen."""
    is_known = is_clear(seen.output) and seen.output.detections.certain_score > MIN_SCORE_OF_HEIGHT
    return (seen.digit_height * seen.reduction / reduction,) if is_known else SEARCHED_HEIGHTS_PX


def _turned(plane: NDArray[Any], turns: int) -> NDArray[Any]:
    """The plane, (h, w) or (h, w, 3), turned so many times by 90° counter-clockwise."""
    return np.ascontiguousarray(np.rot90(plane, turns))


class Reader:
    """Reads the digits on a page. Any number of threads may share one."""

    def __init__(self, path: str | os.PathLike[str] | None = None, threads: int = 1) -> None:
        """Load a model.

        path: a `model.onnx` that `digits train` wrote; None for the shipped one. threads: processor cores for one run
        of a network. Raises DataError and ValueError as `Classifier` does.
        """
        self._classifier = Classifier(path, threads)
        self._detector = Detector(threads=threads)

    @property
    def classifier(self) -> Classifier:
        """The classifier of single digits."""
        return self._classifier

    def read(self, picture: Picture) -> Page:
        """The digits in a picture, which is anything that `read_picture` takes; of several pages, the first.

        Raises DataError when a file cannot be read, ValueError when an array is not a picture.
        """
        return self.follow(picture).to_page()

    def read_pages(self, document: Picture) -> Iterator[Page]:
        """The pages of a document, one after another: all of a TIFF or a PDF, the first frame of anything else.

        Each is read when it is asked for. Raises DataError and ValueError as `read_pages` of the module `documents`.
        """
        for number, pixels in enumerate(read_pages(document), 1):
            yield self.follow(pixels).to_page(number)

    def follow(self, picture: Picture) -> Reading:
        """The same, with the result of every stage."""
        pixels = next(read_pages(picture))
        # Page crop, ink, components and detections.
        writing = self._find_writing(pixels)
        # The page may lie on its side or upside down without EXIF data that say so.
        turns = self._find_turn(writing)
        if turns:
            pixels = _turned(pixels, turns)
            writing = self._find_writing(pixels)
        height = writing.digit_height
        # Digits that the detector has overlooked, and the ink that belongs to digits, with what of it lay on lines.
        detections = add_overlooked(writing.output.detections, writing.components, height)
        digit_mask, components = writing.output.digit_mask_of_pixels(writing.ink.shape), writing.components
        digit_ink = ink_of_digits(writing.ink, digit_mask, writing.lined_ink)
        whole = components.are_masked_away(detections, digit_mask, height)
        if whole.any():
            # With the soft edges of their strokes.
            of_whole = cv2.dilate(whole[components.labels].view(np.uint8), square(3))
            digit_ink = np.maximum(digit_ink, writing.ink * of_whole)
        # Segments, each with its detection; text lines of detections.
        segments = find_segments(digit_ink, detections, height, writing.output.centres_of)
        lines = find_text_lines(detections.centres, height)
        # Digits: the best hypotheses of which segments belong together.
        tokens = decode_lines(digit_ink, segments, detections, lines, height, self._classifier)
        placement = PagePlacement(turns, (pixels.shape[1], pixels.shape[0]), writing.reduction, writing.corner)
        logger.debug(
            "read a page of %d × %d pixels, reduced by %.2f, turned by %d°: digits %.0f px high, %d detections, "
            "%d text lines",
            *pixels.shape[1::-1],
            writing.reduction,
            90 * turns,
            height,
            len(detections),
            len(lines),
        )
        return Reading(writing, detections, digit_ink, segments, lines, tokens, placement)

    def _find_writing(self, pixels: NDArray[np.uint8]) -> Writing:
        """The writing in a picture, at the first of READING_PIXELS that is large enough to read it, or enlarged."""
        area = pixels.shape[0] * pixels.shape[1]
        reductions = [max(1.0, math.sqrt(area / most)) for most in READING_PIXELS]
        writing = self._look_at(pixels, reductions[0])
        if reductions[0] > 1 and writing.digit_height < LEGIBLE_DIGIT_HEIGHT_PX:
            writing = self._look_at(pixels, reductions[1], writing)
        if writing.reduction == 1 and writing.digit_height < SMALL_DIGIT_HEIGHT_PX:
            longest = MAX_ENLARGED_SIDE_PX / max(pixels.shape[:2])
            enlargement = min(MAX_ENLARGEMENT, math.sqrt(READING_PIXELS[-1] / area), longest)
            if enlargement >= MIN_ENLARGEMENT:
                writing = self._look_at(pixels, 1 / enlargement, writing)
        if writing.output.detections.mean_score > LEGIBLE_MEAN_SCORE:
            return writing
        return self._without_lines(writing, _heights_like(writing, writing.reduction))

    def _look_at(self, pixels: NDArray[np.uint8], reduction: float, seen: Writing | None = None) -> Writing:
        """The writing, with lines, in a picture that is reduced first, or enlarged where the factor is below 1.

        seen: the same in another size.
        """
        width, height = (max(1, round(side / reduction)) for side in pixels.shape[1::-1])
        method = cv2.INTER_AREA if reduction > 1 else cv2.INTER_CUBIC
        scaled = cv2.resize(pixels, (width, height), interpolation=method) if reduction != 1 else pixels
        page, corner = crop_page(scaled) if max(pixels.shape[:2]) > MAX_TIGHT_CROP_PX else (scaled, (0, 0))
        heights = _heights_like(seen, reduction) if seen else SEARCHED_HEIGHTS_PX
        sheet = self._look_on(page, corner, reduction, heights)
        if page.shape == scaled.shape:
            return sheet
        # What lies around a sheet disturbs; but what is taken for one may be a part of it, or a shadow's edge.
        whole = self._look_on(scaled, (0, 0), reduction, _heights_like(sheet, reduction))
        scores = [one.output.detections.certain_score for one in (sheet, whole)]
        return whole if scores[1] > MIN_GAIN_OF_WHOLE * scores[0] else sheet

    def _look_on(
        self, page: NDArray[np.uint8], corner: tuple[int, int], reduction: float, heights: Sequence[float]
    ) -> Writing:
        """The writing, with lines, on a crop of a reduced picture. corner: x, y of its upper left corner there."""
        ink = equalise_ink(_find_lined_ink(page))
        # Where it is reduced too far, it will be looked at once more.
        legible = LEGIBLE_DIGIT_HEIGHT_PX if reduction > 1 else 0.0
        output, height = detect_at_scale(self._detector, ink, heights, legible=legible)
        writing = Writing(page, ink, None, output, height, reduction, corner)
        # The detector looks through lines, but not so well: they are as dark as some strokes.
        return writing if is_clear(output) else self._without_lines(writing, heights)

    def _without_lines(self, writing: Writing, heights: Sequence[float]) -> Writing:
        """The writing without the lines of the paper, where they were not removed yet, unless digits go with them.

        heights: of digits to look for, in pixels.
        """
        found, lined = find_ink_and_lines(writing.page)
        if writing.lined_ink is not None or found is lined:
            return writing
        ink, lined_ink = equalise_ink(found), equalise_ink(lined)
        output, height = detect_at_scale(self._detector, ink, heights, lined_ink)
        score = writing.output.detections.certain_score
        if output.detections.certain_score < MIN_GAIN_OF_CLEARED * score:
            return writing
        return replace(writing, ink=ink, lined_ink=lined_ink, output=output, digit_height=height)

    def _find_turn(self, writing: Writing) -> int:
        """How many counter-clockwise turns by 90° bring the writing upright, 0 to 3."""
        detections, sizes = writing.output.detections, writing.components.sizes[1:]
        large = (sizes.max(axis=1, initial=0) > writing.digit_height / 2).sum()
        many = len(detections) > UPRIGHT_DETECTIONS * large
        if not large or (detections.mean_score > UPRIGHT_MEAN_SCORE and many):
            return 0
        # A single digit tells nothing: a 9 may be a 6, and a 7 a 2.
        scores = [MIN_GAIN * detections.total_score + MIN_TURN_SCORE]
        heights = (writing.digit_height,)
        for turns in (1, 2, 3):
            turned = detect_at_scale(self._detector, _turned(writing.ink, turns), heights)[0].detections
            scores.append(turned.total_score if turned.mean_score > MIN_TURNED_MEAN_SCORE else 0.0)
        return int(np.argmax(scores))
