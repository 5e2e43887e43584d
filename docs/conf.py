"""How Sphinx builds this folder: `make docs`."""

import re
import sys
from pathlib import Path
from typing import Generic, TypeVar

import numpy.typing

sys.path.insert(0, str(Path(__file__).parent))


class NDArray(Generic[TypeVar("T")]):
    """Takes the place of numpy.typing's, which is shown as `ndarray[tuple[Any, ...], dtype[uint8]]`."""

    __module__ = "numpy.typing"


numpy.typing.NDArray = NDArray

import generated

import mnist_digits

project = "MNIST Digits"
version = release = mnist_digits.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "digits/README.md", "pages/README.md"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
python_use_unqualified_type_names = True
python_display_short_literal_types = True
# Docstrings are plain text whose backticks mark code.
default_role = "code"
# Types of other packages, which this site does not document.
nitpick_ignore_regex = [(r"py:.*", r"(?!mnist_digits).*"), (r"py:.*", r"mnist_digits\.(.*\.)?_?[A-Z]\w*")]

# Options begin with two hyphens, not with a dash.
smartquotes = False

html_theme = "furo"
html_title = "MNIST Digits"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False


def plain_text(app, what, name, obj, options, lines):
    """Take a docstring as plain text: code in backticks, paragraphs, lists, drawings; nothing else is markup."""
    blocks = "\n".join(lines).strip("\n").split("\n\n")
    for number, block in enumerate(blocks):
        if block.startswith(" "):
            blocks[number] = f"::\n\n{block}"
            continue
        if not block.startswith("- "):
            # What is continued with an indent is a paragraph all the same, and no list of definitions.
            block = re.sub(r"^ +", "", block, flags=re.MULTILINE)
        blocks[number] = re.sub(r"(`[^`]*`)|([*|\\]|_(?!\w))", lambda match: match[1] or f"\\{match[2]}", block)
    lines[:] = [*"\n\n".join(blocks).split("\n"), ""]


def setup(app):
    """Fill in what is generated from the code, and take docstrings as they are written."""
    app.connect("source-read", generated.fill)
    app.connect("autodoc-process-docstring", plain_text)
