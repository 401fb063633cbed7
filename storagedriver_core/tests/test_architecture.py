"""Which module may import which. The order is the layout comment of `storagedriver_core`."""

from __future__ import annotations

import ast
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
WEB = {"aiohttp", "asgiref", "fastapi", "granian", "h11", "starlette", "uvicorn"}


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


def sources(folder: Path) -> Iterator[tuple[Path, list[Import]]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, list(imports_of(path.read_text(encoding="utf-8")))


def layout() -> list[str]:
    """Give the core's modules in the order of the layout comment."""
    text = (CORE / "__init__.py").read_text(encoding="utf-8")
    comment = text[text.index("# General layout") : text.index("# Everything public")]
    rows = re.findall(r"^#   (\S.*?)(?:   .*)?$", comment, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"\w+", row)]


def core_modules() -> set[str]:
    files = {path.stem for path in CORE.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in CORE.glob("*/__init__.py")} - {"tests"}
    return files | packages


def core_module(imported: Import) -> str | None:
    """Give the module of the core that is imported; None for anything else."""
    package, _, rest = imported.module.partition(".")
    if package != "storagedriver_core":
        return None
    return (rest or imported.name).partition(".")[0]


def top(imported: Import) -> str:
    return imported.module.partition(".")[0]


def test_layout_names_every_module_of_the_core_once() -> None:
    assert sorted(layout()) == sorted(core_modules())


@pytest.mark.parametrize("module", layout())
def test_module_of_the_core_imports_only_those_above_it(module: str) -> None:
    order = layout()
    allowed = set(order[: order.index(module)])
    place = CORE / module
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    wrong = [
        f"{file.relative_to(ROOT)}:{one.line} imports {target}"
        for file in files
        for one in imports_of(file.read_text(encoding="utf-8"))
        if (target := core_module(one)) is not None and target not in allowed | {module}
    ]
    assert not wrong, "\n".join(wrong)


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
