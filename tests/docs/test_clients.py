"""The clients that docs/how-to/service/ask.md shows are run, and print what it says."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.asking import serving

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "service" / "ask.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```\n(?:\nprints `([^`]+)`)?", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """Host and port of a service."""
    with serving() as (_, address):
        yield address.removeprefix("http://")


def printed(command: list[str], stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commands() -> list[tuple[str, str]]:
    """Each command in a console, and what it prints there."""
    blocks = [block for language, block, _ in BLOCKS if language == "console"]
    found = [re.split(r"^\$ ", block, flags=re.MULTILINE)[1:] for block in blocks]
    return [(line.partition("\n")[0], line.partition("\n")[2].strip()) for lines in found for line in lines]


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("base64")), reason="curl and base64 are not installed")
@pytest.mark.parametrize(("command", "expected"), commands())
def test_curl_prints_what_the_page_says(place: str, command: str, expected: str):
    found = printed(["bash", "-c", command.replace("curl ", "curl --silent ").replace("localhost:8000", place)])
    # What is left out there may be anything.
    assert re.fullmatch(".*".join(map(re.escape, expected.split("…"))), found, re.DOTALL), found


def programs(language: str) -> list[tuple[str, str]]:
    found = [(block, shown) for name, block, shown in BLOCKS if name == language]
    assert found
    return found


@pytest.mark.parametrize(("program", "expected"), programs("python"))
def test_python_prints_what_the_page_says(place: str, program: str, expected: str):
    if "tritonclient" in program and not importlib.util.find_spec("tritonclient"):
        pytest.skip("tritonclient is not installed: it needs an older ml-dtypes than TensorFlow gets here")
    assert printed([sys.executable, "-c", program.replace("localhost:8000", place)]) == expected


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
@pytest.mark.parametrize(("program", "expected"), programs("javascript"))
def test_javascript_prints_what_the_page_says(place: str, program: str, expected: str):
    program = program.replace("localhost:8000", place)
    assert printed(["node", "--input-type=module", "-"], program) == expected
