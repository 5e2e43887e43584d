import numpy as np
import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.training import declining
from mnist_digits.training.synthesis.digits import OTHERS


def share_of_paper(images: np.ndarray) -> np.ndarray:
    """A judge that takes whatever has little ink for a digit."""
    return (images < 128).mean((1, 2)).astype(np.float32)


def test_the_threshold_keeps_ninety_nine_of_a_hundred_digits(small: Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(declining, "PICTURES", 20)
    result = declining.measure(share_of_paper, small.test, seed=0)
    assert 0.985 < result["kept"]["drawn"] < 1
    assert set(result["declined"]) == set(OTHERS)
    assert result["declined"]["blot"] > 2 * result["declined"]["lines"]
    assert result["kept"]["mnist"] == pytest.approx((share_of_paper(small.test.images) >= result["threshold"]).mean())
