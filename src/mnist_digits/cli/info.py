"""`digits info`."""

from mnist_digits.cli.app import app
from mnist_digits.cli.options import Json
from mnist_digits.cli.output import print_info, results


@app.command(epilog="Examples:  digits info  ·  digits info --json")
def info(as_json: Json = False) -> None:
    """Show versions, devices, and the recipes with their settings and numbers of parameters."""
    from mnist_digits.training import RECIPES, backend

    backend.start_keras()
    from mnist_digits.training import networks

    environment = backend.describe_environment()
    recipes = [
        {**recipe.to_json(), "parameters": networks.build(recipe).count_params() * recipe.members}
        for recipe in RECIPES.values()
    ]
    if as_json:
        results.print_json(data={"environment": environment, "recipes": recipes})
    else:
        print_info(environment, recipes)
