"""Guarded loading of plugins: every fault of one becomes a problem, and stays its own."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from storagedriver_core import hookspecs
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

logger = logging.getLogger(__name__)

_CORE = "storagedriver-core"

_HOOKS: dict[str, type] = {
    "storagedriver_register_drivers": DriverSpec,
    "storagedriver_register_middlewares": MiddlewareSpec,
    "storagedriver_register_harnesses": HarnessSpec,
    "storagedriver_register_commands": CommandSpec,
}
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_FACTORY = re.compile(r"[\w.]+:[\w.]+")

_SpecT = TypeVar("_SpecT", DriverSpec, MiddlewareSpec, HarnessSpec, CommandSpec)


@dataclass(frozen=True, slots=True, order=True)
class PluginSource:
    """Where a plugin comes from.

    Attributes:
        distribution: Name of the installed distribution.
        version: Its version.
        entry_point: Name of its entry point.
    """

    distribution: str
    version: str
    entry_point: str


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """What is wrong with a plugin.

    Attributes:
        distribution: Name of the installed distribution.
        entry_point: Name of its entry point.
        message: What is wrong, and what was left out because of it.
    """

    distribution: str
    entry_point: str
    message: str

    def __str__(self) -> str:
        return f"{self.distribution} (entry point {self.entry_point!r}): {self.message}"


class Discovery:
    """Collects what plugins register.

    Attributes:
        observers: The observing hook of each plugin that implements it.
        problems: What was wrong.
        sources: Where each selected spec comes from.
    """

    def __init__(self) -> None:
        self.observers: list[Callable[[OperationEvent], None]] = []
        self.problems: list[PluginProblem] = []
        self.sources: dict[Any, PluginSource] = {}
        self._found: list[tuple[PluginSource, Any]] = []

    def add_core(self) -> None:
        """Add the core's own plugin, which needs no entry point."""
        from importlib.metadata import version

        from storagedriver_core import hooks

        self._register(PluginSource(_CORE, version(_CORE), "hooks"), hooks)

    def add(self, entry_point: EntryPoint) -> None:
        """Import the plugin that `entry_point` names, and call its registering hooks."""
        source = PluginSource("an unnamed distribution", "", entry_point.name)
        # A plugin's top level is anybody's code, and may even try to exit.
        try:
            source = _source(entry_point)
            plugin = entry_point.load()
        except (Exception, SystemExit) as error:
            self._report(source, f"cannot be imported: {_describe(error)}")
            return
        self._register(source, plugin)

    def select(self, kind: type[_SpecT]) -> dict[str, _SpecT]:
        """Give the specs of `kind` by name, one for each name; report the others.

        Of several, the core's is taken, or that of the distribution called after the name, or
        the first by distribution; so no package can take over `s3` from `storagedriver-s3`.
        """

        def precedence(entry: tuple[PluginSource, _SpecT]) -> tuple[bool, bool, PluginSource]:
            source, spec = entry
            own = source.distribution == f"storagedriver-{spec.name}"
            return source.distribution != _CORE, not own, source

        found = [(source, spec) for source, spec in self._found if isinstance(spec, kind)]
        chosen: dict[str, _SpecT] = {}
        for source, spec in sorted(found, key=lambda entry: (entry[1].name, *precedence(entry))):
            if spec.name in chosen:
                other = self.sources[chosen[spec.name]].distribution
                self._report(source, f"{_label(spec)} is already registered by {other}")
            else:
                chosen[spec.name] = spec
                self.sources[spec] = source
        return chosen

    def _register(self, source: PluginSource, plugin: object) -> None:
        # A manager for each plugin: in a shared one pluggy stops a call at the first plugin that
        # raises, and refuses all of them for one unknown hook.
        manager = pluggy.PluginManager(PROJECT_NAME)
        manager.add_hookspecs(hookspecs)
        try:
            manager.register(plugin)
            manager.check_pending()
        except Exception as error:
            self._report(source, f"does not fit the hook specifications: {_describe(error)}")
            return
        callers = manager.get_hookcallers(plugin)
        if not callers:
            self._report(source, "implements no hook; is @hookimpl missing?")
        for caller in callers or ():
            if caller.name in _HOOKS:
                self._call(source, caller)
            else:
                self.observers.append(_Observer(caller))

    def _call(self, source: PluginSource, caller: pluggy.HookCaller) -> None:
        kind = _HOOKS[caller.name]
        try:
            results = caller() or [None]
        except (Exception, SystemExit) as error:
            self._report(source, f"{caller.name} raised {_describe(error)}")
            return
        for specs in results:
            if not isinstance(specs, list):
                self._report(source, f"{caller.name} returned {_kind(specs)}, not a list")
                continue
            for spec in specs:
                flaw = _flaw(spec, kind)
                if flaw:
                    self._report(source, f"{caller.name}: {flaw}")
                else:
                    self._found.append((source, spec))

    def _report(self, source: PluginSource, message: str) -> None:
        self.problems.append(PluginProblem(source.distribution, source.entry_point, message))


