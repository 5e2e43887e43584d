"""Every number that decides a training result, by name: the recipes, and reading and writing one as a file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from mnist_digits.errors import DataError, UsageError, did_you_mean
from mnist_digits.files import read_json, write_json

DIGIT_CLASSES = 10
"""Classes of every network; one that can reject has one more, the last, for images of no digit."""

RENAMED = {
    "pictures": "synthetic_copies",
    "averaging": "ema_decay",
    "momentum": "beta_1",
    "second_momentum": "beta_2",
}
"""Earlier name of a field → its name now. Files, studies and `--set` may use either."""

Count = Annotated[int, Field(ge=1, description="a whole number, at least 1")]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, description="a number, at least 0 and below 1")]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False, description="a number, at least 0")]
Flag = Annotated[bool, Field(description="true or false")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Recipe:
    """A network and how it is trained. Raises UsageError, one line, for a value of another type or outside its range.

    Text is converted to the type of its field: `Recipe("dense", epochs="3").epochs` is 3.
    """

    name: Annotated[str, Field(description="text")]
    """Name on the command line and in the names of run folders."""
    network: Literal["dense", "fast", "cnn", "tiny", "best", "reader"] = "dense"
    """Architecture: a key of `networks.NETWORKS`."""
    hidden_units: Count = 128
    """Width of the dense hidden layer of `dense` and `fast`; the other networks have none."""
    dropout: Fraction = 0.0
    """Probability of dropping each hidden activation in training (Srivastava et al. 2014); 0: no such layer."""
    batch_norm: Flag = False
    """Batch normalisation of `dense`'s hidden activations (Ioffe and Szegedy 2015); convolutions always have it."""
    members: Count = 1
    """Size of the ensemble: networks trained from different seeds, whose probabilities are averaged."""

    epochs: Count = 10
    """Passes over the training images."""
    batch_size: Count = 32
    """Images per optimiser step."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False, description="a number above 0")] = 1e-3
    """Adam's peak learning rate (Kingma and Ba 2014)."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate after the warm-up; linear and cosine decay to 0 at the last step."""
    warm_up: Fraction = 0.0
    """Fraction of all steps in which the learning rate rises linearly from 0; ignored by the constant schedule."""
    beta_1: Fraction = 0.9
    """Adam's decay rate of the first moment."""
    beta_2: Fraction = 0.999
    """Adam's decay rate of the second moment."""
    weight_decay: Amount = 0.0
    """Decoupled weight decay of the kernels, multiplied by the learning rate (Loshchilov and Hutter 2019)."""
    label_smoothing: Fraction = 0.0
    """Probability mass of each label that is spread evenly over all classes (Szegedy et al. 2016)."""
    ema_decay: Fraction = 0.0
    """Decay of an exponential moving average of the weights, which is the trained model then; 0: no average."""

    synthetic_copies: Annotated[int, Field(ge=0, description="a whole number, at least 0")] = 0
    """Synthetic pictures of each training image, beside pictures of no digit for an eleventh class; 0: neither."""
    rotation: Amount = 0.0
    """Random distortion of every image in every epoch: largest rotation either way, in degrees."""
    scaling: Amount = 0.0
    """Largest natural logarithm of the random scale factor, either way."""
    shear: Amount = 0.0
    """Largest random slant either way, in pixels sideways per pixel upwards."""
    translation: Amount = 0.0
    """Largest random shift along each axis, in pixels; a digit never leaves its frame."""
    elastic: Amount = 0.0
    """Random elastic distortion: standard deviation of the control points of a 5×5 grid, in pixels."""
    final_distortion: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description="a number, 0 to 1")] = 1.0
    """Strength of the distortion in the last epoch; it falls linearly from 1 in the second half of the training."""
    corruption: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description="a number, 0 to 1")] = 0.0
    """Share of the images that are corrupted in each epoch: noise, blur, grey paper, lines across, outlines, …"""

    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """mixed_bfloat16: matrix products in bfloat16 where the processor supports it, everything else in float32."""
    jit_compile: Flag = True
    """Compile with XLA, which is faster for dense layers; plain graphs are faster for convolutions on a CPU."""

    @model_validator(mode="wrap")
    @classmethod
    def _report_in_one_line(cls, values: Any, validate: Any) -> Self:
        try:
            return validate(values)
        except ValidationError as error:
            raise UsageError(_one_line(error)) from None

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """A recipe from its JSON object, as `to_json` makes it; earlier names of fields are accepted.

        Fields that are missing have their defaults, but for `name` and `network`. Raises UsageError for anything
        that is no recipe of this version; unlike the constructor, it converts no text to numbers.
        """
        if not isinstance(values, dict) or not {"name", "network"} <= values.keys():
            raise UsageError("holds no recipe: expected an object with name, network and other fields of one")
        return TypeAdapter(cls).validate_json(json.dumps(by_current_names(values)), strict=True)

    def to_json(self) -> dict[str, Any]:
        """Field name → value."""
        return asdict(self)

    def with_settings(self, settings: dict[str, str]) -> Self:
        """This recipe with fields set from text, as `--set epochs=20` gives it; earlier names are accepted.

        Raises UsageError for a field that does not exist or may not be set, and for a value that does not fit.
        """
        changes = by_current_names(settings)
        unknown = [name for name in changes if name not in SETTABLE]
        if unknown:
            raise UsageError(f"--set {_no_such_field(unknown[0])}")
        try:
            return replace(self, **changes)
        except UsageError as error:
            raise UsageError(f"--set {error}") from None

    def changes(self) -> dict[str, Any] | None:
        """The settings by which it differs from the recipe of its name; None when settings alone do not make it."""
        if self.name not in RECIPES:
            return None
        named = RECIPES[self.name].to_json()
        changed = {name: value for name, value in self.to_json().items() if value != named[name]}
        return changed if set(changed) <= set(SETTABLE) else None

    @property
    def can_reject(self) -> bool:
        """Whether the network has an eleventh class, for images of no digit: whether it is trained on any."""
        return self.synthetic_copies > 0

    @property
    def classes(self) -> int:
        """Number of the network's outputs: 10, or 11 for one that can reject."""
        return DIGIT_CLASSES + self.can_reject

    @property
    def member(self) -> Self:
        """The recipe of each network of an ensemble."""
        return replace(self, name=self.network, members=1)

    def distortion_strength(self, epoch: int) -> float:
        """Strength of the distortion in an epoch, counted from 0: 1 in the first half, then falling linearly."""
        half = (self.epochs - 1) / 2
        fallen = max(0.0, (epoch - half) / half) if half else 0.0
        return 1 - fallen * (1 - self.final_distortion)


