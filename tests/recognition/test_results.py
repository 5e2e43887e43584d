import base64
import json

import numpy as np
import pytest

from mnist_digits.recognition import Digit, Judgement, Line, Page, Prediction

PROBABILITIES = np.float32([0.01] * 9 + [0.91])


def digit(value: int, confidence: float = 0.95) -> Digit:
    return Digit(value, confidence, (3, 4, 5, 6), PROBABILITIES, np.full((28, 28), value, np.uint8))


def test_words_are_apart_and_lines_below_each_other():
    lines = (Line(((digit(1), digit(2)), (digit(3),))), Line(((digit(4),),)))
    page = Page(lines, None)
    assert page.text == "12 3\n4"
    assert [one.digit for one in lines[0].digits] == [1, 2, 3]


def test_json_holds_plain_values():
    page = Page((Line(((digit(1),),)),), None)
    expected = {"digit": 1, "confidence": 0.95, "box": [3, 4, 5, 6]}
    rest = {"page": 1, "doubtful": False, "left_out": 0.0}
    line = {"text": "1", "digits": [expected], "other": []}
    assert json.loads(json.dumps(page.to_json())) == {**rest, "lines": [line], "reason": None}
    assert Page.unreadable().to_json() == {**rest, "lines": [], "reason": "unreadable"}
    (detailed,) = json.loads(json.dumps(page.to_json(details=True)))["lines"][0]["digits"]
    assert base64.b64decode(detailed.pop("image")) == bytes([1] * 784)
    assert detailed == {**expected, "probabilities": [0.01] * 9 + [0.91]}


@pytest.mark.parametrize(
    ("confidences", "left_out", "doubtful"),
    [
        ([0.95, 0.95], 0.1, False),
        ([0.95, 0.95], 0.9, True),
        ([0.5, 0.5, 0.95], 0.1, True),
        ([0.5, *[0.95] * 4], 0.1, False),
        ([0.5, 0.95, 0.95], 0.1, True),
        ([], 0.9, True),
        ([], 0.0, False),
    ],
)
def test_a_page_is_doubtful_where_much_was_left_out_or_little_is_sure(
    confidences: list[float], left_out: float, doubtful: bool
):
    lines = (Line((tuple(digit(1, confidence) for confidence in confidences),)),)
    assert Page(lines, None, left_out=left_out).doubtful == doubtful


def test_a_prediction_of_a_file_that_cannot_be_opened():
    expected = {"digit": None, "confidence": 0.0, "probabilities": [0.1] * 10, "reason": "unreadable"}
    assert json.loads(json.dumps(Prediction.unreadable().to_json())) == expected


@pytest.mark.parametrize("is_digit", [None, np.float32([1.0000001, 0.25])])
def test_a_judgement_has_a_result_for_each_image(is_digit: np.ndarray | None):
    judgement = Judgement(np.stack([PROBABILITIES] * 2), is_digit, np.array([True, False]))
    found = json.loads(json.dumps(judgement.to_json()))
    assert [one["digit"] for one in found] == [9, None]
    assert [one["probabilities"] for one in found] == [[0.01] * 9 + [0.91]] * 2
    assert [one.get("is_digit") for one in found] == ([None, None] if is_digit is None else [1, 0.25])
    assert ("is_digit" in found[0]) == (is_digit is not None)
    assert judgement.part(1, 2).to_json() == found[1:]


@pytest.mark.parametrize(("confidence", "uncertain"), [(0.2, True), (0.89, True), (0.91, False), (1.0, False)])
def test_little_confidence_is_uncertain(confidence: float, uncertain: bool):
    assert digit(5, confidence).uncertain == uncertain
