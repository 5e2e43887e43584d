"""Train a handwritten-digit classifier in seconds, see how well and why it works."""

__version__ = "0.1.0"
