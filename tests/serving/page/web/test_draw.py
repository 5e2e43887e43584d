import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from helpers.hand import LEFT, RIGHT, Open, draw, touch

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def answers(page: Page, text: str) -> None:
    expect(page.locator("#answer")).to_have_text(text)


@pytest.mark.parametrize(("hand", "options"), [(draw, {}), (touch, PHONE)], ids=["mouse", "finger"])
def test_ten_digits_are_drawn_and_read(look: Open, hand: Callable[..., None], options: dict[str, Any]):
    page = look(**options)
    for digit in range(10):
        hand(page, digit)
        answers(page, str(digit))
        expect(page.locator("#bars .best")).to_contain_text(str(digit))
        # A finger on the pad does not scroll the page.
        assert page.evaluate("scrollY") == 0
        page.get_by_role("button", name="Clear").click()
        answers(page, "?")


def test_two_digits_side_by_side_are_a_number(look: Open):
    page = look()
    draw(page, 4, LEFT)
    answers(page, "4")
    draw(page, 2, RIGHT)
    answers(page, "42")
    names = page.locator("#pad-number button")
    assert [name.rstrip("?") for name in names.all_inner_texts()] == ["4", "2"]
    # Each of its digits can be looked at.
    for place, digit in enumerate("42"):
        names.nth(place).click()
        expect(page.locator("#bars .best")).to_contain_text(digit)
        expect(page.locator("#sure")).to_contain_text(f"Digit {place + 1} of 2")


def test_undo_takes_back_the_last_stroke_and_clear_all(look: Open):
    page = look()
    draw(page, 1, LEFT)
    answers(page, "1")
    draw(page, 7, RIGHT)
    answers(page, "17")
    page.keyboard.press("Control+z")
    answers(page, "1")
    page.get_by_role("button", name="Undo").click()
    answers(page, "?")
    expect(page.locator("#sure")).to_have_text("Nothing drawn yet")
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    draw(page, 7)
    answers(page, "7")
    page.keyboard.press("Delete")
    answers(page, "?")


def test_a_scribble_is_not_a_digit(look: Open):
    page = look()
    pad = page.locator("#pad").bounding_box()
    assert pad
    page.mouse.move(pad["x"] + 150, pad["y"] + 100)
    page.mouse.down()
    for number in range(60):
        across, down = (number * 137) % 280, (number * 89) % 240
        page.mouse.move(pad["x"] + 140 + across, pad["y"] + 90 + down)
    page.mouse.up()
    expect(page.locator("#sure")).to_have_text("That is not a digit to me")
    answers(page, "–")
    # The bars say so: whichever digit is likeliest, that it is one is not likely.
    share = page.locator("#bars .whether .share").inner_text().split()[0]
    assert float(share) < 30


def test_a_seven_is_drawn_with_the_keyboard_and_the_answer_is_spoken(look: Open):
    page = look()
    page.locator("#pad").focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    for key, count in (("ArrowRight", 11), ("ArrowDown", 5), ("ArrowLeft", 2), ("ArrowDown", 5), ("ArrowLeft", 2)):
        for _ in range(count):
            page.keyboard.press(key)
    for _ in range(9):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    answers(page, "7")
    expect(page.get_by_role("status").first).to_have_text(re.compile(r"7\. .*\ssure\."))


def test_nothing_is_wider_than_a_phone(look: Open):
    page = look(**{**PHONE, "viewport": {"width": 360, "height": 740}})
    for view in ("draw", "photo", "train"):
        page.evaluate("view => { location.hash = view; }", view)
        expect(page.locator(f"#{view}-view")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_token_is_asked_for_and_stored_until_the_window_is_closed(look: Open, guarded: tuple[str, str]):
    address, token = guarded
    page = look(at=address)
    field = page.locator("#token")
    field.fill(token)
    field.press("Enter")
    draw(page, 3)
    answers(page, "3")
    page.reload()
    draw(page, 5)
    answers(page, "5")
    assert page.evaluate("Object.values(sessionStorage)") == [token]
    assert page.evaluate("localStorage.length") == 0
    page.get_by_role("link", name="Photo").click()
    assert page.get_by_role("link", name="Train").count() == 0
