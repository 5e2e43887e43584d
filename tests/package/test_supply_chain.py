"""What comes from elsewhere is pinned by version and hash, and an installation refuses what was changed."""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
SCRIPTS = [ROOT / "Makefile", *(path for path in (ROOT / ".ci").iterdir())]


def blocks() -> list[list[str]]:
    """The lines of constraints.txt by package: its version, then its files' hashes."""
    return [block.split() for block in CONSTRAINTS.replace("\\\n", " ").splitlines()]


def test_every_package_has_one_version_and_the_hashes_of_its_files():
    assert len(blocks()) > 150
    for words in blocks():
        version = Requirement(" ".join(word for word in words if not word.startswith("--hash=")))
        assert [one.operator for one in version.specifier] == ["=="], words[0]
        hashes = [word for word in words if word.startswith("--hash=")]
        assert hashes, words[0]
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), words[0]


def test_what_builds_the_package_is_pinned_too():
    assert {"hatchling", "editables"} <= {words[0].split("==")[0] for words in blocks()}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_whatever_is_installed_is_held_against_the_hashes(script: Path):
    commands = re.sub(r"\\\n\s*", "", script.read_text(encoding="utf-8"))
    for line in commands.splitlines():
        if re.search(r"uv[)\"]? pip (install|sync)", line):
            assert "--constraint constraints.txt" in line, line
        elif re.search(r"\bpip3? install|pip wheel", line):
            assert "--require-hashes" in line, line
        if re.search(r"uv[)\"]? build", line):
            assert "--build-constraints constraints.txt" in line, line


def write_wheel(folder: Path, content: str) -> str:
    """A wheel of one module; returns its hash."""
    folder.mkdir(exist_ok=True)
    path = folder / "honest-1.0-py3-none-any.whl"
    digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
    files = {
        "honest.py": content,
        "honest-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: honest\nVersion: 1.0\n",
        "honest-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "honest-1.0.dist-info/RECORD": f"honest.py,sha256={digest},{len(content)}\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_changed_file_is_not_installed(tmp_path: Path):
    """As make installs, from a folder instead of a registry."""
    options = re.search(r"^INSTALL = .* pip install (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert options
    uv = [sys.executable, "-m", "uv", "pip", "install", *options[1].split(), "--no-cache", "--offline", "--no-index"]
    command = [*uv, "--target", "installed", "--find-links", "wheels", "honest"]

    def install() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    digest = write_wheel(tmp_path / "wheels", "x = 1")
    (tmp_path / "constraints.txt").write_text(f"honest==1.0 --hash=sha256:{digest}\n")
    assert install().returncode == 0
    shutil.rmtree(tmp_path / "installed")
    write_wheel(tmp_path / "wheels", "x = 2")
    refused = install()
    assert refused.returncode != 0
    assert "Hash mismatch" in refused.stderr
    assert not list((tmp_path / "installed").glob("honest*"))
