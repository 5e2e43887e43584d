"""`digits info`."""

import json

import keras
import pytest

from helpers.command import Digits
from mnist_digits.cli.info import KNOWN
from mnist_digits.training import RECIPES, networks


def test_machine_and_recipes_are_described(digits: Digits):
    content = json.loads(digits("info", "--json", "--devices").stdout)
    assert content["environment"]["versions"]["keras"] == keras.__version__
    assert content["environment"]["devices"]
    parameters = {recipe["name"]: recipe["parameters"] for recipe in content["recipes"]}
    assert parameters["dense"] == 101_770
    assert set(parameters) == set(RECIPES)


def test_each_recipe_has_a_line(digits: Digits):
    shown = digits("info").stdout
    assert f"keras {keras.__version__}" in shown
    (header,) = [line for line in shown.splitlines() if line.startswith("recipe")]
    lines = shown[shown.index(header) :].splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert header.split() == ["recipe", "purpose", "parameters", "test", "accuracy", "training"]


def test_one_recipe_has_its_settings(digits: Digits):
    shown = digits("info", "cnn").stdout
    assert "learning_rate     0.004\n" in shown
    assert "dropout" not in shown
    (recipe,) = json.loads(digits("info", "cnn", "--json").stdout)["recipes"]
    assert recipe == {**RECIPES["cnn"].to_json(), "parameters": 78_850}


def test_an_unknown_recipe_is_refused(digits: Digits):
    refused = digits("info", "cmn")
    assert refused.returncode == 2
    assert refused.stderr.startswith("digits: cmn: no such recipe; expected one of dense, ")


@pytest.mark.parametrize("name", RECIPES)
def test_the_parameters_are_those_of_the_networks(name: str):
    recipe = RECIPES[name]
    assert networks.build(recipe).count_params() * recipe.members == KNOWN[name].parameters
