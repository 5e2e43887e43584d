"""Segments of text lines → digits: hypotheses of what belongs together, scored by classifier and detector.

A digit may consist of several segments, and two detections may be of one digit. Neighbours are joined in all plausible
ways, and the path of the lowest cost through the resulting lattice is found by dynamic programming (Casey and Lecolinet
1996, "A survey of methods and strategies in character segmentation", on recognition-based segmentation). Costs are in
units of -log of a confidence.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.classifier import Classifier
from mnist_digits.recognition.layout.components import MAX_DIGIT_ASPECT
from mnist_digits.recognition.layout.detector import Detections
from mnist_digits.recognition.layout.segments import Segments, cut_out, joint_box
from mnist_digits.recognition.layout.text_lines import TextLine
from mnist_digits.recognition.layout.words import Token
from mnist_digits.recognition.preprocessing.mnist_format import normalise
from mnist_digits.recognition.results import Prediction

MAX_SEGMENTS_PER_DIGIT = 5

MAX_CANDIDATES = 2500
"""Number of ways to join segments that are classified on a page; a page full of digits has half of them."""

REJECTION_COST = 3.0
"""Cost of leaving out all segments of a certain detection: as of a digit with a confidence of exp(-REJECTION_COST)."""

MIN_REJECTION_COST_PER_HEIGHT = 0.9
"""Minimum cost of leaving out a segment as high as a digit, whatever the detector's score."""

UNDETECTED_COST = 2.0
"""Cost of a digit that the detector does not see."""

SECOND_DETECTION_COST, UNCONNECTED_DETECTION_COST = 0.5, 1.0
"""Cost of a digit with two detections, in one component and in several."""

MIN_ROUGH_SCORE, ROUGH_CONFIDENCE = 0.45, 0.5
"""Score above which the detector alone is believed, and the share of the score that is then the confidence."""

ROUGH_HEIGHT_RANGE, MAX_ROUGH_ASPECT = (0.65, 1.5), 1.1
"""In digit heights: minimum and maximum height and maximum width of a segment that is believed so."""

EXTRA_SEGMENT_COST = 0.05
"""Cost of each segment of a digit beyond the first."""

CUT_COMPONENT_COST = 2.0
"""Cost of two digits in one component, of which each bears half."""

CUT_DETECTION_COST = 1.0
"""The same for two digits at one detection."""

LOW_DIGIT_COST, MIN_HEIGHT_RATIO = 3.0, 0.25
"""Cost per digit height that a digit is lower than MIN_HEIGHT_RATIO digit heights."""

DETECTOR_EXPONENT, DETECTOR_FLOOR = 2.0, 0.05
"""The classifier's probabilities are multiplied by the detector's, plus the floor, to the power of the exponent."""

DISAGREEMENT_COST = 1.0
"""Cost of a digit that is not the one the detector certainly sees."""

MARK_GAP_HEIGHTS, MAX_MARK_HEIGHTS = 0.03, 0.6
"""Least space beside a digit, and largest side, in digit heights, of a mark that is no part of it."""

Members = tuple[int, ...]
"""Indices of the segments of one hypothetical digit."""


@dataclass(frozen=True)
class _Lattice:
    """The segments of a page, and the predictions for all hypothetical digits."""

    segments: Segments
    detections: Detections
    digit_height: float
    predictions: Mapping[Members, Prediction]


def decode_lines(
    ink: NDArray[np.float32],
    segments: Segments,
    detections: Detections,
    lines: Sequence[TextLine],
    digit_height: float,
    classifier: Classifier,
) -> list[list[Token]]:
    """The tokens of each line from left to right, digits or not.

    ink: of digits, float32 (h, w) in [0, 1]. lines: of the detections. digit_height: in pixels.
    """
    members_of_lines = [_segments_of(segments, line) for line in lines]
    candidates = [
        (line, members)
        for line, own in zip(lines, members_of_lines, strict=True)
        for members in _joined(segments, own, digit_height)
    ]
    candidates = sorted(candidates, key=lambda one: len(one[1]))[:MAX_CANDIDATES]
    inputs = []
    for line, members in candidates:
        index = np.array(members)
        slope = line.slope_at(float(segments.centres_x[index].mean()))
        inputs.append(normalise(cut_out(ink, segments, index, slope)[0]))
    predictions = classifier.classify_normalised(inputs)
    known = {members: prediction for (_, members), prediction in zip(candidates, predictions, strict=True)}
    lattice = _Lattice(segments, detections, digit_height, known)
    return [_best_path(lattice, own) for own in members_of_lines]


