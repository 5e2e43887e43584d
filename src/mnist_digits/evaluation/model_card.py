"""Writes `model_card.md`: what others should know before they use the model.

Model cards were proposed by Mitchell et al. 2019, "Model cards for model reporting" (arXiv:1810.03993); the YAML front
matter is that of Hugging Face's hub.
"""

import json
import shlex
from pathlib import Path

from mnist_digits.dataset import CORRECTIONS, Dataset
from mnist_digits.evaluation.metrics import BINS, confused_pairs
from mnist_digits.evaluation.rendering import render
from mnist_digits.evaluation.run_files import RecipeFile, Results
from mnist_digits.files import write_text
from mnist_digits.runs import Run


def write_card(run: Run, results: Results, data: Dataset) -> None:
    """Write the model card of a finished run into its folder.

    results: the contents of the run's files. data: the images it was trained and tested on; a data set other than
    MNIST is named after its folder. Raises DataError when the card cannot be written.
    """
    recipe = results.recipe
    folder = recipe.data.folder and Path(recipe.data.folder).name
    card = render(
        "model_card.md.jinja",
        name=recipe.recipe.name,
        seed=recipe.seed,
        settings={name: value for name, value in recipe.recipe.model_dump().items() if value and name != "name"},
        command=_command(recipe),
        folder=folder,
        data_name="MNIST" if data.is_mnist else folder,
        data=data,
        environment=results.environment,
        metrics=results.metrics,
        pairs=confused_pairs(results.metrics.test.confusion),
        corrections=len(CORRECTIONS),
        bins=BINS,
    )
    write_text(run.card, card)


def _command(recipe: RecipeFile) -> str | None:
    """The command that repeats the run; None when that takes Python."""
    if recipe.taught:
        words = ["digits", "teach", Path(recipe.taught.pictures or "PICTURES").name, "--seed", str(recipe.seed)]
        began = recipe.taught.start
        return shlex.join(words if began == "shipped" else [*words, "--from", Path(began).name])
    if recipe.changes is None or recipe.data.seed != 0:
        return None
    command = ["digits", "train", recipe.recipe.name, "--seed", str(recipe.seed)]
    for name, value in recipe.changes.items():
        command += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    if recipe.data.folder is not None:
        command += ["--data", Path(recipe.data.folder).name]
    return shlex.join(command)
