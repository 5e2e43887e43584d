import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits.errors import DataError, UsageError
from mnist_digits.runs import Run
from mnist_digits.training import RECIPES, Recipe, find_recipe, read_plan, read_recipe
from mnist_digits.training.recipes import SETTABLE, write_recipe


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
        ({"epoch": "3"}, "epoch: no such field of a recipe; did you mean epochs.; expected one of"),
        ({"name": "x"}, "no such field"),
        ({"epochs": "many"}, "epochs=many: expected a whole number"),
        ({"epochs": "2.5"}, "expected a whole number"),
        ({"epochs": "-1"}, "--set epochs=-1: expected a whole number, at least 1"),
        ({"epochs": "0"}, "expected a whole number, at least 1"),
        ({"batch_size": ""}, "expected a whole number"),
        ({"learning_rate": "fast"}, "expected a number"),
        ({"learning_rate": "nan"}, "expected a number above 0"),
        ({"learning_rate": "inf"}, "expected a number above 0"),
        ({"dropout": "1"}, "expected a number, at least 0 and below 1"),
        ({"batch_norm": "maybe"}, "expected true or false"),
        ({"label_smoothing": "nan"}, "expected a number, at least 0 and below 1"),
        ({"schedule": "step"}, "--set schedule=step: expected one of constant, linear, cosine"),
        ({"pictures": "-1"}, "--set synthetic_copies=-1: expected a whole number, at least 0"),
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


@pytest.mark.parametrize("value", [0, -3, 2.5, "many", None, float("nan"), [1]])
def test_no_recipe_has_a_value_out_of_range_however_it_is_made(value: Any):
    with pytest.raises(UsageError, match="^epochs=.*: expected a whole number, at least 1$"):
        dataclasses.replace(find_recipe("dense"), epochs=value)


@given(epochs=st.integers(1), rate=st.floats(1e-12, 1e3), norm=st.booleans())
def test_settings_read_back_what_python_prints(epochs: int, rate: float, norm: bool):
    texts = {"epochs": str(epochs), "learning_rate": repr(rate), "batch_norm": str(norm)}
    recipe = find_recipe("dense").with_settings(texts)
    assert (recipe.epochs, recipe.learning_rate, recipe.batch_norm) == (epochs, rate, norm)


def test_there_is_a_network_class_only_for_what_is_trained_on_non_digits():
    assert {recipe.name for recipe in RECIPES.values() if recipe.can_reject} == {"reader"}
    assert find_recipe("reader").classes == find_recipe("dense").with_settings({"synthetic_copies": "1"}).classes == 11
    assert find_recipe("reader").with_settings({"synthetic_copies": "0"}).classes == find_recipe("dense").classes == 10


@given(
    st.sampled_from(sorted(RECIPES)),
    st.dictionaries(st.sampled_from(["epochs", "batch_size"]), st.integers(1, 500).map(str)),
    st.dictionaries(st.sampled_from(["rotation", "learning_rate"]), st.floats(0.001, 9).map(str)),
)
def test_a_recipe_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, name: str, whole: dict[str, str], real: dict[str, str]
):
    recipe = find_recipe(name).with_settings({**whole, **real})
    path = tmp_path_factory.getbasetemp() / "recipe.json"
    write_recipe(path, recipe, study={"trial": 3})
    assert read_recipe(path) == recipe


DENSE = {"name": "dense", "network": "dense"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "holds no recipe.*; name the best.json"),
        ({"recipe": 3}, "holds no recipe"),
        ({"recipe": {"network": "dense"}}, "holds no recipe: expected an object with name, network"),
        ({"recipe": DENSE | {"colour": 1}}, "colour: no such field of a recipe"),
        ({"recipe": DENSE | {"epochs": "3"}}, "epochs='3': expected a whole number, at least 1;"),
        ({"recipe": DENSE | {"epochs": True}}, "epochs=True: expected a whole number, at least 1;"),
        ({"recipe": DENSE | {"dropout": "0"}}, "dropout='0': expected a number, at least 0 and below 1;"),
        ({"recipe": DENSE | {"epochs": 0}}, "epochs=0: expected a whole number, at least 1;"),
        ({"recipe": DENSE | {"name": "../x"}}, "../x: no such recipe; expected one of dense"),
        ({"recipe": DENSE | {"network": "lenet"}}, "network=lenet: expected one of dense, fast, cnn"),
        ({"recipe": DENSE | {"name": 3}}, "name=3: expected text;"),
    ],
)
def test_a_damaged_recipe_is_refused_in_one_line(tmp_path: Path, content: Any, message: str):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: {message}") as caught:
        read_recipe(path)
    assert len(str(caught.value).splitlines()) == 1


# As `digits train reader --set averaging=0.9` wrote it before fields were renamed.
OLD_READER = """{
  "recipe": {
    "name": "reader", "network": "reader", "hidden_units": 128, "dropout": 0.0, "batch_norm": false, "members": 1,
    "epochs": 14, "batch_size": 256, "learning_rate": 0.005, "schedule": "cosine", "warm_up": 0.1, "momentum": 0.9,
    "second_momentum": 0.999, "weight_decay": 0.05, "label_smoothing": 0.0, "averaging": 0.9, "pictures": 2,
    "rotation": 10.0, "scaling": 0.1, "shear": 0.1, "translation": 2.0, "elastic": 0.5, "final_distortion": 1.0,
    "precision": "mixed_bfloat16", "jit_compile": false
  },
  "changes": {"averaging": 0.9}, "seed": 0, "data": {"folder": null, "seed": 0, "fingerprint": "06b0"}
}"""


def test_fields_are_read_by_their_earlier_names(tmp_path: Path):
    path = tmp_path / "recipe.json"
    path.write_text(OLD_READER)
    recipe = read_recipe(path)
    before = {"rotation": 10.0, "scaling": 0.1, "shear": 0.1, "translation": 2.0}
    changed = {"ema_decay": 0.9, **before, "final_distortion": 1.0, "corruption": 0.0}
    assert recipe == read_plan(Run(tmp_path)).recipe == dataclasses.replace(find_recipe("reader"), **changed)
    assert recipe.changes() == changed
    old = {"averaging": "0.5", "momentum": "0.8", "second_momentum": "0.9", "pictures": "3"}
    assert find_recipe("dense").with_settings(old) == dataclasses.replace(
        find_recipe("dense"), ema_decay=0.5, beta_1=0.8, beta_2=0.9, synthetic_copies=3
    )


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_json_holds_the_whole_recipe(recipe: Recipe):
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
