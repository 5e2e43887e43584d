"""The service as `digits serve` starts it, and Chromium in which its page is tested."""

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from helpers.asking import serving
from helpers.hand import Open

# What is expected comes when a busy machine comes to it; what does not come is a failure however late it is said.
expect.set_options(timeout=120_000)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving("--playground", "--keep-runs", tmp_path_factory.mktemp("kept") / "runs") as (service, address):
        yield address
        # SIGTERM also ends the training process, although pages are still open.
        started = psutil.Process(service.pid).children(recursive=True)
        service.terminate()
        assert service.wait(60) == 0
        assert not psutil.wait_procs(started, 60)[1]


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a service that needs a token, and the token."""
    token = "open-sesame-open-sesame"
    file = tmp_path_factory.mktemp("token") / "token.txt"
    file.write_text(token)
    with serving("--token-file", file) as (_, address):
        yield address, token


# Not for the whole session: where Playwright runs, asyncio cannot.
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
    """Opens the page in a context of its own; fails on console errors and requests to other hosts."""
    contexts, errors, urls = [], [], []

    def look(
        view: str = "draw", at: str | None = None, routes: dict[str, str] | None = None, **options: object
    ) -> Page:
        """routes: pattern of an address → what it is answered with instead."""
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        for pattern, body in (routes or {}).items():
            context.route(pattern, functools.partial(lambda body, route: route.fulfill(body=body), body))
        contexts.append(context)
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: urls.append(request.url))
        page.goto(f"{at or address}/#{view}")
        return page

    yield look
    for context in contexts:
        context.close()
    assert not errors
    hosts = {url.split("/")[2] for url in urls if not url.startswith(("blob:", "data:"))}
    assert all(host.split(":")[0] == "127.0.0.1" for host in hosts)


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parents[4]
