"""Suites for drivers that are known by name: made from the harness that their plugin registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pydantic import ValidationError

from storagedriver_core import (
    ConfigurationError,
    HarnessSpec,
    PluginRegistry,
    StorageDriver,
    load_config,
    load_plugins,
)
from storagedriver_testsuite._harness import Harness
from storagedriver_testsuite._prefixed import PREFIX, PrefixedHarness
from storagedriver_testsuite._suite import SuiteBase

Wrap = Callable[[StorageDriver], StorageDriver]
Entry = Mapping[str, Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class _Settings:
    """What a configuration file says of the storage."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    middleware: Sequence[Entry] = ()
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    part_size: int | None = None


def suite_for(
    base: type[SuiteBase], name: str, *, config: Path | None = None, through: Sequence[str] = ()
) -> type[SuiteBase]:
    """Make a suite for an installed driver.

    Args:
        base: `DriverSuite` or `DriverBenchmarks`.
        name: The driver's name, or that of one of its harnesses.
        config: File that configures the driver; None for what its harness does without.
        through: Middlewares to put around, the outermost first; those of the file stand inside.

    Raises:
        ConfigurationError: The driver or a middleware is not installed or not configured right,
            or no harness is registered for the driver.
    """
    plugins = load_plugins()
    spec = _find_harness(plugins, name)
    settings = _read(config, spec.driver_name) if config is not None else _Settings()
    entries: list[Entry] = [{layer: None} for layer in through]
    entries = [*entries, *settings.middleware]
    stack = _stack(plugins, entries)
    prefix = "".join(_prefix(entry) for entry in reversed(entries))
    make_harness = plugins.load_factory(spec)

    @pytest.fixture
    def harness(self: SuiteBase, tmp_path: Path) -> Harness:
        made: Harness = make_harness(tmp_path, settings.parameters)
        return PrefixedHarness(made, prefix, stack) if prefix else made

    def wrap(self: SuiteBase, driver: StorageDriver) -> StorageDriver:
        return driver if prefix else stack(driver)

    attributes = {
        "__doc__": f"The suite of {name}.",
        "label": f"{name} through {', '.join(through)}" if through else name,
        "narrow": settings.capabilities,
        "part_size": settings.part_size,
        "harness": harness,
        "wrap": wrap,
    }
    return type("TestDriver", (base,), attributes)


def stack_of(names: Sequence[str]) -> Wrap:
    """Give the function that puts middlewares around a driver, the outermost first."""
    return _stack(load_plugins(), [{name: None} for name in names])


def require_harness(name: str, config: Path | None) -> None:
    """Make one harness and drop it, so that what it lacks is told before a suite begins.

    Raises:
        ConfigurationError: It needs parameters that are not given.
    """
    plugins = load_plugins()
    spec = _find_harness(plugins, name)
    settings = _read(config, spec.driver_name) if config is not None else _Settings()
    with TemporaryDirectory() as directory:
        plugins.load_factory(spec)(Path(directory), settings.parameters)


def _find_harness(plugins: PluginRegistry, name: str) -> HarnessSpec:
    for spec in plugins.harnesses.values():
        if name in (spec.name, spec.driver_name):
            return spec
    plugins.driver(name)  # an unknown driver has a better message
    raise ConfigurationError(
        f"the driver {name!r} is installed, but no package registers a conformance harness for "
        f"it; there are harnesses for: {', '.join(plugins.harnesses) or 'none'}. Its own tests "
        "can subclass storagedriver_testsuite.DriverSuite instead"
    )


def _read(config: Path, driver_name: str) -> _Settings:
    read = load_config(config)
    if read.driver_name != driver_name:
        raise ConfigurationError(f"{config}: the driver is {read.driver_name!r}")
    section = read.to_mapping(reveal_secrets=True)["storage"]
    del section["driver"]
    return _Settings(**section)


def _stack(plugins: PluginRegistry, entries: Sequence[Entry]) -> Wrap:
    """Give the function that puts the middlewares around a driver."""
    layers = [_layer(plugins, name, given) for entry in entries for name, given in entry.items()]

    def wrap(driver: StorageDriver) -> StorageDriver:
        for layer in reversed(layers):
            driver = layer(driver)
        return driver

    return wrap


def _layer(plugins: PluginRegistry, name: str, given: Mapping[str, Any] | None) -> Wrap:
    spec = plugins.middleware(name)
    make = plugins.load_factory(spec)
    if name == "prefix" and given is None:
        given = {"prefix": PREFIX}
    try:
        parameters = spec.parameters(**(given or {}))
    except ValidationError as error:
        keys = ", ".join(str(fault["loc"][0]) for fault in error.errors())
        raise ConfigurationError(
            f"middleware {name!r} needs parameters ({keys}): name it in a configuration file"
        ) from None
    return lambda driver: make(driver, parameters)


def _prefix(entry: Entry) -> str:
    """Give what a middleware puts before each path."""
    if "prefix" not in entry:
        return ""
    given = entry["prefix"]
    return PREFIX if given is None else str(given["prefix"])
