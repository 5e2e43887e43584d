import gzip
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from helpers.hand import LEFT, RIGHT, Open, draw

MAX_PAGE_BYTES = 150_000
WEB = Path(__file__).parents[4] / "src" / "mnist_digits" / "serving" / "page" / "web"


def violations(page: Page) -> list[str]:
    """Serious and critical violations of accessibility rules that axe finds."""
    return [
        f"{violation['id']}: {node['html']}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(look: Open, scheme: str, root: Path):
    page = look(color_scheme=scheme, reduced_motion="reduce")
    # The page follows the colour scheme, and without motion nothing moves.
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(value) for value in re.findall(r"\d+", ground)[:3]) / 3
    assert (brightness > 128) == (scheme == "light")
    bar = page.locator("#bars .bar").first
    assert bar.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"
    draw(page, 7, LEFT)
    expect(page.locator("#answer")).to_have_text("7")
    expect(page.locator("#shares-say")).to_contain_text("against a 7")
    assert violations(page) == []
    draw(page, 2, RIGHT)
    page.locator("#pad-number button").first.wait_for()
    assert violations(page) == []
    page.get_by_role("link", name="Photo").click()
    page.set_input_files("#file", root / "docs" / "pages" / "note.jpg")
    page.locator("#boxes button").nth(17).click()
    assert violations(page) == []
    page.get_by_role("link", name="Train").click()
    expect(page.locator("#stage")).not_to_be_empty()
    assert violations(page) == []


@pytest.mark.parametrize("locale", ["en", "fr"])
def test_the_pad_works_after_few_bytes(look: Open, locale: str):
    page = look(locale=locale)
    page.locator("#sample-digits button").first.wait_for()
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.reload()
    page.locator("#sample-digits button").first.wait_for()
    address, _, _ = page.url.partition("#")
    paths = [url.removeprefix(address) or "index.html" for url in urls]
    # What is loaded before the network and what stands below the pad.
    files = [WEB / path for path in paths[: paths.index("v1/inside/reader.bin")] if path != "page.json"]
    assert ("languages" in [path.parent.name for path in files]) == (locale == "fr")
    assert WEB / "js" / "pad.js" in files
    assert sum(path.stat().st_size for path in files) <= MAX_PAGE_BYTES
    # Compressed, as it is transferred, it is a third of that.
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= MAX_PAGE_BYTES / 3


def test_nothing_is_inline_or_from_elsewhere(look: Open):
    page = look()
    policy = page.request.get(page.url).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    for path in (path for path in WEB.rglob("*") if path.is_file() and path.suffix not in (".jpg", ".png")):
        text = path.read_text(encoding="utf-8")
        assert "http://" not in text.replace("http://www.w3.org/", "")
        assert "https://" not in text
    html = (WEB / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?! type=\"module\" src=)", html)


def test_everything_is_reached_with_the_tab_key(look: Open):
    page = look()
    page.locator("#units canvas").first.wait_for()
    names = []
    for _ in range(9):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert names[:5] == ["Skip to the content", "MNIST Digits", "Draw", "Photo", "train-link"]
    assert "pad" in names
    assert "pen" in names
