import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from mnist_digits.dataset import Dataset
from mnist_digits.training import find_recipe
from mnist_digits.training.engine.augmentation import DRAWS, Distortion

EVERYTHING = Distortion(rotation=15, scaling=0.15, shear=0.15, translation=3, elastic=1)


def draws(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, DRAWS)).astype(np.float32)


def only(index: int, value: float, count: int) -> np.ndarray:
    """Draws in which one number is not zero."""
    drawn = np.zeros((count, DRAWS), np.float32)
    drawn[:, index] = value
    return drawn


def test_nothing_drawn_changes_nothing(small: Dataset):
    images = small.train.images[:50]
    np.testing.assert_allclose(EVERYTHING(images, np.zeros((50, DRAWS), np.float32)), images, atol=1e-2)


def test_variants_begin_with_the_image_and_all_differ(small: Dataset):
    image = small.train.images[0]
    variants = EVERYTHING.variants(image, 40)
    assert variants.dtype == np.uint8
    np.testing.assert_array_equal(variants[0], image)
    assert len(np.unique(variants, axis=0)) == 40
    np.testing.assert_array_equal(EVERYTHING.variants(image, 40), variants)


def test_no_distortion_is_false():
    assert not Distortion()
    assert Distortion(elastic=0.1)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Distortion)])
def test_a_recipe_asks_for_each_amount_by_its_name(field: str):
    assert Distortion.of(find_recipe("dense").with_settings({field: "0.3"})) == Distortion(**{field: 0.3})


@pytest.mark.parametrize("degrees", [-20, 7, 20])
def test_rotation_is_that_of_scipy(small: Dataset, degrees: float):
    images = small.train.images[:20]
    # Wide enough a margin that nothing is clipped.
    images = images * (np.abs(np.mgrid[-13.5:14, -13.5:14]).max(0) < 7).astype(np.uint8)
    found = Distortion(rotation=abs(degrees))(images, only(0, np.sign(degrees), 20)).numpy()
    for image, turned in zip(images, found, strict=True):
        expected = scipy.ndimage.rotate(image.astype(float), degrees, reshape=False, order=1)
        np.testing.assert_allclose(turned, expected, atol=2)


@pytest.mark.parametrize(("index", "axis"), [(3, 2), (4, 1)])
def test_translation_moves_by_whole_pixels_where_there_is_room(index: int, axis: int):
    images = np.zeros((1, 28, 28), np.uint8)
    images[:, 10:16, 11:15] = 200
    moved = Distortion(translation=3)(images, only(index, 1, 1)).numpy()
    np.testing.assert_allclose(moved, np.roll(images, -3, axis=axis), atol=0.5)


@pytest.mark.parametrize("shift", [0.3, 3, 20])
def test_translation_never_loses_ink(shift: float):
    images = np.zeros((100, 28, 28), np.uint8)
    for image, (top, left) in zip(images, np.random.default_rng(0).integers(0, 21, (100, 2)), strict=True):
        image[top : top + 8, left : left + 8] = 255
    moved = Distortion(translation=shift)(images, draws(100)).numpy()
    ratio = moved.sum((1, 2)) / images.sum((1, 2))
    assert ratio.min() > 0.999
    # Pixels that are sampled beyond the border see a thousandth of it.
    assert ratio.max() < 1.003
    assert (moved != images).any((1, 2)).mean() > 0.9


def test_distorted_digits_keep_their_ink_and_their_range(mnist: Dataset):
    images = mnist.train.images[:2000]
    distorted = EVERYTHING(images, draws(2000)).numpy()
    assert distorted.min() >= 0
    assert distorted.max() <= 255
    # Size and slant change the amount of ink by about exp(2 × scaling); much less would be ink out of the frame.
    ratio = distorted.sum((1, 2)) / images.sum((1, 2))
    assert ratio.min() > 0.55
    assert ratio.max() < 1.8
    assert ratio.mean() == pytest.approx(1, abs=0.05)


def test_every_draw_counts(small: Dataset):
    # Noise shows what each control point does, but has no margin to be shifted in.
    noise = np.random.default_rng(0).integers(1, 256, (28, 28), np.uint8)
    images = np.stack([small.train.images[0]] * 5 + [noise] * (DRAWS - 5))
    one_each = np.eye(DRAWS, dtype=np.float32)
    plain, distorted = (EVERYTHING(images, drawn).numpy() for drawn in (0 * one_each, one_each))
    assert (np.abs(distorted - plain).max((1, 2)) > 10).all()


def test_compiled_and_plain_graphs_agree(small: Dataset):
    images, drawn = tf.constant(small.train.images[:64]), tf.constant(draws(64))
    compiled = tf.function(EVERYTHING.__call__, jit_compile=True)(images, drawn)
    plain = tf.function(EVERYTHING.__call__)(images, drawn)
    np.testing.assert_allclose(compiled, plain, atol=0.05)


def test_an_empty_and_a_full_image():
    blank = np.zeros((2, 28, 28), np.uint8)
    assert not EVERYTHING(blank, draws(2)).numpy().any()
    assert np.isfinite(EVERYTHING(np.full((2, 28, 28), 255, np.uint8), draws(2)).numpy()).all()
