"""The service as `digits serve` starts it, and Chromium to look at its page with."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from helpers.hand import Open

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def start(*options: str) -> tuple[subprocess.Popen[str], str]:
    """A service, and its address."""
    command = [sys.executable, "-m", "mnist_digits", "serve", "--port", "0", *options]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    found = re.search(r"http://\S+", service.stdout.readline())
    assert found
    return service, found[0]


def end(service: subprocess.Popen[str]) -> None:
    """End a service as an administrator would. With it goes what it has started, however many look at its page."""
    begun = psutil.Process(service.pid).children(recursive=True)
    service.send_signal(signal.SIGTERM)
    with service:
        assert service.wait(20) == 0
    _, alive = psutil.wait_procs(begun, 10)
    assert not alive


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    service, address = start("--playground")
    yield address
    end(service)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a service that asks for a token, and the token."""
    token = "open-sesame-open-sesame"
    file = tmp_path_factory.mktemp("token") / "token.txt"
    file.write_text(token)
    service, address = start("--token-file", str(file))
    yield address, token
    end(service)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: the page is not tested")
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM)
    yield browser
    browser.close()


@pytest.fixture
def look(browser: Browser, address: str) -> Iterator[Open]:
    """Opens the page in a window of its own; afterwards nothing must have gone wrong in it, or left for elsewhere."""
    contexts, wrong, asked = [], [], []

    def look(view: str = "draw", at: str | None = None, **options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{at or address}/#{view}")
        return page

    yield look
    for context in contexts:
        context.close()
    assert not wrong
    hosts = {url.split("/")[2] for url in asked if not url.startswith(("blob:", "data:"))}
    assert all(host.split(":")[0] == "127.0.0.1" for host in hosts)


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parents[3]
