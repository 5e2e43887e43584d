"""A recipe as a file of its own: what tuning finds, or the recipe.json of any run."""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from mnist_digits.errors import DataError, UsageError
from mnist_digits.files import read_json, write_json
from mnist_digits.training.recipes import RECIPES, Recipe

KNOWN_NETWORKS = frozenset(recipe.network for recipe in RECIPES.values())


def write_recipe(path: Path, recipe: Recipe, **origin: Any) -> None:
    """Write a recipe for `digits train --recipe`, whole or not at all. origin: where it comes from, as JSON."""
    write_json(path, {"recipe": recipe.to_json(), "changes": recipe.changes(), **origin})


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file as `write_recipe` or a run writes it.

    Fields that it does not name have their defaults, but for `name` and `network`. Raises DataError when the file is
    missing or damaged, or names a field, a recipe, a network or a value that this version does not know.
    """
    content = read_json(path)
    values = content.get("recipe") if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise DataError(f"{path}: holds no recipe; expected the best.json of `digits tune` or a run's recipe.json")
    kinds = get_type_hints(Recipe)
    unknown = sorted(set(values) - {field.name for field in fields(Recipe)})
    if unknown:
        raise DataError(f"{path}: {', '.join(unknown)}: no such field of a recipe; it is of another version")
    for name, value in values.items():
        expected = (int, float) if kinds[name] is float else kinds[name]
        if not isinstance(value, expected) or (isinstance(value, bool) and kinds[name] is not bool):
            raise DataError(f"{path}: {name}={value!r}, expected {kinds[name].__name__}; it was changed or damaged")
    for name, known in (("name", RECIPES), ("network", KNOWN_NETWORKS)):
        if values.get(name) not in known:
            raise DataError(f"{path}: {name} {values.get(name)!r}, expected one of {', '.join(sorted(known))}; mend it")
    try:
        return Recipe(**values)
    except UsageError as error:
        raise DataError(f"{path}: {str(error).removesuffix('; change its --set')}; mend it") from error
