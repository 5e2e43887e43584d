"""The compiled training loop. Importing the package imports Keras."""

from mnist_digits.training.engine.loop import compile_prediction, compile_rejection, fit, sample_order

__all__ = ["compile_prediction", "compile_rejection", "fit", "sample_order"]
