from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from helpers.small_set import plain_lesson
from mnist_digits.dataset import Dataset, Split
from mnist_digits.errors import DataError, QualityError
from mnist_digits.training import teaching
from mnist_digits.training.teaching import Gain, teach


def test_what_gains_nothing_is_not_kept(small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(teaching, "load_mnist", lambda: small)
    monkeypatch.setattr(teaching, "IMAGES_PER_EPOCH", 128)
    monkeypatch.setattr(teaching, "NON_DIGITS_PER_KIND", 1)
    wrong = Split(small.test.images[:40], np.roll(small.test.labels[:40], 7))
    with (
        plain_lesson(),
        pytest.raises(QualityError, match=r"your pictures: .* no gain beyond chance, so no model; label more of them"),
    ):
        teach(wrong, folder=tmp_path / "run")
    right = Split(small.train.images[:30], small.train.labels[:30])
    with (
        mock.patch("mnist_digits.training.teaching._Lesson.learn", side_effect=AssertionError),
        pytest.raises(QualityError, match=r"100.0 → 100.0 %: .* it reads all of them already"),
    ):
        teach(right, folder=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_too_few_pictures(small: Dataset):
    with pytest.raises(DataError, match="19 pictures, expected at least 20"):
        teach(Split(small.train.images[:19], small.train.labels[:19]))


def test_a_gain_is_one_only_beyond_chance():
    def gain(only_before: int, only_after: int) -> Gain:
        before = np.array([True] * (50 + only_before) + [False] * only_after)
        after = np.array([True] * 50 + [False] * only_before + [True] * only_after)
        return Gain.of(before, after)

    # McNemar's exact test: 2 · 0.5**6 = 0.03, 2 · 0.5**5 = 0.06.
    assert gain(0, 6).is_gain
    assert not gain(0, 5).is_gain
    assert gain(6, 0).is_loss
    assert not gain(6, 0).is_gain
    assert not gain(0, 0).is_gain
    assert not gain(0, 0).is_loss
    assert gain(0, 6).before == 50 / 56


def test_every_picture_is_held_out_once_and_comes_as_often_as_others():
    labels = np.random.default_rng(0).integers(0, 10, 103).astype(np.uint8)
    folds = teaching.folds_of(labels, 0)
    assert sorted(np.bincount(folds).tolist()) == [20, 20, 21, 21, 21]
    for digit in range(10):
        counts = np.bincount(folds[labels == digit], minlength=5)
        assert counts.max() - counts.min() <= 1
    chosen = np.flatnonzero(folds != 2)
    order = teaching.mixed_order(np.random.default_rng(0), chosen, 103, 897)
    times = np.bincount(order, minlength=1000)
    assert len(order) == 1000
    assert times[:103].sum() == 500
    assert (times[:103][folds == 2] == 0).all()
    assert np.ptp(times[chosen]) <= 1
    assert times[103:].max() == 1
