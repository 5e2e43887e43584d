"""The container and the unit of systemd in docs/how-to/service start what there is."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from mnist_digits.cli import app

DEPLOY = Path(__file__).parents[2] / "docs" / "how-to" / "service"
CONTAINER = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", "")
UNIT = (DEPLOY / "digits.service").read_text(encoding="utf-8")


def takes(arguments: list[str]) -> dict[str, object]:
    """What `digits serve` makes of its arguments; fails when it does not know one."""
    assert arguments[0] == "serve"
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return dict(command.make_context("serve", arguments[1:]).params)


def instruction(name: str) -> list[str]:
    """The last of the container's instructions of this name, in its form of JSON."""
    return json.loads(re.findall(rf"^{name} (\[.*\])$", CONTAINER, re.MULTILINE)[-1])


def test_the_container_starts_the_service_with_a_token_and_takes_further_options():
    program, *fixed = instruction("ENTRYPOINT")
    assert program == "/opt/digits/bin/digits"
    for own in (instruction("CMD"), ["--workers", "4", "--access-log"]):
        taken = takes([*fixed, *own])
        assert taken["host"] == "0.0.0.0"
        assert str(taken["token_file"]) == "/run/secrets/token"
    # All that it copies from outside is the wheel.
    copied = re.findall(r"^COPY (?!--from)(\S+)", CONTAINER, re.MULTILINE)
    assert copied == ["mnist_digits-*.whl"]
    users = re.findall(r"^USER (\w+)$", CONTAINER, re.MULTILINE)
    assert users == ["digits"]


def test_the_containers_check_of_health_is_a_program():
    (check,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", CONTAINER, re.MULTILINE)
    program, option, code = json.loads(check)
    assert (program, option) == ("/opt/digits/bin/python", "-c")
    compile(code, "check", "exec")
    assert "/healthz" in code


def test_the_unit_starts_the_service(tmp_path: Path):
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    program, *arguments = shlex.split(line)
    assert program == "/opt/digits/bin/digits"
    assert takes(arguments)["workers"] == 2
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    unit = tmp_path / "digits.service"
    unit.write_text(UNIT.replace(program, sys.executable), encoding="utf-8")
    found = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60)
    assert "digits.service:" not in found.stderr
