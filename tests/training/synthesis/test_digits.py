from dataclasses import replace

import cv2
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from mnist_digits.dataset import Dataset, Split
from mnist_digits.training.synthesis import digits
from mnist_digits.training.synthesis.digits import NON_DIGIT_LABEL, draw_digits, draw_non_digits, synthesise
from mnist_digits.training.synthesis.drawing import with_stroke_width
from mnist_digits.training.synthesis.non_digits import NON_DIGITS


def components_and_holes(ink: np.ndarray) -> tuple[int, int]:
    mask = np.pad(ink > 0.5, 1).astype(np.uint8)
    return cv2.connectedComponents(mask)[0] - 1, cv2.connectedComponents(1 - mask, connectivity=4)[0] - 2


def part(split: Split, count: int) -> Split:
    return Split(split.images[:count], split.labels[:count])


def figure_eight() -> np.ndarray:
    """Two rings that touch, drawn with a pen 8 pixels wide."""
    ink = np.zeros((84, 84), np.float32)
    for y in (26, 54):
        cv2.circle(ink, (42, y), 14, 1.0, 8)
    return ink


@pytest.mark.parametrize("width", [4, 6, 8, 10])
def test_a_pen_of_another_width_keeps_every_stroke(width: float):
    drawn = with_stroke_width(figure_eight(), width)
    assert components_and_holes(drawn) == (1, 2)
    # Along a ring's middle, far from where the two touch, the stroke is as wide as asked for.
    assert drawn[26, 42:].sum() == pytest.approx(width, abs=1.5)


def test_pictures_are_added_to_both_splits_and_depend_on_the_seed_alone(small: Dataset):
    few = replace(small, train=part(small.train, 120), validation=part(small.validation, 60))
    first, again, other = (synthesise(few, 2, seed) for seed in (1, 1, 2))
    for name in ("train", "validation"):
        before, split = getattr(few, name), getattr(first, name)
        count = len(before)
        others = 2 * count
        assert len(split) == count + 2 * count + others
        np.testing.assert_array_equal(split.images[:count], before.images)
        np.testing.assert_array_equal(np.bincount(split.labels)[:10], 3 * np.bincount(before.labels, minlength=10))
        assert (split.labels == NON_DIGIT_LABEL).sum() == others
        np.testing.assert_array_equal(split.images, getattr(again, name).images)
        assert not np.array_equal(split.images, getattr(other, name).images)
    assert first.test is small.test


def test_a_chunk_is_drawn_alike_in_any_process(monkeypatch: pytest.MonkeyPatch, small: Dataset):
    few = replace(small, train=part(small.train, 60), validation=part(small.validation, 30))
    monkeypatch.setattr(digits, "DIGITS_PER_CHUNK", 30)
    in_two, here = synthesise(few, 1, 0), synthesise(replace(few, train=part(few.train, 30)), 1, 0)
    # The second half of the images is drawn by another process.
    np.testing.assert_array_equal(in_two.train.images[60:120], here.train.images[30:])
    np.testing.assert_array_equal(in_two.validation.images, here.validation.images)


def test_digits_in_other_writing_styles_are_still_those_digits(mnist: Dataset):
    images, labels = mnist.train.images[:20_400], mnist.train.labels[:20_400]
    nearest = KNeighborsClassifier(3).fit(images[:20_000].reshape(20_000, -1), labels[:20_000])
    drawn = draw_digits(Split(images[20_000:], labels[20_000:]), seed=0)
    assert nearest.score(drawn.reshape(400, -1), labels[20_000:]) > 0.7
    assert not np.array_equal(drawn, images[20_000:])


def test_every_kind_of_non_digit_is_drawn_and_varies(mnist: Dataset):
    drawn = draw_non_digits(Split(mnist.train.images[:200], mnist.train.labels[:200]), 20, seed=0)
    assert set(drawn) == set(NON_DIGITS)
    for kind, images in drawn.items():
        assert (images.shape, images.dtype) == ((20, 28, 28), np.uint8)
        # Of a photographed texture nothing may be left.
        assert (images.max((1, 2)) > 128).mean() > 0.6, f"{kind}: blank"
        assert len(np.unique(images, axis=0)) > 12, f"{kind}: always the same"


def test_letters_of_a_hand_fit_the_canvas_and_are_no_upright_line(mnist: Dataset):
    random = np.random.default_rng(4)
    for kind in ("handwritten letter", "invented letter"):
        for _ in range(80):
            ink = NON_DIGITS[kind](mnist.train, random)
            assert not np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]]).any()
            rows, columns = np.nonzero(ink > 0.5)
            assert np.ptp(columns) > 0.3 * np.ptp(rows)


def test_scenes_have_tones_and_are_learned_from_as_photographs(mnist: Dataset):
    random = np.random.default_rng(5)
    scenes = [NON_DIGITS["scene"](mnist.train, random) for _ in range(20)]
    assert np.mean([((scene > 0.2) & (scene < 0.8)).mean() > 0.2 for scene in scenes]) > 0.8
    few = Split(mnist.train.images[:200], mnist.train.labels[:200])
    seen = draw_non_digits(few, 20, seed=0)["scene"]
    # Its ink is found, so much of it is paper.
    assert np.mean([(image == 0).mean() > 0.3 for image in seen]) > 0.5
