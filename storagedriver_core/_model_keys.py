"""Which keys a pydantic model knows: what environment overrides and messages go by."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from pydantic import AliasChoices, BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from storagedriver_core._document import Key


class Child(NamedTuple):
    """One key below an annotation, with its own annotation."""

    key: str | int
    annotation: Any


def names(annotation: Any) -> dict[str, Any]:
    """Give the named keys that `annotation` knows, in every spelling, with their annotations."""
    return {
        spelling: field.annotation
        for arm in _arms(annotation)
        if _is_model(arm)
        for name, field in arm.model_fields.items()
        for spelling in _spellings(arm, name, field)
    }


def given_key(annotation: Any, given: Any, key: str | int) -> str | int | None:
    """Give the spelling that `given` uses for what the model calls `key`; None if it has none."""
    if isinstance(given, list) and isinstance(key, int):
        return key if key < len(given) else None
    if not isinstance(given, Mapping):
        return None
    spellings = [
        spelling
        for arm in _arms(annotation)
        if _is_model(arm)
        for name, field in arm.model_fields.items()
        if key in (name, field.alias)
        for spelling in _spellings(arm, name, field)
    ]
    return next((spelling for spelling in [*spellings, key] if spelling in given), None)


def spelling(annotation: Any, given: Any, key: str) -> str:
    """Give the spelling that `given` uses for the field that `key` is one spelling of, or `key`."""
    for arm in _arms(annotation) if isinstance(given, Mapping) else ():
        for name, field in arm.model_fields.items() if _is_model(arm) else ():
            spellings = _spellings(arm, name, field)
            if key in spellings:
                return next((one for one in spellings if one in given), key)
    return key


def child(annotation: Any, key: str | int) -> Any:
    """Give the annotation of `key` below `annotation`; None if it can have no such key."""
    known = names(annotation)
    if key in known:
        return known[key]
    for arm in _arms(annotation):
        kind, arguments = typing.get_origin(arm) or arm, typing.get_args(arm)
        if isinstance(key, int) and _is(kind, Sequence):
            return arguments[0] if arguments else Any
        if isinstance(key, str) and _is(kind, Mapping):
            return arguments[1] if arguments else Any
        if arm is Any:
            return Any
    return None


def find(annotation: Any, value: Any, word: str) -> Child | None:
    """Find the key that `word` of an environment variable means, in any case of its letters.

    Args:
        annotation: What stands there by the model.
        value: What stands there by the document; its keys count where any are allowed.
        word: A part of a variable's name.
    """
    spelt = fold(word)
    given = list(value) if isinstance(value, Mapping) else []
    for name in (*names(annotation), *given):
        if fold(name) == spelt and (below := child(annotation, name)) is not None:
            return Child(spelling(annotation, value, name), below)
    key: str | int = int(word) if word.isdecimal() else word.lower()
    below = child(annotation, key)
    return None if below is None else Child(key, below)


def fold(word: str) -> str:
    """Give what two spellings of a name have in common. A variable's name has no hyphens."""
    return word.lower().replace("-", "_")


def is_container(annotation: Any) -> bool:
    """Tell whether keys can stand below `annotation`."""
    return any(
        _is_model(arm) or _is(typing.get_origin(arm) or arm, Mapping | Sequence)
        for arm in _arms(annotation)
    )


def is_secret(annotation: Any) -> bool:
    """Tell whether `annotation` hides what it holds."""
    return any(_is_secret_class(arm) for arm in _arms(annotation))


def is_text(annotation: Any) -> bool:
    """Tell whether `annotation` takes text, and nothing else that is a scalar."""
    arms = [arm for arm in _arms(annotation) if arm is not type(None)]
    # A class of somebody's own that is derived from these may take anything.
    return bool(arms) and all(arm in (str, SecretStr) or _is(arm, PurePath) for arm in arms)


def scalars(annotation: Any, value: Any, key: Key = ()) -> Iterator[tuple[Key, Any, Any]]:
    """Give key, annotation and value of every scalar below `value` that the model knows."""
    if isinstance(value, Mapping | list):
        members = value.items() if isinstance(value, Mapping) else enumerate(value)
        for part, member in members:
            below = child(annotation, part)
            if below is not None:
                yield from scalars(below, member, (*key, part))
    else:
        yield key, annotation, value


def _arms(annotation: Any) -> Iterator[Any]:
    """Give what a union is made of, without `Annotated`."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _arms(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for arm in typing.get_args(annotation):
            yield from _arms(arm)
    else:
        yield annotation


def _spellings(model: type[BaseModel], name: str, field: FieldInfo) -> list[str]:
    """Give what a configuration may call the field."""
    alias = field.validation_alias
    if alias is None:
        return [name]
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    by_name = [name] if model.model_config.get("populate_by_name") else []
    return list(dict.fromkeys([choice for choice in choices if isinstance(choice, str)] + by_name))


def _is_secret_class(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, SecretStr | SecretBytes)


def _is_model(kind: Any) -> bool:
    return _is(kind, BaseModel)


def _is(kind: Any, base: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, base) and not issubclass(kind, str | bytes)
