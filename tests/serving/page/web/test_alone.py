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
    expect(page.locator("#answer")).to_have_text("42")
    expect(page.locator("#pad-number button")).to_have_count(2)
    page.locator("#pad-number button").nth(1).click()
    expect(page.locator("#sure")).to_contain_text("Digit 2 of 2")
    expect(page.locator("#alone")).to_contain_text("digits serve")
    page.get_by_role("link", name="Photo").click()
    expect(page.locator("#photo-alone")).to_contain_text("digits serve")
    assert page.locator("#drop").is_hidden()


def test_numbers_are_read_whose_digits_stand_apart(look: Open, static: str):
    page = look(at=static)
    page.locator("#units canvas").first.wait_for()
    found = {}
    for left in range(10):
        right = (left + 5) % 10
        draw(page, left, LEFT)
        draw(page, right, RIGHT)
        found[f"{left}{right}"] = page.locator("#answer").inner_text()
        page.get_by_role("button", name="Clear").click()
    assert sum(number == text for number, text in found.items()) >= 9, found


def test_digits_that_touch_are_not_guessed(look: Open, static: str):
    page = look(at=static)
    page.locator("#units canvas").first.wait_for()
    draw(page, 4, LEFT)
    draw(page, 2, RIGHT)
    pad = page.locator("#pad").bounding_box()
    assert pad is not None
    # A stroke through both.
    page.mouse.move(pad["x"] + 0.1 * pad["width"], pad["y"] + 0.5 * pad["height"])
    page.mouse.down()
    page.mouse.move(pad["x"] + 0.9 * pad["width"], pad["y"] + 0.5 * pad["height"], steps=5)
    page.mouse.up()
    expect(page.locator("#pad-number")).to_be_hidden()
    expect(page.locator("#answer")).to_have_text("–")
