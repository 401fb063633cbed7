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

A value comes, in rising order, from the default, the file, and a variable `REGISTRY_*`.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storagedriver_core import (
    ConfigurationError,
    Document,
    Setting,
    StorageConfig,
    effective_settings,
    load_config,
    load_plugins,
    read_document,
    validate_document,
)
from storagedriver_registry.auth import AuthConfig, load_auth_plugins
from storagedriver_registry.configuration.backend import split_off_backend
from storagedriver_registry.configuration.models import Settings
from storagedriver_registry.configuration.short_forms import leave_out, rename, write_out
from storagedriver_registry.configuration.support import ACTED_ON, find_support, unsupported
from storagedriver_registry.configuration.variables import apply_variables

_PASSWORD = re.compile(r"(?<=://)[^/?#\s]*(?=@)")

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
        warnings: What of it is not acted on, a line each: file and line, key, and why.
    """

    settings: Settings
    backend: StorageConfig | None
    auth: AuthConfig | None = None
    warnings: tuple[str, ...] = ()
    # As it was given, secrets included.
    _documents: tuple[Document, Document] = field(
        default=(Document({}), Document({})), repr=False, compare=False
    )

    def require_backend(self) -> StorageConfig:
        """Give the storage driver and its middlewares.

        Raises:
            ConfigurationError: No driver is named.
        """
        if self.backend is None:
            message = (
                f"the key of a driver is required, one of: {', '.join(load_plugins().drivers)}"
            )
            raise ConfigurationError(self._documents[0].error(("storage",), message))
        return self.backend

    def effective(self) -> list[Setting]:
        """Give every value in force, defaults included and secrets hidden, and its origin.

        What is not acted on is listed where it was given, and its origin says so; its default is
        nothing that is in force.
        """
        document, of_auth = self._documents
        found = effective_settings(self.settings, document)
        if self.backend is not None:
            driver = Setting(f"storage.{self.backend.driver_name}", self.backend.driver_name, "")
            # The driver's name is a key here, and no value.
            found += [
                setting
                for setting in self.backend.settings()
                if (setting.key, setting.value) != (driver.key, driver.value)
            ]
        if self.auth is not None:
            (name,) = of_auth.data["auth"]
            found += effective_settings(self.auth.parameters, of_auth, ("auth", name))
        order = ["version", "log", "storage", "auth", *Settings.model_fields]
        # What the core reads of `middleware.storage`, it knows better than the models here.
        by_key = {setting.key: setting for setting in found}
        shown = (_with_support(setting) for setting in map(_without_user, by_key.values()))
        return sorted(
            (setting for setting in shown if setting is not None),
            key=lambda one: order.index(one.key.partition(".")[0]),
        )


def load_configuration(
    source: str | Path | Mapping[str, Any], *, environment: Mapping[str, str] | None = None
) -> Configuration:
    """Read and validate a configuration, and open nothing.

    Args:
        source: Path of a YAML file, or the same as a mapping. Without a driver in it, the storage
            has to be handed in.
        environment: Variables `REGISTRY_*`, which override keys. By default `os.environ` for a
            file, and none for a mapping.

    Raises:
        ConfigurationError: A line for each fault: file and line, key, and what is wrong.
    """
    if environment is None and isinstance(source, str | Path):
        environment = os.environ
    return _load(read_document(source), environment or {})


def default_configuration(environment: Mapping[str, str] | None = None) -> Configuration:
    """Give the configuration of `registry serve` without a file.

    Args:
        environment: As for `load_configuration`; by default `os.environ`.

    Raises:
        ConfigurationError: A variable is wrong.
    """
    document = Document(copy.deepcopy(_DEFAULT), {(): "built in"})
    return _load(document, os.environ if environment is None else environment)


def _load(document: Document, environment: Mapping[str, str]) -> Configuration:
    if document.data is None:
        document.data = {}
    if not isinstance(document.data, dict):
        raise ConfigurationError(document.error((), "the document is not a mapping"))
    write_out(document)
    of_variables = list(apply_variables(document, environment))
    rename(document)
    leave_out(document)
    warnings = unsupported(document)
    of_backend, of_middlewares = split_off_backend(document)
    of_auth = _split_off(document, "auth")
    # All that is wrong is told at once.
    faults: list[str] = []
    settings = backend = auth = None
    try:
        settings = validate_document(Settings, document)
    except ConfigurationError as error:
        faults.append(error.message)
    try:
        backend = None if of_backend is None else load_config(of_backend)
    except ConfigurationError as error:
        faults.append(error.message)
    try:
        auth = load_auth_plugins().configure(of_auth)
    except ConfigurationError as error:
        faults.append(error.message)
    if settings is None or faults:
        raise ConfigurationError("\n".join(faults))
    warnings = [*warnings, *of_middlewares, *of_variables]
    return Configuration(settings, backend, auth, tuple(warnings), (document, of_auth))


def _without_user(setting: Setting) -> Setting:
    """Hide the password in a URL."""
    if isinstance(setting.value, str):
        return dataclasses.replace(setting, value=_PASSWORD.sub("**********", setting.value))
    return setting


def _with_support(setting: Setting) -> Setting | None:
    """Say beside the origin what is not acted on; None for a default that is not."""
    found = find_support(tuple(setting.key.split(".")))
    if found is None or found[1].state == ACTED_ON.state:
        return setting
    if setting.origin == "default":
        return None
    return dataclasses.replace(setting, origin=f"{setting.origin}, {found[1].state}")


def _split_off(document: Document, section: str) -> Document:
    """Take a section out of the document, as a document of its own."""
    data = {section: document.data.pop(section)} if section in document.data else {}
    return dataclasses.replace(document, data=data)
