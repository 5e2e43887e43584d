"""The command `digits`: parses arguments, calls functions, prints results.

What is slow to import is imported inside the command that needs it.
"""

# The order is that of `digits --help`.
from mnist_digits.cli import train  # isort: skip
from mnist_digits.cli.tuning import tune  # isort: skip
from mnist_digits.cli.own import label, teach  # isort: skip
from mnist_digits.cli import runs, pictures, serve, info  # isort: skip
from mnist_digits.cli.app import app, main

__all__ = ["app", "info", "label", "main", "pictures", "runs", "serve", "teach", "train", "tune"]
