import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_digits.dataset import Dataset
from mnist_digits.training import find_recipe, train
from mnist_digits.training.engine import corruption
from mnist_digits.training.engine.corruption import AMOUNTS, DRAWS, KINDS, Corruption, Numbers


def draw(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, DRAWS)).astype(np.float32)


def corrupt(images: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    return np.asarray(Corruption(share)(images.astype(np.float32), draw(len(images), seed)))


def numbers(count: int, amount: float = 0.0, noise: float = 0.0) -> Numbers:
    """All amounts the same, and fields of one value."""
    field = np.full((count, 28, 28), noise, np.float32)
    return Numbers(np.full((count, AMOUNTS), amount, np.float32), field, field, np.zeros_like(field))


@settings(max_examples=8, deadline=None)
@given(count=st.sampled_from([1, 7, 60]), share=st.floats(0, 1), seed=st.integers(0, 9))
def test_the_first_images_of_a_batch_are_corrupted_and_no_others(count: int, share: float, seed: int):
    images = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)
    corrupted = corrupt(images, share, seed)
    assert corrupted.shape == images.shape
    assert corrupted.min() >= 0
    assert corrupted.max() <= 255
    kept = int(np.ceil(share * count))
    np.testing.assert_array_equal(corrupted[kept:], images[kept:])


def test_the_same_numbers_corrupt_alike_and_every_image_is_changed(small: Dataset):
    images = small.train.images[:100]
    corrupted = corrupt(images, 1.0)
    np.testing.assert_array_equal(corrupted, corrupt(images, 1.0))
    changed = np.abs(corrupted - images).max(axis=(1, 2)) > 1
    # A patch, a line or a stripe may lie beside the ink of one or two of them.
    assert changed.mean() > 0.95
    assert (corrupt(images, 1.0, seed=1) != corrupted).any()


def test_corrupted_digits_are_still_told_apart(small: Dataset):
    """By the nearest mean of the clean digits, an oracle that knows nothing of corruption: far above chance."""
    images, labels = small.train.images, small.train.labels
    means = np.stack([images[labels == digit].mean(axis=0) for digit in range(10)]).reshape(10, -1)
    corrupted = corrupt(images, 1.0).reshape(len(images), -1)
    found = [np.argmax([np.corrcoef(one, mean)[0, 1] for mean in means]) for one in corrupted]
    assert 0.5 < np.mean(np.array(found) == labels) < 0.75


@pytest.mark.parametrize("kind", sorted(KINDS, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_no_kind_depends_on_the_other_images_of_the_batch(kind, small: Dataset):
    images = small.train.images[:6].astype(np.float32)
    drawn = draw(6, seed=2)

    def apply(chosen: slice) -> np.ndarray:
        fields = np.random.default_rng(1).uniform(-1, 1, (3, 6, 28, 28)).astype(np.float32)[:, chosen]
        return np.asarray(kind(images[chosen], Numbers(drawn[chosen, :AMOUNTS], *fields)))

    np.testing.assert_allclose(apply(slice(6))[4:], apply(slice(4, 6)), atol=1e-3)


def test_a_negative_of_a_negative_is_the_image(small: Dataset):
    images = small.train.images[:5].astype(np.float32)
    twice = corruption.negative(corruption.negative(images, numbers(5)), numbers(5))
    np.testing.assert_array_equal(twice, images)


def test_impulses_are_black_and_white_and_as_many_as_asked():
    images = np.full((40, 28, 28), 100, np.float32)
    noise, other = np.random.default_rng(0).uniform(-1, 1, (2, 40, 28, 28)).astype(np.float32)
    amounts = np.full((40, AMOUNTS), 1.0, np.float32)
    lost = np.asarray(corruption.impulses(images, Numbers(amounts, noise, other, noise)))
    assert set(np.unique(lost)) == {0, 100, 255}
    assert np.mean(lost != 100) == pytest.approx(0.35, abs=0.02)


def test_outlines_of_a_square_are_its_border():
    square = np.zeros((1, 28, 28), np.float32)
    square[0, 8:20, 8:20] = 255
    edges = np.asarray(corruption.outlines(square, numbers(1, amount=-0.99)))[0]
    assert edges[8, 14] > 200
    assert edges[14, 8] > 200
    assert edges[12:16, 12:16].max() == 0
    assert edges[:6].max() == 0


def test_coarse_images_have_so_few_pixels_and_even_ones_stay_even():
    amounts = np.random.default_rng(1).uniform(-1, 1, (40, AMOUNTS)).astype(np.float32)
    noise = np.random.default_rng(0).uniform(0, 255, (40, 28, 28)).astype(np.float32)
    some = Numbers(amounts, noise, noise, noise)
    np.testing.assert_allclose(corruption.coarse(np.full((40, 28, 28), 90, np.float32), some), 90, atol=1e-2)
    # A row made of k pixels is a sum of k patterns.
    ranks = np.linalg.matrix_rank(np.asarray(corruption.coarse(noise, some)), tol=1)
    assert ranks.min() >= 8
    assert ranks.max() <= 15
    assert len(set(ranks.tolist())) > 4


def test_blur_keeps_the_light_of_an_image(small: Dataset):
    images = small.train.images[:5].astype(np.float32)
    blurred = np.asarray(corruption.blur(images, numbers(5, amount=1.0)))
    np.testing.assert_allclose(blurred.sum((1, 2)), images.sum((1, 2)), rtol=0.02)
    assert (blurred.max((1, 2)) < images.max((1, 2))).all()


@pytest.mark.usefixtures("no_report")
def test_a_recipe_with_corruption_learns_and_says_so(small: Dataset, tmp_path):
    import onnx

    recipe = find_recipe("dense").with_settings({"corruption": "0.5", "epochs": "2", "jit_compile": "false"})
    run = train(recipe, small, tmp_path / "run")
    described = {entry.key: entry.value for entry in onnx.load(run.onnx).metadata_props}
    assert described["corruption"] == "0.5"
