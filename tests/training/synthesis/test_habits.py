"""Forms of digits that other hands write: loops that stay open, strokes that are added."""

import cv2
import numpy as np
import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.training.synthesis.drawing import CANVAS_PX, enlarge
from mnist_digits.training.synthesis.habits import VARIANTS

OPENING = {
    (label, form.__name__): form for label, forms in VARIANTS.items() for _, form in forms if "open_" in form.__name__
}
BY_STROKES = ("_open_four", "_open_nine")


def components_and_holes(ink: np.ndarray) -> tuple[int, int]:
    mask = np.pad(ink > 0.5, 1).astype(np.uint8)
    return cv2.connectedComponents(mask)[0] - 1, cv2.connectedComponents(1 - mask, connectivity=4)[0] - 2


def two_rings() -> np.ndarray:
    """Two rings that touch, the upper one as large as the lower, with a pen 6 pixels wide."""
    ink = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    for y in (26, 54):
        cv2.circle(ink, (42, y), 14, 1.0, 6)
    return ink


@pytest.mark.parametrize("form", [form for (_, name), form in OPENING.items() if name not in BY_STROKES])
def test_the_upper_loop_is_opened_and_nothing_falls_apart(form):
    for seed in range(20):
        ink = form(two_rings(), np.random.default_rng(seed))
        lost = np.argwhere(two_rings() - ink > 0.5)
        assert components_and_holes(ink) == (1, 1)
        # A gap in one ring's line, no wider than the digit can bear.
        assert lost[:, 0].max() < 48
        assert (np.abs(np.hypot(lost[:, 1] - 42, lost[:, 0] - 26) - 14) < 6).all()
        assert np.ptp(lost, axis=0).max() < 22


@pytest.mark.parametrize("form", [form for (_, name), form in OPENING.items() if name not in BY_STROKES])
def test_without_a_loop_nothing_is_opened(form):
    ink = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    ink[20:60, 30:50] = 1
    np.testing.assert_array_equal(form(ink, np.random.default_rng(0)), ink)


def test_every_form_is_drawn_from_every_image_of_its_digit(mnist: Dataset):
    random = np.random.default_rng(2)
    for label, forms in VARIANTS.items():
        # Few hands close the four.
        images = mnist.validation.images[mnist.validation.labels == label][: 150 if label == 4 else 25]
        for share, form in forms:
            assert 0 < share < 1
            inks = [form(enlarge(image), random) for image in images]
            for ink in inks:
                assert (ink.shape, ink.dtype) == ((CANVAS_PX, CANVAS_PX), np.float32)
                assert 0 <= ink.min() <= ink.max() <= 1
                assert (ink > 0.5).sum() > 100
            changed = [not np.array_equal(ink, enlarge(image)) for ink, image in zip(inks, images, strict=True)]
            assert np.mean(changed) > (0.01 if label == 4 else 0.6), form.__name__


def test_strokes_are_as_broad_as_the_digits_own(mnist: Dataset):
    random = np.random.default_rng(3)
    forms = [form for _, form in VARIANTS[7]]
    for image in mnist.validation.images[mnist.validation.labels == 7][:10]:
        before = enlarge(image)
        widest = cv2.distanceTransform((before > 0.5).astype(np.uint8), cv2.DIST_L2, 5).max()
        for form in forms:
            added = (form(before, random) > 0.5) & (before <= 0.5)
            assert cv2.distanceTransform(added.astype(np.uint8), cv2.DIST_L2, 5).max() <= widest + 1
