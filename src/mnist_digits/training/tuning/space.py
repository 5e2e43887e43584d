"""What tuning may change in a recipe, and how far."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from mnist_digits.errors import UsageError
from mnist_digits.training.recipes import Recipe, by_current_names

RANGES: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(3e-4, 3e-2, log=True),
    "batch_size": CategoricalDistribution((32, 64, 128, 256)),
    "schedule": CategoricalDistribution(("constant", "linear", "cosine")),
    "hidden_units": CategoricalDistribution((64, 128, 256, 512)),
    "dropout": FloatDistribution(0.0, 0.5),
    "batch_norm": CategoricalDistribution((False, True)),
    "weight_decay": FloatDistribution(0.0, 0.1),
    "ema_decay": CategoricalDistribution((0.0, 0.99, 0.995, 0.998, 0.999)),
    "rotation": FloatDistribution(0.0, 15.0),
    "scaling": FloatDistribution(0.0, 0.15),
    "shear": FloatDistribution(0.0, 0.15),
    "translation": FloatDistribution(0.0, 3.0),
    "elastic": FloatDistribution(0.0, 1.5),
}
"""Field of a recipe → the values it may take. What is not here, such as the number of epochs, stays as it is."""

NETWORKS = {
    "hidden_units": ("dense", "fast"),
    "dropout": ("dense", "cnn", "best", "reader"),
    "batch_norm": ("dense",),
}
"""Fields that only some networks have → those networks."""


def search_space(recipe: Recipe, fixed: frozenset[str] = frozenset()) -> dict[str, BaseDistribution]:
    """The fields to search and the values they may take: those that the recipe's network has.

    fixed: fields that stay as they are. Raises UsageError for several networks as one, and when nothing is left.
    """
    if recipe.members > 1:
        raise UsageError(f"{recipe.name}: {recipe.members} networks as one; tune one of them, such as {recipe.network}")
    space = {
        name: values
        for name, values in RANGES.items()
        if name not in fixed and recipe.network in NETWORKS.get(name, (recipe.network,))
    }
    if not space:
        raise UsageError(f"every field that could be tuned is fixed by --set; leave out one of {', '.join(RANGES)}")
    return space


def default_values(recipe: Recipe, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """The recipe's own values of the fields to search."""
    return {name: getattr(recipe, name) for name in space}


def apply_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with the values that a trial was given."""
    return replace(recipe, **by_current_names(values))