SETTABLE = tuple(field.name for field in fields(Recipe) if field.name not in ("name", "network"))
"""Names of the fields that `--set` may change."""


def by_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of fields, where earlier names are replaced by those that the fields have now."""
    return {RENAMED.get(name, name): value for name, value in values.items()}


def _no_such_field(name: str) -> str:
    return f"{name}: no such field of a recipe{did_you_mean(name, SETTABLE)}; expected one of {', '.join(SETTABLE)}"


def _one_line(error: ValidationError) -> str:
    """The first mistake that pydantic found, as `epochs=0: expected a whole number, at least 1`."""
    found = error.errors()[0]
    name, value = str(found["loc"][0]), found["input"]
    field = Recipe.__pydantic_fields__.get(name)  # type: ignore[attr-defined]
    if field is None:
        return _no_such_field(name)
    expected = field.description or f"one of {', '.join(get_args(field.annotation))}"
    # In a file, text instead of a number would look like a number without its quotes.
    return f"{name}={repr(value) if found['type'].endswith('_type') else value}: expected {expected}"


DENSE = Recipe(name="dense")
DENSE_PLUS = replace(
    DENSE,
    name="dense-plus",
    epochs=140,
    batch_size=128,
    learning_rate=2.5e-3,
    schedule="cosine",
    warm_up=0.1,
    ema_decay=0.999,
    rotation=8.0,
    scaling=0.08,
    shear=0.08,
    translation=1.5,
    elastic=1.0,
    final_distortion=0.7,
)
CNN = Recipe(
    name="cnn",
    network="cnn",
    epochs=14,
    batch_size=128,
    learning_rate=4e-3,
    schedule="cosine",
    warm_up=0.1,
    weight_decay=0.05,
    ema_decay=0.995,
    rotation=10.0,
    scaling=0.1,
    shear=0.1,
    translation=2.0,
    elastic=0.5,
    precision="mixed_bfloat16",
    jit_compile=False,
)
TINY = replace(
    CNN,
    name="tiny",
    network="tiny",
    epochs=60,
    learning_rate=0.015,
    weight_decay=0.0,
    ema_decay=0.998,
    rotation=5.0,
    scaling=0.05,
    shear=0.05,
    translation=1.0,
    elastic=0.3,
    final_distortion=0.5,
)
BEST = replace(
    CNN,
    name="best",
    network="best",
    epochs=30,
    learning_rate=3e-3,
    ema_decay=0.998,
    rotation=12.0,
    scaling=0.12,
    shear=0.12,
    elastic=0.6,
)
READER = replace(
    CNN,
    name="reader",
    network="reader",
    epochs=14,
    batch_size=256,
    learning_rate=5e-3,
    ema_decay=0.998,
    synthetic_copies=2,
    rotation=12.0,
    scaling=0.15,
    shear=0.12,
    translation=3.0,
    final_distortion=0.3,
    corruption=0.35,
)
FAST = Recipe(
    name="fast",
    network="fast",
    epochs=2,
    batch_size=256,
    learning_rate=0.01,
    schedule="linear",
    warm_up=0.1,
    beta_1=0.8,
    beta_2=0.95,
    label_smoothing=0.1,
    precision="mixed_bfloat16",
    jit_compile=False,
)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        DENSE,
        replace(DENSE, name="dense-dropout", dropout=0.2),
        replace(DENSE, name="dense-batchnorm", batch_norm=True),
        DENSE_PLUS,
        FAST,
        CNN,
        TINY,
        BEST,
        replace(BEST, name="ensemble", members=3),
        READER,
    )
}
"""All recipes, by name."""


def find_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises UsageError when there is none."""
    if name not in RECIPES:
        names = ", ".join(RECIPES)
        raise UsageError(
            f"{name}: no such recipe{did_you_mean(name, RECIPES)}; expected one of {names} "
            "(`digits info` describes them)"
        )
    return RECIPES[name]


def write_recipe(path: Path, recipe: Recipe, **origin: Any) -> None:
    """Write a recipe as JSON for `digits train --recipe`, atomically. origin: where it comes from, as JSON values."""
    write_json(path, {"recipe": recipe.to_json(), "changes": recipe.changes(), **origin})


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file of `write_recipe`, or in the recipe.json of any run.

    Raises DataError when the file is missing or damaged, or has a field, name, network or value that this version
    does not know.
    """
    content = read_json(path)
    try:
        recipe = Recipe.from_json(content.get("recipe") if isinstance(content, dict) else None)
        find_recipe(recipe.name)
    except UsageError as error:
        raise DataError(f"{path}: {error}; name the best.json of `digits tune` or a run's recipe.json") from error
    return recipe
