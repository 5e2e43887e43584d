from dataclasses import replace

import cv2
import numpy as np
import pytest

from mnist_digits.recognition import Prediction
from mnist_digits.recognition.layout.words import Token, numbers, part

HEIGHT = 20


def token(x: int, digit: int | None, confidence: float = 0.99, width: int = 12, height: int = HEIGHT) -> Token:
    """A digit read with some confidence, or, where it is None, something else."""
    box = (x, 0, width, height)
    if digit is None:
        return Token(box, None, 3.0)
    probabilities = np.full(10, (1 - confidence) / 9, np.float32)
    probabilities[digit] = confidence
    image = np.zeros((28, 28), np.uint8)
    return Token(box, Prediction(digit, confidence, probabilities, None, image, box), -float(np.log(confidence)))


def line(text: str, confidence: float = 0.99, start: int = 0) -> list[Token]:
    """A token for each digit or letter; a wide gap for each space."""
    tokens, x = [], start
    for character in text:
        if character != " ":
            tokens.append(token(x, int(character) if character.isdigit() else None, confidence))
        x += 40 if character == " " else 18
    return tokens


def texts(words: list[list[Token]]) -> list[str]:
    return ["".join(str(one.prediction.digit) for one in word if one.prediction) for word in words]


@pytest.mark.parametrize("text", ["1", "123", "12 34", "123 45 678 90", "3141 59 26"])
def test_credible_words_are_kept(text: str):
    assert texts(numbers(line(text), HEIGHT)) == text.split()


def test_words_of_something_else_are_dropped():
    assert texts(numbers(line("abc 123 wxyz 45"), HEIGHT)) == ["123", "45"]
    assert numbers(line("abc"), HEIGHT) == []
    assert numbers([], HEIGHT) == []


def test_a_digit_among_letters_is_dropped():
    assert texts(numbers(line("abcd1ef 234"), HEIGHT)) == ["234"]


def test_what_stands_between_credible_digits_is_left_out():
    assert texts(numbers(line("12x45"), HEIGHT)) == ["1245"]


def test_words_of_guesses_are_dropped():
    assert texts(numbers([*line("1234"), *line("567", 0.15, start=200)], HEIGHT)) == ["1234"]


def test_where_little_is_clear_words_must_be_more_credible():
    tokens = [*line("1234"), *line("567", 0.5, start=200)]
    assert texts(numbers(tokens, HEIGHT)) == texts(numbers(tokens, HEIGHT, 0.45)) == ["1234", "567"]
    assert texts(numbers(tokens, HEIGHT, 0.3)) == ["1234"]
    assert numbers(tokens, HEIGHT, 0.2) == []


def test_dots_say_nothing_of_the_digits_beside_them():
    tokens = [token(0, 1), token(16, None, width=3, height=3), token(24, 5), token(40, 0)]
    assert texts(numbers(tokens, HEIGHT)) == ["150"]


def test_credibility():
    assert token(0, 3, 0.8).credibility == pytest.approx(0.8)
    assert token(0, None).credibility == 0


@pytest.mark.parametrize(
    ("mark", "parted"),
    [
        ((13, 4, 4, 14), True),
        ((13, 17, 4, 4), True),
        ((10, -4, 9, 30), True),
        ((13, 17, 1, 1), False),
        ((13, 40, 4, 10), False),
        ((2, 4, 4, 14), False),
        ((40, 4, 4, 14), False),
    ],
    ids=["sign", "point", "tall and near", "speck", "below", "within a digit", "elsewhere"],
)
def test_a_mark_between_two_digits_parts_them(mark: tuple[int, int, int, int], parted: bool):
    words, found = part(line("12"), np.array([mark]), HEIGHT)
    assert texts(words) == (["1", "2"] if parted else ["12"])
    assert found == ([mark] if parted else [])


def stroke(x: int, height: int, slant: float) -> Token:
    """A straight stroke that is read as a one. height: in percent of a digit's. slant: pixels sideways per pixel up."""
    image = np.zeros((28, 28), np.uint8)
    reach = 10 * slant
    cv2.line(image, (round(14 - reach), 24), (round(14 + reach), 4), 255, 2)
    one = token(x, 1, height=HEIGHT * height // 100)
    assert one.prediction
    return replace(one, prediction=replace(one.prediction, image=image))


def with_strokes(text: str, height: int, slant: float) -> list[Token]:
    """A token for each digit, and such a stroke for each slash."""
    return [
        stroke(18 * place, height, slant) if character == "/" else token(18 * place, int(character))
        for place, character in enumerate(text)
    ]


@pytest.mark.parametrize(
    ("text", "height", "slant", "read_as"),
    [
        ("24/12/1989", 110, 0.35, ["24", "12", "1989"]),
        ("3/4/26", 110, 0.35, ["3", "4", "26"]),
        ("45/7", 120, 0.35, ["45", "7"]),
        ("24/12/1989", 100, 0.35, ["2411211989"]),
        ("24/12/1989", 130, 0.05, ["2411211989"]),
        ("24/12/1989", 130, -0.35, ["2411211989"]),
        ("245/7", 110, 0.35, ["24517"]),
        ("/45", 130, 0.35, ["145"]),
        ("4//5", 130, 0.35, ["4115"]),
        ("//", 130, 0.35, ["11"]),
    ],
    ids=["date", "short date", "fraction", "low", "upright", "leaning back", "one as high", "first", "eleven", "ones"],
)
def test_high_strokes_that_slant_are_slashes(text: str, height: int, slant: float, read_as: list[str]):
    word = with_strokes(text, height, slant)
    words, found = part(word, np.empty((0, 4), int), HEIGHT)
    assert texts(words) == read_as
    assert len(found) == len(read_as) - 1
    assert set(found) <= {one.box for one in word}
