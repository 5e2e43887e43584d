"""A fixture for trainings of networks so small that compiling them takes longest."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def eagerly() -> Iterator[None]:
    """TensorFlow runs operations one by one, for the rest of the module; but for those of its data pipelines."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
