"""The driver's key in the section `storage`, and the middlewares around the driver."""

from __future__ import annotations

from typing import Any, TypeAlias

from storagedriver_core import ConfigurationError, Document, close_match, load_plugins
from storagedriver_registry.configuration.known import REMOVED_DRIVERS
from storagedriver_registry.configuration.models import StorageSettings
from storagedriver_registry.configuration.support import Key

OF_THE_CORE = ("middleware", "capabilities", "part_size")
"""Keys beside the driver's that are as in the core's own configuration."""

# Source: distribution's documentation, "Storage middleware": those that are not the core's, too.
_OF_DISTRIBUTION = ("alicdn", "googlecdn")

# Source: distribution's driver, its `defaultRootDirectory`.
_ROOT_OF_DISTRIBUTION = "/var/lib/registry"

_Moves: TypeAlias = list[tuple[Key, Key]]


def split_off_backend(document: Document) -> tuple[Document | None, list[str]]:
    """Take out what the core reads, as a document that it can.

    Returns:
        Keys under the names that the core has for them, each with the origin that it had, or None
        where there is no driver's key; and what is not acted on.

    Raises:
        ConfigurationError: Several drivers, or one that there is not; a middleware likewise.
    """
    section = document.data.get("storage")
    if not isinstance(section, dict):
        return None, []
    driver = _driver(document, section)
    if driver is None:
        return None, []
    if driver == "filesystem":
        _root_as_distribution_has_it(document, section[driver])
    moves: _Moves = [(("storage", key), ("storage", key)) for key in OF_THE_CORE if key in section]
    data: dict[str, Any] = {"driver": driver, "parameters": section.pop(driver)}
    data |= {key: section.pop(key) for key in OF_THE_CORE if key in section}
    for key in ("driver", "parameters"):
        moves.append((("storage", driver), ("storage", key)))
    entries, of_entries, warnings = _middlewares(document)
    if entries:
        if data.get("middleware"):
            message = "give storage.middleware or this, and not both"
            raise ConfigurationError(document.error(("middleware", "storage"), message))
        data["middleware"] = entries
        moves += of_entries
    return _moved(document, data, moves), warnings


def _driver(document: Document, section: dict[str, Any]) -> str | None:
    """Give the name of the driver; a message where there are several."""
    names = [key for key in section if key not in (*StorageSettings.model_fields, *OF_THE_CORE)]
    installed = load_plugins().drivers
    for name in names:
        if name in REMOVED_DRIVERS:
            message = f"this driver is not supported; there are: {', '.join(installed)}"
            raise ConfigurationError(document.error(("storage", name), message))
    if len(names) > 1:
        # What is no driver is a misspelt key, and left to the validation.
        names = [key for key in names if key in installed]
    if len(names) > 1:
        places = ", ".join(f"{name} ({document.origin(('storage', name))})" for name in names)
        raise ConfigurationError(document.error(("storage",), f"one driver, not several: {places}"))
    return names[0] if names else None


def _root_as_distribution_has_it(document: Document, parameters: object) -> None:
    """Let a file that names no root directory mean what it means there."""
    if parameters is None or (
        isinstance(parameters, dict) and not {"root_directory", "rootdirectory"} & {*parameters}
    ):
        key = ("storage", "filesystem", "rootdirectory")
        document.set(key, _ROOT_OF_DISTRIBUTION, "distribution's default")


def _middlewares(document: Document) -> tuple[list[Any], _Moves, list[str]]:
    """Read `middleware.storage`: its last stands outermost, as the first does in the core's."""
    section = document.data.get("middleware")
    given: Any = section.get("storage") if isinstance(section, dict) else None
    plugins = load_plugins()
    installed = plugins.middlewares
    entries: list[Any] = []
    moves: _Moves = []
    warnings: list[str] = []
    for index, entry in reversed(list(enumerate(given if isinstance(given, list) else []))):
        # What is wrong with its form is left to the validation.
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or str(entry.get("disabled")).lower() == "true":
            continue
        key = ("middleware", "storage", index)
        if name in _OF_DISTRIBUTION and name not in installed:
            warnings.insert(0, document.error((*key, "name"), f"{name!r} is not acted on yet"))
        elif name not in installed:
            known = "; ".join([f"installed: {', '.join(installed)}", *plugins.broken])
            message = f"unknown storage middleware {name!r}{close_match(name, installed)}; {known}"
            raise ConfigurationError(document.error((*key, "name"), message))
        else:
            moves.append(((*key, "options"), ("storage", "middleware", len(entries), name)))
            entries.append({name: entry.get("options")})
    return entries, moves, warnings


def _moved(document: Document, data: dict[str, Any], moves: _Moves) -> Document:
    def moved(known: dict[Key, str]) -> dict[Key, str]:
        return {
            (*new, *key[len(old) :]): value
            for old, new in moves
            for key, value in known.items()
            if key[: len(old)] == old
        }

    return Document(
        {"storage": data},
        moved(document.origins),
        document.folder,
        names={new: old for old, new in moves},
        texts=moved(document.texts),
    )
