"""Pages → lines of digits, each with its box and confidence: photos, scans and drawings of any number of text lines."""

import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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
    typical_heights,
)
from mnist_digits.recognition.layout.decoding import decode_lines
from mnist_digits.recognition.layout.detector import Detections, Detector, DetectorOutput
from mnist_digits.recognition.layout.segments import Segments, find_segments
from mnist_digits.recognition.layout.text_lines import TextLine, find_text_lines
from mnist_digits.recognition.layout.words import Token, numbers, part
from mnist_digits.recognition.preprocessing.documents import read_pages
from mnist_digits.recognition.preprocessing.image_io import Picture
from mnist_digits.recognition.preprocessing.ink import Inks, equalise_ink, find_ink_and_lines
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

SAME_HEIGHT_RATIO = 1.4
"""Two digit heights with a smaller ratio are taken for the same."""

CLEAR_MEAN_SCORE = 0.5
"""Mean score of detections above which a page surely was detected at the right scale."""

MIN_TURNED_MEAN_SCORE = 0.4
"""Minimum mean score of a page's detections for it to be turned: a texture has less."""

UPRIGHT_MEAN_SCORE = 0.6
"""Mean score above which a page surely is not upside down."""

WHOLE_STROKES_MEAN_SCORE = 0.65
"""Mean score above which the strokes of a page surely have no gaps."""

UPRIGHT_DETECTIONS = 0.3
"""Detections per component at least half as high or wide as a digit, above which a page surely is not on its side."""

MIN_TURN_SCORE = 0.7
"""Total score that another orientation must have beyond MIN_GAIN: about that of two clear digits."""

ENLARGED_HEIGHTS = (1.6, 2.5)
"""For a page that is not clear: further digit heights to try, as multiples of its components' typical height."""

MIN_GAIN = 1.1
"""Ratio of total scores above which another digit height or orientation is preferred."""

MIN_GAIN_OF_MEASURED = 0.85
"""The same for a digit height measured on detected components; the fragments of a page always look like more digits."""

MIN_GAIN_OF_WHOLE = 1.2
"""Ratio of the scores of certain detections above which the whole picture is preferred to the sheet in it."""

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
    components: Components
    """Of the ink."""
    output: DetectorOutput
    digit_height: float
    reduction: float
    """Pixels of the picture per pixel of the page crop, along each side."""
    corner: tuple[int, int]
    """x, y of the page crop in the reduced picture."""


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
        x, y = (np.clip(place, 0, most - 1) for place, most in zip(centres.T, near.shape[::-1], strict=True))
        touching = centres[near[y, x] == 0]
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


