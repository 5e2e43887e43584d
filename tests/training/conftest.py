"""What the tests of training share."""

from unittest import mock

import pytest


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without figures, report and model card, whose process takes longer than the training of a small set."""
    monkeypatch.setattr("mnist_digits.training.train.ReportProcess", mock.MagicMock())
