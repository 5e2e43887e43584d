import base64

import numpy as np

from mnist_digits.dataset import Split
from mnist_digits.serving.page.turned_digits import MAX_SHOWN_RIGHT, MAX_SHOWN_WRONG, TurnedDigits


def digits(count: int) -> Split:
    """Images that tell which one they are."""
    labels = np.arange(count) % 10
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 0, 0] = np.arange(count)
    return Split(images, labels.astype(np.uint8))


def test_what_has_turned_is_counted_and_shown():
    held_out = digits(100)
    turned = TurnedDigits(held_out)
    truth = held_out.labels.astype(int)
    wrong = (truth + 1) % 10
    assert turned.update(np.where(np.arange(100) < 60, wrong, truth)) is None
    found = turned.update(np.where(np.arange(100) < 90, truth, wrong))
    assert found is not None
    assert (found["count"], found["right"], found["wrong"]) == (100, 60, 10)
    assert len(found["digits"]) == MAX_SHOWN_RIGHT + MAX_SHOWN_WRONG
    numbers = [base64.b64decode(digit["image"])[0] for digit in found["digits"]]
    # They are spread over all that have turned.
    assert numbers[:MAX_SHOWN_RIGHT] == list(range(0, 60, 5))
    assert all(90 <= number < 100 for number in numbers[MAX_SHOWN_RIGHT:])
    for number, digit in zip(numbers, found["digits"], strict=True):
        assert digit["truth"] == truth[number]
        assert {digit["before"], digit["after"]} == {truth[number], wrong[number]}
    # A digit that was wrong, and is wrong in another way, has not turned.
    still = turned.update(np.where(np.arange(100) < 90, truth, (truth + 2) % 10))
    assert still == {"count": 100, "right": 0, "wrong": 0, "digits": []}
