"""Which module may import which. The order is the layout comment of each package."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import storagedriver_core

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "storagedriver_core"
DRIVERS = sorted(path.name for path in (ROOT / "drivers").iterdir() if path.is_dir())
MEMBERS = {
    **{f"storagedriver_{name}": ROOT / "drivers" / name / "src" for name in DRIVERS},
    "storagedriver_testsuite": ROOT / "testsuite" / "src",
    "storagedriver_registry": ROOT / "registry" / "src",
}
# Imported in a function, by who looks for plugins: that they are there is no part of the package.
WHEN_ASKED = {("storagedriver_registry", "auth", "hooks")}
_LAYOUT = "# General layout"
WEB = {"aiohttp", "asgiref", "fastapi", "granian", "h11", "httptools", "starlette", "uvicorn"}


class Import(NamedTuple):
    """One imported module, and the name from it if there is one."""

    module: str
    name: str
    line: int


def imports_of(source: str) -> Iterator[Import]:
    """Give what the source imports, inside functions too, but not for type checkers alone."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            for alias in node.names:
                yield Import(node.module or "", alias.name, node.lineno)
        else:
            waiting.extend(ast.iter_child_nodes(node))


@functools.cache
def imports_in(path: Path) -> list[Import]:
    return list(imports_of(path.read_text(encoding="utf-8")))


def sources(folder: Path) -> Iterator[tuple[Path, list[Import]]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, imports_in(path)


def packages() -> Iterator[tuple[str, Path]]:
    """Give each package whose `__init__.py` says which of its modules may import which."""
    for source in (ROOT, *MEMBERS.values()):
        for init in sorted(source.glob("storagedriver_*/**/__init__.py")):
            if _LAYOUT in init.read_text(encoding="utf-8"):
                yield ".".join(init.parent.relative_to(source).parts), init.parent


PACKAGES = dict(packages())


def layout(folder: Path) -> list[str]:
    """Give the modules of a package in the order of its layout comment."""
    text = (folder / "__init__.py").read_text(encoding="utf-8")
    comment = text[text.index(_LAYOUT) :]
    rows = re.findall(r"^#   (\S.*?)(?:   .*)?$", comment, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"\w+", row)]


def modules(folder: Path) -> set[str]:
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    return files | {path.parent.name for path in folder.glob("*/__init__.py")} - {"tests"}


def module_in(package: str, imported: Import) -> str | None:
    """Give the module of a package that is imported; None for anything else."""
    if imported.module == package:
        return imported.name
    found = imported.module.removeprefix(f"{package}.")
    return None if found == imported.module else found.partition(".")[0]


def top(imported: Import) -> str:
    return imported.module.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_layout_names_every_module_once(package: str) -> None:
    assert sorted(layout(PACKAGES[package])) == sorted(modules(PACKAGES[package]))


@pytest.mark.parametrize("package", PACKAGES)
def test_module_imports_only_those_above_it(package: str) -> None:
    folder = PACKAGES[package]
    order = layout(folder)
    wrong = [
        f"{file.relative_to(ROOT)}:{one.line} imports {target}"
        for place, module in enumerate(order)
        for file in files_of(folder / module)
        for one in imports_in(file)
        if (target := module_in(package, one)) in modules(folder) - {module, *order[:place]}
        and (package, module, target) not in WHEN_ASKED
    ]
    assert not wrong, "\n".join(wrong)


def files_of(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


@pytest.mark.parametrize("member", MEMBERS)
def test_member_imports_only_public_names_of_the_core(member: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{one.line} imports {one.module} {one.name}"
        for path, imports in sources(MEMBERS[member])
        for one in imports
        if top(one) == "storagedriver_core"
        and (one.module != "storagedriver_core" or one.name not in ["", *public_names()])
    ]
    assert not wrong, "\n".join(wrong)


def public_names() -> list[str]:
    return storagedriver_core.__all__


@pytest.mark.parametrize("name", DRIVERS)
def test_driver_imports_no_other_member(name: str) -> None:
    others = set(MEMBERS) - {f"storagedriver_{name}"}
    wrong = [
        f"{path.relative_to(ROOT)}:{one.line} imports {one.module}"
        for path, imports in sources(MEMBERS[f"storagedriver_{name}"])
        for one in imports
        # A harness is for the testsuite, which imports it by name; nothing of the driver does.
        if top(one) in others
        and not (path.name == "harness.py" and top(one) == "storagedriver_testsuite")
    ]
    assert not wrong, "\n".join(wrong)


def test_testsuite_names_no_driver() -> None:
    names = {*DRIVERS, *(f"storagedriver_{name}" for name in DRIVERS)}
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} says {node.value!r}"
        for path in sorted(MEMBERS["storagedriver_testsuite"].rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    wrong += imports_from("storagedriver_testsuite", {f"storagedriver_{name}" for name in DRIVERS})
    assert not wrong, "\n".join(wrong)


def test_registry_reaches_drivers_by_name_alone() -> None:
    packages = {f"storagedriver_{name}" for name in DRIVERS} | {"storagedriver_testsuite"}
    assert not imports_from("storagedriver_registry", packages)


def test_storage_of_the_registry_knows_no_web_framework() -> None:
    assert not imports_from("storagedriver_registry", WEB, below="storage")


def test_client_of_registries_imports_nothing_of_the_server() -> None:
    shared = {"client", "digest", "manifest", "reference"}
    wrong = [
        f"{path.relative_to(ROOT)}:{one.line} imports {one.module}"
        for path, imports in sources(MEMBERS["storagedriver_registry"] / "storagedriver_registry")
        for one in imports
        if "client" in path.parts
        and top(one) == "storagedriver_registry"
        and one.module.split(".")[1:2] != []
        and one.module.split(".")[1] not in shared
    ]
    assert not wrong, "\n".join(wrong)


def imports_from(member: str, packages: set[str], below: str = "") -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{one.line} imports {one.module}"
        for path, imports in sources(MEMBERS[member] / member / below)
        for one in imports
        if top(one) in packages
    ]


def test_imports_are_found_wherever_they_stand() -> None:
    source = (
        "import a.b, c\n"
        "from d import e as f\n"
        "if TYPE_CHECKING:\n    import hidden\nelse:\n    import g\n"
        "def function():\n    from h.i import j\n"
    )
    found = {(one.module, one.name) for one in imports_of(source)}
    assert found == {("a.b", ""), ("c", ""), ("d", "e"), ("g", ""), ("h.i", "j")}
