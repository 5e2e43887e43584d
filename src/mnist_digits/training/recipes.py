"""Every number that decides a training result, by name."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_type_hints

from mnist_digits.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained. Raises UsageError for a value outside its range."""

    name: str
    """What the recipe is called on the command line and in a run's folder."""
    network: str = "dense"
    """Which builder in `networks.NETWORKS`."""
    hidden_units: int = 128
    """Width of the hidden layer, at least 1."""
    dropout: float = 0.0
    """Share of hidden activations dropped while training, in [0, 1); 0: no such layer (Srivastava et al. 2014)."""
    batch_norm: bool = False
    """Normalise each hidden activation over the batch (Ioffe and Szegedy 2015)."""
    epochs: int = 10
    """Passes over the training images, at least 1."""
    batch_size: int = 32
    """Images per optimiser step, at least 1."""
    learning_rate: float = 1e-3
    """Adam's step size, above 0 (Kingma and Ba 2014)."""

    def __post_init__(self) -> None:
        for name in ("hidden_units", "epochs", "batch_size"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        self._require("learning_rate", 0 < self.learning_rate < float("inf"), "above 0")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise UsageError(f"{name}={getattr(self, name)}: expected {expected}; change its --set")

    def with_settings(self, settings: dict[str, str]) -> "Recipe":
        """This recipe with fields set from text, as `--set epochs=20` gives it.

        Raises UsageError for a field that does not exist, or text that is not of its type.
        """
        changes: dict[str, Any] = {name: parse_setting(name, text) for name, text in settings.items()}
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Field name → value."""
        return asdict(self)


SETTABLE = tuple(field.name for field in fields(Recipe) if field.name not in ("name", "network"))
"""The fields that may be set one by one."""


def parse_setting(name: str, text: str) -> int | float | bool | str:
    """The value of a recipe's field, from text.

    Raises UsageError for a field that does not exist, or text that is not of its type.
    """
    if name not in SETTABLE:
        raise UsageError(f"{name}: no such field of a recipe; expected one of {', '.join(SETTABLE)}")
    kind = get_type_hints(Recipe)[name]
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        expected = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise UsageError(f"{name}={text}: expected {expected}") from None


DENSE = Recipe(name="dense")
RECIPES = {
    recipe.name: recipe
    for recipe in (
        DENSE,
        replace(DENSE, name="dense-dropout", dropout=0.2),
        replace(DENSE, name="dense-batchnorm", batch_norm=True),
    )
}
"""All recipes, by name."""


def find_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises UsageError when there is none."""
    if name not in RECIPES:
        raise UsageError(f"{name}: no such recipe; expected one of {', '.join(RECIPES)} (`digits info` describes them)")
    return RECIPES[name]
