"""Licences of all that an installation brings: listed in docs/reference/licences.md, and compatible with MIT.

Run as a program, this writes the list anew: `make licences`.
"""

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "licences.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BEGIN, END = "<!-- list -->\n", "<!-- end of list -->\n"
EXTRAS = ("", "train", "jax", "tune", "cluster", "litert", "heic", "pdf", "mlflow", "wandb", "dev")
"""Extras that can be installed beside each other; "" is an installation without any."""

OLDEST_PYTHON = (3, 11)
"""The Python that the list is made with; newer ones get newer versions of some packages, with other metadata."""

PERMISSIVE = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU"),
    *("PSF-2.0", "Zlib"),
}
"""Licences that ask for their text to be handed on, and no more."""

WEAK_COPYLEFT = {"MPL-2.0", "LGPL-3.0-only"}
"""Licences that ask for changes of the package itself to be published; what only imports it keeps its own licence."""

NAMES = (
    # Two licences come before their names alone.
    (r"MPL-2\.0 AND MIT", "MPL-2.0 AND MIT"),
    (r"Apache|ASL 2", "Apache-2.0"),
    (r"MPL|Mozilla Public", "MPL-2.0"),
    (r"3-Clause|Kiwi licensing|BSD 3", "BSD-3-Clause"),
    (r"2-Clause", "BSD-2-Clause"),
    (r"BSD", "BSD"),
    (r"ISC", "ISC"),
    (r"\bMIT\b", "MIT"),
    (r"Python Software Foundation|License agreement for matplotlib", "PSF-2.0"),
)
"""What packages call their licence → its SPDX identifier. BSD stands for one of the family."""

FROM_THEIR_FILES = {"axe-playwright-python": "MIT", "namex": "Apache-2.0"}
"""Packages whose metadata say nothing → what the file LICENSE in them says."""

STRONG_COPYLEFT = re.compile(r"lib(x26[45]|postproc|xvidcore|fdk-aac|readline|gmp)\b")
"""Shared libraries under the GPL that wheels are known to bring without their metadata saying so."""


@cache
def installed(extra: str) -> dict[str, Distribution]:
    """All that this package needs on this machine with an extra, by name."""
    found, seen, remaining = dict[str, Distribution](), set[tuple[str, str]](), [(PROJECT["name"], extra)]
    while remaining:
        name, wanted = asked = remaining.pop()
        if asked in seen:
            continue
        seen.add(asked)
        if name == PROJECT["name"]:
            # Not from its own metadata, which are as old as its installation.
            requires = PROJECT["dependencies"] + PROJECT["optional-dependencies"].get(wanted, [])
        else:
            found[name] = distribution(name)
            requires = found[name].requires or []
        for requirement in map(Requirement, requires):
            if not requirement.marker or requirement.marker.evaluate({"extra": wanted}):
                needed = canonicalize_name(requirement.name)
                remaining += [(needed, ""), *((needed, more) for more in requirement.extras)]
    return found


def licence_of(name: str, package: Distribution) -> str:
    """The SPDX expression, from a package's metadata."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [one for one in metadata.get_all("Classifier") or [] if one.startswith("License ::")]
    # Some have the whole text where the name belongs.
    for said in (*(metadata.get("License") or "")[:200].splitlines()[:1], *classifiers):
        for pattern, identifier in NAMES:
            if re.search(pattern, said):
                return identifier
    return FROM_THEIR_FILES[name]


def is_compatible(expression: str) -> bool:
    """Whether what is under MIT may use what is under this: every part of it, of alternatives at least one."""
    return all(
        any(choice.strip(" ()") in PERMISSIVE | WEAK_COPYLEFT for choice in part.split(" OR "))
        for part in expression.split(" AND ")
    )


def listing() -> Iterator[str]:
    """The lines of the page: for each extra, the licences of what it brings beyond an installation without it."""
    base = installed("")
    for extra in EXTRAS:
        by_licence = defaultdict(list)
        for name, package in sorted(installed(extra).items()):
            if not extra or name not in base:
                by_licence[licence_of(name, package)].append(name)
        yield f"## {f'The extra `{extra}`' if extra else 'Without an extra'}\n\n"
        yield "| licence | packages |\n|---|---|\n"
        yield from (f"| {licence} | {', '.join(names)} |\n" for licence, names in sorted(by_licence.items()))
        yield "\n"


def listed() -> dict[tuple[str, str], str]:
    """Extra and package → licence, as the page says."""
    found, extra = {}, ""
    for line in PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].splitlines():
        if heading := re.match(r"## The extra `(\w+)`", line):
            extra = heading[1]
        elif (cells := re.match(r"\| (.+) \| (.+) \|", line)) and cells[1] != "licence":
            found |= {(extra, name): cells[1] for name in cells[2].split(", ")}
    return found


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_licence_is_listed_and_compatible(extra: str):
    try:
        packages = installed(extra)
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    base, page = installed(""), listed()
    licences = {name: licence_of(name, package) for name, package in packages.items()}
    assert {name: licence for name, licence in licences.items() if not is_compatible(licence)} == {}
    mine = {name: licence for name, licence in licences.items() if not extra or name not in base}
    assert {(extra, name) for name in mine} <= page.keys(), "make licences"
    if sys.version_info[:2] == OLDEST_PYTHON:
        assert {name: page[extra, name] for name in mine} == mine, "make licences"


@pytest.mark.parametrize("extra", [extra for extra in EXTRAS if extra != "dev"])
def test_no_wheel_brings_a_library_under_the_gpl(extra: str):
    try:
        packages = installed(extra)
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    files = [(name, file.name) for name, package in packages.items() for file in package.files or ()]
    assert [(name, file) for name, file in files if STRONG_COPYLEFT.match(file)] == []


def test_nothing_is_listed_that_is_not_pinned():
    pinned = re.findall(r"^([a-z0-9-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert {name for _, name in listed()} <= set(pinned)


@pytest.mark.parametrize("expression", ["GPL-3.0-only", "MIT AND AGPL-3.0-only", "Proprietary", "GPL-2.0-only OR SSPL"])
def test_what_is_incompatible_is_told_apart(expression: str):
    assert not is_compatible(expression)
    assert is_compatible(f"{expression} OR MIT".replace(" AND ", " OR "))


if __name__ == "__main__":
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + "".join(listing()) + END + rest.split(END)[1], encoding="utf-8")
