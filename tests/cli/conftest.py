"""A run that the command has trained, for the tests of what is done with one."""

import subprocess
from pathlib import Path

import pytest

from helpers.command import run_digits

Training = tuple[Path, "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def training(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Two epochs of `dense` on the small set: the folder where the command was run, and what it said."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run_digits(
        "train", "dense", "--data", small_folder, "--set", "epochs=2", "--set", "jit_compile=false", folder=folder
    )


@pytest.fixture(scope="session")
def trained(training: Training) -> Path:
    """The run that it left."""
    folder, result = training
    assert result.returncode == 0, result.stderr
    return folder / "runs/latest"
