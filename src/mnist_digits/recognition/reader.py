"""Pages → lines of digits, each with its box and confidence: photos, scans and drawings of any number of rows."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mnist_digits.recognition.classifier import Classifier
from mnist_digits.recognition.layout.components import (
    WHOLE,
    Components,
    Segments,
    find_components,
    find_segments,
    ink_of_digits,
    typical_heights,
    with_overlooked,
)
from mnist_digits.recognition.layout.decoding import decode_lines
from mnist_digits.recognition.layout.detector import Detections, Detector, DetectorOutput
from mnist_digits.recognition.layout.text_lines import Row, find_text_lines
from mnist_digits.recognition.layout.words import Token, numbers
from mnist_digits.recognition.preprocessing.form_boxes import remove_form_boxes
from mnist_digits.recognition.preprocessing.image_io import Picture, read_picture
from mnist_digits.recognition.preprocessing.ink import equalise_ink, find_ink
from mnist_digits.recognition.preprocessing.page_crop import PagePlacement, crop_page
from mnist_digits.recognition.results import Digit, Line, Page

SIZES = (1_000_000, 3_000_000)
"""Larger pictures are reduced to so many pixels before they are read: to the first, or, where that leaves the writing
too small, to the second."""

LEGIBLE = 24
"""Height of digits, in pixels, that is large enough to read them."""

ANOTHER_HEIGHT = 1.4
"""Ratio of two heights from which on they are not the same."""

CLEAR = 0.5
"""Mean heat of the spots of a page that is seen at the right size."""

VAGUE = 0.4
"""Mean heat of the spots of a page that need not be writing at all."""

UPRIGHT, FEW = 0.6, 0.3
"""Mean heat of the spots of a page that surely is not on its head, and how many there are to each piece of ink, as high
or wide as half a digit, when it is not on its side."""

TWO_DIGITS = 0.7
"""How much two clear digits say; by so much more must speak for another side."""

ENLARGED = (1.6, 2.5)
"""How many times as high as its connected ink the digits of an unclear page are tried."""

CLEARLY = 1.1
"""How many times as much must speak for another size or side."""

NO_LESS = 0.85
"""How much must still speak for a height that was measured; the fragments of a page always look like more digits."""


@dataclass(frozen=True)
class Writing:
    """What was found in a picture before its rows are looked for; all in pixels of the sheet."""

    sheet: np.ndarray
    """uint8 (h, w) or (h, w, 3): the part of the picture that is read, reduced and turned."""
    ink: np.ndarray
    """float32 (h, w) in [0, 1], 1 = full stroke: all that was found."""
    pieces: Components
    """Of that, what is connected."""
    marks: DetectorOutput
    """Where on it digits stand."""
    height: float
    """Of a digit."""
    reduction: float
    """Pixels of the picture to one of the sheet."""
    corner: tuple[int, int]
    """x, y of the sheet in the reduced picture."""


@dataclass(frozen=True)
class Reading:
    """How a page was read, from the picture to the hypotheses in its rows."""

    writing: Writing
    spots: Detections
    """Where digits have their middles."""
    own: np.ndarray
    """float32 (h, w) in [0, 1]: the ink of digits alone."""
    strokes: Segments
    rows: Sequence[Row]
    """Of the spots."""
    tokens: Sequence[Sequence[Token]]
    """What stands in each row, digits or not."""
    placement: PagePlacement

    @property
    def words(self) -> list[list[list[Token]]]:
        """In each row the words that are numbers."""
        clearness = self.writing.marks.spots.clearness
        return [numbers(tokens, self.writing.height, clearness) for tokens in self.tokens]

    def to_page(self) -> Page:
        """The lines, with boxes in pixels of the picture."""
        lines = [Line(tuple(tuple(map(self._digit, word)) for word in row)) for row in self.words if row]
        return Page(tuple(lines), None if lines else "blank")

    def _digit(self, token: Token) -> Digit:
        """A token that was read as a digit, with its box in pixels of the picture."""
        prediction = token.prediction
        assert prediction is not None
        box, value = self.placement.box_in_picture(token.box), int(prediction.probabilities.argmax())
        return Digit(value, prediction.confidence, box, prediction.probabilities, prediction.image)


class Reader:
    """Reads the digits on a page. Any number of threads may share one."""

    def __init__(self, path: str | os.PathLike[str] | None = None, threads: int = 1) -> None:
        """Load a model.

        path: a `model.onnx` that `digits train` wrote, or the shipped one. threads: how many processor cores the
        network may use. Raises DataError as `Classifier` does.
        """
        self._classifier = Classifier(path, threads)
        self._spotter = Detector(threads=threads)

    @property
    def classifier(self) -> Classifier:
        """What it reads single digits with."""
        return self._classifier

    def read(self, picture: Picture) -> Page:
        """The digits in a picture: a file's path or content, or an array of pixels, as `read_picture` takes them.

        Raises DataError when a file cannot be read, ValueError when an array is not a picture.
        """
        return self.follow(picture).to_page()

    def follow(self, picture: Picture) -> Reading:
        """The same, with everything that was seen on the way."""
        pixels = read_picture(picture)
        writing = self._find_writing(pixels)
        # Nothing in the file says that the page lies on its side or its head, but the writing may.
        turns = self._find_turn(writing)
        if turns:
            pixels = np.ascontiguousarray(np.rot90(pixels, turns))
            writing = self._find_writing(pixels)
        writing = self._look_closer(writing)
        height = writing.height
        spots = with_overlooked(writing.marks.spots, writing.pieces, height)
        cover = writing.marks.covered(writing.ink.shape)
        own = ink_of_digits(writing.ink, writing.pieces, cover, spots, height)
        strokes = find_segments(own, spots, height)
        rows = find_text_lines(spots.places, height)
        tokens = decode_lines(own, strokes, spots, rows, height, self._classifier)
        placement = PagePlacement(turns, (pixels.shape[1], pixels.shape[0]), writing.reduction, writing.corner)
        return Reading(writing, spots, own, strokes, rows, tokens, placement)

    def _find_writing(self, pixels: np.ndarray) -> Writing:
        """What a picture holds at the smallest of SIZES that is large enough to read."""
        for most in SIZES:
            reduction = max(1.0, math.sqrt(pixels.shape[0] * pixels.shape[1] / most))
            width, height = (max(1, round(side / reduction)) for side in pixels.shape[1::-1])
            reduced = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA) if reduction > 1 else pixels
            sheet, corner = crop_page(reduced)
            ink = remove_form_boxes(equalise_ink(find_ink(sheet)))
            pieces = find_components(ink)
            writing = Writing(sheet, ink, pieces, *self._mark(ink, pieces), reduction, corner)
            if reduction == 1 or writing.height >= LEGIBLE:
                break
        return writing

    def _mark(self, ink: np.ndarray, pieces: Components) -> tuple[DetectorOutput, float]:
        """Where on a page's ink, float32 (h, w), digits stand, and how high they are."""
        marks, guess = best = self._best(ink, typical_heights(pieces.sizes[1:]))
        # Where all is clear, no pen has left gaps.
        whole = pieces if marks.spots.clearness > UPRIGHT else find_components(ink, guess)
        covered = whole.sizes[whole.covered(marks.covered(ink.shape)) > WHOLE]
        if not len(marks.spots) or not len(covered):
            return best
        height = typical_heights(covered)[0]
        # What is no digit may have been of another height than the digits are.
        if not 1 / ANOTHER_HEIGHT < height / guess < ANOTHER_HEIGHT:
            return self._best(ink, [height], best, NO_LESS)
        return marks, height

    def _look_closer(self, writing: Writing) -> Writing:
        """The same, where little is clear, from another distance: strokes that fall to pieces are lower than digits."""
        if not len(writing.marks.spots) or writing.marks.spots.clearness > CLEAR:
            return writing
        heights = [writing.height * factor for factor in ENLARGED]
        marks, height = self._best(writing.ink, heights, (writing.marks, writing.height))
        return replace(writing, marks=marks, height=height)

    def _best(
        self,
        ink: np.ndarray,
        heights: Iterable[float],
        best: tuple[DetectorOutput, float] | None = None,
        by: float = CLEARLY,
    ) -> tuple[DetectorOutput, float]:
        """What is seen of a page's ink, float32 (h, w), where its digits are taken for as high as speaks most for.

        best: what is known. by: how many times as much must speak for another height.
        """
        for height in heights:
            marks = self._spotter.spot(ink, height)
            if best is None or marks.spots.evidence > by * best[0].spots.evidence:
                best = marks, height
        assert best is not None
        return best

    def _find_turn(self, writing: Writing) -> int:
        """How many quarter turns to the left bring the writing upright, 0 to 3."""
        spots, tall = writing.marks.spots, writing.pieces.sizes[1:].max(axis=1, initial=0) > writing.height / 2
        if not tall.any() or (spots.clearness > UPRIGHT and len(spots) > FEW * tall.sum()):
            return 0
        # A single digit says nothing: a 9 may be a 6, and a 7 a 2.
        evidence = [CLEARLY * spots.evidence + TWO_DIGITS]
        for turns in (1, 2, 3):
            ink = np.ascontiguousarray(np.rot90(writing.ink, turns))
            sizes = writing.pieces.sizes[1:, ::-1] if turns % 2 else writing.pieces.sizes[1:]
            turned = self._best(ink, typical_heights(sizes))[0].spots
            # Of a texture, too, one side looks more like digits than the others.
            evidence.append(turned.evidence if turned.clearness > VAGUE else 0.0)
        return int(np.argmax(evidence))
