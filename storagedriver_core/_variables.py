"""Variables with one underscore between the words of a key, as docker/distribution has them.

A key may hold an underscore itself, so the words of `A_B_C` are not known before the keys are. The
name is matched against the known keys, the longest first, and goes back to a shorter one where
nothing below the longer fits the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from storagedriver_core import _model_keys
from storagedriver_core._document import Document, Key


class _Found(NamedTuple):
    """A key that a name spells, and what stands there by the model."""

    key: Key
    annotation: Any


def set_by_name(document: Document, model: Any, variable: str, value: str, prefix: str) -> bool:
    """Do what `set_by_variable` says."""
    name = variable.removeprefix(prefix).lower()
    found = _find(model, document.data, name) if name else None
    if found is None:
        return False
    place = f"environment variable {variable}"
    document.set(found.key, _read(value, found.annotation, place), place)
    return True


def _read(value: str, annotation: Any, place: str) -> Any:
    if not value:
        return None
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    if not (quoted or annotation is Any or _model_keys.is_container(annotation)):
        return value
    from storagedriver_core._yaml import parse_yaml

    return parse_yaml(value, place, lines=False).data


def _find(annotation: Any, value: Any, name: str) -> _Found | None:
    """Find the key below `annotation` that `name` spells to its end.

    Args:
        annotation: What stands there by the model.
        value: What stands there by the document; its keys count where any are allowed.
        name: In lower case; empty for the place itself.
    """
    if not name:
        return _Found((), annotation)
    if isinstance(value, Mapping) and not _model_keys.is_container(annotation):
        # The model reads a mapping where it says scalar, and only it knows of which keys.
        annotation = Any
    for key, below in _known(annotation, value):
        rest = _rest(name, key)
        if rest is None:
            continue
        spelt = _model_keys.spelling(annotation, value, key)
        found = _find(below, value.get(spelt) if isinstance(value, Mapping) else None, rest)
        if found is not None:
            return _Found((spelt, *found.key), found.annotation)
    return _item(annotation, value, name) or _member(annotation, value, name)


def _known(annotation: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """Give the keys that can be named with what stands there, the longest first."""
    known = dict(_model_keys.names(annotation))
    for key in value if isinstance(value, Mapping) else ():
        below = _model_keys.child(annotation, key)
        if below is not None:
            known.setdefault(key, below)
    yield from sorted(known.items(), key=lambda entry: -len(entry[0]))


def _rest(name: str, key: str) -> str | None:
    """Give what follows `key` in `name`; None where something else does, or is there."""
    spelt, folded = _model_keys.fold(key), _model_keys.fold(name)
    if folded == spelt:
        return ""
    # A name that ends in an underscore names nothing.
    whole = folded.startswith(f"{spelt}_") and len(name) > len(key) + 1
    return name[len(key) + 1 :] if whole else None


def _item(annotation: Any, value: Any, name: str) -> _Found | None:
    """Find an item of a list, by its index."""
    index, _, rest = name.partition("_")
    if not (index.isascii() and index.isdecimal()) or isinstance(value, Mapping):
        return None
    number = int(index)
    below = _model_keys.child(annotation, number)
    # Where anything may stand, a number is an index only into a list that is there.
    if below is None or (annotation is Any and not isinstance(value, list)):
        return None
    item = value[number] if isinstance(value, list) and number < len(value) else None
    found = _find(below, item, rest)
    return None if found is None else _Found((number, *found.key), found.annotation)


def _member(annotation: Any, value: Any, name: str) -> _Found | None:
    """Find a key of a mapping of any keys: the rest of the name, or all but an index."""
    below = None if isinstance(value, list) else _model_keys.child(annotation, name)
    if below is None or (annotation is Any and not isinstance(value, Mapping | None)):
        return None
    key, _, index = name.rpartition("_")
    if key and index.isascii() and index.isdecimal() and below is not Any:
        item = _model_keys.child(below, int(index))
        if item is not None:
            return _Found((key, int(index)), item)
    return _Found((name,), below)
