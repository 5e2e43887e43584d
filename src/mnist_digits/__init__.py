"""Train a handwritten-digit classifier in seconds, see how well and why it works, read real handwriting with it."""

__version__ = "0.1.0"
