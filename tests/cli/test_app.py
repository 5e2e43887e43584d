"""The command above its subcommands: help, version, and how a mistake ends."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from helpers.command import ODD_NAME, Digits, unprintable
from mnist_digits import __version__
from mnist_digits.cli import app

GROUP: Any = typer.main.get_command(app)
COMMANDS = tuple(GROUP.commands)
DIGIT = Path(__file__).parents[2] / "docs" / "digits" / "7.jpg"
SLOW = "{'tensorflow', 'keras', 'jax', 'matplotlib', 'sklearn', 'scipy', 'pandas', 'pydantic', 'fastapi', 'numpy'}"


def test_help_names_the_commands_and_each_has_an_example(digits: Digits):
    result = digits("--help")
    assert result.returncode == 0
    for command in COMMANDS:
        assert f" {command} " in result.stdout


@pytest.mark.parametrize("columns", ["60", "80", "120"])
@pytest.mark.parametrize("command", COMMANDS)
def test_each_example_is_one_line_at_any_width(digits: Digits, command: str, columns: str):
    """And can be copied: whoever reads the help, reads it in full."""
    said = digits(command, "--help", env={"COLUMNS": columns, "TERMINAL_WIDTH": columns}).stdout
    above, _, examples = said.partition(" Examples:\n")
    assert f"Usage: digits {command} " in above
    assert max(map(len, above.splitlines())) <= int(columns)
    lines = [line.strip() for line in examples.strip().splitlines()]
    assert lines == GROUP.commands[command].epilog.splitlines()
    for line in lines:
        assert line.split()[0] == "digits"
        assert line.split()[1] in COMMANDS
        assert len(line) + 3 <= 80, "broken by a terminal of 80 columns"


@pytest.mark.parametrize("line", [line for one in GROUP.commands.values() for line in one.epilog.splitlines()])
def test_each_example_is_understood(line: str):
    """Its options exist and take what stands there; nothing is run."""
    words = shlex.split(line.partition(" < ")[0])
    command = GROUP.commands[words[1]]
    command.make_context(words[1], words[2:], resilient_parsing=False)


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(digits: Digits):
    result = digits("trian")
    assert result.returncode == 2
    assert "Did you mean 'train'" in " ".join(result.stderr.split())


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


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", {"COMP_WORDS": "{}", "COMP_CWORD": "{count}"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "{}"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "{}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
@pytest.mark.parametrize(("line", "completed"), [("digits com", "compare"), ("digits train dense-d", "dense-dropout")])
def test_a_shell_completes_commands_and_recipes(
    digits: Digits, shell: str, words: dict[str, str], line: str, completed: str
):
    asked = {name: value.format(line, count=line.count(" ")) for name, value in words.items()}
    result = digits(env={"_DIGITS_COMPLETE": f"complete_{shell}", **asked})
    assert completed in result.stdout
    assert "train" not in result.stdout.replace("Train", "")
    script = digits("--show-completion", shell).stdout
    assert "_DIGITS_COMPLETE" in script


def test_version(digits: Digits):
    assert digits("--version").stdout == f"{__version__}\n"


def test_debug_shows_the_traceback(digits: Digits):
    result = digits("train", "lenet", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "UsageError" in result.stderr


@pytest.mark.parametrize(
    "words", [(f"--{ODD_NAME}",), (ODD_NAME,), ("predict", f"--{ODD_NAME}"), ("read", "--mode", ODD_NAME)]
)
def test_a_mistake_in_the_command_line_may_be_the_name_of_a_file(digits: Digits, words: tuple[str, ...]):
    result = digits(*words, "x")
    assert result.returncode == 2
    assert unprintable(result.stderr) == set()


def test_results_as_json_hold_no_command_to_a_terminal(digits: Digits, tmp_path: Path):
    output = tmp_path / f"{ODD_NAME}.parquet"
    result = digits("read", DIGIT, "--mode", "predict", "--workers", "1", "--output", output, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["output"] == str(output)
    assert unprintable(result.stdout) == set()
