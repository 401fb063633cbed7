"""The hooks that a plugin of the registry may implement, and the specs that it returns.

A plugin is a module that an entry point of the group `storagedriver_registry` names:

```toml
[project.entry-points.storagedriver_registry]
example = "storagedriver_example.hooks"
```

```python
from storagedriver_registry import AuthSpec, hookimpl


@hookimpl
def storagedriver_registry_register_auth() -> list[AuthSpec]:
    from storagedriver_example.options import ExampleOptions

    return [
        AuthSpec(
            name="example",
            summary="Asks example.com",
            factory="storagedriver_example.controller:ExampleController",
            parameters=ExampleOptions,
        )
    ]
```

As for plugins of the core: hooks are cheap, and what is heavy is named by a factory, which is
imported when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pydantic import BaseModel

# The bodies of hook specifications are never called.
# mypy: disable-error-code="empty-body"

PROJECT_NAME = "storagedriver_registry"
"""Name of the pluggy project and of the entry-point group."""

API_VERSION = (1, 0)
"""Version of the contract between the registry and its plugins, counted as the core's is."""

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSpec:
    """A way to authenticate and authorize requests.

    Attributes:
        name: The key in the section `auth` of a `config.yml`, as `htpasswd`.
        summary: One line for lists.
        factory: `"module:attribute"` of what takes the validated parameters and returns an
            `AccessController`; most often its class.
        parameters: Pydantic model of what stands below the key. It forbids unknown keys
            (`extra="forbid"`) and holds secrets as `SecretStr`.
        api_version: The `API_VERSION` that it was written for. The major number must be the
            registry's, the minor one at most the registry's.
    """

    name: str
    summary: str
    factory: str
    parameters: type[BaseModel]
    api_version: tuple[int, int] = (1, 0)


@hookspec
def storagedriver_registry_register_auth() -> list[AuthSpec]:
    """Register access controllers.

    Called once for each process that looks for plugins.

    Returns:
        A spec for each controller. A name that another plugin has taken is reported and left out.
    """