def _segments_of(segments: Segments, line: TextLine) -> list[int]:
    """The segments of a line's detections from left to right."""
    own = np.flatnonzero(np.isin(segments.detections, line.members))
    ordered: list[int] = own[np.argsort(segments.centres_x[own], kind="stable")].tolist()
    return ordered


def _joined(segments: Segments, own: Sequence[int], digit_height: float) -> Iterator[Members]:
    """Neighbours in a line that together may be one digit."""
    for start in range(len(own)):
        yield (own[start],)
        for stop in range(start + 2, min(start + MAX_SEGMENTS_PER_DIGIT, len(own)) + 1):
            members = tuple(own[start:stop])
            index = np.array(members)
            too_wide = joint_box(segments.boxes[index])[2] > MAX_DIGIT_ASPECT * digit_height
            if too_wide or len(np.unique(segments.detections[index])) > 2:
                break
            yield members


def _best_path(lattice: _Lattice, own: Sequence[int]) -> list[Token]:
    """The path of the lowest cost through a line's segments."""
    # costs[i]: of the best path through the first i segments, whose last step is steps[i - 1].
    costs, steps = [0.0], []
    for stop, segment in enumerate(own, 1):
        rejected = _rejected(lattice, segment)
        options = [(costs[stop - 1] + rejected.cost, (stop - 1, rejected))]
        for start in range(max(0, stop - MAX_SEGMENTS_PER_DIGIT), stop):
            members = tuple(own[start:stop])
            if members in lattice.predictions:
                edges = (_edge_cost(lattice, own, start) + _edge_cost(lattice, own, stop)) / 2
                token = _digit(lattice, members, edges)
                options.append((costs[start] + token.cost, (start, token)))
                # Otherwise it costs less than any that the detector alone is believed.
                if token.cost - edges > -math.log(ROUGH_CONFIDENCE) and (rough := _rough_digit(lattice, members)):
                    options.append((costs[start] + rough.cost + edges, (start, rough)))
        cost, (start, token) = min(options, key=itemgetter(0))
        costs.append(cost)
        steps.append((start, (_rough_digit(lattice, (segment,)) or token) if token is rejected else token))
    path: list[Token] = []
    stop = len(steps)
    while stop:
        start, token = steps[stop - 1]
        path += _without_marks(lattice, own[start:stop], token)[::-1]
        stop = start
    return path[::-1]


def _without_marks(lattice: _Lattice, members: Sequence[int], token: Token) -> list[Token]:
    """A digit, without points and signs beside it that were taken for parts of it, and these, from left to right.

    The classifier hardly minds a point. What is left of a broken stroke lies above or below the rest of the digit.
    """
    if not token.prediction or len(members) == 1:
        return [token]
    boxes = lattice.segments.boxes[list(members)]
    x, y, width, height = boxes[boxes[:, 3].argmax()]
    gap = MARK_GAP_HEIGHTS * lattice.digit_height
    beside = (boxes[:, 0] >= x + width + gap) | (boxes[:, 0] + boxes[:, 2] <= x - gap)
    low = boxes[:, 1] + boxes[:, 3] / 2 > y + height / 3
    marks = beside & low & (boxes[:, 2:].max(axis=1) < MAX_MARK_HEIGHTS * lattice.digit_height)
    if not marks.any():
        return [token]
    apart = [_rejected(lattice, segment) for segment, is_mark in zip(members, marks, strict=True) if is_mark]
    read = token.components - frozenset().union(*(mark.components for mark in apart))
    digit = replace(token, box=joint_box(boxes[~marks]), components=read)
    return sorted([digit, *apart], key=lambda one: one.box[0])


def _edge_cost(lattice: _Lattice, own: Sequence[int], place: int) -> float:
    """Cost of one digit ending and another beginning before the segment at this place of a line."""
    if not 0 < place < len(own):
        return 0.0
    before, after = own[place - 1], own[place]
    segments = lattice.segments
    if segments.components[before] == segments.components[after]:
        return CUT_COMPONENT_COST
    if segments.detections[before] == segments.detections[after]:
        lower = float(segments.boxes[[before, after], 3].min())
        return CUT_DETECTION_COST * min(1.0, 1.2 * lower / lattice.digit_height)
    return 0.0


