"""Partial responses: `fields=a,b(c,d/e)`.

Source: json_api, "Performance tips", "Partial response".
"""

from __future__ import annotations

from typing import Any

from ._errors import ApiError

Tree = dict[str, "Tree | None"]


def select(document: Any, fields: str | None) -> Any:
    """Give what `fields` asks of a document; all of it without."""
    return document if not fields else _pick(document, _parse(fields))


def _pick(document: Any, tree: Tree) -> Any:
    if isinstance(document, list):
        return [_pick(entry, tree) for entry in document]
    if "*" in tree:
        return document
    return {
        name: document[name] if below is None else _pick(document[name], below)
        for name, below in tree.items()
        if name in document
    }


def _parse(text: str) -> Tree:
    tree, end = _parse_list(text, 0)
    if end != len(text):
        raise ApiError(400, f"Invalid field selection {text}")
    return tree


def _parse_list(text: str, at: int) -> tuple[Tree, int]:
    tree: Tree = {}
    while True:
        start = at
        while at < len(text) and (text[at].isalnum() or text[at] in "*_"):
            at += 1
        name = text[start:at]
        if not name:
            raise ApiError(400, f"Invalid field selection {text}")
        below: Tree | None = None
        if at < len(text) and text[at] == "/":
            rest = at + 1
            while at < len(text) and text[at] not in ",)":
                at += 1
            below = _parse(text[rest:at])
        elif at < len(text) and text[at] == "(":
            below, at = _parse_list(text, at + 1)
            if at >= len(text) or text[at] != ")":
                raise ApiError(400, f"Invalid field selection {text}")
            at += 1
        tree[name] = below
        if at >= len(text) or text[at] != ",":
            return tree, at
        at += 1
