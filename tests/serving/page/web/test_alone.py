"""The page as static files, without the service."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from helpers.hand import LEFT, RIGHT, Open, draw
from mnist_digits.recognition import Classifier
from mnist_digits.serving.middleware import CONTENT_SECURITY_POLICY
from mnist_digits.serving.page.static import write_page


class Quiet(SimpleHTTPRequestHandler):
    """What `python -m http.server` serves files with."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "site"
    write_page(folder, Classifier())
    return folder


@pytest.fixture
def static(site: Path) -> Iterator[str]:
    """The address of the page on a server of static files."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_is_small_and_guards_itself(site: Path):
    files = [path for path in site.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 1_000_000
    policy = CONTENT_SECURITY_POLICY.partition("; frame-ancestors")[0]
    assert f'http-equiv="Content-Security-Policy" content="{policy}"' in (site / "index.html").read_text()


def test_digits_are_read_and_explained_with_the_network_cut(look: Open, static: str):
    page = look(at=static)
    page.locator("#units canvas").first.wait_for()
    assert page.get_by_role("link", name="Train").count() == 0
    page.context.set_offline(True)
    for digit in (2, 7):
        draw(page, digit)
        expect(page.locator("#answer")).to_have_text(str(digit))
        expect(page.locator("#shares-say")).to_contain_text(f"against a {digit}")
        page.get_by_role("button", name="Clear").click()
    draw(page, 4, LEFT)
    draw(page, 2, RIGHT)
    expect(page.locator("#sure")).to_contain_text("the page alone reads one at a time")
    expect(page.locator("#alone")).to_contain_text("digits serve")
    page.get_by_role("link", name="Photo").click()
    expect(page.locator("#photo-alone")).to_contain_text("digits serve")
    assert page.locator("#drop").is_hidden()
