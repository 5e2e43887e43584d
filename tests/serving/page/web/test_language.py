"""The page's languages: every phrase is in every language, and no English is left over."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from helpers.hand import LEFT, RIGHT, Open, draw

WEB = Path(__file__).parents[4] / "src" / "mnist_digits" / "serving" / "page" / "web"
LANGUAGES = {path.stem: path for path in sorted((WEB / "languages").glob("*.json"))}
CODE = sorted(WEB.rglob("*.js"))
ATTRIBUTES = ("aria-label", "alt", "placeholder", "title")
UNTRANSLATED = ("script", "style", "noscript")
VOID = ("br", "hr", "img", "input", "link", "meta")
STRING = re.compile(r'\s*\+?\s*"((?:[^"\\]|\\.)*)"')


def phrases_of_code(code: str) -> set[str]:
    """Those in t("…") and the last of plural(…, "…", "…"), put together where they are in parts."""
    code = re.sub(r"/\*.*?\*/|^\s*//.*?$", "", code, flags=re.DOTALL | re.MULTILINE)
    phrases = set()
    for call in re.finditer(r"(?<![\w.])(t\(|plural\([^,]+,)", code):
        arguments: list[str] = []
        at, parts = call.end(), ""
        while part := STRING.match(code, at):
            parts, at = parts + json.loads(f'"{part[1]}"'), part.end()
            if re.match(r"\s*,", code[at:]):
                arguments.append(parts)
                at, parts = code.index(",", at) + 1, ""
        arguments += [parts] if parts else []
        phrases.update(arguments[-1:])
    return phrases


@dataclass
class Element:
    """An element of a page. content: text and elements, in their order."""

    tag: str
    attributes: dict[str, str | None]
    content: list["Element | str"] = field(default_factory=list)

    @property
    def children(self) -> list["Element"]:
        return [child for child in self.content if isinstance(child, Element)]

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.content)

    @property
    def translated(self) -> bool:
        return self.tag not in UNTRANSLATED and self.attributes.get("translate") != "no"

    @property
    def inline(self) -> bool:
        """Whether its words belong to the phrase around it."""
        return self.translated and not self.children and has_letter(self.text)


class Tree(HTMLParser):
    """The elements of index.html."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open = [Element("document", {})]
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == self.open[-1].tag == "option":
            self.open.pop()
        element = Element(tag, dict(attrs))
        self.open[-1].content.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].content.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.open[-1].content.append(data)


def has_letter(text: str) -> bool:
    return any(letter.isalpha() for letter in text)


def tidy(text: str) -> str:
    return re.sub("[ \n\t]+", " ", text)


def phrases_of_page(element: Element) -> Iterator[str]:
    """Those of an element of index.html: js/language.js says how text with elements in it is written."""
    if not element.translated:
        return
    for name in ATTRIBUTES:
        if has_letter(value := element.attributes.get(name) or ""):
            yield value
    texts = [part for part in element.content if isinstance(part, str) and has_letter(part)]
    whole = len(texts) > 1 or (bool(texts) and any(child.inline for child in element.children))
    if whole:
        parts, place = "", 0
        for part in element.content:
            if isinstance(part, str):
                parts += part
                continue
            place += 1
            parts += f"<{place}>{tidy(part.text)}</{place}>" if part.inline else f"<{place}/>"
        yield tidy(parts).strip()
    else:
        yield from (tidy(text).strip() for text in texts)
    for child in element.children:
        if not (whole and child.inline):
            yield from phrases_of_page(child)


@pytest.fixture(scope="module")
def phrases() -> set[str]:
    """All that the page can say, in English."""
    code = {phrase for path in CODE if "own" not in path.parts for phrase in phrases_of_code(path.read_text("utf-8"))}
    html = (WEB / "index.html").read_text(encoding="utf-8")
    return code | set(phrases_of_page(Tree(html).open[0]))


@pytest.fixture(scope="module")
def own_phrases(phrases: set[str]) -> set[str]:
    """What only the views of own digits say: they are loaded when they are needed, with files of their own."""
    own = {phrase for path in CODE if "own" in path.parts for phrase in phrases_of_code(path.read_text("utf-8"))}
    return own - phrases


def slots(phrase: str) -> set[str]:
    """The {names} of a phrase and the elements <1>in it</1>."""
    return set(re.findall(r"\{\w+\}|</?\d+/?>", phrase))


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("part", ["", "own"])
def test_a_language_has_every_phrase_and_no_other(code: str, part: str, phrases: set[str], own_phrases: set[str]):
    language = json.loads((WEB / "languages" / part / f"{code}.json").read_text(encoding="utf-8"))
    phrases = own_phrases if part else phrases
    assert sorted(phrases - language.keys()) == [], "missing"
    assert sorted(language.keys() - phrases) == [], "superfluous"
    assert list(language) == sorted(language, key=str.casefold), "the phrases are in alphabetical order"
    for phrase, translation in language.items():
        forms = translation if isinstance(translation, dict) else {"other": translation}
        assert "other" in forms
        for form in forms.values():
            assert form == form.strip()
            assert slots(form) == slots(phrase), form


