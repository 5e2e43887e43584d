import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits.recognition import Digit, Line, Page, Prediction
from mnist_digits.recognition.layout.words import Token
from mnist_digits.recognition.results import Place

SIDE = 40


def token(box: tuple[int, int, int, int], digit: int = 7, confidence: float = 0.95) -> Token:
    probabilities = np.full(10, 0.01, np.float32)
    probabilities[digit] = 0.91
    image = np.zeros((28, 28), np.uint8)
    return Token(box, Prediction(digit, confidence, probabilities, None, image, box), 0.0)


def digit(value: int, confidence: float = 0.95) -> Digit:
    return Place(0, (SIDE, SIDE), 1.0, (0, 0)).digit(token((3, 4, 5, 6), value, confidence))


def test_words_are_apart_and_lines_below_each_other():
    lines = (Line(((digit(1), digit(2)), (digit(3),))), Line(((digit(4),),)))
    page = Page(lines, None)
    assert page.text == "12 3\n4"
    assert [one.digit for one in lines[0].digits] == [1, 2, 3]


def test_json_holds_plain_values():
    page = Page((Line(((digit(1),),)),), None)
    expected = {"digit": 1, "confidence": 0.95, "box": [3, 4, 5, 6]}
    assert json.loads(json.dumps(page.to_json())) == {"lines": [{"text": "1", "digits": [expected]}], "reason": None}
    assert Page.unreadable().to_json() == {"lines": [], "reason": "unreadable"}


@pytest.mark.parametrize(("confidence", "uncertain"), [(0.2, True), (0.89, True), (0.91, False), (1.0, False)])
def test_little_confidence_is_uncertain(confidence: float, uncertain: bool):
    assert digit(5, confidence).uncertain == uncertain


@given(
    width=st.integers(10, 60),
    height=st.integers(10, 60),
    turns=st.integers(0, 3),
    reduction=st.sampled_from([1.0, 2.0, 3.0]),
    data=st.data(),
)
def test_a_box_is_where_it_was_before_the_picture_was_turned_and_reduced(
    width: int, height: int, turns: int, reduction: float, data: st.DataObject
):
    left, top = data.draw(st.integers(0, width - 2)), data.draw(st.integers(0, height - 2))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    picture = np.zeros((height, width), np.uint8)
    picture[top:bottom, left:right] = 1
    turned = np.ascontiguousarray(np.rot90(picture, turns))
    corner = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    x, y, wide, tall = cv2.boundingRect(turned)
    size = round(turned.shape[1] * reduction), round(turned.shape[0] * reduction)
    place = Place(turns, size, reduction, corner)
    found = place.digit(token((x - corner[0], y - corner[1], wide, tall))).box
    assert found == tuple(round(side * reduction) for side in (left, top, right - left, bottom - top))
