"""A study's report: the best recipe, its comparison with the default, and Optuna's figures of the search."""

import base64
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import matplotlib as mpl
import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as plots

from mnist_digits.evaluation.figures import STYLE
from mnist_digits.evaluation.rendering import render, rounded
from mnist_digits.evaluation.report import save_figure
from mnist_digits.files import write_text
from mnist_digits.training.tuning.outcome import REPORT, summarise, train_command
from mnist_digits.training.tuning.storage import without_experimental_warnings
from mnist_digits.training.tuning.study import Study

Layout = Literal["constrained", "tight"]

MIN_TRIALS_FOR_IMPORTANCE = 4
"""Complete trials from which on the figures of single fields are drawn."""
MAX_PARALLEL_AXES, SLICES_PER_ROW = 7, 3
MAX_TABLE_ROWS = 10
"""Trials in the table of the best."""
GOAL = "validation accuracy"
WORDS = {
    "Trial": "trial",
    "Step": "epoch, counted from 0",
    "Intermediate Value": GOAL,
    "Objective Value": GOAL,
    "Hyperparameter": "",
    "Hyperparameter Importance": "share of the difference",
}
"""Optuna's names of axes → ours."""


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
        space={name: _describe_range(values) for name, values in study.plan.space.items()},
        trials=[_row(trial) for trial in _best_trials(study)],
        comparison=comparison,
        command=train_command(best),
        sources=sources,
    )
    write_text(folder / REPORT, page)
    return folder / REPORT


def _best_trials(study: Study) -> list[FrozenTrial]:
    complete = study.trials(TrialState.COMPLETE)
    return sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))[:MAX_TABLE_ROWS]


def _row(trial: FrozenTrial) -> dict[str, Any]:
    values = {name: rounded(value) for name, value in trial.params.items()}
    return {"number": trial.number, "accuracy": trial.value, "values": values}


def _describe_range(values: optuna.distributions.BaseDistribution) -> str:
    if isinstance(values, optuna.distributions.CategoricalDistribution):
        return ", ".join(str(choice) for choice in values.choices)
    assert isinstance(values, optuna.distributions.FloatDistribution)
    return f"{values.low:g} to {values.high:g}" + (", by its logarithm" if values.log else "")


def _draw(study: Study) -> Iterator[tuple[str, Figure]]:
    """Name and figure, one after the other; without those that need more trials."""
    yield "history", _plot(lambda: plots.plot_optimization_history(study.optuna, target_name=GOAL))
    complete = study.trials(TrialState.COMPLETE)
    if any(len(trial.intermediate_values) > 1 for trial in complete):
        yield "epochs", _plot(lambda: plots.plot_intermediate_values(study.optuna))
    # Trials of equal accuracy say nothing about the fields.
    if len(complete) < MIN_TRIALS_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
        return
    names = list(optuna.importance.get_param_importances(study.optuna))
    yield "importances", _plot(lambda: plots.plot_param_importances(study.optuna, target_name=GOAL))
    axes = names[:MAX_PARALLEL_AXES]
    yield (
        "parallel",
        _plot(lambda: plots.plot_parallel_coordinate(study.optuna, axes, target_name=GOAL), (9.6, 4.8), "tight"),
    )
    for number, row in enumerate(np.array_split(names, -(-len(names) // SLICES_PER_ROW)), 1):
        slices = partial(plots.plot_slice, study.optuna, row.tolist(), target_name=GOAL)
        yield f"slice-{number}", _plot(slices, (9.6, 3.2), "constrained" if len(row) > 1 else "tight")


def _plot(plot: Callable[[], Any], size: tuple[float, float] = (8.0, 4.8), layout: Layout = "constrained") -> Figure:
    """One of Optuna's figures in the style of the other reports. size: in inches."""
    import matplotlib.pyplot as plt

    # Optuna sets a style of its own.
    with mpl.rc_context(), mock.patch.object(plt.style, "use"), without_experimental_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        axes = plot()
        figure = (axes.ravel()[0] if hasattr(axes, "ravel") else axes).figure
        figure.set_size_inches(*size)
        figure.suptitle("")
        for ax in figure.axes:
            # The page has a heading for it.
            ax.set_title("", loc="left")
            ax.set_title("")
            _name(ax)
        figure.set_layout_engine(layout)
        # Only pyplot's reference to it is dropped.
        plt.close(figure)
        return figure


def _name(axes: Axes) -> None:
    """Name axes, and fields along them, in plain words."""
    for axis in (axes.xaxis, axes.yaxis):
        label = axis.get_label_text()
        axis.set_label_text(_in_words(WORDS.get(label, label)))
        if isinstance(axis.get_major_formatter(), FixedFormatter):
            axis.set_ticklabels([_in_words(one.get_text()) for one in axis.get_ticklabels()])


def _in_words(name: str) -> str:
    return name.replace("_", " ")
