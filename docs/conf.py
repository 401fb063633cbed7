"""Sphinx configuration; `make check` builds with warnings as errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "storagedriver"
author = "the storagedriver developers"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "examples", "tests"]
html_theme = "furo"
html_title = "storagedriver"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
# Docstrings are Markdown with Google-style sections; single backquotes stand for code.
default_role = "code"
napoleon_use_ivar = True
# The sections of Capabilities.
napoleon_custom_sections = [
    (name, "params_style") for name in ("Verbs", "Cost", "Promises", "Names", "Uploads", "Limits")
]


def fences_to_blocks(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turn fenced code of Markdown, which docstrings are written in, into code blocks."""
    converted: list[str] = []
    inside = False
    for line in lines:
        stripped = line.strip()
        if stripped.startswith("```"):
            indent = line[: len(line) - len(line.lstrip())]
            if not inside:
                converted += ["", f"{indent}.. code-block:: {stripped[3:] or 'text'}", ""]
            else:
                converted.append("")
            inside = not inside
        else:
            converted.append(f"    {line}" if inside and stripped else line)
    lines[:] = converted


def link_to_files(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to READMEs of drivers, which are no pages of the site, lead to the files."""
    source[0] = source[0].replace("](../drivers/", "](path:../drivers/")


def setup(app: Sphinx) -> None:
    """Run before napoleon, which would take the fences' content for sections."""
    app.connect("source-read", link_to_files)
    app.connect("autodoc-process-docstring", fences_to_blocks, priority=100)
