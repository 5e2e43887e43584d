"""`errors`: the command that installs an extra is one that works, wherever the package came from."""

import importlib.metadata
from pathlib import Path

import pytest

from mnist_digits.errors import install_command


class Installed:
    """Stands for an installed distribution."""

    def __init__(self, origin: str | None) -> None:
        self._origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._origin


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'mnist-digits[tune]'"),
        ("not JSON", "pip install 'mnist-digits[tune]'"),
        ('{"url": "file:///a%20b/c", "dir_info": {"editable": true}}', "pip install -e '/a b/c[tune]'"),
        ('{"url": "file:///a/b", "dir_info": {}}', "pip install '/a/b[tune]'"),
        (
            '{"url": "file:///a/digits.whl", "archive_info": {}}',
            "pip install 'mnist-digits[tune] @ file:///a/digits.whl'",
        ),
    ],
)
def test_an_extra_is_installed_from_where_the_package_came(
    monkeypatch: pytest.MonkeyPatch, origin: str | None, command: str
):
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed(origin))
    assert install_command("tune") == command


def test_in_its_folder_the_command_is_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    origin = f'{{"url": "{tmp_path.as_uri()}", "dir_info": {{"editable": true}}}}'
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed(origin))
    monkeypatch.chdir(tmp_path)
    assert install_command("tune") == "pip install -e '.[tune]'"
