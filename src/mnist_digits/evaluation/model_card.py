"""From a run's numbers to `model_card.md`: what others should know before they use the model.

Its front matter is that of model cards on Hugging Face's hub (Mitchell et al. 2019, "Model cards for
model reporting", is where the idea comes from).
"""

import json
import shlex
from pathlib import Path
from typing import Any

from mnist_digits.dataset import CORRECTIONS, Dataset
from mnist_digits.evaluation.metrics import BINS, confused_pairs
from mnist_digits.evaluation.rendering import render
from mnist_digits.evaluation.run_files import Results
from mnist_digits.files import write_text
from mnist_digits.runs import Run


def write_card(run: Run, results: Results, data: Dataset) -> None:
    """Write the card of a finished run into its folder.

    results: what its files say. data: the images it learned from and was tested on; another set than
    MNIST is called by its folder's name. Raises DataError when the card cannot be written.
    """
    recipe = results.recipe
    folder = recipe["data"]["folder"] and Path(recipe["data"]["folder"]).name
    card = render(
        "model_card.md.jinja",
        name=recipe["recipe"]["name"],
        seed=recipe["seed"],
        settings={name: value for name, value in recipe["recipe"].items() if value and name != "name"},
        command=_command(recipe),
        folder=folder,
        data_name="MNIST" if data.is_mnist else folder,
        data=data,
        environment=results.environment,
        metrics=results.metrics,
        pairs=confused_pairs(results.metrics["test"]["confusion"]),
        corrections=len(CORRECTIONS),
        bins=BINS,
    )
    write_text(run.card, card)


def _command(recipe: dict[str, Any]) -> str | None:
    """The command that makes the run again; None when only Python can. recipe: as in `recipe.json`."""
    changes, data = recipe.get("changes"), recipe["data"]
    if changes is None or data["seed"] != 0:
        return None
    command = ["digits", "train", recipe["recipe"]["name"], "--seed", str(recipe["seed"])]
    for name, value in changes.items():
        command += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    if data["folder"] is not None:
        command += ["--data", Path(data["folder"]).name]
    return shlex.join(command)
