"""Keys of a pydantic model: what each takes, what holds without it, what it means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from pages.text import code, entries

_KIB, _MIB, _GIB = 1024, 1024**2, 1024**3


class Key(NamedTuple):
    """One key of a mapping in a configuration.

    Attributes:
        name: With those above it, as `credentials.type`.
        also: Other spellings that are read.
        takes: What kind of value it takes, for people.
        default: What holds without it, as code; `required` where there is nothing.
        meaning: One sentence or two.
    """

    name: str
    also: tuple[str, ...]
    takes: str
    default: str
    meaning: str


def keys(model: type[BaseModel], above: str = "") -> Iterator[Key]:
    """Give the keys of a model in its order, those of models inside of it after their own."""
    schema = model.model_json_schema(by_alias=False)
    meanings = entries(model, "Attributes")
    for name, field in model.model_fields.items():
        also = _also(name, field)
        meaning = _without(also, field.description or meanings[name])
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield Key(f"{above}{name}", also, "mapping", "", meaning)
            yield from keys(field.annotation, f"{above}{name}.")
            continue
        takes = _takes(schema["properties"][name], schema.get("$defs", {}))
        yield Key(f"{above}{name}", also, takes, _default(field, takes), meaning)


def _without(also: Sequence[str], meaning: str) -> str:
    """Leave out other spellings, which have a column of their own."""
    for name in also:
        meaning = re.sub(
            rf"; `{name}`( is accepted as well)?|(?<=\.) `{name}` is accepted as well\.",
            "",
            meaning,
        )
    return meaning


def _also(name: str, field: FieldInfo) -> tuple[str, ...]:
    alias = field.validation_alias
    spelt = alias.choices if isinstance(alias, AliasChoices) else [alias or field.alias]
    return tuple(one for one in spelt if isinstance(one, str) and one != name)


def _takes(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Say in words what a JSON schema lets through."""
    if "$ref" in schema:
        return _takes(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if schema.get("format") == "octal":
        return "octal number, as `0o640`"
    if "anyOf" in schema:
        kinds = [_takes(one, definitions) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in schema:
        return _spelt(schema["const"])
    if "enum" in schema:
        return ", ".join(_spelt(value) for value in schema["enum"])
    match schema.get("type"):
        case "string":
            return {"password": "secret", "path": "path"}.get(schema.get("format", ""), "text")
        case "boolean":
            return "`true`, `false`"
        case "integer":
            return f"whole number{_bounds(schema)}"
        case "number":
            return f"number{_bounds(schema)}"
        case "array":
            items = _takes(schema["items"], definitions)
            return f"list of {items}" if items.startswith("`") else f"list of {items}s"
        case "object":
            return "mapping"
    return "anything"


def _bounds(schema: Mapping[str, Any]) -> str:
    said = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
        "multipleOf": "a multiple of",
    }
    return "".join(f", {words} {schema[key]}" for key, words in said.items() if key in schema)


def _default(field: FieldInfo, takes: str) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value in (None, "", [], (), {}):
        return ""
    if takes.startswith("octal"):
        return code(f"0o{value:o}")
    return f"{_spelt(value)}{in_units(value)}"


def _spelt(value: object) -> str:
    return code(value if isinstance(value, str) else json.dumps(value, default=list))


def in_units(value: object) -> str:
    """Say a count of bytes shorter. Counts of anything else are no multiple of 16 KiB."""
    if not isinstance(value, int) or isinstance(value, bool) or value < _KIB or value % (16 * _KIB):
        return ""
    for unit, name in ((_GIB, "GiB"), (_MIB, "MiB"), (_KIB, "KiB")):
        if value % unit == 0:
            return f" ({value // unit} {name})"
    return ""
