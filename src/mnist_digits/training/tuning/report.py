"""A study's page: what was found, what it is worth, and Optuna's own figures of how it was found."""

import base64
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import matplotlib as mpl
import numpy as np
import optuna
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as plots

from mnist_digits.evaluation.figures import STYLE
from mnist_digits.evaluation.rendering import render
from mnist_digits.evaluation.report import save_figure
from mnist_digits.files import write_text
from mnist_digits.training.recipes import by_current_names
from mnist_digits.training.tuning.outcome import REPORT, summarise, train_command
from mnist_digits.training.tuning.storage import without_notices
from mnist_digits.training.tuning.study import Study

Layout = Literal["constrained", "tight"]

ENOUGH_TRIALS = 4
"""With fewer that ran to their end there is nothing to see in how the fields matter."""
MOST_AXES, SLICES_A_ROW = 7, 3
BEST_TRIALS = 10
"""Rows in the table of trials."""
GOAL = "validation accuracy"
LAYOUTS: tuple[Layout, Layout] = ("tight", "constrained")
"""For one axis in a figure, and for several."""


def write_report(study: Study, folder: Path, best: Path, comparison: dict[str, Any] | None) -> Path:
    """Draw the study's figures into its folder and write `report.html`, one self-contained page; returns its path.

    best: the file of the best recipe. comparison: as `compare_with_default` gives it. Raises DataError when a file
    cannot be written.
    """
    sources = {}
    for name, figure in _draw(study):
        path = folder / "figures" / f"{name}.png"
        save_figure(figure, path)
        sources[name] = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    page = render(
        "tuning.html.jinja",
        summary=summarise(study),
        recipe=study.plan.recipe,
        recipe_fields=study.plan.recipe.to_json(),
        fixed=study.plan.fixed,
        space={name: _in_words(values) for name, values in study.plan.space.items()},
        trials=[_row(trial) for trial in _best_trials(study)],
        comparison=comparison,
        command=train_command(best),
        sources=sources,
    )
    write_text(folder / REPORT, page)
    return folder / REPORT


def _best_trials(study: Study) -> list[FrozenTrial]:
    complete = study.trials(TrialState.COMPLETE)
    return sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))[:BEST_TRIALS]


def _row(trial: FrozenTrial) -> dict[str, Any]:
    given = by_current_names(trial.params)
    values = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in given.items()}
    return {"number": trial.number, "accuracy": trial.value, "values": values}


def _in_words(values: optuna.distributions.BaseDistribution) -> str:
    if isinstance(values, optuna.distributions.CategoricalDistribution):
        return ", ".join(str(choice) for choice in values.choices)
    assert isinstance(values, optuna.distributions.FloatDistribution)
    return f"{values.low:g} to {values.high:g}" + (", by its logarithm" if values.log else "")


def _draw(study: Study) -> Iterator[tuple[str, Figure]]:
    """Name and figure, one after the other; none of what there are too few trials for."""
    yield "history", _plot(lambda: plots.plot_optimization_history(study.optuna, target_name=GOAL))
    complete = study.trials(TrialState.COMPLETE)
    if any(len(trial.intermediate_values) > 1 for trial in complete):
        yield "epochs", _plot(lambda: plots.plot_intermediate_values(study.optuna))
    # Of trials that all did equally well nothing can be learned either.
    if len(complete) < ENOUGH_TRIALS or len({trial.value for trial in complete}) < 2:
        return
    names = list(optuna.importance.get_param_importances(study.optuna))
    yield "importances", _plot(lambda: plots.plot_param_importances(study.optuna, target_name=GOAL))
    axes = names[:MOST_AXES]
    yield (
        "parallel",
        _plot(lambda: plots.plot_parallel_coordinate(study.optuna, axes, target_name=GOAL), (9.6, 4.8), "tight"),
    )
    for number, row in enumerate(np.array_split(names, -(-len(names) // SLICES_A_ROW)), 1):
        slices = partial(plots.plot_slice, study.optuna, row.tolist(), target_name=GOAL)
        yield f"slice-{number}", _plot(slices, (9.6, 3.2), LAYOUTS[len(row) > 1])


def _plot(plot: Callable[[], Any], size: tuple[float, float] = (8.0, 4.8), layout: Layout = "constrained") -> Figure:
    """One of Optuna's figures, brought nearer to the look of ours. size: in inches."""
    import matplotlib.pyplot as plt

    # Optuna asks for a style that is not ours.
    with mpl.rc_context(), mock.patch.object(plt.style, "use"), without_notices():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        axes = plot()
        figure = (axes.ravel()[0] if hasattr(axes, "ravel") else axes).figure
        figure.set_size_inches(*size)
        figure.suptitle("")
        for ax in figure.axes:
            # The page has a title for it.
            ax.set_title("", loc="left")
            ax.set_title("")
        figure.set_layout_engine(layout)
        # It stays a figure, but pyplot forgets it.
        plt.close(figure)
        return figure
