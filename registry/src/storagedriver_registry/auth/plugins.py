"""Which access controllers are installed, and a configured one."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, create_model

from storagedriver_core import (
    ConfigurationError,
    Discovery,
    Document,
    PluginProblem,
    PluginProject,
    PluginSource,
    close_match,
    import_factory,
    validate_document,
)
from storagedriver_registry import hookspecs
from storagedriver_registry.auth.contract import AccessController
from storagedriver_registry.hookspecs import API_VERSION, PROJECT_NAME, AuthSpec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_PROJECT = PluginProject(
    name=PROJECT_NAME,
    distribution="storagedriver-registry",
    hookspecs=hookspecs,
    kinds={"storagedriver_registry_register_auth": AuthSpec},
    api_version=API_VERSION,
)


@dataclass(frozen=True, slots=True)
class AuthPlugins:
    """The installed access controllers. Nothing heavy has been imported to make it.

    Attributes:
        controllers: Controllers by name, in the order of names.
        problems: What was wrong with which plugin.
        sources: Where each spec comes from.
    """

    controllers: Mapping[str, AuthSpec]
    problems: tuple[PluginProblem, ...]
    sources: Mapping[AuthSpec, PluginSource]

    def configure(self, document: Document) -> AuthConfig | None:
        """Validate a section `auth`.

        Args:
            document: With nothing but the section, if that.

        Returns:
            None if the section is missing or empty.

        Raises:
            ConfigurationError: A line for each fault: file and line, key, and what is wrong.
        """
        section = document.data.get("auth")
        if isinstance(section, str):  # distribution's short form: a controller without options
            section = {section: {}}
        if not section:
            return None
        if not isinstance(section, dict):
            raise ConfigurationError(document.error(("auth",), "not a mapping"))
        if len(section) > 1:
            message = f"one access controller, not several: {', '.join(map(str, section))}"
            raise ConfigurationError(document.error(("auth",), message))
        ((name, options),) = section.items()
        spec = self._find(str(name), document)
        document.data = {"auth": {name: {} if options is None else options}}
        parameters = {name: (spec.parameters, ...)}
        # Names of fields that are known only now, and so not to the type checker.
        model = create_model("Auth", **parameters)  # type: ignore[call-overload]
        whole = validate_document(create_model("Section", auth=(model, ...)), document)
        validated: BaseModel = getattr(whole.auth, name)  # type: ignore[attr-defined]  # as above
        return AuthConfig(spec, validated, self.sources[spec])

    def _find(self, name: str, document: Document) -> AuthSpec:
        """Give the controller `name`. distribution takes any case of `none`."""
        known = name.lower() if name.lower() == "none" else name
        if known in self.controllers:
            return self.controllers[known]
        message = f"unknown access controller {name!r}{close_match(name, self.controllers)}"
        broken = "".join(f"; {problem}" for problem in self.problems)
        message = f"{message}; installed: {', '.join(self.controllers)}{broken}"
        raise ConfigurationError(document.error(("auth", name), message))


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """A validated section `auth`.

    Attributes:
        spec: The controller's.
        parameters: Its options.
        source: Where the controller comes from.
    """

    spec: AuthSpec
    parameters: BaseModel
    source: PluginSource

    def build(self) -> AccessController:
        """Make the controller, and open nothing.

        Raises:
            ConfigurationError: It cannot be imported.
        """
        controller: AccessController = import_factory(self.spec, self.source)(self.parameters)
        return controller


@functools.cache
def load_auth_plugins() -> AuthPlugins:
    """Give the controllers that are installed for this process; they are looked for once."""
    from importlib.metadata import entry_points

    return discover_auth_plugins(entry_points(group=PROJECT_NAME))


def discover_auth_plugins(entry_points: Iterable[EntryPoint]) -> AuthPlugins:
    """Load the plugins that `entry_points` name, and the registry's own."""
    from storagedriver_registry import hooks

    found = Discovery(_PROJECT)
    found.add_own(hooks)
    for entry_point in entry_points:
        found.add(entry_point)
    controllers = found.select(AuthSpec)
    return AuthPlugins(controllers, tuple(found.problems), found.sources)
