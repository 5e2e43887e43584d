"""The command above its subcommands: help, version, and how a mistake ends."""

import subprocess
import sys

from helpers.command import Digits
from mnist_digits import __version__

COMMANDS = ("train", "tune", "evaluate", "report", "compare", "export", "predict", "read", "serve", "info")
SLOW = "{'tensorflow', 'keras', 'jax', 'matplotlib', 'sklearn', 'scipy', 'pandas', 'pydantic', 'fastapi', 'numpy'}"


def test_help_names_the_commands_and_each_has_an_example(digits: Digits):
    result = digits("--help")
    assert result.returncode == 0
    for command in COMMANDS:
        assert f" {command} " in result.stdout
        assert "Example" in digits(command, "--help").stdout


def test_help_imports_nothing_slow():
    program = f"""
import contextlib, sys
from mnist_digits.cli import main
for command in [], *([name] for name in {COMMANDS}):
    sys.argv[1:] = [*command, "--help"]
    with contextlib.suppress(SystemExit):
        main()
print({SLOW} & set(sys.modules))
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True).endswith("set()\n")


def test_version(digits: Digits):
    assert digits("--version").stdout == f"{__version__}\n"


def test_debug_shows_the_traceback(digits: Digits):
    result = digits("train", "lenet", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "UsageError" in result.stderr
