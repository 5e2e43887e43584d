from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pictures import soft
from helpers.small_pages import Box, SmallPage, overlap, write_page
from mnist_digits.recognition import Classifier, Prediction
from mnist_digits.recognition.layout.decoding import decode_lines
from mnist_digits.recognition.layout.detector import Detections, Detector
from mnist_digits.recognition.layout.segments import find_segments
from mnist_digits.recognition.layout.text_lines import find_text_lines
from mnist_digits.recognition.layout.words import Token
from mnist_digits.recognition.preprocessing.mnist_format import Normalised

HEIGHT = 56
NUMBERS = st.lists(st.text("0123456789", min_size=1, max_size=7), min_size=1, max_size=3)


class Undecided(Classifier):
    """Takes everything for a 4 as likely as for a 9."""

    def classify_normalised(self, inputs: Sequence[Normalised], min_confidence: float = 0.0) -> list[Prediction]:
        even = np.where(np.isin(np.arange(10), [4, 9]), np.float32(0.496), np.float32(0.001))
        predictions = super().classify_normalised(inputs, min_confidence)
        return [replace(one, digit=4, confidence=0.496, probabilities=even, reason=None) for one in predictions]


class Rejecting(Classifier):
    """Takes everything for a scribble."""

    def classify_normalised(self, inputs: Sequence[Normalised], min_confidence: float = 0.0) -> list[Prediction]:
        predictions = super().classify_normalised(inputs, min_confidence)
        return [replace(one, digit=None, confidence=0.001, reason="not-a-digit") for one in predictions]


def detections_of(*found: tuple[float, float, int, float]) -> Detections:
    """Detections at x, y, each of a digit with some scores."""
    scores = np.full((len(found), 10), 0.01, np.float32)
    for own, (_, _, digit, value) in zip(scores, found, strict=True):
        own[digit] = value
    return Detections(np.array([one[:2] for one in found], float).reshape(-1, 2), scores)


def seen(page: SmallPage, value: float = 0.8) -> Detections:
    """A detection in the middle of each digit."""
    digits = [int(character) for character in page.text if character.isdigit()]
    boxes = zip(page.boxes, digits, strict=True)
    return detections_of(*[(x + width / 2, y + height / 2, digit, value) for (x, y, width, height), digit in boxes])


def read(ink: np.ndarray, detections: Detections, classifier: Classifier) -> list[list[Token]]:
    lines = find_text_lines(detections.centres, HEIGHT)
    return decode_lines(ink, find_segments(ink, detections, HEIGHT), detections, lines, HEIGHT, classifier)


def texts(lines: list[list[Token]]) -> list[str]:
    """The digits of each line, a dot for what is none."""
    return [
        "".join(str(token.prediction.probabilities.argmax()) if token.prediction else "." for token in line)
        for line in lines
    ]


def alone(page: SmallPage, *detections: tuple[float, float, int, float]) -> tuple[np.ndarray, Box, Detections]:
    """A page of one digit: its ink, its box, and detections at shares of that box."""
    ((x, y, width, height),) = page.boxes
    placed = [(x + across * width, y + down * height, digit, scores) for across, down, digit, scores in detections]
    return soft(page.mask), (x, y, width, height), detections_of(*placed)


@settings(max_examples=15)
@given(numbers=NUMBERS)
def test_as_many_tokens_as_digits_from_left_to_right(
    classifier: Classifier, sure: list[list[np.ndarray]], numbers: list[str]
):
    page = write_page(sure, numbers, height=HEIGHT)
    found = read(soft(page.mask), seen(page), classifier)
    assert texts(found) == numbers
    for line in found:
        assert (np.diff([token.box[0] + token.box[2] / 2 for token in line]) > 0).all()
        assert min(token.credibility for token in line) > 0.8
    for token, box in zip((token for line in found for token in line), page.boxes, strict=True):
        assert overlap(token.box, box) > 0.8


def test_what_the_shipped_detector_sees_is_read(classifier: Classifier, sure: list[list[np.ndarray]]):
    page = write_page(sure, ["0123456789"] * 3, height=HEIGHT)
    ink = soft(page.mask)
    found = read(ink, Detector().detect(ink, HEIGHT).detections, classifier)
    assert [len(line) for line in found] == [10, 10, 10]
    assert np.mean([one == other for one, other in zip("".join(texts(found)), "0123456789" * 3, strict=True)]) > 0.9


def test_two_segments_of_a_digit_are_joined(classifier: Classifier, sure: list[list[np.ndarray]]):
    right = 0
    for digit in range(10):
        page = write_page(sure, [str(digit)], height=HEIGHT)
        ink, box, detections = alone(page, (0.5, 0.5, digit, 0.8))
        middle = box[1] + HEIGHT // 2
        ink[middle - 2 : middle + 3] = 0
        assert len(find_segments(ink, detections, HEIGHT)) > 1
        found = read(ink, detections, classifier)
        right += texts(found) == [str(digit)] and overlap(found[0][0].box, box) > 0.9
    assert right >= 9


