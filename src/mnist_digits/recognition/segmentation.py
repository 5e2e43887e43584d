"""Rows of pieces → digits: hypotheses of what belongs together, judged by the classifier.

A piece may be a digit, a part of one that is broken, or several that touch. Doubtful pieces are cut where
little ink is in the way, and neighbours joined; the most credible way through the row is found by dynamic
programming over the resulting lattice (Casey and Lecolinet 1996, "A survey of methods and strategies in
character segmentation", on recognition-based segmentation).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np

from mnist_digits.recognition.classifier import Classifier, Prediction
from mnist_digits.recognition.cuts import Atoms, cut_pieces
from mnist_digits.recognition.normalise import normalise
from mnist_digits.recognition.pieces import Pieces, cut_out, joint_box
from mnist_digits.recognition.rows import Row, same_pen
from mnist_digits.recognition.words import Token

CERTAIN = 0.7
"""A piece read with this confidence is not cut."""

WIDEST = 1.7
"""Width of a digit, in heights of its row."""

FURTHEST = 0.25
"""Gap within a digit, in heights of its row."""

JUNK = 3.0
"""Cost of leaving out a piece as high as the row: as much as reading it with a confidence of exp(-3)."""

JOIN = 0.1
"""Cost of joining two pieces."""

BESIDE = 1.5
"""The same, in addition, when they are tall and stand side by side, as two digits do."""

LOW, LOWEST = 3.0, 0.45
"""Cost of each height of the row that a digit falls short of this share of it."""

LOWEST_SLICE = 0.7
"""The same share of the piece's height, for a slice."""

CUT = 0.5
"""Cost of each cut."""

MOST_ATOMS = 8
"""Of which a digit may be made."""

MOST_CANDIDATES = 1500
"""Ways to join atoms that are judged on a page; one full of digits has a third of them."""

MOST_CUT = 120
"""Pieces of a page that are cut."""

MOST_TURNED = 80
"""Pieces that are looked at from every side."""

CLEARLY = 0.08
"""By how much the pieces must look better from another side for the page to be turned."""

SLIM = 0.35
"""Width of a digit, in its heights, below which it may be no more than a line."""

Span = tuple[int, int]
"""Start and stop of neighbours in a row's members."""

Members = tuple[int, ...]
"""Indices of the atoms of what may be one digit."""


def read_rows(ink: np.ndarray, pieces: Pieces, rows: Sequence[Row], classifier: Classifier) -> list[list[Token]]:
    """For each row what it holds from left to right, digits or not.

    ink: float32 (h, w) in [0, 1].
    """
    singles: list[tuple[Row, Members]] = [(row, (int(piece),)) for row in rows for piece in row.members]
    known = dict(zip([members for _, members in singles], _judge(ink, pieces, singles, classifier), strict=True))
    rows = [_without_other_pens(pieces, row, known) for row in rows]
    doubtful = np.array([(i,) in known and known[i,].confidence < CERTAIN for i in range(len(pieces))], bool)
    atoms, rows = cut_pieces(ink, pieces, rows, _largest(pieces, doubtful))
    spans = _within_bounds([list(_spans(atoms, row, doubtful)) for row in rows])
    asked = [
        (row, members)
        for row, own in zip(rows, spans, strict=True)
        for span in own
        if (members := _members(row, span)) not in known
    ]
    known |= zip([members for _, members in asked], _judge(ink, atoms, asked, classifier), strict=True)
    return [_best_path(atoms, row, own, known) for row, own in zip(rows, spans, strict=True)]


def _without_other_pens(pieces: Pieces, row: Row, known: dict[Members, Prediction]) -> Row:
    """The row without what is much finer or paler than the digits of the page that are beyond doubt.

    Of ruling that could not be taken out, many short lines are left, each of which looks like a one.
    """
    width, height = pieces.boxes[:, 2], pieces.boxes[:, 3]
    sure = [i for (i,), one in known.items() if one.confidence > CERTAIN and width[i] > SLIM * height[i]]
    if len(sure) < 3:
        return row
    return replace(row, members=row.members[same_pen(pieces, row.members, np.array(sure))])


def _largest(pieces: Pieces, chosen: np.ndarray) -> np.ndarray:
    """Of the chosen pieces, bool (n,), the MOST_CUT largest: where there are more, the page is hardly writing."""
    size = np.where(chosen, pieces.boxes[:, 2] * pieces.boxes[:, 3], 0)
    kept = np.zeros_like(chosen)
    kept[np.argsort(-size, kind="stable")[:MOST_CUT]] = True
    return kept & chosen


def find_turn(ink: np.ndarray, pieces: Pieces, classifier: Classifier) -> int:
    """How many quarter turns to the left bring the writing upright: 0 to 3, by what its largest pieces look like."""
    # Neither specks nor ones, which look alike on their heads, nor what is several digits.
    width, height = pieces.boxes[:, 2], pieces.boxes[:, 3]
    likely = np.flatnonzero((np.minimum(width, height) > 0.4 * pieces.height) & (width < 2 * height))
    if not len(likely):
        return 0
    likely = likely[np.argsort(-width[likely] * height[likely], kind="stable")[:MOST_TURNED]]
    crops = [cut_out(ink, pieces, likely[i : i + 1])[0] for i in range(len(likely))]
    confidence = []
    for turns in range(4):
        blobs = [normalise(np.ascontiguousarray(np.rot90(crop, turns))) for crop in crops]
        confidence.append(np.mean([one.confidence for one in classifier.classify_normalised(blobs)]))
    # Upright, unless it clearly is not.
    confidence[0] += CLEARLY
    return int(np.argmax(confidence))


