"""The driver that `docs/writing-a-driver.md` builds, step by step, from the blocks of the page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "writing-a-driver.md"
_STEP = re.compile(r"^## Step (\d+): .*\n((?:(?!^## ).*\n)*)", re.MULTILINE)
_BLOCK = re.compile(r"^```(?:python|toml)\n# (\S+\.(?:py|toml))\n(.*?)^```$", re.M | re.S)


def steps() -> dict[int, list[tuple[str, str]]]:
    """Give the blocks of each step: the file that each is for, and its text."""
    page = PAGE.read_text(encoding="utf-8")
    return {int(number): _BLOCK.findall(text) for number, text in _STEP.findall(page)}


def take_step(number: int, folder: Path) -> None:
    """Do in a folder what the reader of one step does."""
    for name, text in steps()[number]:
        file = folder / name
        # A whole module has its docstring; what has none adds to what is there.
        if name.endswith(".py") and ast.get_docstring(ast.parse(text)) is None and number > 1:
            text = _added(file.read_text(encoding="utf-8"), text)
        file.write_text(text, encoding="utf-8")


def _added(module: str, block: str) -> str:
    """Give the source of a module with a block of the page."""
    tree = ast.parse(module)
    _add(tree.body, ast.parse(block).body)
    return ast.unparse(ast.fix_missing_locations(tree))


def _add(body: list[ast.stmt], more: list[ast.stmt]) -> None:
    """Add statements: each takes the place of the one of its name, or comes last."""
    places = {_name(node): index for index, node in enumerate(body)}
    for node in more:
        if _is_ellipsis(node):
            continue
        place = places.get(_name(node))
        old = body[place] if place is not None else None
        if isinstance(node, ast.ImportFrom):
            _import(body, node)
        elif place is None:
            body.append(node)
        elif isinstance(node, ast.ClassDef) and isinstance(old, ast.ClassDef) and _adds(node):
            _add(old.body, node.body)
        elif _is_call_that_adds(node):
            assert isinstance(node, ast.Assign) and isinstance(old, ast.Assign)
            assert isinstance(node.value, ast.Call) and isinstance(old.value, ast.Call)
            old.value.keywords += node.value.keywords
        else:
            body[place] = node


def _import(body: list[ast.stmt], wanted: ast.ImportFrom) -> None:
    (known,) = (
        node for node in body if isinstance(node, ast.ImportFrom) and node.module == wanted.module
    )
    known.names += wanted.names


def _adds(node: ast.ClassDef) -> bool:
    return any(map(_is_ellipsis, node.body))


def _is_call_that_adds(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Assign) else None
    return isinstance(call, ast.Call) and any(
        isinstance(argument, ast.Constant) and argument.value is ... for argument in call.args
    )


def _is_ellipsis(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and value.value is ...


def _name(node: ast.stmt) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return ast.unparse(node)


def members(source: str) -> list[str]:
    """Give all that a module has, in an order that does not depend on where it stands."""
    return sorted(_members(ast.parse(source).body, ""))


def _members(body: list[ast.stmt], within: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield f"{within}class {node.name}({', '.join(map(ast.unparse, node.bases))})"
            yield from _members(node.body, f"{within}{node.name}.")
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{within}from {node.module} import {one.name}" for one in node.names)
        else:
            for call in ast.walk(node):
                if isinstance(call, ast.Call):
                    call.keywords.sort(key=lambda keyword: keyword.arg or "")
            yield f"{within}{ast.unparse(node)}"
