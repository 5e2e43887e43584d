"""What a study is about, and whether it may go on as it is asked to."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from optuna.distributions import BaseDistribution

from mnist_digits.errors import DataError, UsageError
from mnist_digits.training.recipes import Recipe, by_current_names
from mnist_digits.training.tuning.space import search_space


@dataclass(frozen=True)
class StudyPlan:
    """What a study is about: trials of another plan say nothing about it."""

    recipe: Recipe
    """Where the search begins; its own values are the first trial."""
    fixed: tuple[str, ...]
    """Fields that are not searched, by name."""
    seed: int
    """Of every trial's training, and with its number of its values."""
    fingerprint: str
    """The images' and labels' own, as in `Dataset`."""

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """The fields to search, and the values they may take."""
        return search_space(self.recipe, frozenset(self.fixed))

    def to_json(self) -> dict[str, Any]:
        """Field name → value."""
        return {**asdict(self), "fixed": list(self.fixed)}

    @classmethod
    def of_json(cls, content: dict[str, Any]) -> Self:
        """The plan that `to_json` described. Raises DataError when this version does not know it."""
        try:
            fixed = tuple(by_current_names(dict.fromkeys(content["fixed"])))
            return cls(Recipe.from_json(content["recipe"]), fixed, content["seed"], content["fingerprint"])
        except (KeyError, TypeError, UsageError) as error:
            raise DataError(f"not a study of this version ({error}); begin another with --name") from error


def check_same_plan(name: str, begun: StudyPlan, asked: StudyPlan) -> None:
    """Raise UsageError, naming what differs, when a study was begun with another plan."""
    plans = [{**plan.recipe.to_json(), **plan.to_json()} for plan in (begun, asked)]
    for plan in plans:
        del plan["recipe"]
    differing = [field for field in plans[0] if plans[0][field] != plans[1][field]]
    if "name" in differing:
        differing = ["name"]
    if differing == ["fingerprint"]:
        raise UsageError(f"{name}: a study on other images; choose another --name, or the --data it was begun with")
    if differing:
        was, now = (", ".join(f"{field}={plan[field]}" for field in differing) for plan in plans)
        raise UsageError(f"{name}: a study begun with {was}, asked to go on with {now}; choose another --name")