def test_a_digit_with_two_detections_is_joined(classifier: Classifier, sure: list[list[np.ndarray]]):
    right = 0
    for digit in (0, 2, 3, 4, 5, 6, 8, 9):
        page = write_page(sure, [str(digit)], height=HEIGHT)
        ink, box, detections = alone(page, (0.25, 0.5, digit, 0.6), (0.75, 0.5, digit, 0.3))
        assert len(find_segments(ink, detections, HEIGHT)) > 1
        found = read(ink, detections, classifier)
        right += texts(found) == [str(digit)] and overlap(found[0][0].box, box) > 0.9
    assert right >= 7


@pytest.mark.parametrize(("side", "place"), [(8, 0.95), (9, 0.6), (18, 0.6)], ids=["point", "raised point", "sign"])
def test_a_mark_beside_a_digit_is_no_part_of_it(
    classifier: Classifier, sure: list[list[np.ndarray]], side: int, place: float
):
    page = write_page(sure, ["31"], height=HEIGHT)
    ink = np.pad(soft(page.mask), ((0, 0), (0, 60)))
    x, y, width, height = page.boxes[1]
    left, top = x + width + 3, round(y + place * height - side / 2)
    ink[top : top + side, left : left + side] = 1
    ((*digits, mark),) = read(ink, seen(page), classifier)
    assert texts([digits]) == ["31"]
    assert mark.prediction is None
    assert mark.box == (left, top, side, side)
    assert overlap(digits[1].box, page.boxes[1]) > 0.9
    assert not mark.components & digits[1].components


def test_what_broke_off_a_digit_above_or_within_is_a_part_of_it(classifier: Classifier, sure: list[list[np.ndarray]]):
    page = write_page(sure, ["31"], height=HEIGHT)
    ink = np.pad(soft(page.mask), ((0, 0), (0, 60)))
    x, y, width, _ = page.boxes[1]
    # As far aside, but at its top: the flag of a five is now and then written so.
    ink[y : y + 6, x + width + 3 : x + width + 13] = 1
    (tokens,) = read(ink, seen(page), classifier)
    assert len(tokens) == 2
    assert overlap(tokens[1].box, (x, y, width + 13, HEIGHT)) > 0.9


def test_what_no_detection_is_near_is_left_out(classifier: Classifier, sure: list[list[np.ndarray]]):
    page = write_page(sure, ["40", "93"], height=HEIGHT)
    detections = seen(page)
    some = Detections(detections.centres[1:], detections.scores[1:])
    assert texts(read(soft(page.mask), some, classifier)) == ["0", "93"]
    assert read(soft(page.mask), Detections(detections.centres[:0], detections.scores[:0]), classifier) == []
    assert read(np.zeros(page.mask.shape, np.float32), detections, classifier) == [[], []]


def test_a_blot_is_hardly_credible(classifier: Classifier, sure: list[list[np.ndarray]]):
    page = write_page(sure, ["35"], height=HEIGHT)
    ink = np.pad(soft(page.mask), ((0, 0), (0, 90)))
    x, y = page.mask.shape[1], page.boxes[0][1]
    cv2.circle(ink, (x + 20, y + HEIGHT // 2), 24, 1, -1)
    known = seen(page)
    scores = np.concatenate([known.scores, np.full((1, 10), 0.2, np.float32)])
    detections = Detections(np.concatenate([known.centres, [[x + 20, y + HEIGHT / 2]]]), scores)
    ((*digits, blot),) = read(ink, detections, classifier)
    assert texts([digits]) == ["35"]
    assert blot.credibility < 0.2 < 0.8 < min(token.credibility for token in digits)


@pytest.mark.parametrize("digit", [4, 9])
def test_the_detector_decides_where_the_classifier_does_not(sure: list[list[np.ndarray]], digit: int):
    page = write_page(sure, ["4994"], height=HEIGHT)
    detections = seen(page)
    scores = np.full((4, 10), 0.02, np.float32)
    scores[:, digit] = 0.6
    (line,) = read(soft(page.mask), Detections(detections.centres, scores), Undecided())
    assert texts([line]) == [4 * str(digit)]
    for token in line:
        assert token.prediction
        assert token.prediction.confidence > 0.9
        assert token.prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("scores", "read_as"), [(0.7, "4994"), (0.3, "....")])
def test_a_rough_digit_is_what_a_sure_detector_says(sure: list[list[np.ndarray]], scores: float, read_as: str):
    page = write_page(sure, ["4994"], height=HEIGHT)
    (line,) = read(soft(page.mask), seen(page, scores), Rejecting())
    assert texts([line]) == [read_as]
    # Whoever asks for certainty is not given it.
    assert all(token.prediction.confidence < 0.5 for token in line if token.prediction)


def test_a_sure_classifier_is_believed(classifier: Classifier, sure: list[list[np.ndarray]]):
    page = write_page(sure, ["0123456789"], height=HEIGHT)
    # The detector takes each digit for any, the next one a little rather.
    scores = np.full((10, 10), 0.3, np.float32) + 0.1 * np.roll(np.eye(10, dtype=np.float32), 1, axis=1)
    assert texts(read(soft(page.mask), Detections(seen(page).centres, scores), classifier)) == ["0123456789"]
