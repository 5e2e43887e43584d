"""The engine's compiled programs on JAX: a whole epoch is one scan over its batches, for GPUs and TPUs.

JAX's programs change nothing: the values of all variables go in, and the new ones come out.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax import lax
from jax import numpy as jnp

from mnist_digits.training.engine.augmentation import DRAWN
from mnist_digits.training.engine.step import Step


def compile_function(function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
    """The function, of arrays of any length, as a program that sees the model's present variables."""
    compiled = jax.jit(_stateless(function, model.variables))
    return lambda *arguments: compiled(_values(model.variables), *arguments)[0]


def compile_epoch(
    step: Step, images: np.ndarray, labels: np.ndarray, batch_size: int, jit_compile: bool
) -> Callable[[np.ndarray, int, float], np.ndarray]:
    """A function of order, int32 (n,), random key and strength of distortion that trains for an epoch.

    jit_compile: JAX always does. It returns the epoch's summed loss and number of hits, (2,).
    """
    resident = jax.device_put((images, labels))
    full_batches, remainder = divmod(len(labels), batch_size)
    advance = _define_step(step)

    @jax.jit
    def train(
        values: list[jax.Array], data: tuple[jax.Array, jax.Array], order: jax.Array, key: int, strength: float
    ) -> tuple[list[jax.Array], jax.Array]:
        images, labels = data

        def take(values: list[jax.Array], batch: tuple[jax.Array, Any]) -> tuple[list[jax.Array], jax.Array]:
            chosen, index = batch
            random = jax.random.fold_in(jax.random.key(key), index)
            draws = strength * jax.random.uniform(random, (len(chosen), DRAWN), minval=-1.0)
            return advance(values, step.prepare(images[chosen], draws), labels[chosen])

        full, last = order[: len(order) - remainder], order[len(order) - remainder :]
        batches = (full.reshape(full_batches, batch_size), jnp.arange(full_batches))
        values, totals = lax.scan(take, values, batches)
        if not remainder:
            return values, totals.sum(0)
        values, last_totals = take(values, (last, full_batches))
        return values, totals.sum(0) + last_totals

    def epoch(order: np.ndarray, key: int, strength: float) -> np.ndarray:
        values, totals = train(_values(step.variables), resident, order, key, strength)
        for variable, value in zip(step.variables, values, strict=True):
            variable.assign(value)
        return np.asarray(totals)

    return epoch


def _define_step(step: Step) -> Callable[..., tuple[list[jax.Array], jax.Array]]:
    """From values of `step.variables`, inputs and labels to the values after one step, and the batch's totals, (2,)."""
    evaluate, update = (_stateless(function, step.variables) for function in (step.evaluate, step.update))
    count = len(step.model.trainable_variables)

    def loss_of(trainable: list[jax.Array], others: list[jax.Array], *batch: jax.Array) -> Any:
        (loss, totals), values = evaluate([*trainable, *others], *batch, training=True)
        return loss, (totals, values)

    def advance(values: list[jax.Array], *batch: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        differentiated = jax.value_and_grad(loss_of, has_aux=True)
        (_, (totals, values)), gradients = differentiated(values[:count], values[count:], *batch)
        return update(values, gradients)[1], totals

    return advance


def _stateless(function: Callable[..., Any], variables: Sequence[keras.Variable]) -> Callable[..., Any]:
    """The function, with the variables' values before its arguments, and their new values after its result."""

    def stateless(values: list[jax.Array], *arguments: Any, **options: Any) -> tuple[Any, list[jax.Array]]:
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            result = function(*arguments, **options)
        return result, [scope.get_current_value(variable) for variable in variables]

    return stateless


def _values(variables: Sequence[keras.Variable]) -> list[jax.Array]:
    return [variable.value for variable in variables]
