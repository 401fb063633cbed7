"""The hooks that a plugin may implement, and the specs that it returns.

A plugin is a module that an entry point of the group `storagedriver` names:

```toml
[project.entry-points.storagedriver]
example = "storagedriver_example.hooks"
```

```python
from storagedriver_core import DriverSpec, hookimpl


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    from storagedriver_example._config import ExampleParameters

    return [
        DriverSpec(
            name="example",
            summary="Stores at example.com",
            factory="storagedriver_example._driver:ExampleDriver",
            parameters=ExampleParameters,
        )
    ]
```

Hooks are plain functions, cheap, and off the byte path. Importing a plugin does no I/O and imports
no SDK: what is heavy is named by a factory, `"module:attribute"`, which is imported when it is
used. A plugin implements the hooks that it needs, and none of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pluggy

from storagedriver_core._types import OperationEvent

if TYPE_CHECKING:
    from pydantic import BaseModel  # costs as much as the whole core; plugins import it

# The bodies of hook specifications are never called.
# mypy: disable-error-code="empty-body"

PROJECT_NAME = "storagedriver"
"""Name of the pluggy project and of the entry-point group."""

API_VERSION = (1, 0)
"""Version of the contract between the core and its plugins.

The major number changes when plugins must change, the minor one when plugins may use more.
"""

CORE_COMMANDS = (
    "cat",
    "config",
    "cp",
    "doctor",
    "drivers",
    "du",
    "get",
    "ls",
    "mv",
    "put",
    "rm",
    "stat",
    "sync",
    "uploads",
)
"""Subcommands of the core, whose names no plugin can take."""

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSpec:
    """A driver that a plugin offers.

    Attributes:
        name: What configurations call it, as `s3`: lower-case letters, digits, `-` and `_`.
        summary: One line for lists.
        factory: `"module:attribute"` of what takes the validated parameters and returns an
            unopened `StorageDriver`; most often the driver's class.
        parameters: Pydantic model of `parameters` in the configuration. It forbids unknown keys
            (`extra="forbid"`) and holds secrets as `SecretStr`.
        permissions: What the store calls the permission that a call needs, for who looks for what
            is missing: `{"put_content": "s3:PutObject", …}`. Keys are methods of `StorageDriver`.
        api_version: The `API_VERSION` that the driver was written for. The major number must be
            the core's, the minor one at most the core's.
    """

    name: str
    summary: str
    factory: str
    parameters: type[BaseModel]
    permissions: Mapping[str, str] = field(default_factory=dict, hash=False)
    api_version: tuple[int, int] = (1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiddlewareSpec:
    """A middleware that a plugin offers.

    Attributes:
        name: What configurations call it, as `retry`.
        summary: One line for lists.
        factory: `"module:attribute"` of what takes a driver and the validated parameters, and
            returns a driver around it.
        parameters: Pydantic model of its parameters, as for a driver.
        rank: Where it belongs in a stack: a middleware of a lower rank never stands inside one of
            a higher rank, those of one rank stand in any order, and one of None anywhere. Of the
            core's own, `docs/middleware.md` lists the ranks.
        api_version: As for a driver.
    """

    name: str
    summary: str
    factory: str
    parameters: type[BaseModel]
    rank: int | None
    api_version: tuple[int, int] = (1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessSpec:
    """What the conformance suite needs in order to test a driver without any code.

    Attributes:
        name: Name of the harness; the driver's, unless there are several.
        driver_name: The driver that it tests.
        factory: `"module:attribute"` of a callable that the testsuite documents.
        summary: One line for lists.
    """

    name: str
    driver_name: str
    factory: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """A subcommand that a plugin adds to the `storagedriver` command.

    Attributes:
        name: Name of the subcommand, as `conformance`.
        summary: One line for `storagedriver --help`, with a full stop.
        factory: `"module:attribute"` of a `typer.Typer`; imported when the subcommand runs.
    """

    name: str
    summary: str
    factory: str


@hookspec
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register drivers.

    Called once for each process that looks for plugins.

    Returns:
        A spec for each driver. A name that another plugin has taken is reported and left out.
    """


@hookspec
def storagedriver_register_middlewares() -> list[MiddlewareSpec]:
    """Register middlewares.

    Called once for each process that looks for plugins.

    Returns:
        A spec for each middleware. A name that another plugin has taken is reported and left out.
    """


@hookspec
def storagedriver_register_harnesses() -> list[HarnessSpec]:
    """Register conformance harnesses, so that `storagedriver conformance NAME` can run.

    Called once for each process that looks for plugins. The core only hands the specs to the
    testsuite.

    Returns:
        A spec for each harness.
    """


@hookspec
def storagedriver_register_commands() -> list[CommandSpec]:
    """Register subcommands of the `storagedriver` command.

    Called once for each process that looks for plugins.

    Returns:
        A spec for each subcommand. The core's own names cannot be taken.
    """


@hookspec
def storagedriver_observe_operation(event: OperationEvent) -> None:
    """Observe one finished operation of a `Storage` that `open_storage` has made.

    Called on the event loop after the operation, so it must return at once. What it raises is
    logged and does not reach the operation.

    Args:
        event: What was done, how long it took, and its error if it failed.
    """
