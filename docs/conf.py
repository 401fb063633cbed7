"""Sphinx configuration; `make check` builds with warnings as errors."""

from __future__ import annotations

project = "storagedriver"
author = "the storagedriver developers"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = "storagedriver"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# Docstrings are Markdown with Google-style sections; single backquotes stand for code.
default_role = "code"
