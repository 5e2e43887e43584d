"""From images to a trained network. Importing the package imports neither Keras nor its backend; training does."""

from mnist_digits.training.plan import create_run, load_data_of, open_unfinished, read_plan
from mnist_digits.training.recipes import RECIPES, Recipe, find_recipe, read_recipe
from mnist_digits.training.train import keep, new_series, resume, train, train_seeds

__all__ = [
    "RECIPES",
    "Recipe",
    "create_run",
    "find_recipe",
    "keep",
    "load_data_of",
    "new_series",
    "open_unfinished",
    "read_plan",
    "read_recipe",
    "resume",
    "train",
    "train_seeds",
]
