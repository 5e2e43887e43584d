from dataclasses import replace
from typing import Any

import optuna
import pytest

from helpers.studies import plan
from mnist_digits.errors import DataError, UsageError
from mnist_digits.training import RECIPES, networks
from mnist_digits.training.recipes import Recipe
from mnist_digits.training.tuning.plan import StudyPlan, search_space

SINGLE = [recipe for recipe in RECIPES.values() if recipe.members == 1]


@pytest.mark.parametrize("recipe", SINGLE, ids=lambda recipe: recipe.name)
def test_every_recipe_lies_within_what_is_searched(recipe: Recipe):
    # Optuna itself refuses values outside.
    begun = plan(recipe=recipe)
    optuna.create_trial(params=begun.default_values, distributions=begun.space, value=1.0)


@pytest.mark.parametrize("recipe", SINGLE, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize(("field", "value"), [("hidden_units", 77), ("dropout", 0.37), ("batch_norm", True)])
def test_a_field_is_searched_exactly_where_the_network_has_it(recipe: Recipe, field: str, value: Any):
    plain = replace(recipe, dropout=0.0, batch_norm=False)
    layers = [
        [(type(layer).__name__, layer.count_params()) for layer in networks.build(of).layers]
        for of in (plain, replace(plain, **{field: value}))
    ]
    assert (field in search_space(recipe)) == (layers[0] != layers[1])


def test_what_is_fixed_is_not_searched():
    assert set(search_space(RECIPES["cnn"], frozenset({"dropout"}))) == set(search_space(RECIPES["cnn"])) - {"dropout"}
    with pytest.raises(UsageError, match="every field that could be tuned is fixed"):
        search_space(RECIPES["cnn"], frozenset(search_space(RECIPES["cnn"])))
    with pytest.raises(UsageError, match="3 networks as one; tune one of them, such as best"):
        search_space(RECIPES["ensemble"])


def test_a_plan_from_before_fields_were_renamed_is_read():
    recipe = {"name": "dense", "network": "dense", "averaging": 0.9, "second_momentum": 0.99, "pictures": 0}
    content = {"recipe": recipe, "fixed": ["averaging", "momentum"], "seed": 5, "fingerprint": "06b0"}
    renamed = RECIPES["dense"].with_settings({"ema_decay": "0.9", "beta_2": "0.99"})
    assert StudyPlan.of_json(content) == StudyPlan(renamed, ("ema_decay", "beta_1"), 5, "06b0")


def test_a_plan_is_read_as_it_was_written():
    begun = plan(3, RECIPES["cnn"], epochs="4", ema_decay="0.9")
    assert StudyPlan.of_json(begun.to_json()) == begun
    with pytest.raises(DataError, match="not a study of this version .*; begin another with --name"):
        StudyPlan.of_json({**begun.to_json(), "recipe": {"name": "cnn", "network": "lenet"}})
