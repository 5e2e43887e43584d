"""Rows of strokes → digits: hypotheses of what belongs together, judged by the classifier and by the spotter.

A digit may be of several strokes, and two spots may be of one digit. Neighbours are joined in all plausible ways, and
the most credible way through the row is found by dynamic programming over the resulting lattice (Casey and Lecolinet
1996, "A survey of methods and strategies in character segmentation", on recognition-based segmentation).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np

from mnist_digits.recognition.classifier import Classifier
from mnist_digits.recognition.layout.components import Segments, cut_out, joint_box
from mnist_digits.recognition.layout.detector import Detections
from mnist_digits.recognition.layout.text_lines import Row
from mnist_digits.recognition.layout.words import Token
from mnist_digits.recognition.preprocessing.mnist_format import normalise
from mnist_digits.recognition.results import Prediction

WIDEST = 1.5
"""Width of a digit, in heights."""

MOST_STROKES = 5
"""Of which a digit may be made."""

MOST_CANDIDATES = 2500
"""Ways to join strokes that are judged on a page; one full of digits has half of them."""

JUNK = 3.0
"""Cost of leaving out all ink of what surely is a digit: as much as reading it with a confidence of exp(-JUNK)."""

UNSEEN_JUNK = 0.9
"""Cost of leaving out a stroke as high as a digit, whatever the spotter sees there."""

NO_SPOT = 2.0
"""Cost of reading a digit where the spotter sees none."""

TWO_SPOTS, APART = 0.5, 1.0
"""Cost of reading one digit where it sees two, in connected ink and in ink that is not connected."""

HOT, ROUGH = 0.45, 0.5
"""From so much heat on the spotter alone is believed, and so much of its heat is then the confidence."""

ROUGH_HEIGHTS, ROUGH_WIDTH = (0.65, 1.5), 1.1
"""In heights of a digit: from where to where, and how wide at most, a stroke is that is believed so."""

JOIN = 0.05
"""Cost of each stroke of a digit beyond the first."""

CUT = 2.0
"""Cost of taking connected ink for two digits; half of it for either."""

ONE_SPOT = 1.0
"""The same for strokes about one spot."""

LOW, LOWEST = 3.0, 0.25
"""Cost of each height that a digit falls short of this share of one."""

TRUST, DOUBT = 2.0, 0.05
"""The classifier's probabilities are multiplied by the spotter's, to each of which this is added, to this power."""

Members = tuple[int, ...]
"""Indices of the strokes of what may be one digit."""


@dataclass(frozen=True)
class _Page:
    """What a page's digits are made of, and what is known of them."""

    ink: np.ndarray
    strokes: Segments
    spots: Detections
    height: float
    known: Mapping[Members, Prediction]


def decode_lines(
    ink: np.ndarray, strokes: Segments, spots: Detections, rows: Sequence[Row], height: float, classifier: Classifier
) -> list[list[Token]]:
    """For each row what it holds from left to right, digits or not.

    ink: of digits, float32 (h, w) in [0, 1]. rows: of spots. height: of a digit, in pixels.
    """
    own = [_strokes_of(strokes, row) for row in rows]
    asked = [(row, members) for row, some in zip(rows, own, strict=True) for members in _joined(strokes, some, height)]
    asked = sorted(asked, key=lambda one: len(one[1]))[:MOST_CANDIDATES]
    blobs = []
    for row, members in asked:
        index = np.array(members)
        blobs.append(normalise(cut_out(ink, strokes, index, row.slope_at(float(strokes.across[index].mean())))[0]))
    known = dict(zip([members for _, members in asked], classifier.classify_normalised(blobs), strict=True))
    page = _Page(ink, strokes, spots, height, known)
    return [_best_path(page, some) for some in own]


def _strokes_of(strokes: Segments, row: Row) -> list[int]:
    """The strokes of a row's spots from left to right."""
    own = np.flatnonzero(np.isin(strokes.spots, row.members))
    ordered: list[int] = own[np.argsort(strokes.across[own], kind="stable")].tolist()
    return ordered


def _joined(strokes: Segments, own: Sequence[int], height: float) -> Iterator[Members]:
    """Neighbours in a row that together may be one digit."""
    for start in range(len(own)):
        yield (own[start],)
        for stop in range(start + 2, min(start + MOST_STROKES, len(own)) + 1):
            members = tuple(own[start:stop])
            index = np.array(members)
            if joint_box(strokes.boxes[index])[2] > WIDEST * height or len(np.unique(strokes.spots[index])) > 2:
                break
            yield members


