"""Guarded loading of plugins: every fault of one becomes a problem, and stays its own.

It serves any pluggy project: the core's own, and those of what is built on the core.
"""

from __future__ import annotations

import importlib
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

from storagedriver_core._errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from types import ModuleType

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_FACTORY = re.compile(r"[\w.]+:[\w.]+")


class PluginSpec(Protocol):
    """What every spec of a plugin has; it can be hashed.

    One with an `api_version` must fit that of the project, and one with `parameters` has there the
    pydantic model of its parameters, which forbids unknown keys.
    """

    @property
    def name(self) -> str:
        """What configurations call it."""
        ...

    @property
    def factory(self) -> str:
        """`"module:attribute"`, imported when it is used."""
        ...


_SpecT = TypeVar("_SpecT", bound=PluginSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginProject:
    """What may be plugged in somewhere, and what makes it unusable.

    Attributes:
        name: Name of the pluggy project and of the entry-point group.
        distribution: Name of the distribution that the project is of.
        hookspecs: The module of the hook specifications.
        kinds: The hooks that register, each with the class of the specs in the list that it
            returns. The other hooks observe.
        api_version: Version of the contract between the project and its plugins.
        reserved: Names that plugins cannot take, by class of specs.
    """

    name: str
    distribution: str
    hookspecs: ModuleType
    kinds: Mapping[str, type]
    api_version: tuple[int, int]
    reserved: Mapping[type, Sequence[str]] = field(default_factory=dict)


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
    """Collects what the plugins of a project register.

    Attributes:
        observers: The observing hooks that plugins implement.
        problems: What was wrong.
        sources: Where each selected spec comes from.
    """

    def __init__(self, project: PluginProject) -> None:
        self.observers: list[pluggy.HookCaller] = []
        self.problems: list[PluginProblem] = []
        self.sources: dict[Any, PluginSource] = {}
        self._project = project
        self._found: list[tuple[PluginSource, Any]] = []

    def add_own(self, plugin: ModuleType) -> None:
        """Add the plugin of the project's own distribution, which needs no entry point."""
        from importlib.metadata import version

        own = self._project.distribution
        self._register(PluginSource(own, version(own), "hooks"), plugin)

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

        Of several, the project's own is taken, or that of the distribution called after the name,
        or the first by distribution; so no package can take over `s3` from `storagedriver-s3`.
        """

        def precedence(entry: tuple[PluginSource, _SpecT]) -> tuple[bool, bool, PluginSource]:
            source, spec = entry
            own = source.distribution == f"storagedriver-{spec.name}"
            return source.distribution != self._project.distribution, not own, source

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
        manager = pluggy.PluginManager(self._project.name)
        manager.add_hookspecs(self._project.hookspecs)
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
            if caller.name in self._project.kinds:
                self._call(source, caller)
            else:
                self.observers.append(caller)

    def _call(self, source: PluginSource, caller: pluggy.HookCaller) -> None:
        kind = self._project.kinds[caller.name]
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
                flaw = _flaw(spec, kind, self._project)
                if flaw:
                    self._report(source, f"{caller.name}: {flaw}")
                else:
                    self._found.append((source, spec))

    def _report(self, source: PluginSource, message: str) -> None:
        self.problems.append(PluginProblem(source.distribution, source.entry_point, message))


def _source(entry_point: EntryPoint) -> PluginSource:
    assert entry_point.dist is not None  # entry_points() always sets it
    # What an interrupted uninstallation leaves behind may have no metadata.
    name = entry_point.dist.name or "an unnamed distribution"
    return PluginSource(name, entry_point.dist.version or "", entry_point.name)


def _flaw(spec: Any, kind: Any, project: PluginProject) -> str | None:
    """Say what makes `spec` unusable."""
    if not isinstance(spec, kind):
        return f"returned {_kind(spec)}, not {kind.__name__}"
    if not (isinstance(spec.name, str) and _NAME.fullmatch(spec.name)):
        return f"{spec.name!r} is not a name of lower-case letters, digits, '-' and '_'"
    if not (isinstance(spec.factory, str) and _FACTORY.fullmatch(spec.factory)):
        return f"the factory of {_label(spec)} is not of the form 'module:attribute'"
    if spec.name in project.reserved.get(kind, ()):
        return f"{_label(spec)} is one of {project.distribution}'s own"
    flaw = _version_flaw(spec, project) if hasattr(spec, "api_version") else None
    return flaw or (_model_flaw(spec) if hasattr(spec, "parameters") else None)


def _version_flaw(spec: Any, project: PluginProject) -> str | None:
    version = spec.api_version
    if not (isinstance(version, tuple) and [type(number) for number in version] == [int, int]):
        return f"the API version of {_label(spec)} is not a pair of numbers"
    ours = project.api_version
    if version[0] == ours[0] and version[1] <= ours[1]:
        return None
    return (
        f"{_label(spec)} wants API version {version[0]}.{version[1]}, "
        f"{project.distribution} has {ours[0]}.{ours[1]}; "
        f"upgrade {project.distribution if version > ours else 'the plugin'}"
    )


def _model_flaw(spec: Any) -> str | None:
    from pydantic import BaseModel

    model = spec.parameters
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return f"the parameters of {_label(spec)} are no pydantic model"
    if model.model_config.get("extra") != "forbid":
        return f"the parameters of {_label(spec)} do not forbid unknown keys (extra='forbid')"
    return None


def _label(spec: PluginSpec) -> str:
    return f"{type(spec).__name__.removesuffix('Spec').lower()} {spec.name!r}"


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def import_factory(spec: PluginSpec, source: PluginSource) -> Any:
    """Import and give what `spec.factory` names.

    Raises:
        ConfigurationError: It cannot be imported. Says which distribution is broken.
    """
    module, _, attribute = spec.factory.partition(":")
    try:
        return operator.attrgetter(attribute)(importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        distribution = source.distribution
        raise ConfigurationError(
            f"{spec.name!r} of {distribution} cannot be loaded: {error}; "
            f"try `pip install --upgrade {distribution}`"
        ) from error
