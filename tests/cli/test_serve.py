"""`digits serve`: its output, options and errors."""

import importlib.util
import ipaddress
import re
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import httpx
import ifaddr
import numpy as np
import pytest

from helpers.asking import serving
from helpers.command import Digits
from helpers.small_model import nearest_mean, write_model
from mnist_digits.cli import serve
from mnist_digits.dataset import Dataset
from mnist_digits.errors import install_command

TOKEN = "0123456789abcdef0123456789abcdef"
HOSTS = ("0.0.0.0", "::", "192.0.2.1", "digits.example")
"""Addresses that other machines may reach."""


def test_the_address_is_printed_and_answers_and_no_training_framework_is_loaded():
    with serving() as (process, address):
        assert address.startswith("http://127.0.0.1:")
        assert httpx.get(address, timeout=60).headers["Content-Type"].startswith("text/html")
        assert httpx.get(address, headers={"Host": "evil.example"}, timeout=60).status_code == 421
        maps = Path(f"/proc/{process.pid}/maps")
        if maps.exists():
            assert not [name for name in ("tensorflow", "jaxlib", "torch") if name in maps.read_text()]
        process.terminate()
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_on_other_hosts_a_token_is_needed(tmp_path: Path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    with serving("--host", "0.0.0.0", "--token-file", tmp_path / "token") as (_, address):
        assert "0.0.0.0" not in address, "no browser opens it"
        local = f"http://127.0.0.1:{httpx.URL(address).port}"
        assert httpx.post(f"{local}/v1/classify", content=bytes(784), timeout=60).status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": "digits.example"}
        assert httpx.post(f"{local}/v1/classify", content=bytes(784), headers=headers, timeout=60).status_code == 200


def test_it_is_shared_with_the_network_by_addresses_and_a_qr_code_that_carry_a_token():
    with serving("--share") as (process, address):
        shared = httpx.URL(address)
        assert shared.fragment.startswith("token=")
        assert not ipaddress.ip_address(shared.host).is_loopback
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip("\n")]
        while not lines[-1].startswith("http://127.0.0.1:"):
            lines.append(process.stdout.readline().rstrip("\n"))
        # Above and below a code is an edge of light squares: it ends with the second line of these.
        drawn = [process.stdout.readline().rstrip("\n")]
        while len(drawn) < len(drawn[0]) // 2 + 1:
            drawn.append(process.stdout.readline().rstrip("\n"))
        assert qr_text(drawn) == address
        plain = shared.copy_with(fragment=None)
        token = shared.fragment.removeprefix("token=")
        assert httpx.get(plain, timeout=60).status_code == 200
        assert httpx.post(plain.join("/v1/classify"), content=bytes(784), timeout=60).status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert (
            httpx.post(plain.join("/v1/classify"), content=bytes(784), headers=headers, timeout=60).status_code == 200
        )


def qr_text(lines: list[str]) -> str:
    """What a QR code of half blocks says."""
    halves = {" ": (0, 0), "▀": (255, 0), "▄": (0, 255), "█": (255, 255)}
    pixels = np.array([[halves[letter][half] for letter in line] for line in lines for half in (0, 1)], np.uint8)
    picture = cv2.copyMakeBorder(np.kron(pixels, np.ones((8, 8), np.uint8)), *[32] * 4, cv2.BORDER_CONSTANT, value=255)
    # Each of OpenCV's two detectors misses one in a hundred, but not the same one.
    detectors = (cv2.QRCodeDetector(), cv2.QRCodeDetectorAruco())
    return next((text for one in detectors if (text := one.detectAndDecode(picture)[0])), "")


def test_it_is_shared_with_a_token_of_ones_own(tmp_path: Path):
    (tmp_path / "token").write_text("what/ever#you&like=50%")
    with serving("--share", "--token-file", tmp_path / "token") as (_, address):
        assert address.endswith("/#token=what%2Fever%23you%26like%3D50%25")


def test_the_likeliest_address_comes_first_and_virtual_ones_never(monkeypatch: pytest.MonkeyPatch):
    probed = serve._address("0.0.0.0", 80).removeprefix("http://").removesuffix(":80")
    monkeypatch.setattr("ifaddr.get_adapters", lambda: [
        adapter("lo", "127.0.0.1"), adapter("docker0", "172.17.0.1"), adapter("eth0", "169.254.7.7", "10.9.8.7"),
        adapter("wlan0", probed, ("fd00::1", 0, 0)),
    ])  # fmt: skip
    assert serve._shared_addresses() == [probed, "10.9.8.7"]


