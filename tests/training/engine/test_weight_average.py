import keras
import numpy as np
import pytest

from mnist_digits.dataset import Dataset
from mnist_digits.training import find_recipe
from mnist_digits.training.engine.loop import fit
from mnist_digits.training.engine.weight_average import WeightAverage
from mnist_digits.training.networks import build


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build(find_recipe("dense-batchnorm"))


def test_the_average_is_the_recurrence_in_numpy(model: keras.Model):
    average = WeightAverage(model, decay=0.5)
    expected = model.get_weights()
    random = np.random.default_rng(0)
    for step in range(1, 6):
        model.set_weights([random.normal(size=w.shape) for w in expected])
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = [decay * a + (1 - decay) * w for a, w in zip(expected, model.get_weights(), strict=True)]
    average.apply()
    for found, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_applied_for_a_while_leaves_the_weights(model: keras.Model):
    average = WeightAverage(model, decay=0.9)
    before = model.get_weights()
    model.set_weights([w + 1 for w in before])
    with pytest.raises(RuntimeError, match="inside"), average.applied():
        np.testing.assert_array_equal(model.get_weights()[0], before[0])
        raise RuntimeError("inside")
    np.testing.assert_array_equal(model.get_weights()[0], before[0] + 1)


def test_it_follows_the_compiled_training_and_is_what_validation_scores(model: keras.Model, small: Dataset):
    average = WeightAverage(model, decay=0.9)
    validation = (small.test.images, small.test.labels)
    history = fit(
        model, small.train.images, small.train.labels, epochs=4, validation=validation, average=average
    ).history
    own = model.get_weights()
    average.apply()
    assert not np.allclose(own[0], model.get_weights()[0])
    loss, accuracy = model.evaluate(small.test.images / 255, small.test.labels, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-4)
    assert history["val_accuracy"][-1] == pytest.approx(accuracy)
