"""Every number that decides a training result, by name."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_type_hints

from mnist_digits.errors import UsageError

CHOICES = {
    "schedule": ("constant", "linear", "cosine"),
    "precision": ("float32", "mixed_bfloat16"),
}
"""The fields whose value is one of a few words."""


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained. Raises UsageError for a value outside its range."""

    name: str
    """What the recipe is called on the command line and in a run's folder."""
    network: str = "dense"
    """Which builder in `networks.NETWORKS`."""
    hidden_units: int = 128
    """Width of the dense hidden layer, at least 1; `cnn`, `tiny` and `best` have none."""
    dropout: float = 0.0
    """Share of hidden activations dropped while training, in [0, 1); 0: no such layer (Srivastava et al. 2014)."""
    batch_norm: bool = False
    """Normalise each hidden activation of `dense` over the batch (Ioffe and Szegedy 2015); convolutions always do."""
    members: int = 1
    """How many such networks are trained, each from a seed of its own, and their probabilities averaged; at least 1."""

    epochs: int = 10
    """Passes over the training images, at least 1."""
    batch_size: int = 32
    """Images per optimiser step, at least 1."""
    learning_rate: float = 1e-3
    """Adam's largest step size, above 0 (Kingma and Ba 2014)."""
    schedule: str = "constant"
    """How the learning rate goes on after its warm-up: constant, linear or cosine, the latter two down to 0."""
    warm_up: float = 0.0
    """Share of all steps in which the learning rate rises from 0, in [0, 1); not with a constant one."""
    beta_1: float = 0.9
    """Adam's beta_1, in [0, 1)."""
    beta_2: float = 0.999
    """Adam's beta_2, in [0, 1)."""
    weight_decay: float = 0.0
    """Share of each kernel's weights taken off per step, times the learning rate (Loshchilov and Hutter 2019)."""
    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes, in [0, 1) (Szegedy et al. 2016)."""
    ema_decay: float = 0.0
    """Momentum of an exponential average of the weights, which then is the result, in [0, 1); 0: none."""

    synthetic_copies: int = 0
    """How often each image is also drawn as pictures from outside are, with what is no digit beside it; 0: never."""
    rotation: float = 0.0
    """Random distortion of every image in every epoch: degrees, either way."""
    scaling: float = 0.0
    """The same: natural logarithm of the size, either way."""
    shear: float = 0.0
    """The same: slant, in pixels sideways per pixel upwards, either way."""
    translation: float = 0.0
    """The same: pixels, either way, as far as the digit stays in its frame."""
    elastic: float = 0.0
    """The same: pixels, standard deviation of control points on a 5×5 grid."""
    final_distortion: float = 1.0
    """Strength of the distortion in the last epoch; it falls from 1, evenly, in the second half. In [0, 1]."""

    precision: str = "float32"
    """float32, or mixed_bfloat16 where the processor has it: matrices in bfloat16, all else in float32."""
    jit_compile: bool = True
    """Compile with XLA, which suits dense layers; plain graphs suit convolutions on a CPU."""

    def __post_init__(self) -> None:
        for name in ("hidden_units", "members", "epochs", "batch_size"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("synthetic_copies", self.synthetic_copies >= 0, "at least 0")
        for name in ("dropout", "warm_up", "beta_1", "beta_2", "label_smoothing", "ema_decay"):
            self._require(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        for name in ("weight_decay", "rotation", "scaling", "shear", "translation", "elastic"):
            self._require(name, 0 <= getattr(self, name) < float("inf"), "at least 0")
        self._require("final_distortion", 0 <= self.final_distortion <= 1, "0 to 1")
        self._require("learning_rate", 0 < self.learning_rate < float("inf"), "above 0")
        for name, choices in CHOICES.items():
            self._require(name, getattr(self, name) in choices, f"one of {', '.join(choices)}")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise UsageError(f"{name}={getattr(self, name)}: expected {expected}; change its --set")

    def with_settings(self, settings: dict[str, str]) -> "Recipe":
        """This recipe with fields set from text, as `--set epochs=20` gives it.

        Raises UsageError for a field that does not exist, or text that is not of its type.
        """
        changes: dict[str, Any] = {name: parse_setting(name, text) for name, text in settings.items()}
        return replace(self, **changes)

    def distortion_strength(self, epoch: int) -> float:
        """Strength of the distortion in an epoch, counted from 0: 1 for the first half, then falling."""
        half = (self.epochs - 1) / 2
        fallen = max(0.0, (epoch - half) / half) if half else 0.0
        return 1 - fallen * (1 - self.final_distortion)

    @property
    def member(self) -> "Recipe":
        """How each network of several is trained."""
        return replace(self, name=self.network, members=1)

    def changes(self) -> dict[str, Any] | None:
        """The settings that make it out of the recipe of its name; None when no settings do."""
        if self.name not in RECIPES:
            return None
        named = RECIPES[self.name].to_json()
        changed = {name: value for name, value in self.to_json().items() if value != named[name]}
        return changed if set(changed) <= set(SETTABLE) else None

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
        raise UsageError(f"{name}: no such recipe; expected one of {', '.join(RECIPES)} (`digits info` describes them)")
    return RECIPES[name]