def _within_bounds(spans: list[list[Span]]) -> list[list[Span]]:
    """The spans of every row, without some of those of several atoms where there are too many on the page."""
    left = MOST_CANDIDATES
    bounded = []
    for own in spans:
        joined = [span for span in own if span[1] - span[0] > 1]
        joined = joined if len(joined) <= left else []
        left -= len(joined)
        bounded.append([*(span for span in own if span[1] - span[0] == 1), *joined])
    return bounded


def _members(row: Row, span: Span) -> Members:
    return tuple(int(member) for member in row.members[slice(*span)])


def _judge(
    ink: np.ndarray, pieces: Pieces, asked: Sequence[tuple[Row, Members]], classifier: Classifier
) -> list[Prediction]:
    blobs = []
    for row, members in asked:
        index = np.array(members)
        x = float(pieces.centres[index, 0].mean())
        crop, _ = cut_out(ink, pieces, index, row.slope_at(x))
        blobs.append(normalise(crop))
    return classifier.classify_normalised(blobs)


def _spans(atoms: Atoms, row: Row, doubtful: np.ndarray) -> Iterator[tuple[int, int]]:
    """Which neighbours, row.members[start:stop], may together be one digit."""
    boxes, origins = atoms.boxes[row.members], atoms.origins[row.members]
    for start in range(len(boxes)):
        yield start, start + 1
        for stop in range(start + 2, min(start + MOST_ATOMS, len(boxes)) + 1):
            _, _, width, height = joint_box(boxes[start:stop])
            if width > WIDEST * max(row.height, 0.7 * height):
                break
            if _may_join(boxes[start:stop], origins[start:stop], row.height, doubtful):
                yield start, stop


def _may_join(boxes: np.ndarray, origins: np.ndarray, height: float, doubtful: np.ndarray) -> bool:
    """Whether atoms from left to right lie near enough to be one digit."""
    right = np.maximum.accumulate(boxes[:, 0] + boxes[:, 2])
    gaps = boxes[1:, 0] - right[:-1]
    if (gaps > FURTHEST * height).any():
        return False
    # Two good digits side by side are hardly the halves of one.
    return bool(doubtful[origins].any()) or bool((gaps < 0.05 * height).all())


def _best_path(atoms: Atoms, row: Row, spans: Sequence[Span], known: dict[Members, Prediction]) -> list[Token]:
    """The cheapest way through the row."""
    ending: list[list[tuple[int, Token]]] = [
        [(stop - 1, _junk(atoms, row, int(atom)))] for stop, atom in enumerate(row.members, 1)
    ]
    for start, stop in spans:
        members = _members(row, (start, stop))
        ending[stop - 1].append((start, _digit(atoms, row, members, known[members])))
    costs, steps = [0.0], []
    for options in ending:
        cost, step = min(((costs[start] + token.cost, (start, token)) for start, token in options), key=itemgetter(0))
        costs.append(cost)
        steps.append(step)
    path, place = [], len(steps)
    while place:
        place, token = steps[place - 1]
        path.append(token)
    return path[::-1]


def _junk(atoms: Atoms, row: Row, atom: int) -> Token:
    box = joint_box(atoms.boxes[[atom]])
    return Token(box, None, JUNK * min(1.0, max(box[2:]) / row.height))


def _digit(atoms: Atoms, row: Row, members: Members, prediction: Prediction) -> Token:
    index = np.array(members)
    box = joint_box(atoms.boxes[index])
    cost = -math.log(max(prediction.confidence, 1e-4)) + _joining_cost(atoms, index, box[3])
    cost += LOW * max(0.0, LOWEST - box[3] / row.height)
    if atoms.sliced(index):
        # Digits stand side by side: slices that lie one above the other are parts of one.
        whole = max(atoms.boxes[atoms.origins[index], 3])
        cost += LOW * max(0.0, LOWEST_SLICE - box[3] / whole)
    thickness = float(atoms.thickness[members[0]])
    if thickness:
        cost += CUT + 2 * max(0.0, thickness - 0.15)
    return Token(box, prediction, cost)


def _joining_cost(atoms: Atoms, index: np.ndarray, height: int) -> float:
    """What it costs to take atoms for one digit whose joint height is given."""
    origins = np.unique(atoms.origins[index])
    if len(origins) == 1:
        return 0.0
    boxes = atoms.boxes[origins]
    tall = boxes[boxes[:, 3] > 0.6 * height]
    gaps = np.maximum(tall[1:, 0] - (tall[:-1, 0] + tall[:-1, 2]), tall[:-1, 0] - (tall[1:, 0] + tall[1:, 2]))
    return JOIN * (len(origins) - 1) + BESIDE * int((gaps > 0).sum())
