"""The parts of the reference that are made from the code, in the place of `<!-- generated: NAME -->`."""

import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from inspect import cleandoc, getsource
from typing import Any, get_args, get_type_hints

import typer

from mnist_digits.cli import app
from mnist_digits.recognition import Reader
from mnist_digits.serving import create_app
from mnist_digits.training import RECIPES, Recipe


def fill(_: Any, __: str, source: list[str]) -> None:
    """Sphinx's event `source-read`: put the generated parts into a page's text."""
    source[0] = re.sub(r"<!-- generated: (\w+) -->", lambda match: "\n".join(PARTS[match[1]]()), source[0])


def table(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    """A table in Markdown, and an empty line."""
    for cells in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"
    yield ""


def text(words: str | None) -> str:
    """A help text without Typer's escapes and Rich's markup."""
    return re.sub(r"\[/?(bold|dim)\]", "", (words or "").replace("\\[", "["))


def commands() -> Iterator[str]:
    """Every subcommand of `digits` with its arguments, options and examples."""
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        usage = " ".join(
            [name, "[OPTIONS]", *(one.metavar if one.required else f"[{one.metavar}]" for one in arguments)]
        )
        yield f"## digits {name}\n\n```text\ndigits {usage}\n```\n\n{text(cleandoc(command.help))}\n"
        if arguments:
            yield from table(["argument", ""], [[f"`{one.metavar}`", text(one.help)] for one in arguments])
        options = [one for one in command.params if one not in arguments]
        for panel in dict.fromkeys(getattr(one, "rich_help_panel", None) for one in options):
            mine = [one for one in options if getattr(one, "rich_help_panel", None) == panel]
            yield from table([panel or "option", ""], [[option(one), explain(one)] for one in mine])
        yield f"```sh\n{command.epilog}\n```\n"


def option(one: Any) -> str:
    """An option and what it takes, as one types it."""
    metavar = "" if one.is_flag else f" {one.metavar or one.type.name.upper()}"
    return ", ".join(f"`{flag}{metavar}`" for flag in one.opts)


def explain(one: Any) -> str:
    """An option's help with its default, where the help does not give one."""
    default = one.default
    shown = default not in (None, False, "", [], ()) and not callable(default) and "[default" not in text(one.help)
    return text(one.help) + (f" [default: {getattr(default, 'value', default)}]" if shown else "")


def recipes() -> Iterator[str]:
    """Which fields each recipe changes."""
    plain = Recipe(name="")
    rows = []
    for recipe in RECIPES.values():
        changed = [field.name for field in fields(recipe) if getattr(recipe, field.name) != getattr(plain, field.name)]
        settings = (f"`{name}={getattr(recipe, name)}`" for name in changed if name != "name")
        rows.append([f"`{recipe.name}`", ", ".join(settings) or "the defaults"])
    yield from table(["recipe", "fields that differ from the defaults"], rows)


def recipe_fields() -> Iterator[str]:
    """Name, values, default and meaning of every field; the meaning is the string below it in the code."""
    meanings = dict(re.findall(r'^    (\w+): [^\n]+\n    """(.+?)"""', getsource(Recipe), re.DOTALL | re.MULTILINE))
    hints = get_type_hints(Recipe, include_extras=True)
    rows = []
    for field in fields(Recipe):
        default = f"`{field.default}`" if isinstance(field.default, bool | int | float | str) else ""
        meaning = re.sub(r"\s+", " ", meanings[field.name])
        rows.append([f"`{field.name}`", values(hints[field.name]), default, meaning])
    yield from table(["field", "values", "default", "meaning"], rows)


def values(hint: Any) -> str:
    """What a field of a recipe may hold: the description in its type, or its choices."""
    if described := [one.description for one in getattr(hint, "__metadata__", ()) if one.description]:
        return str(described[0])
    return " or ".join(f"`{choice}`" for choice in get_args(hint))


def routes() -> Iterator[str]:
    """Every route of the service, as its OpenAPI description has it."""
    description = create_app(Reader()).openapi()
    for path, methods in description["paths"].items():
        for method, route in methods.items():
            yield f"## {method.upper()} {path}\n\n{cleandoc(route.get('description', ''))}\n"
            if parameters := route.get("parameters"):
                rows = [[f"`{one['name']}`", one["in"], one.get("description", "")] for one in parameters]
                yield from table(["parameter", "in", ""], rows)
            if "requestBody" in route:
                yield f"Body: {', '.join(f'`{media_type}`' for media_type in route['requestBody']['content'])}\n"
            answers = route["responses"]
            for status in (status for status in answers if status < "400"):
                contents = " or ".join(shape(*content) for content in answers[status].get("content", {}).items())
                yield f"{status}: {answers[status]['description']} {contents}\n"
            if errors := ", ".join(sorted(status for status in answers if status >= "400")):
                yield f"Errors: {errors}\n"
    yield "## Objects\n"
    for name, schema in description["components"]["schemas"].items():
        yield f"### {name}\n\n{cleandoc(schema.get('description', ''))}\n"
        required = schema.get("required", [])
        rows = [
            [f"`{key}`" + ("" if key in required else " (optional)"), kind(value), value.get("description", "")]
            for key, value in schema.get("properties", {}).items()
        ]
        if rows:
            yield from table(["key", "type", ""], rows)


def shape(media_type: str, body: dict[str, Any]) -> str:
    """A media type, and of JSON which object it is."""
    schema = body.get("schema", {})
    return f"`{media_type}`" + (f": {kind(schema)}" if "json" in media_type and schema else "")


def kind(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema or "oneOf" in schema:
        return " or ".join(kind(one) for one in schema.get("anyOf", schema.get("oneOf")))
    if "const" in schema or "enum" in schema:
        return " or ".join(f'`"{value}"`' for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    return str(schema.get("type", "anything"))


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "recipes": recipes,
    "recipe_fields": recipe_fields,
    "routes": routes,
}
