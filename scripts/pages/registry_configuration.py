"""`docs/registry-configuration.md`, from the models of the registry's configuration."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel
from storagedriver_registry.configuration.models import Settings
from storagedriver_registry.configuration.support import SUPPORT, find_support

from pages.text import entries, note, summary

_HEAD = f"""\
{note("the models in registry/src/storagedriver_registry/configuration")}

# Every key of the registry's configuration

The keys of docker/distribution's `config.yml`, version 0.1, as versions 2.8 and 3 of it document
them, and what this registry does with each. What a key is for, is shown by an example in
[The registry](registry.md); the parameters of a driver are in its own README, and those of access
controllers in the same page. Times are written as Go has them: `90s`, `10m30s`, `1.5h`; a number
alone is nanoseconds.

A key that is given and not acted on is a warning at the start, with file and line.
"""

_DRIVERS = """\
## Parameters of drivers that are not acted on

They are taken, in distribution's spellings, and warned about.
"""


class _Key(NamedTuple):
    """A key that holds no others by the models."""

    name: str
    default: str
    meaning: str


class _Group(NamedTuple):
    """Keys of one mapping."""

    name: str
    summary: str
    keys: list[_Key]


def page() -> str:
    """Give the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    groups = list(_groups(Settings, ""))
    for group in groups:
        yield from _table(group)
    yield _DRIVERS
    yield "| key | |"
    yield "|---|---|"
    read = [key.name for group in groups for key in group.keys]
    for name, support in SUPPORT.items():
        is_of_a_driver = not any(f"{key}.".startswith(f"{name}.") for key in read)
        if name.startswith("storage.") and support.state != "acted on" and is_of_a_driver:
            yield f"| `{name}` | {support} |"
    yield ""


def _table(group: _Group) -> Iterator[str]:
    said = {_support(key.name) for key in group.keys}
    # What holds for all of them is said once.
    (of_all,) = said if len(said) == 1 else ("",)
    yield f"## `{group.name}`\n" if group.name else "## The top\n"
    yield f"{group.summary}\n"
    if of_all:
        yield f"{of_all[0].upper()}{of_all[1:]}.\n"
    by_key = any(said) and not of_all
    yield "| key | default | meaning |" + (" |" if by_key else "")
    yield "|---|---|---|" + ("---|" if by_key else "")
    for key in group.keys:
        support = f" {_support(key.name)} |" if by_key else ""
        name = key.name.removeprefix(f"{group.name}.")
        yield f"| `{name}` | {key.default} | {key.meaning} |{support}"
    yield ""


def _groups(model: type[BaseModel], above: str) -> Iterator[_Group]:
    meanings = entries(model, "Attributes")
    defaults = model.model_construct().model_dump(mode="json", by_alias=True)
    keys: list[_Key] = []
    inner: list[_Group] = []
    for attribute, field in model.model_fields.items():
        key = field.alias or attribute
        name = f"{above}.{key}" if above else key
        below = next(_models(field.annotation), None)
        if below is None:
            default = "required" if field.is_required() else _spelt(defaults.get(key))
            keys.append(_Key(name, default, meanings[attribute]))
        else:
            # A list of such, or one.
            inner += _groups(below, name if below is field.annotation else f"{name}[]")
    if keys:
        yield _Group(above, summary(model), keys)
    yield from inner


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _spelt(default: object) -> str:
    return "" if default in (None, [], {}) else f"`{json.dumps(default)}`"


def _support(name: str) -> str:
    found = find_support(tuple(name.replace("[]", "").split(".")))
    assert found is not None, name
    return "" if found[1].state == "acted on" else str(found[1])
