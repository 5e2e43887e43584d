"""Renders the templates, with filters that format numbers, settings and names."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mnist_digits.errors import printable


def render(template: str, **content: Any) -> str:
    """The text of a template, a file in `templates/`, with the content filled in.

    Everything is escaped in HTML; templates of other formats use the filters `quote` and `plain`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters |= {
        "percent": _percent,
        "table": _flatten,
        "quote": _quote,
        "plain": _plain,
        "rounded": rounded,
    }
    return environment.get_template(template).render(content)


def _shown(value: Any) -> Any:
    """What is put into a template: of names, nothing that a terminal or a browser would take for a command."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return re.sub(r"[^\n\N{NO-BREAK SPACE}]+", lambda found: printable(found[0]), value)


def _percent(fraction: float, decimals: int = 2) -> str:
    return f"{100 * fraction:.{decimals}f}\N{NO-BREAK SPACE}%"


def rounded(value: Any) -> str:
    """A number with three significant digits; anything else as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _flatten(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested names and values as the rows of a table: (name, value)."""
    rows = []
    for name, value in content.items():
        words = prefix + name.replace("_", " ")
        rows += _flatten(value, f"{words}: ") if isinstance(value, Mapping) else [(words, _in_words(value))]
    return rows


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_in_words, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else printable(str(value))


def _quote(text: str) -> str:
    """As a quoted string of YAML, JSON and Python."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in quoted)


def _plain(text: str) -> str:
    """As one line of Markdown in which no character has a special meaning."""
    # Between letters, an underscore has none.
    return re.sub(r"([\\`*\[\]<>|&#~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(text.split()))
