"""How well a model reads: numbers, figures and one page that shows them.

Figures, report and painter are imported by their own names: they load Matplotlib or start a process.
"""

from mnist_digits.evaluation.metrics import (
    ClassMetrics,
    Metrics,
    Reliability,
    confused_pairs,
    evaluate,
    mistakes,
    reliability,
)

__all__ = ["ClassMetrics", "Metrics", "Reliability", "confused_pairs", "evaluate", "mistakes", "reliability"]
