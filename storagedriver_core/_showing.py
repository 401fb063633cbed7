"""What a configuration tells of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from storagedriver_core import _model_keys
from storagedriver_core._document import Document, Key, Setting
from storagedriver_core._storage_model import StorageModel


def plain(values: StorageModel, *, reveal_secrets: bool) -> Any:
    """Give what was set, with defaults left out, as JSON has it."""
    given = values.model_dump(by_alias=True, exclude_unset=True)
    return to_jsonable_python(_revealed(given) if reveal_secrets else given)


def settings(values: BaseModel, document: Document, start: Key) -> list[Setting]:
    """Give every value in force below the key `start`, and where it comes from."""
    in_force = values.model_dump(by_alias=True, mode="json")
    return [
        Setting(document.name((*start, *key)), value, _origin(values, document, start, key))
        for key, value in _leaves(in_force, ())
    ]


def _origin(values: BaseModel, document: Document, start: Key, key: Key) -> str:
    place = start
    given: Any = document.data
    for part in start:
        given = given[part]
    annotation: Any = type(values)
    for part in key:
        spelt = _model_keys.given_key(annotation, given, part)
        if spelt is None:
            return "default"
        place, given = (*place, spelt), given[spelt]
        annotation = _model_keys.child(annotation, spelt)
    # Items of a list are one value, and some may come from elsewhere.
    items = [document.origins[key] for key in document.origins if key and key[:-1] == place]
    origin = document.origin(place) or "given"
    variables = [item for item in items if item.startswith("environment") and item != origin]
    return " with ".join([origin, *variables]) if isinstance(given, list) else origin


def _leaves(value: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    if isinstance(value, dict) and value:
        for name, member in value.items():
            yield from _leaves(member, (*key, name))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, (*key, index))
    else:
        yield key, value


def _revealed(value: Any) -> Any:
    if isinstance(value, SecretStr | SecretBytes):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {name: _revealed(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_revealed(item) for item in value]
    return value