def _find_inks(page: NDArray[np.uint8]) -> Inks:
    """As `find_ink_and_lines`, also in a crop so tight that the pen covers more of it than paper does."""
    inks = find_ink_and_lines(page)
    if inks[0].any() or max(page.shape[:2]) > MAX_TIGHT_CROP_PX:
        return inks
    rim = np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]])
    margin = math.ceil(max(page.shape[:2]) / 4)
    paper = np.median(rim, axis=0).ravel().tolist()
    wider = cv2.copyMakeBorder(page, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=paper)
    ink = np.ascontiguousarray(find_ink_and_lines(wider)[0][margin:-margin, margin:-margin])
    return ink, ink


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
        # Where strokes fall to pieces, components are lower than digits.
        writing = self._with_other_heights(writing)
        height = writing.digit_height
        # Digits that the detector has overlooked, and the ink that belongs to digits, with what of it lay on lines.
        detections = add_overlooked(writing.output.detections, writing.components, height)
        lined_ink = writing.ink if writing.lined_ink is None else equalise_ink(writing.lined_ink)
        digit_mask, components = writing.output.digit_mask_of_pixels(writing.ink.shape), writing.components
        digit_ink = ink_of_digits(writing.ink, lined_ink, digit_mask)
        whole = components.are_detected(detections, height) & components.are_unmasked(digit_mask)
        if whole.any():
            digit_ink = np.maximum(digit_ink, writing.ink * whole[components.labels])
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
        for most in READING_PIXELS:
            reduction = max(1.0, math.sqrt(area / most))
            writing = self._find_writing_at(pixels, reduction)
            if reduction == 1 or writing.digit_height >= LEGIBLE_DIGIT_HEIGHT_PX:
                break
        if reduction == 1 and writing.digit_height < SMALL_DIGIT_HEIGHT_PX:
            longest = MAX_ENLARGED_SIDE_PX / max(pixels.shape[:2])
            enlargement = min(MAX_ENLARGEMENT, math.sqrt(READING_PIXELS[-1] / area), longest)
            if enlargement >= MIN_ENLARGEMENT:
                return self._find_writing_at(pixels, 1 / enlargement)
        return writing

    def _find_writing_at(self, pixels: NDArray[np.uint8], reduction: float) -> Writing:
        """The writing in a picture that is reduced first, or enlarged where the factor is below 1."""
        width, height = (max(1, round(side / reduction)) for side in pixels.shape[1::-1])
        method = cv2.INTER_AREA if reduction > 1 else cv2.INTER_CUBIC
        scaled = cv2.resize(pixels, (width, height), interpolation=method) if reduction != 1 else pixels
        whole = self._find_writing_on(scaled, (0, 0), reduction)
        page, corner = crop_page(scaled) if max(pixels.shape[:2]) > MAX_TIGHT_CROP_PX else (scaled, (0, 0))
        if page.shape == scaled.shape:
            return whole
        # What lies around a sheet disturbs; but what is taken for one may be a part of it, or a shadow's edge.
        cropped = self._find_writing_on(page, corner, reduction)
        scores = [one.output.detections.certain_score for one in (cropped, whole)]
        return whole if scores[1] > MIN_GAIN_OF_WHOLE * scores[0] else cropped

    def _find_writing_on(self, page: NDArray[np.uint8], corner: tuple[int, int], reduction: float) -> Writing:
        """The writing on a crop of a picture that was reduced. corner: x, y of its upper left corner there."""
        found, lined = _find_inks(page)
        ink, lined_ink = equalise_ink(found), None if lined is found else lined
        components = find_components(ink)
        output, height = self._detect(ink, lined_ink, components)
        return Writing(page, ink, lined_ink, components, output, height, reduction, corner)

    def _detect(
        self, ink: NDArray[np.float32], lined_ink: NDArray[np.float32] | None, components: Components
    ) -> tuple[DetectorOutput, float]:
        """The detector's output for a page's ink, float32 (h, w), and the digit height in pixels."""
        best = self._best_height(ink, lined_ink, typical_heights(components.sizes[1:]))
        output, estimate = best
        detections = output.detections
        # On a clear page, strokes have no gaps that would have to be closed.
        whole = components if detections.mean_score > WHOLE_STROKES_MEAN_SCORE else find_components(ink, estimate)
        of_digits = whole.sizes[whole.mean_mask(output.digit_mask_of_pixels(ink.shape)) > MIN_COMPONENT_MASK]
        if not len(detections) or not len(of_digits):
            return best
        measured = typical_heights(of_digits)[0]
        # The estimate was made of all components; those that are no digits may be higher or lower.
        if not 1 / SAME_HEIGHT_RATIO < measured / estimate < SAME_HEIGHT_RATIO:
            return self._best_height(ink, lined_ink, [measured], best, MIN_GAIN_OF_MEASURED)
        return output, measured

    def _with_other_heights(self, writing: Writing) -> Writing:
        """The writing, detected anew for larger digit heights where it is not clear and they give a better result."""
        detections = writing.output.detections
        if not len(detections) or detections.mean_score > CLEAR_MEAN_SCORE:
            return writing
        heights = [writing.digit_height * factor for factor in ENLARGED_HEIGHTS]
        best = writing.output, writing.digit_height
        output, height = self._best_height(writing.ink, writing.lined_ink, heights, best)
        return replace(writing, output=output, digit_height=height)

    def _best_height(
        self,
        ink: NDArray[np.float32],
        lined_ink: NDArray[np.float32] | None,
        heights: Iterable[float],
        best: tuple[DetectorOutput, float] | None = None,
        min_gain: float = MIN_GAIN,
    ) -> tuple[DetectorOutput, float]:
        """The digit height, in pixels, with the highest total score for a page's ink, float32 (h, w); and the output.

        best: output and height that are known already. min_gain: ratio of total scores to prefer another height.
        """
        for height in heights:
            output = self._detector.detect(ink, height, lined_ink)
            if best is None or output.detections.total_score > min_gain * best[0].detections.total_score:
                best = output, height
        assert best is not None
        return best

    def _find_turn(self, writing: Writing) -> int:
        """How many counter-clockwise turns by 90° bring the writing upright, 0 to 3."""
        detections, sizes = writing.output.detections, writing.components.sizes[1:]
        large = (sizes.max(axis=1, initial=0) > writing.digit_height / 2).sum()
        many = len(detections) > UPRIGHT_DETECTIONS * large
        if not large or (detections.mean_score > UPRIGHT_MEAN_SCORE and many):
            return 0
        # A single digit tells nothing: a 9 may be a 6, and a 7 a 2.
        scores = [MIN_GAIN * detections.total_score + MIN_TURN_SCORE]
        for turns in (1, 2, 3):
            ink, lined_ink = _turned(writing.ink, turns), None
            if writing.lined_ink is not None:
                lined_ink = _turned(writing.lined_ink, turns)
            turned_sizes = sizes[:, ::-1] if turns % 2 else sizes
            turned = self._best_height(ink, lined_ink, typical_heights(turned_sizes))[0].detections
            scores.append(turned.total_score if turned.mean_score > MIN_TURNED_MEAN_SCORE else 0.0)
        return int(np.argmax(scores))
