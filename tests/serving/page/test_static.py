"""The page's files, and `/page.json`."""

import gzip
from collections.abc import Callable

import pytest

from helpers.asking import InProcess
from mnist_digits.serving import Settings
from mnist_digits.serving.page.static import WEB

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".md": "text/markdown; charset=utf-8",
    ".png": "image/png",
}
FILES = sorted(path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.is_file())


@pytest.mark.parametrize("file", FILES)
def test_each_file_is_sent_with_its_type_and_revalidated(ask: InProcess, file: str):
    answer = ask("GET", f"/{file}")
    assert answer.status_code == 200
    assert answer.content == (WEB / file).read_bytes()
    suffix = "." + file.rpartition(".")[2]
    assert answer.headers["Content-Type"] == TYPES[suffix]
    assert answer.headers["Cache-Control"] == "no-cache"
    again = ask("GET", f"/{file}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_root_is_the_page_compressed_where_that_is_accepted(ask: InProcess):
    page = (WEB / "index.html").read_bytes()
    plain = ask("GET", "/", headers={"Accept-Encoding": "identity"})
    packed = ask("GET", "/", headers={"Accept-Encoding": "gzip"})
    assert plain.content == packed.content == page
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(page)
    assert len(gzip.compress(page)) < len(page)
    assert ask("HEAD", "/").content == b""


@pytest.mark.parametrize(
    "path", ["/../app.py", "/..%2fapp.py", "/%2e%2e/app.py", "//etc/passwd", "/index.html%00", "/web/../../app.py"]
)
def test_nothing_else_is_sent(ask: InProcess, path: str):
    answer = ask("GET", path)
    assert answer.status_code == 404
    assert list(answer.json()) == ["error"]


def test_the_page_is_told_whether_there_is_a_playground_and_a_token(ask: InProcess, asking: Callable[..., InProcess]):
    assert ask("GET", "/v1/playground").status_code == 404
    facts = {"service": True, "label": False, "collect": False, "teach": False, "most_bytes": Settings().most_bytes}
    assert ask("GET", "/page.json").json() == {"playground": False, "token": False, **facts}
    guarded = asking(Settings(playground=True, token="a" * 16))
    assert guarded("GET", "/page.json").json() == {"playground": True, "token": True, **facts}
    assert guarded("GET", "/v1/playground").status_code == 401
