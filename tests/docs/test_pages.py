"""What README and docs tell people to click, to type and to open is there."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mnist_digits.cli import app

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = (path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
PAGES = [README, *(ROOT / f"{name}.md" for name in ("CONTRIBUTING", "CHANGELOG", "SECURITY")), *sorted(DOCS)]
MAX_README_WORDS = 1200


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_readme_is_short():
    assert len(README.read_text(encoding="utf-8").split()) <= MAX_README_WORDS


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def lines_of_code() -> Iterator[tuple[Path, str]]:
    """Every command in a block of code: after `$ ` in consoles, each line elsewhere; and what stands in backticks."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                if language in ("sh", "powershell"):
                    yield path, line
                elif language == "console" and line.startswith("$ "):
                    yield path, line[2:]
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        for line in re.findall(r"`([^`]+)`", prose):
            yield path, line


COMMANDS = sorted(
    {
        (name_of(path), match[1])
        for path, line in lines_of_code()
        if (match := re.match(r"(?:\S+=\S+ )*(?:\S*bin/|\S*Scripts\\)?digits ((?!is |are )[a-z-].*)", line))
    }
)


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}: {line}" for page, line in COMMANDS])
def test_commands_exist_with_their_options(page: str, line: str):
    words = shlex.split(re.split(r" [<>|] ", line)[0], comments=True)
    group: Any = typer.main.get_command(app)
    command = group
    if not words[0].startswith("-"):
        # In prose, COMMAND stands for any of them.
        command = group.commands["train" if words[0] == "COMMAND" else words[0]]
    arguments = [word for word in words if word is not words[0] or word.startswith("-")]
    if arguments and arguments[-1].startswith("--"):
        # In prose, an option may be named without its value.
        arguments += [] if is_flag(command, arguments[-1]) else ["1"]
    command.make_parser(command.make_context("digits", [], resilient_parsing=True)).parse_args(arguments)


def is_flag(command: Any, name: str) -> bool:
    """Whether an option takes no value; true of `--help`, which is no parameter."""
    return all(option.is_flag for option in command.params if name in option.opts)


def test_pages_tell_of_every_command():
    shown = {line.split()[0] for _, line in COMMANDS}
    group: Any = typer.main.get_command(app)
    assert set(group.commands) <= shown


def test_targets_of_make_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for _, line in lines_of_code() for word in re.findall(r"\bmake (?:PYTHON=\S+ )?([a-z]+)$", line)}
    assert {"run", "test", "check", "docs"} <= named <= targets


def test_modules_that_are_to_be_run_exist():
    named = {
        word for _, line in lines_of_code() for word in re.findall(r"python -m ((?:benchmarks|mnist_digits)\S*)", line)
    }
    assert len(named) >= 10
    assert [name for name in sorted(named) if not importlib.util.find_spec(name)] == []


def test_files_that_are_named_exist():
    for path, line in lines_of_code():
        for name in re.findall(r"(?<![\w/.-])(?:src|docs|tests|benchmarks|results)/[\w./-]*\w", line):
            # NAME stands for any.
            assert (ROOT / name.replace("NAME", "dense")).exists() or "_build" in name, f"{name_of(path)}: {name}"
        for name in re.findall(r"^(?:[a-z_]+/)+[a-z_]+\.py$", line):
            assert (ROOT / "src" / "mnist_digits" / name).exists() or (ROOT / name).exists(), f"{name_of(path)}: {name}"