def test_without_a_network_nothing_is_shared(digits: Digits, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ifaddr.get_adapters", lambda: [adapter("lo", "127.0.0.1"), adapter("docker0", "172.17.0.1")])
    result = digits("serve", "--share")
    assert result.returncode == 3
    assert result.stderr.startswith("digits: --share: this machine is in no network; connect it")


def adapter(name: str, *addresses: str | tuple[str, int, int]) -> ifaddr.Adapter:
    return ifaddr.Adapter(name, name, [ifaddr.IP(address, 24, name) for address in addresses])


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "No such file"), (b"short", "5 characters"), (b"", "0 characters"), (b"\xff" * 40, "decode"),
     ("passwörter-mit-umlaut".encode(), "expected a token"), (b"two words that are one", "expected a token")],
)  # fmt: skip
def test_an_unusable_token_is_an_error(digits: Digits, tmp_path: Path, content: bytes | None, found: str):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    result = digits("serve", "--token-file", "token")
    assert result.returncode == 3
    assert found in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        *((["--host", host], 2, f"--host {host}: others can reach it, expected --token-file") for host in HOSTS),
        (["--token-file", "t", "--no-token"], 2, "leave one of them out"),
        (["--playground", "--workers", "2"], 2, "--playground with --workers"),
        (["--keep-runs", "runs"], 2, "nothing is trained without --playground"),
        (["--share", "--host", "192.0.2.1"], 2, "--share with --host: it chooses the addresses"),
        (["--share", "--no-token"], 2, "--share with --no-token"),
        (["--port", "70000"], 2, "--port"),
        (["--workers", "0"], 2, "--workers"),
        (["--model", "none.onnx", "--port", "0"], 3, "none.onnx: No such file"),
        (["--host", "192.0.2.1", "--no-token", "--port", "0"], 3, "expected a free port of this machine"),
    ],
)
def test_mistakes_are_errors(digits: Digits, arguments: list[str], status: int, message: str):
    result = digits("serve", *arguments)
    assert result.returncode == status
    assert message in result.stderr
    assert result.stdout == ""


def test_a_port_in_use_is_an_error(digits: Digits):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = digits("serve", "--port", str(port))
    assert result.returncode == 3
    assert result.stderr.startswith(f"digits: 127.0.0.1:{port}: Address already in use; expected a free port")
    assert len(result.stderr.splitlines()) == 1


def test_the_page_is_opened_where_there_is_a_display(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    serve.open_page("http://127.0.0.1:8001")
    assert opened == ["http://127.0.0.1:8001"]
    assert capsys.readouterr().err == ""
    monkeypatch.delenv("DISPLAY")
    serve.open_page("http://127.0.0.1:8001/#token=abc")
    assert len(opened) == 1
    assert "ssh -L 8001:127.0.0.1:8001" in capsys.readouterr().err


def test_help_stays_quick():
    program = (
        "import sys; from mnist_digits.cli import main\n"
        "sys.argv = ['digits', 'serve', '--help']\n"
        "try: main()\n"
        "finally: print({'fastapi', 'uvicorn', 'numpy', 'onnxruntime'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "set()"


def test_a_playground_without_the_training_extra_names_it(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "keras" else find(name))
    result = digits("serve", "--port", "0", "--playground")
    assert result.returncode == 2
    assert result.stderr == f"digits: keras is not installed; training needs it: {install_command('train')}\n"


def test_the_page_is_written_to_a_new_folder(digits: Digits, tmp_path: Path, mnist: Dataset):
    result = digits("page", tmp_path / "site")
    assert result.returncode == 0
    assert re.fullmatch(rf"{tmp_path / 'site'}  [789]\d\d kB\n", result.stdout)
    assert {path.name for path in (tmp_path / "site").iterdir()} >= {"index.html", "page.json", "v1"}
    again = digits("page", tmp_path / "site")
    assert again.returncode == 3
    assert (
        again.stderr
        == f"digits: {tmp_path / 'site'}: exists already, expected a new folder; remove it, or name another\n"
    )
    # A model whose is_digit comes from no softmax.
    model = write_model(tmp_path / "model.onnx", *nearest_mean(mnist.validation), rejecting=True, threshold="0.5")
    other = digits("page", tmp_path / "other", "--model", model)
    assert other.returncode == 3
    assert "layers that a browser cannot run here" in other.stderr
    assert not (tmp_path / "other").exists()