def words(page: Page) -> list[str]:
    """All texts and names in the page that are to be translated, also hidden ones."""
    return page.evaluate(
        """names => {
          const parts = [];
          for (const element of document.body.querySelectorAll("*")) {
            if (element.closest("[translate=no], script, style, noscript, #text")) continue;
            for (const name of names) parts.push(element.getAttribute(name) ?? "");
            for (const node of element.childNodes) if (node.nodeType === Node.TEXT_NODE) parts.push(node.data.trim());
          }
          return parts.filter(part => /\\p{L}/u.test(part));
        }""",
        ATTRIBUTES,
    )


def test_no_english_is_left_over(look: Open, phrases: set[str], root: Path):
    """In a language that writes every letter as a Cyrillic one."""

    def cyrillic(phrase: str) -> str:
        pieces = re.split(r"(\{\w+\}|<[^>]*>)", phrase)
        # The pieces between slots, every second one, are the text.
        return "".join(
            piece if at % 2 else re.sub("[a-zA-Z]", lambda letter: chr(0x430 + ord(letter[0]) % 32), piece)
            for at, piece in enumerate(pieces)
        )

    language = json.dumps({phrase: cyrillic(phrase) for phrase in phrases})
    page = look(locale="de-DE", routes={"**/languages/de.json": language})
    page.locator("#units canvas").first.wait_for()

    def check() -> None:
        # What is left are the names of files.
        assert [word for word in words(page) if re.search("[a-zA-Z]{2}", word.replace("note.jpg", ""))] == []

    check()
    draw(page, 7, LEFT)
    expect(page.locator("#shares-say")).to_contain_text("7")
    page.locator("#fool").click()
    expect(page.locator("#fooled-says")).to_contain_text("784")
    check()
    page.evaluate("scrollTo(0, 0)")
    draw(page, 2, RIGHT)
    page.locator("#pad-number button").first.wait_for()
    check()
    page.locator("nav a").nth(1).click()
    page.set_input_files("#file", [root / "docs" / "pages" / "note.jpg"] * 2)
    page.locator("#boxes button").nth(17).click()
    expect(page.locator("#which")).to_contain_text("2")
    check()
    page.locator("nav a").nth(2).click()
    page.locator("#epochs").select_option("1")
    page.locator("#start").click()
    page.locator("#learning canvas").first.wait_for()
    check()
    page.locator("#stop").click()


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_page_speaks_the_browsers_language_on_a_phone(look: Open, code: str):
    page = look(locale=code, viewport={"width": 360, "height": 740})
    language = json.loads(LANGUAGES[code].read_text(encoding="utf-8"))
    expect(page.locator("html")).to_have_attribute("lang", code)
    draw(page, 7)
    expect(page.locator("#inside-title")).to_have_text(language["Why a {digit}? Look inside"].replace("{digit}", "7"))
    for number, view in enumerate(("Draw", "Photo", "Train")):
        link = page.locator("nav a").nth(number)
        expect(link).to_have_text(language[view])
        link.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        # No word of a button is cut off, or in a second line.
        assert page.evaluate(
            "[...document.querySelectorAll('button, nav a')].every(one => one.scrollWidth <= one.clientWidth)"
        )
    # The categories of plural forms are those of the language.
    categories = page.evaluate("code => new Intl.PluralRules(code).resolvedOptions().pluralCategories", code)
    assert {form for forms in language.values() if isinstance(forms, dict) for form in forms} <= set(categories)


def test_numbers_and_plurals_are_the_languages_own(look: Open):
    page = look(locale="de-DE")
    say = "([what, ...rest]) => import('/js/language.js').then(language => language[what](...rest))"
    assert page.evaluate(say, ["number", 1234.5]) == "1.234,5"
    assert page.evaluate(say, ["number", 99, 1]) == "99,0"
    assert page.evaluate(say, ["plural", 1, "{count} line", "{count} lines"]) == "1 Zeile"
    assert page.evaluate(say, ["plural", 2, "{count} line", "{count} lines"]) == "2 Zeilen"
    # Chinese says the same of any number.
    assert look(locale="zh-CN").evaluate(say, ["plural", 1, "{count} line", "{count} lines"]) == "1 行"
    # What a language lacks is said in English.
    assert page.evaluate(say, ["plural", 1, "{count} cat", "{count} cats"]) == "1 cat"
    assert page.evaluate(say, ["t", "A {animal}", {"animal": "cat"}]) == "A cat"
    # The values of a menu are not translated.
    rate = page.locator("#learning_rate")
    assert rate.input_value() == "0.001"
    assert rate.evaluate("menu => menu.selectedOptions[0].textContent") == "0,001"
    english = look(locale="en-GB")
    assert english.evaluate(say, ["t", "Why a {digit}? Look inside", {"digit": 8}]) == "Why an 8? Look inside"


def test_another_language_can_be_chosen_and_is_kept(look: Open):
    page = look(locale="is-IS")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_label("Language").select_option("fr")
    expect(page.get_by_role("heading", name="Dessinez un chiffre")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Langue")).to_have_value("fr")
    page.get_by_label("Langue").select_option("English")
    expect(page.get_by_role("heading", name="Draw a digit")).to_be_visible()


def test_english_is_spoken_where_the_languages_file_is_missing(look: Open):
    page = look(locale="es", routes={"**/languages/es.json": "Not Found"})
    expect(page.get_by_role("heading", name="Draw a digit")).to_be_visible()
    draw(page, 7)
    expect(page.locator("#answer")).to_have_text("7")
