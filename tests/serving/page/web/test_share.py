"""The page as it is shared: opened by an address with a token, by several people at the same time."""

import re

from playwright.sync_api import Browser, expect

from helpers.hand import Open, draw


def test_a_token_in_the_address_is_taken_out_of_it_and_kept(look: Open, guarded: tuple[str, str]):
    address, token = guarded
    page = look(f"token={token}", at=address)
    page.locator("#units canvas").first.wait_for()
    assert page.url == f"{address}/"
    assert page.locator("#ask").is_hidden()
    draw(page, 7)
    expect(page.locator("#answer")).to_have_text("7")
    page.reload()
    page.locator("#units canvas").first.wait_for()
    assert page.locator("#ask").is_hidden()
    # It also comes into a page that is open.
    page.goto(f"{address}/#token={token}")
    page.locator("#units canvas").first.wait_for()
    expect(page).to_have_url(f"{address}/")


def test_a_training_is_stopped_by_whoever_started_it(browser: Browser, address: str):
    # Not with `look`: a browser logs a refusal as an error.
    first, second = [
        browser.new_context(extra_http_headers={"X-Forwarded-For": f"192.168.1.{number}"}).new_page()
        for number in (2, 3)
    ]
    for page in (first, second):
        page.goto(f"{address}/#train")
    first.locator("#epochs").select_option("50")
    first.locator("#start").click()
    expect(second.locator("#stage")).to_have_text(re.compile("Epoch|first epoch|Getting ready"))
    with second.expect_response(lambda answer: answer.status == 403):
        second.locator("#stop").click()
    expect(second.get_by_role("alert")).to_contain_text("Somebody else started this training")
    first.locator("#stop").click()
    expect(first.locator("#stage")).to_contain_text("Stopped")
