import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import confidence
from mnist_digits.recognition import Prediction
from mnist_digits.training.synthesis.non_digits import NON_DIGITS


def test_tiny_mode_measures_every_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("skimage")
    output = tmp_path / "confidence.json"
    confidence.BENCHMARK.main(["--tiny", "--output", str(output)])
    result = json.loads(output.read_text())
    assert list(result["declined"]) == [*NON_DIGITS, "photograph"]
    assert np.mean(list(result["declined"].values())) > 0.8
    assert len(result["photographs_declined"]) == len(confidence.PHOTOGRAPHS) + 3
    assert result["digits_declined"]["mnist"] < 0.1
    curve = result["curves"]["drawn"]
    assert curve["pictures"] == 60 + 3 * len(NON_DIGITS)
    # A third of the pictures shows no digit: whoever accepts all errs on these.
    assert curve["risk"][-1] > 0.333 > curve["errors_among_accepted"]
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert confidence.as_table(result) in capsys.readouterr().out


def test_the_curve_is_what_thresholds_give():
    random = np.random.default_rng(0)
    sure, right = random.random(150), random.random(150) < 0.7
    curve = confidence.risk_coverage(sure, right)
    risks = [(~right[sure >= threshold]).mean() for threshold in np.sort(sure)[::-1]]
    np.testing.assert_allclose(curve["risk"], risks, atol=1e-6)
    np.testing.assert_allclose(curve["coverage"], np.arange(1, 151) / 150, atol=1e-6)
    assert curve["area"] == pytest.approx(np.mean(risks))


def test_no_order_is_better_than_errors_last():
    right = np.array([True] * 90 + [False] * 10)
    perfect = confidence.risk_coverage(-np.arange(100.0), right)
    assert perfect["area"] == perfect["least_area"]
    assert confidence.risk_coverage(np.arange(100.0), right)["area"] > 0.2 > perfect["area"]


def test_accepting_what_is_no_digit_is_an_error():
    one = replace(Prediction.unreadable(), digit=0, confidence=0.9)
    declined = replace(one, digit=None, confidence=0.1)
    judged = confidence.summarise([one, one, declined, declined], np.array([0, -1, -1, 0]))
    assert (judged["accepted"], judged["errors_among_accepted"]) == (0.5, 0.5)
    assert judged["risk"][-1] == 0.5


def test_crops_lie_within_the_photograph():
    pixels = np.arange(60 * 90, dtype=np.uint16).reshape(60, 90)
    for crop in confidence.crop_randomly(pixels, 50, np.random.default_rng(0)):
        assert confidence.MIN_CROP_SIDE_PX <= crop.shape[0] == crop.shape[1] <= 60
        assert np.isin(crop, pixels).all()
