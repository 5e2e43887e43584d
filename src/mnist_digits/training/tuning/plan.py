"""What a study is about: the recipe it begins with, the fields it searches, and the values they may take."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from mnist_digits.errors import DataError, UsageError
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
"""Field of a recipe → the values it may take. Other fields, such as the number of epochs, are not searched."""

NETWORKS = {
    "hidden_units": ("dense", "fast"),
    "dropout": ("dense", "cnn", "best", "reader"),
    "batch_norm": ("dense",),
}
"""Fields that only some networks have → those networks."""


def search_space(recipe: Recipe, fixed: frozenset[str] = frozenset()) -> dict[str, BaseDistribution]:
    """The fields of the recipe's network that are searched, and the values they may take.

    fixed: fields that are not searched. Raises UsageError for an ensemble, and when no field is left.
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


@dataclass(frozen=True)
class StudyPlan:
    """What a study is about. Trials of different plans cannot be compared."""

    recipe: Recipe
    """The recipe to begin with; its own values are the first trial."""
    fixed: tuple[str, ...]
    """Names of the fields that are not searched."""
    seed: int
    """Seed of every trial's training; with the trial's number, of its values."""
    fingerprint: str
    """That of the images and labels, as in `Dataset`."""

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """The fields that are searched, and the values they may take."""
        return search_space(self.recipe, frozenset(self.fixed))

    @property
    def default_values(self) -> dict[str, Any]:
        """The recipe's own values of the fields that are searched."""
        return {name: getattr(self.recipe, name) for name in self.space}

    def with_values(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with a trial's values."""
        return replace(self.recipe, **values)

    def to_json(self) -> dict[str, Any]:
        """Field name → value."""
        return {**asdict(self), "fixed": list(self.fixed)}

    @classmethod
    def of_json(cls, content: dict[str, Any]) -> Self:
        """The plan from its `to_json`, also from an earlier version's. Raises DataError when it is no such plan."""
        try:
            fixed = tuple(by_current_names(dict.fromkeys(content["fixed"])))
            return cls(Recipe.from_json(content["recipe"]), fixed, content["seed"], content["fingerprint"])
        except (KeyError, TypeError, UsageError) as error:
            raise DataError(f"not a study of this version ({error}); begin another with --name") from error

    def check_same(self, study: str, asked: "StudyPlan") -> None:
        """Raise UsageError, naming what differs, unless `asked` is this plan. study: its name, for the message."""
        plans = [{**plan.recipe.to_json(), **plan.to_json()} for plan in (self, asked)]
        differing = [name for name in plans[0] if name != "recipe" and plans[0][name] != plans[1][name]]
        if "name" in differing:
            differing = ["name"]
        if differing == ["fingerprint"]:
            raise UsageError(
                f"{study}: a study on other images; choose another --name, or the --data it was begun with"
            )
        if differing:
            was, now = (", ".join(f"{name}={plan[name]}" for name in differing) for plan in plans)
            raise UsageError(f"{study}: a study begun with {was}, asked to go on with {now}; choose another --name")
