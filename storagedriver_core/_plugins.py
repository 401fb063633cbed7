"""Which plugins are installed, and what they offer.

One broken plugin never takes the others with it: whatever it does wrong becomes a `PluginProblem`
that names its distribution, and everything else loads.
"""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from storagedriver_core import hookspecs
from storagedriver_core._discovery import (
    Discovery,
    PluginProblem,
    PluginProject,
    PluginSource,
    import_factory,
)
from storagedriver_core._errors import ConfigurationError
from storagedriver_core._types import OperationEvent
from storagedriver_core.hookspecs import (
    API_VERSION,
    CORE_COMMANDS,
    PROJECT_NAME,
    CommandSpec,
    DriverSpec,
    HarnessSpec,
    MiddlewareSpec,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import pluggy

logger = logging.getLogger(__name__)

_PROJECT = PluginProject(
    name=PROJECT_NAME,
    distribution="storagedriver-core",
    hookspecs=hookspecs,
    kinds={
        "storagedriver_register_drivers": DriverSpec,
        "storagedriver_register_middlewares": MiddlewareSpec,
        "storagedriver_register_harnesses": HarnessSpec,
        "storagedriver_register_commands": CommandSpec,
    },
    api_version=API_VERSION,
    reserved={CommandSpec: CORE_COMMANDS},
)

_KNOWN_DRIVERS = ("azure", "filesystem", "fsspec", "gcs", "inmemory", "remote", "s3")
"""Drivers of this project; the package of each is `storagedriver-<name>`."""

_Spec: TypeAlias = DriverSpec | MiddlewareSpec | HarnessSpec | CommandSpec


@dataclass(frozen=True, slots=True)
class PluginRegistry:
    """What the installed plugins offer. Nothing heavy has been imported to make it.

    Attributes:
        drivers: Drivers by name, in the order of names, as are the next three.
        middlewares: Middlewares by name.
        harnesses: Conformance harnesses by name.
        commands: Subcommands of plugins by name.
        observers: `storagedriver_observe_operation` of each plugin that implements it.
        problems: What was wrong with which plugin.
        sources: Where each spec comes from.
    """

    drivers: Mapping[str, DriverSpec]
    middlewares: Mapping[str, MiddlewareSpec]
    harnesses: Mapping[str, HarnessSpec]
    commands: Mapping[str, CommandSpec]
    observers: tuple[Callable[[OperationEvent], None], ...]
    problems: tuple[PluginProblem, ...]
    sources: Mapping[_Spec, PluginSource]

    def driver(self, name: str) -> DriverSpec:
        """Give the driver `name`.

        Raises:
            ConfigurationError: It is not installed. Says what is, and what to install.
        """
        if name in self.drivers:
            return self.drivers[name]
        raise ConfigurationError(self._unknown_driver(name))

    def middleware(self, name: str) -> MiddlewareSpec:
        """Give the middleware `name`.

        Raises:
            ConfigurationError: It is not installed. Says what is.
        """
        if name in self.middlewares:
            return self.middlewares[name]
        message = f"unknown middleware {name!r}{close_match(name, self.middlewares)}"
        installed = f"installed: {', '.join(self.middlewares)}"
        raise ConfigurationError("; ".join([message, installed, *self.broken]))

    @property
    def broken(self) -> Sequence[str]:
        """What to tell who asks for a name that is not there: which packages are broken."""
        return [
            f"{problem.distribution} is installed, but broken: {problem.message}"
            for problem in self.problems
        ]

    def load_factory(self, spec: _Spec) -> Any:
        """Import and give what `spec.factory` names.

        Raises:
            ConfigurationError: It cannot be imported. Says which distribution is broken.
        """
        return import_factory(spec, self.sources[spec])

    def _unknown_driver(self, name: str) -> str:
        known = [*self.drivers, *_KNOWN_DRIVERS]
        message = f"unknown driver {name!r}{close_match(name, known)}"
        installed = f"installed: {', '.join(self.drivers) or 'none'}"
        return "; ".join([message, installed, *self.broken, *self._advice(name)])

    def _advice(self, name: str) -> list[str]:
        """Say how to get the driver `name`, which may be misspelt."""
        package = f"storagedriver-{name}"
        ours = _closest(name, _KNOWN_DRIVERS)
        if ours in self.drivers or any(one.distribution == package for one in self.problems):
            return []
        if ours:
            return [f"to install it: pip install storagedriver-{ours}"]
        return [f"if the name is right, try: pip install {package}"]


@functools.cache
def load_plugins() -> PluginRegistry:
    """Give what the plugins installed for this process offer; they are looked for once."""
    from importlib.metadata import entry_points

    return discover_plugins(entry_points(group=PROJECT_NAME))


def discover_plugins(entry_points: Iterable[EntryPoint]) -> PluginRegistry:
    """Load the plugins that `entry_points` name, and the core's own."""
    from storagedriver_core import hooks

    found = Discovery(_PROJECT)
    found.add_own(hooks)
    for entry_point in entry_points:
        found.add(entry_point)
    return PluginRegistry(
        drivers=found.select(DriverSpec),
        middlewares=found.select(MiddlewareSpec),
        harnesses=found.select(HarnessSpec),
        commands=found.select(CommandSpec),
        observers=tuple(map(_Observer, found.observers)),
        problems=tuple(found.problems),
        sources=found.sources,
    )


class _Observer:
    """Calls a hook as a plain function that raises nothing."""

    def __init__(self, caller: pluggy.HookCaller) -> None:
        self._caller = caller

    def __call__(self, event: OperationEvent) -> None:
        try:
            self._caller(event=event)
        except Exception:
            logger.exception("an observer of %s operations failed", event.driver_name)


def close_match(word: str, known: Iterable[str]) -> str:
    """Give ` (did you mean 'x'?)` where a known word is close, else nothing."""
    match = _closest(word, known)
    return f" (did you mean {match!r}?)" if match and match != word else ""


def _closest(word: str, known: Iterable[str]) -> str | None:
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[matches[0]] if matches else None
