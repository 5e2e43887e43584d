"""Which values a trial gets."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

RANDOM_TRIALS = 10
"""So many are drawn at random before the sampler learns from them."""


class SeededByNumber(optuna.samplers.BaseSampler):
    """Optuna's tree-structured Parzen estimator, seeded for each trial by the study's seed and the trial's number.

    Workers that began with one seed would all draw the same values.
    """

    def __init__(self, seed: int) -> None:
        """seed: the study's."""
        self._seed = seed
        self._sampler = self._seeded(0)

    def _seeded(self, number: int) -> optuna.samplers.TPESampler:
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        return optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Begin a trial: Optuna calls it before the others."""
        self._sampler = self._seeded(trial.number)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The fields whose values are drawn together."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values that go together."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value by itself."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)
