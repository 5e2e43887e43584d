"""`digits info`."""

import json

import keras

from helpers.command import Digits
from mnist_digits.training import RECIPES


def test_machine_and_recipes_are_described(digits: Digits):
    content = json.loads(digits("info", "--json").stdout)
    assert content["environment"]["versions"]["keras"] == keras.__version__
    parameters = {recipe["name"]: recipe["parameters"] for recipe in content["recipes"]}
    assert parameters["dense"] == 101_770
    assert set(parameters) == set(RECIPES)
    shown = digits("info").stdout
    assert all(f"{name} " in shown for name in RECIPES)
    assert f"keras {keras.__version__}" in shown
