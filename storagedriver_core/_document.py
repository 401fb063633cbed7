"""A configuration as it was given: plain data, and where each key of it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from storagedriver_core._errors import ConfigurationError

Key: TypeAlias = tuple[str | int, ...]
"""Where a value stands: names of mappings and indexes of lists, from the top."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a configuration.

    Attributes:
        key: As `storage.parameters.bucket`.
        value: As JSON has it; a secret is hidden.
        origin: `FILE:LINE`, `environment variable NAME`, or `default`.
    """

    key: str
    value: Any
    origin: str


@dataclass(slots=True)
class Document:
    """Data with origins.

    Attributes:
        data: Mappings, lists and scalars.
        origins: Where a key was given, as `storage.yml:3`. A key without one has its parent's.
        folder: What relative names of files are relative to.
        names: What messages call keys that stand elsewhere than they were given; each holds for
            the keys below it too.
        texts: How a scalar was spelt that was read as something else than text, such as a number.
    """

    data: Any
    origins: dict[Key, str] = field(default_factory=dict)
    folder: Path = Path()
    names: dict[Key, Key] = field(default_factory=dict)
    texts: dict[Key, str] = field(default_factory=dict)

    def origin(self, key: Key) -> str:
        """Tell where the key, or else the nearest key around it, was given; "" if nowhere."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.origins:
                return self.origins[key[:length]]
        return ""

    def error(self, key: Key, message: str) -> str:
        """Give one line that says where, which key, and what."""
        return ": ".join(part for part in (self.origin(key), self.name(key), message) if part)

    def name(self, key: Key) -> str:
        """Spell a key as it was given, like `storage.middleware.0.retry`."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.names:
                return dotted((*self.names[key[:length]], *key[length:]))
        return dotted(key)

    def set(self, key: Key, value: Any, origin: str) -> None:
        """Put `value` at `key`, making the mappings and lists on the way.

        Raises:
            ConfigurationError: A scalar stands in the way, or an index would leave a gap.
        """
        self.origins = _without(self.origins, key)
        self.texts = _without(self.texts, key)
        self.origins[key] = origin
        self.data = self._with(self.data, key, 0, value, origin)

    def _with(self, container: Any, key: Key, depth: int, value: Any, origin: str) -> Any:
        if depth == len(key):
            return value
        part = key[depth]
        if container is None and depth:
            self.origins[key[:depth]] = origin  # it is made for the sake of the value
        if isinstance(part, str):
            members = {} if container is None else container
            if not isinstance(members, dict):
                raise ConfigurationError(f"{origin}: {dotted(key[:depth])} is not a mapping")
            members[part] = self._with(members.get(part), key, depth + 1, value, origin)
            return members
        items = [] if container is None else container
        if not isinstance(items, list) or part > len(items):
            raise ConfigurationError(f"{origin}: {dotted(key[:depth])} has no item before {part}")
        inner = self._with(
            items[part] if part < len(items) else None, key, depth + 1, value, origin
        )
        items[part:] = [inner, *items[part + 1 :]]
        return items


def _without(known: dict[Key, str], key: Key) -> dict[Key, str]:
    """Leave out the key and what is below it."""
    return {one: value for one, value in known.items() if one[: len(key)] != key}


def dotted(key: Key) -> str:
    """Spell a key as `storage.middleware.0.retry`."""
    return ".".join(map(str, key))