def _best_path(page: _Page, own: Sequence[int]) -> list[Token]:
    """The cheapest way through a row of strokes."""
    costs, steps = [0.0], []
    for stop, stroke in enumerate(own, 1):
        junk = _junk(page, stroke)
        options = [(costs[stop - 1] + junk.cost, (stop - 1, _rough_digit(page, stroke) or junk))]
        for start in range(max(0, stop - MOST_STROKES), stop):
            members = tuple(own[start:stop])
            if members in page.known:
                edges = _edge(page, own, start) + _edge(page, own, stop)
                token = _digit(page, members, edges / 2)
                options.append((costs[start] + token.cost, (start, token)))
        cost, step = min(options, key=itemgetter(0))
        costs.append(cost)
        steps.append(step)
    path, place = [], len(steps)
    while place:
        place, token = steps[place - 1]
        path.append(token)
    return path[::-1]


def _edge(page: _Page, own: Sequence[int], place: int) -> float:
    """What it costs that one digit ends and another begins before the stroke at this place of a row."""
    if not 0 < place < len(own):
        return 0.0
    before, after = own[place - 1], own[place]
    strokes = page.strokes
    if strokes.pieces[before] == strokes.pieces[after]:
        return CUT
    if strokes.spots[before] == strokes.spots[after]:
        return ONE_SPOT * min(1.0, 1.2 * float(strokes.boxes[[before, after], 3].min()) / page.height)
    return 0.0


def _junk(page: _Page, stroke: int) -> Token:
    strokes = page.strokes
    box = joint_box(strokes.boxes[[stroke]])
    spot = strokes.spots[stroke]
    # The only stroke of a spot is a digit, however small; a small one beside a large one hardly matters.
    share = max(box[2:]) / strokes.boxes[strokes.spots == spot, 2:].max()
    seen, unseen = JUNK * float(page.spots.strengths[spot]) * share, UNSEEN_JUNK * max(box[2:]) / page.height
    return Token(box, None, max(seen, min(UNSEEN_JUNK, unseen)))


def _rough_digit(page: _Page, stroke: int) -> Token | None:
    """A stroke that is no digit by itself, but on its page, for all that is seen of it, surely is one; None if not.

    Chalk and pencil on rough paper leave so little of a stroke that the classifier, who does not see how the rest of
    the page is written, takes it for a scribble.
    """
    strokes, members = page.strokes, (stroke,)
    spot, box = strokes.spots[stroke], joint_box(strokes.boxes[[stroke]])
    heat = page.spots.heat[spot]
    alone = max(box[2:]) == strokes.boxes[strokes.spots == spot, 2:].max()
    lowest, highest = ROUGH_HEIGHTS
    sized = lowest < box[3] / page.height < highest and box[2] < ROUGH_WIDTH * page.height
    if not (alone and sized and heat.max() > HOT and members in page.known):
        return None
    prediction = _agreed(page.known[members], heat)
    credibility = ROUGH * float(heat.max())
    confidence = max(prediction.confidence, credibility * float(prediction.probabilities.max()))
    return Token(box, replace(prediction, confidence=confidence), -math.log(credibility))


def _digit(page: _Page, members: Members, edges: float) -> Token:
    """These strokes taken for one digit. edges: what it costs that it begins and ends where it does."""
    index = np.array(members)
    box = joint_box(page.strokes.boxes[index])
    spots = np.unique(page.strokes.spots[index])
    strengths = page.spots.strengths[spots]
    strongest = int(strengths.argmax())
    two = TWO_SPOTS if len(np.unique(page.strokes.pieces[index])) == 1 else APART
    prediction = _agreed(page.known[members], page.spots.heat[spots[strongest]])
    cost = edges - math.log(max(prediction.confidence, 1e-4)) + JOIN * (len(members) - 1)
    cost += NO_SPOT * (1 - float(strengths[strongest])) + two * float(strengths.sum() - strengths[strongest])
    return Token(box, prediction, cost + LOW * max(0.0, LOWEST - box[3] / page.height))


def _agreed(prediction: Prediction, heat: np.ndarray) -> Prediction:
    """What the classifier says of a digit's own ink and the spotter, by its heat, float32 (10,), of it on its page."""
    is_digit = min(1.0, prediction.confidence / float(prediction.probabilities.max()))
    product = prediction.probabilities * (heat / heat.sum() + DOUBT) ** TRUST
    probabilities = (product / product.sum()).astype(np.float32)
    return replace(prediction, probabilities=probabilities, confidence=float(probabilities.max()) * is_digit)