class _Observer:
    """Calls a hook as a plain function that raises nothing."""

    def __init__(self, caller: pluggy.HookCaller) -> None:
        self._caller = caller

    def __call__(self, event: OperationEvent) -> None:
        try:
            self._caller(event=event)
        except Exception:
            logger.exception("an observer of %s operations failed", event.driver_name)


def _source(entry_point: EntryPoint) -> PluginSource:
    assert entry_point.dist is not None  # entry_points() always sets it
    # What an interrupted uninstallation leaves behind may have no metadata.
    name = entry_point.dist.name or "an unnamed distribution"
    return PluginSource(name, entry_point.dist.version or "", entry_point.name)


def _flaw(spec: Any, kind: Any) -> str | None:
    """Say what makes `spec` unusable."""
    if not isinstance(spec, kind):
        return f"returned {_kind(spec)}, not {kind.__name__}"
    if not (isinstance(spec.name, str) and _NAME.fullmatch(spec.name)):
        return f"{spec.name!r} is not a name of lower-case letters, digits, '-' and '_'"
    if not (isinstance(spec.factory, str) and _FACTORY.fullmatch(spec.factory)):
        return f"the factory of {_label(spec)} is not of the form 'module:attribute'"
    if isinstance(spec, CommandSpec) and spec.name in CORE_COMMANDS:
        return f"{_label(spec)} is one of the core's own"
    if isinstance(spec, DriverSpec | MiddlewareSpec):
        return _version_flaw(spec) or _model_flaw(spec)
    return None


def _version_flaw(spec: DriverSpec | MiddlewareSpec) -> str | None:
    version = spec.api_version
    if not (isinstance(version, tuple) and [type(number) for number in version] == [int, int]):
        return f"the API version of {_label(spec)} is not a pair of numbers"
    major, minor = version
    if major == API_VERSION[0] and minor <= API_VERSION[1]:
        return None
    advice = "upgrade storagedriver-core" if version > API_VERSION else "upgrade the plugin"
    supported = ".".join(map(str, API_VERSION))
    return f"{_label(spec)} wants API version {major}.{minor}, the core has {supported}; {advice}"


def _model_flaw(spec: DriverSpec | MiddlewareSpec) -> str | None:
    from pydantic import BaseModel

    model = spec.parameters
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return f"the parameters of {_label(spec)} are no pydantic model"
    if model.model_config.get("extra") != "forbid":
        return f"the parameters of {_label(spec)} do not forbid unknown keys (extra='forbid')"
    return None


def _label(spec: DriverSpec | MiddlewareSpec | HarnessSpec | CommandSpec) -> str:
    return f"{type(spec).__name__.removesuffix('Spec').lower()} {spec.name!r}"


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
