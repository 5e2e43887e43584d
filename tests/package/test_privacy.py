"""Nothing is asked of another machine, and nothing written but where the documentation says: as the kernel saw it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from helpers.command import command_line

ROOT = Path(__file__).parents[2]
SERVED_S = 45
"""Seconds for which the service is watched: ONNX Runtime's telemetry asks for its collector within a few."""

CALLS = "connect,sendto,sendmsg,sendmmsg,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
CACHES = re.compile(r"\.keras(/keras\.json)?|\.(cache|config)(/matplotlib.*)?")
"""What Keras and Matplotlib leave in the home folder, as docs/explanation/limits.md says."""

# In some containers strace is there and may not trace.
TRACES = shutil.which("strace") is not None and not subprocess.call(["strace", "-o", os.devnull, "true"])
pytestmark = pytest.mark.skipif(not TRACES, reason="needs strace: apt-get install strace")


@dataclass(frozen=True)
class Watched:
    """A folder in which programs run, with a home of their own, while their calls to the kernel are written down."""

    folder: Path

    def command(self, log: str, *command: str) -> tuple[list[str], dict[str, str]]:
        """The command that is watched, and its environment."""
        for name in ("home", "tmp", "work"):
            (self.folder / name).mkdir(exist_ok=True)
        options = ["-f", "-qq", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(self.folder / log)]
        environment = {
            **{name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"},
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return ["strace", *options, *command], environment

    def run(self, log: str, *command: str) -> None:
        """Run it to its end."""
        watched, environment = self.command(log, *command)
        result = subprocess.run(
            watched, env=environment, cwd=self.folder / "work", capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr

    def strangers(self, log: str) -> list[str]:
        """Calls that reach for another machine, or for the address of one."""
        lines = (self.folder / log).read_text(errors="replace").splitlines()
        return [line for line in lines if _leaves_the_machine(line)]

    def written_elsewhere(self, log: str) -> set[str]:
        """Paths that were opened for writing or made, outside the folder and the system's own devices."""
        found = set()
        for line in (self.folder / log).read_text(errors="replace").splitlines():
            wrote = re.search(r"\b(creat|mkdir|mkdirat|rename\w*)\(|O_WRONLY|O_RDWR|O_CREAT", line)
            if wrote and "ENOENT" not in line and "EEXIST" not in line:
                found |= set(re.findall(r'"(/[^"]*)"', line))
        return {path for path in found if not path.startswith((str(self.folder), "/dev/", "/proc/"))}

    def left_at_home(self) -> set[str]:
        """What lies in the home folder afterwards."""
        home = self.folder / "home"
        return {str(path.relative_to(home)) for path in home.rglob("*")}


def _leaves_the_machine(line: str) -> bool:
    if "/nscd/" in line or "/resolve/" in line:
        return True
    address = re.search(r'sa_family=AF_INET6?,.*?inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"', line)
    return bool(address) and not address[1].startswith(("127.", "::1"))  # type: ignore[index]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(tmp_path_factory.mktemp("watched"))


@pytest.fixture(scope="module")
def service(watched: Watched) -> Iterator[tuple[str, float]]:
    """The address of a watched service, and when it began; it runs while the other commands do."""
    command, environment = watched.command("serve", *command_line("serve", "--port", "0", "--workers", "1"))
    with subprocess.Popen(command, env=environment, cwd=watched.folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().split()[0], time.monotonic()
        for child in psutil.Process(process.pid).children():
            child.terminate()


def check(watched: Watched, log: str) -> None:
    assert watched.strangers(log) == []
    assert watched.written_elsewhere(log) == set()
    assert [path for path in watched.left_at_home() if not CACHES.fullmatch(path)] == []


def test_a_name_that_is_looked_up_is_seen(watched: Watched):
    code = "import socket, contextlib\nwith contextlib.suppress(OSError): socket.gethostbyname('nowhere.invalid')"
    watched.run("lookup", sys.executable, "-c", code)
    assert watched.strangers("lookup")


def test_a_file_that_is_written_elsewhere_is_seen(watched: Watched, tmp_path: Path):
    watched.run("writing", sys.executable, "-c", f"open({str(tmp_path / 'elsewhere')!r}, 'w')")
    assert watched.written_elsewhere("writing") == {str(tmp_path / "elsewhere")}


@pytest.mark.parametrize("name", ["predict", "read", "bulk", "train", "tune", "notebook"])
def test_a_command_asks_nobody_and_writes_where_it_is_told(
    watched: Watched, service: tuple[str, float], small_folder: Path, name: str
):
    digits = ROOT / "docs" / "digits"
    small = ("--data", str(small_folder), "--set", "epochs=1", "--set", "jit_compile=false")
    commands = {
        "predict": command_line("predict", digits / "7.jpg"),
        "read": command_line("read", digits / "7.jpg", "--annotate", "boxes.png"),
        "bulk": command_line("read", digits, "--output", "table.parquet", "--workers", "2"),
        "train": command_line("train", "dense", *small, "--tracker", "mlflow", "--tracker", "tensorboard"),
        "tune": command_line("tune", "dense", *small, "--trials", "1", "--seeds", "0"),
        "notebook": [sys.executable, "-c", _imports_of_the_notebook()],
    }
    watched.run(name, *commands[name])
    check(watched, name)


def _imports_of_the_notebook() -> str:
    cells = json.loads((ROOT / "MNIST_digit_classification.ipynb").read_text(encoding="utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "code" for line in "".join(cell["source"]).splitlines()]
    found = [line for line in lines if re.match(r"(import|from) ", line)]
    assert any("mnist_digits" in line for line in found)
    return "\n".join(found)


def test_the_service_asks_nobody_for_as_long_as_it_runs(watched: Watched, service: tuple[str, float]):
    address, began = service
    picture = (ROOT / "docs" / "digits" / "7.jpg").read_bytes()
    for path in ("/v1/predict", "/v1/read"):
        httpx.post(address + path, content=picture, timeout=60).raise_for_status()
    time.sleep(max(0.0, began + SERVED_S - time.monotonic()))
    check(watched, "serve")
