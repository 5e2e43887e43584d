"""How well a model reads: metrics, figures, and a page that shows them.

`figures` and `report` are imported by their own names, because they import Matplotlib.
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
