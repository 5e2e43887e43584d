import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits.errors import UsageError
from mnist_digits.training import RECIPES, Recipe, find_recipe
from mnist_digits.training.recipes import SETTABLE, parse_setting


def test_the_baseline_is_the_stock_one():
    dense = find_recipe("dense")
    assert (dense.hidden_units, dense.batch_size, dense.learning_rate) == (128, 32, 1e-3)
    assert (dense.dropout, dense.batch_norm) == (0, False)


@pytest.mark.parametrize(("name", "field"), [("dense-dropout", "dropout"), ("dense-batchnorm", "batch_norm")])
def test_variants_change_one_thing(name: str, field: str):
    variant, dense = RECIPES[name], RECIPES["dense"]
    assert {f for f in SETTABLE if getattr(variant, f) != getattr(dense, f)} == {field}


def test_unknown_recipe_names_the_known_ones():
    with pytest.raises(UsageError, match="lenet: no such recipe; expected one of dense, dense-dropout"):
        find_recipe("lenet")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": "3"}, "epoch: no such field.*epochs"),
        ({"name": "x"}, "no such field"),
        ({"epochs": "many"}, "epochs=many: expected a whole number"),
        ({"epochs": "2.5"}, "expected a whole number"),
        ({"epochs": "-1"}, "epochs=-1: expected at least 1"),
        ({"epochs": "0"}, "expected at least 1"),
        ({"batch_size": ""}, "expected a whole number"),
        ({"learning_rate": "fast"}, "expected a number"),
        ({"learning_rate": "nan"}, "expected above 0"),
        ({"learning_rate": "inf"}, "expected above 0"),
        ({"dropout": "1"}, "expected at least 0 and below 1"),
        ({"batch_norm": "maybe"}, "expected true or false"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, str], message: str):
    with pytest.raises(UsageError, match=message):
        find_recipe("dense").with_settings(settings)


def test_settings_change_what_they_name_and_nothing_else():
    changed = find_recipe("dense").with_settings({"epochs": "3", "batch_norm": "true"})
    assert changed == dataclasses.replace(find_recipe("dense"), epochs=3, batch_norm=True)


def test_changes_lead_from_the_named_recipe_to_this_one():
    dense = find_recipe("dense")
    assert dense.changes() == {}
    assert dense.with_settings({"epochs": "3", "batch_norm": "true"}).changes() == {"epochs": 3, "batch_norm": True}
    assert Recipe(name="mine").changes() is None
    assert dataclasses.replace(dense, network="cnn").changes() is None, "no setting changes the network"


@given(epochs=st.integers(1), rate=st.floats(1e-12, 1e3), norm=st.booleans())
def test_settings_read_back_what_python_prints(epochs: int, rate: float, norm: bool):
    texts = {"epochs": str(epochs), "learning_rate": repr(rate), "batch_norm": str(norm)}
    assert [parse_setting(name, text) for name, text in texts.items()] == [epochs, rate, norm]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_json_holds_the_whole_recipe(recipe: Recipe):
    assert Recipe(**recipe.to_json()) == recipe
