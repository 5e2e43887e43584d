"""The engine's compiled programs on JAX: a whole epoch is one scan over its batches, for GPUs and TPUs.

JAX's functions are pure: they take the values of all variables and return the new ones.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax import lax
from jax import numpy as jnp
from numpy.typing import NDArray

from mnist_digits.training.engine.step import Arrays, EpochProgram, Step


def compile_function(function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
    """The function of arrays of any length, compiled; each call uses the current values of the model's variables.

    On any device, matrices are multiplied in full precision: by default, a GPU rounds float32 to TF32 for that.
    """
    compiled = jax.jit(_stateless(function, model.variables))

    def call(*arguments: NDArray[Any]) -> Any:
        with jax.default_matmul_precision("highest"):
            return compiled(_values(model.variables), *arguments)[0]

    return call


def compile_epoch(step: Step, examples: Arrays, batch_size: int, jit_compile: bool) -> EpochProgram:
    """The program for epochs on examples, which stay on the device, compiled when this returns.

    jit_compile: ignored, JAX always compiles with XLA.
    """
    resident = jax.device_put(examples)
    count = len(examples[0])
    start = (_values(step.variables), resident, np.zeros(count, np.int32), np.int32(0), np.float32(0))
    compiled = jax.jit(_define_epoch(step, count, batch_size)).lower(*start).compile()

    def epoch(order: NDArray[np.int32], key: int, strength: float) -> NDArray[np.floating]:
        values, totals = compiled(_values(step.variables), resident, order, np.int32(key), np.float32(strength))
        _assign(step.variables, values)
        return np.asarray(totals)

    return epoch


def compile_epochs_at_once(
    steps: Sequence[Step], examples: Arrays, batch_size: int
) -> Callable[[NDArray[np.int32], NDArray[np.int32], float], NDArray[np.floating]]:
    """The program for an epoch of m networks by one recipe, each of which takes its own steps, all at the same time.

    A small network leaves most of an accelerator idle. steps: of m networks of the same layers and the same optimiser.
    Returned is a function from orders, int32 (m, n), random keys, int32 (m,), and the strength of the distortion to
    the networks' totals, (m, 2); otherwise as `compile_epoch`.
    """
    resident = jax.device_put(examples)
    networks, count = len(steps), len(examples[0])
    # Within rounding, the others' functions of values are the first one's.
    train = jax.vmap(_define_epoch(steps[0], count, batch_size), in_axes=(0, None, 0, 0, None))

    def train_all(values: list[list[jax.Array]], *arguments: Any) -> tuple[list[list[jax.Array]], jax.Array]:
        stacked, totals = train([jnp.stack(same) for same in zip(*values, strict=True)], *arguments)
        return [[value[index] for value in stacked] for index in range(networks)], totals

    def all_values() -> list[list[jax.Array]]:
        return [_values(step.variables) for step in steps]

    orders, keys = np.zeros((networks, count), np.int32), np.zeros(networks, np.int32)
    compiled = jax.jit(train_all).lower(all_values(), resident, orders, keys, np.float32(0)).compile()

    def epoch(orders: NDArray[np.int32], keys: NDArray[np.int32], strength: float) -> NDArray[np.floating]:
        values, totals = compiled(all_values(), resident, orders, keys, np.float32(strength))
        for step, new in zip(steps, values, strict=True):
            _assign(step.variables, new)
        return np.asarray(totals)

    return epoch


def _define_epoch(step: Step, count: int, batch_size: int) -> Callable[..., tuple[list[jax.Array], jax.Array]]:
    """A function from values of `step.variables`, `count` examples, order, key and strength to the new values and the
    sum of the batches' totals, (2,).
    """
    full_batches, remainder = divmod(count, batch_size)
    advance = _define_step(step)

    def train(
        values: list[jax.Array],
        data: tuple[jax.Array, ...],
        order: jax.Array,
        key: jax.Array,
        strength: jax.Array,
    ) -> tuple[list[jax.Array], jax.Array]:
        def take(values: list[jax.Array], batch: tuple[jax.Array, Any]) -> tuple[list[jax.Array], jax.Array]:
            chosen, index = batch
            random = jax.random.fold_in(jax.random.key(key), index)
            draws = jax.random.uniform(random, (len(chosen), step.draws), minval=-1.0)
            return advance(values, *step.prepare(tuple(array[chosen] for array in data), draws, strength))

        full, last = order[: count - remainder], order[count - remainder :]
        batches = (full.reshape(full_batches, batch_size), jnp.arange(full_batches))
        values, totals = lax.scan(take, values, batches)
        if not remainder:
            return values, totals.sum(0)
        values, last_totals = take(values, (last, full_batches))
        return values, totals.sum(0) + last_totals

    return train


def _define_step(step: Step) -> Callable[..., tuple[list[jax.Array], jax.Array]]:
    """A function from values of `step.variables`, and a batch, to the new values and the batch's totals, (2,)."""
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
    """A pure version of a function: it takes the variables' values first, and returns its result and the new values."""

    def stateless(values: list[jax.Array], *arguments: Any, **options: Any) -> tuple[Any, list[jax.Array]]:
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            result = function(*arguments, **options)
        return result, [scope.get_current_value(variable) for variable in variables]

    return stateless


def _values(variables: Sequence[keras.Variable]) -> list[jax.Array]:
    return [variable.value for variable in variables]


def _assign(variables: Sequence[keras.Variable], values: Sequence[jax.Array]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