def _rejected(lattice: _Lattice, segment: int) -> Token:
    """A segment taken for no digit."""
    segments = lattice.segments
    box = joint_box(segments.boxes[[segment]])
    detection = segments.detections[segment]
    # The only segment of a detection is its digit, however small; a small one beside a large one hardly matters.
    share = max(box[2:]) / segments.boxes[segments.detections == detection, 2:].max()
    detected = REJECTION_COST * float(lattice.detections.presence[detection]) * share
    undetected = MIN_REJECTION_COST_PER_HEIGHT * max(box[2:]) / lattice.digit_height
    cost = max(detected, min(MIN_REJECTION_COST_PER_HEIGHT, undetected))
    return Token(box, None, cost, components=frozenset([int(segments.components[segment])]))


def _rough_digit(lattice: _Lattice, members: Members) -> Token | None:
    """Segments that the classifier rejects, but the detector certainly sees as a digit; None for any other.

    Chalk and pencil on rough paper leave so little of a stroke that the classifier, which does not see how the rest of
    the page is written, takes it for a scribble.
    """
    segments, index = lattice.segments, np.array(members)
    detection, box = segments.detections[index[0]], joint_box(segments.boxes[index])
    scores = lattice.detections.scores[detection]
    own = segments.detections == detection
    whole = own[index].all() and segments.boxes[index, 2:].max() == segments.boxes[own, 2:].max()
    lowest, highest = ROUGH_HEIGHT_RANGE
    sized = lowest < box[3] / lattice.digit_height < highest and box[2] < MAX_ROUGH_ASPECT * lattice.digit_height
    if not (whole and sized and scores.max() > MIN_ROUGH_SCORE and members in lattice.predictions):
        return None
    prediction = _combined(lattice.predictions[members], scores)
    credibility = ROUGH_CONFIDENCE * float(scores.max())
    confidence = max(prediction.confidence, credibility * float(prediction.probabilities.max()))
    of = frozenset(segments.components[index].tolist())
    return Token(box, replace(prediction, confidence=confidence), -math.log(credibility), components=of)


def _digit(lattice: _Lattice, members: Members, edge_cost: float) -> Token:
    """These segments taken for one digit. edge_cost: its half of the costs of beginning and ending where it does."""
    segments, index = lattice.segments, np.array(members)
    box = joint_box(segments.boxes[index])
    detections = np.unique(segments.detections[index])
    presence = lattice.detections.presence[detections]
    strongest = int(presence.argmax())
    connected = len(np.unique(segments.components[index])) == 1
    second = SECOND_DETECTION_COST if connected else UNCONNECTED_DETECTION_COST
    prediction = _combined(lattice.predictions[members], lattice.detections.scores[detections[strongest]])
    scores = lattice.detections.scores[detections[strongest]]
    agreement = float(scores[prediction.probabilities.argmax()] / scores.max())
    disagreement = DISAGREEMENT_COST * float(presence[strongest]) * (1 - agreement)
    cost = edge_cost - math.log(max(prediction.confidence, 1e-4)) + EXTRA_SEGMENT_COST * (len(members) - 1)
    cost += disagreement
    cost += UNDETECTED_COST * (1 - float(presence[strongest])) + second * float(presence.sum() - presence[strongest])
    cost += LOW_DIGIT_COST * max(0.0, MIN_HEIGHT_RATIO - box[3] / lattice.digit_height)
    return Token(box, prediction, cost, edge_cost, frozenset(segments.components[index].tolist()))


def _combined(prediction: Prediction, scores: NDArray[np.float32]) -> Prediction:
    """The classifier's prediction for a digit's own ink, combined with the detector's scores, float32 (10,)."""
    is_digit = min(1.0, prediction.confidence / float(prediction.probabilities.max()))
    product = prediction.probabilities * (scores / scores.sum() + DETECTOR_FLOOR) ** DETECTOR_EXPONENT
    probabilities = (product / product.sum()).astype(np.float32)
    return replace(prediction, probabilities=probabilities, confidence=float(probabilities.max()) * is_digit)
