"""Reading a `config.yml`: the registry's keys here, others by the core and by `auth`.

```yaml
version: 0.1
storage:
  filesystem: { rootdirectory: /var/lib/registry }   # one driver's key, with its parameters
  delete: { enabled: true }
  middleware: [ { retry: { attempts: 5 } } ]         # ours: as in the core's own configuration,
  capabilities: { put_if_absent: false }             # and so are these two
  part_size: 16777216
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storagedriver_core import (
    ConfigurationError,
    Document,
    StorageConfig,
    load_config,
    load_plugins,
    read_document,
    validate_document,
)
from storagedriver_registry.auth import AuthConfig, load_auth_plugins
from storagedriver_registry.configuration.models import Settings, StorageSettings

_OF_THE_CORE = ("middleware", "capabilities", "part_size")

_DEFAULT = {
    "log": {"level": "error"},
    "storage": {
        "filesystem": {"rootdirectory": "registry-data"},
        "delete": {"enabled": True},
    },
    "http": {"addr": "127.0.0.1:5000"},
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """A validated configuration.

    Attributes:
        settings: Everything but the storage driver.
        backend: The storage driver and its middlewares; None where the storage is handed in.
        auth: The access controller; None where everybody may do everything.
    """

    settings: Settings
    backend: StorageConfig | None
    auth: AuthConfig | None = None


def load_configuration(source: str | Path | Mapping[str, Any]) -> Configuration:
    """Read and validate a configuration, and open nothing.

    Args:
        source: Path of a YAML file, or the same as a mapping. Without a driver in it, the storage
            has to be handed in.

    Raises:
        ConfigurationError: A line for each fault: file and line, key, and what is wrong.
    """
    document = read_document(source)
    if document.data is None:
        document.data = {}
    if not isinstance(document.data, dict):
        raise ConfigurationError(document.error((), "the document is not a mapping"))
    backend = _split_off_backend(document)
    section = _split_off(document, "auth")
    settings = validate_document(Settings, document)
    auth = load_auth_plugins().configure(section)
    return Configuration(settings, None if backend is None else load_config(backend), auth)


def default_configuration() -> Configuration:
    """Give the configuration of `registry serve` without a file."""
    return load_configuration(_DEFAULT)


def _split_off(document: Document, section: str) -> Document:
    """Take a section out of the document, as a document of its own."""
    data = {section: document.data.pop(section)} if section in document.data else {}
    return Document(data, document.origins, document.folder)


def _split_off_backend(document: Document) -> Document | None:
    """Take the driver's keys out of the storage section, as a document that the core reads.

    Returns:
        Keys under the names that the core has for them, each with the origin that it had; None
        where there is no driver's key.
    """
    section = document.data.get("storage")
    if isinstance(section, str):  # distribution's short form: a driver without parameters
        section = document.data["storage"] = {section: {}}
    if not isinstance(section, dict):
        return None
    names = [key for key in section if key not in StorageSettings.model_fields]
    names = [key for key in names if key not in _OF_THE_CORE]
    if len(names) > 1:
        # What is no driver is a misspelt key, and left to the validation.
        names = [key for key in names if key in load_plugins().drivers]
    if len(names) > 1:
        message = f"one driver, not several: {', '.join(names)}"
        raise ConfigurationError(document.error(("storage",), message))
    if not names:
        return None
    driver = names[0]
    places = {"parameters": driver} | {key: key for key in _OF_THE_CORE if key in section}
    return Document(
        {"storage": {"driver": driver} | {new: section.pop(old) for new, old in places.items()}},
        {
            ("storage", new, *key[2:]): origin
            for new, old in [*places.items(), ("driver", driver)]
            for key, origin in document.origins.items()
            if key[:2] == ("storage", old)
        },
        document.folder,
    )
