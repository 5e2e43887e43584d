import json

import numpy as np
import pytest

from mnist_digits.dataset import Dataset, Split
from mnist_digits.training.export import calibration
from mnist_digits.training.synthesis.non_digits import NON_DIGITS

TRUE = 1.7


def made_up(count: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels drawn with the probabilities that these give, and the same logits made too sure."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (count, 10))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(1).astype(np.uint8)
    return logits, labels, logits * TRUE


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True)


def test_the_temperature_that_spoiled_confidence_is_found():
    logits, labels, sure = made_up()
    temperature = calibration.fit_temperature(labels, softmax(sure).astype(np.float32))
    assert temperature == pytest.approx(TRUE, rel=0.03)
    np.testing.assert_allclose(calibration.temper(softmax(sure), TRUE), softmax(logits), atol=1e-6)


def test_no_other_temperature_has_a_smaller_loss():
    _, labels, sure = made_up(500)
    found = calibration.fit_temperature(labels, softmax(sure))
    losses = {t: -np.log(softmax(sure / t)[np.arange(500), labels]).mean() for t in (found, *np.geomspace(0.3, 5, 200))}
    assert losses[found] <= min(losses.values()) + 1e-6


def test_the_calibration_error_falls_and_is_plain_json():
    _, labels, sure = made_up()
    split = Split(np.zeros((len(labels), 28, 28), np.uint8), labels)
    measured = json.loads(json.dumps(calibration.measure_calibration(split, softmax(sure).astype(np.float32))))
    assert measured["calibration_error_after"] < 0.015 < 0.1 < measured["calibration_error_before"]


def test_probabilities_that_have_become_zero_stay_so():
    tempered = calibration.temper(np.array([[0, 0.25, 0.75]], np.float32), 0.5)
    np.testing.assert_allclose(tempered, [[0, 0.1, 0.9]], atol=1e-6)
    assert tempered.dtype == np.float32


def test_where_nothing_is_wrong_there_is_an_end_to_certainty():
    labels = np.arange(10, dtype=np.uint8)
    temperature = calibration.fit_temperature(labels, (0.91 * np.eye(10) + 0.009).astype(np.float32))
    assert calibration.TEMPERATURE_RANGE[0] <= temperature < 0.5


def share_of_paper(images: np.ndarray) -> np.ndarray:
    """An is_digit that is higher the less ink there is."""
    return (images < 128).mean((1, 2)).astype(np.float32)


def test_the_threshold_keeps_ninety_nine_of_a_hundred_digits(small: Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calibration, "PICTURES_PER_KIND", 20)
    result = calibration.measure_rejection(share_of_paper, small.test, seed=0)
    assert 0.985 < result["kept"]["drawn"] < 1
    assert set(result["declined"]) == set(NON_DIGITS)
    assert result["declined"]["blot"] > 2 * result["declined"]["lines"]
    assert result["kept"]["mnist"] == pytest.approx((share_of_paper(small.test.images) >= result["threshold"]).mean())
