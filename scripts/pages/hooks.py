"""`docs/hooks.md`, from the hook specifications of the core and of the registry."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from types import ModuleType

from storagedriver_registry import hookspecs as registry_hookspecs

from pages.text import block, code, docstring, entries, note, prose, table
from storagedriver_core import hookspecs

_HEAD = f"""\
{note("the modules `hookspecs` of storagedriver_core and storagedriver_registry")}

# Hooks

A plugin is a package that is installed: its entry point names a module, and functions of that
module implement hooks. `storagedriver drivers` lists what plugins have registered, and says of each
that cannot be used why not, and which package it is of. [](writing-a-driver.md) makes a whole one.
"""

_CONTROLLERS = """\
What an access controller is, and what it is given, is in the [API](api.md#the-registry).
"""


def page() -> str:
    """Give the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## Hooks of a storage\n"
    yield from _hooks(hookspecs)
    yield "## Hooks of the registry\n"
    yield from _hooks(registry_hookspecs)
    yield _CONTROLLERS


def _hooks(module: ModuleType) -> Iterator[str]:
    # Without its first line, which is for who reads the module.
    yield f"{docstring(module).partition(chr(10))[2].strip()}\n"
    for name, value in vars(module).items():
        if inspect.isfunction(value) and name.startswith(f"{module.PROJECT_NAME}_"):
            yield from _hook(value)
    for name, value in vars(module).items():
        if inspect.isclass(value) and name.endswith("Spec"):
            yield from _spec(value)


def _hook(hook: object) -> Iterator[str]:
    name = getattr(hook, "__name__", "")
    signature = str(inspect.signature(hook)).replace("'", "")  # type: ignore[arg-type]  # a function
    yield f"### `{name}`\n\n```text\ndef {name}{signature}: ...\n```\n\n{prose(hook)}\n"
    arguments = entries(hook, "Args")
    yield from table(("argument", "meaning"), ((code(k), v) for k, v in arguments.items()))
    returns = block(hook, "Returns")
    if returns:
        yield f"Returns: {returns}\n"


def _spec(spec: type) -> Iterator[str]:
    yield f"### `{spec.__name__}`\n\n{prose(spec)}\n"
    meanings = entries(spec, "Attributes")
    yield from table(
        ("field", "type", "default", "meaning"),
        (
            (code(field.name), code(field.type), _default(field), meanings[field.name])
            for field in dataclasses.fields(spec)
        ),
    )


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return code(field.default)
    return "required" if field.default_factory is dataclasses.MISSING else "empty"
