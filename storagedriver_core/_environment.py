"""What the environment adds to a configuration: overrides, `${VAR}`, and secrets in files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storagedriver_core import _model_keys
from storagedriver_core._document import Document, Key, dotted
from storagedriver_core._errors import ConfigurationError
from storagedriver_core._plugins import close_match

PREFIX = "STORAGEDRIVER__"
"""Variables whose names begin so override a key each."""

_SEPARATOR = "__"
_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?)"
)


@dataclass(frozen=True, slots=True)
class Override:
    """One variable that sets one key.

    Attributes:
        variable: Its name.
        words: The parts of the name after the prefix.
        value: Its value.
    """

    variable: str
    words: tuple[str, ...]
    value: str

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"environment variable {self.variable}"

    def is_for(self, name: str) -> bool:
        """Tell whether it sets the key `name` of the section itself."""
        return [word.lower() for word in self.words] == [name]


def overrides(environment: Mapping[str, str], section: str, document: Document) -> list[Override]:
    """Give the overrides of one section, those of a whole before those of its parts.

    Raises:
        ConfigurationError: A variable begins with the prefix, but names no section.
    """
    found = []
    sections = [section, *(document.data if isinstance(document.data, Mapping) else ())]
    for variable, value in environment.items():
        if not variable.startswith(PREFIX):
            continue
        words = tuple(variable.removeprefix(PREFIX).split(_SEPARATOR))
        if words[0].lower() == section.lower() and len(words) > 1:
            found.append(Override(variable, words[1:], value))
        elif len(words) == 1 or words[0].lower() not in map(str.lower, sections):
            hint = close_match(
                variable, (f"{PREFIX}{name.upper()}{_SEPARATOR}" for name in sections)
            )
            raise ConfigurationError(f"environment variable {variable} names no key{hint}")
    # By number where both are numbers, so that item 10 of a list comes after item 2.
    return sorted(
        found,
        key=lambda one: (len(one.words), [(word.zfill(9), word) for word in one.words]),
    )


def apply_override(document: Document, section: str, model: Any, override: Override) -> None:
    """Set the key that the override names.

    Raises:
        ConfigurationError: The model knows no such key.
    """
    key: Key = (section,)
    annotation, value = model, document.data.get(section)
    for depth, word in enumerate(override.words):
        found = _model_keys.find(annotation, value, word)
        if found is None:
            known = [
                PREFIX + _SEPARATOR.join((section, *override.words[:depth], name)).upper()
                for name in _model_keys.names(annotation)
            ]
            hint = close_match(override.variable, known)
            raise ConfigurationError(
                f"{override.place}: {dotted(key)} has no key {word.lower()!r}{hint}"
            )
        key, annotation = (*key, found.key), found.annotation
        value = _below(value, found.key)
    given: Any = override.value
    if _model_keys.is_container(annotation):
        from storagedriver_core._yaml import parse_yaml

        given = parse_yaml(given, override.place, lines=False).data
    document.set(key, given, override.place)


def interpolate(document: Document, section: str, environment: Mapping[str, str]) -> None:
    """Replace `${VAR}`, `${VAR:-default}` and `$$` in every string of the section.

    Raises:
        ConfigurationError: A variable without a default is not set, or a `${` is not closed.
    """
    for key, text in list(_strings(document.data[section], (section,))):
        try:
            new = _REFERENCE.sub(lambda match: _referred(match, environment), text)
        except ConfigurationError as error:
            raise ConfigurationError(document.error(key, error.message)) from None
        if new != text:
            names = [f"${found['name']}" for found in _REFERENCE.finditer(text) if found["name"]]
            document.set(key, new, " with ".join([document.origin(key), *names]))


def _referred(match: re.Match[str], environment: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    name, default = match["name"], match["default"]
    if name is None:
        raise ConfigurationError("'${' begins no '${VARIABLE}'; a plain '$' is written '$$'")
    if default is None and name not in environment:
        raise ConfigurationError(f"environment variable {name} is not set")
    return environment.get(name) or default or ""


def read_secrets(document: Document, section: str, model: Any) -> None:
    """Replace `file:PATH` by the file's text, without one newline at its end, in secrets.

    Raises:
        ConfigurationError: A file cannot be read, or is no text.
    """
    for key, annotation, value in list(_model_keys.scalars(model, document.data[section])):
        if not (isinstance(value, str) and value.startswith("file:")):
            continue
        if not _model_keys.is_secret(annotation):
            continue
        path = document.folder / Path(value.removeprefix("file:"))
        try:
            secret = path.read_text(encoding="utf-8").removesuffix("\n")
        except OSError as error:
            message = f"{path}: {error.strerror}"
            raise ConfigurationError(document.error((section, *key), message)) from error
        except UnicodeDecodeError as error:
            # Its text, and what it was raised from, could hold the secret.
            message = f"{path}: not UTF-8 at byte {error.start}"
            raise ConfigurationError(document.error((section, *key), message)) from None
        except ValueError:
            message = "a path holds no NUL"
            raise ConfigurationError(document.error((section, *key), message)) from None
        document.set((section, *key), secret, f"{document.origin((section, *key))} from {path}")


def _strings(value: Any, key: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield from _strings(member, (*key, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*key, index))


def _below(value: Any, key: str | int) -> Any:
    try:
        return value[key]
    except (TypeError, KeyError, IndexError):
        return None
