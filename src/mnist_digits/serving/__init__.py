"""The HTTP service and its page."""

from mnist_digits.serving.app import create_app
from mnist_digits.serving.settings import Settings

__all__ = ["Settings", "create_app"]
