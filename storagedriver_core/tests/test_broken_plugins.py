"""What is wrong with one package is told with its name, and takes nothing else with it.

Drivers and middlewares are tried with each kind of fault; messages that only one of them has are in
`test_plugins.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from storagedriver_core import ConfigurationError, PluginRegistry
from storagedriver_core._plugins import load_plugins
from storagedriver_core.tests.conftest import Site

PLUGIN = """
from pydantic import BaseModel
from storagedriver_core import DriverMiddleware, DriverSpec, MiddlewareSpec, hookimpl

class Parameters(BaseModel, extra="forbid"):
    pass

class Around(DriverMiddleware):
    def __init__(self, driver, parameters):
        super().__init__(driver)

def store(parameters):
    from storagedriver_inmemory import InMemoryDriver
    return InMemoryDriver()

@hookimpl
def storagedriver_register_{kind}s():
    return [{spec}(
        name="{name}", summary="", parameters=Parameters, api_version={version}, {more}
    )]
"""
KINDS = {
    "driver": {"spec": "DriverSpec", "more": "factory=f'{__name__}:store'"},
    "middleware": {"spec": "MiddlewareSpec", "more": "factory=f'{__name__}:Around', rank=None"},
}
TAKEN = {
    "driver": ("inmemory", "storagedriver-inmemory"),
    "middleware": ("retry", "storagedriver-core"),
}


def plugin(kind: str, name: str, version: tuple[int, int] = (1, 0)) -> str:
    """Give the module of a plugin that registers one driver or middleware."""
    values: Mapping[str, Any] = {"kind": kind, "name": name, "version": version, **KINDS[kind]}
    return PLUGIN.format(**values)


def with_fault(kind: str, fault: str) -> tuple[str, str]:
    """Give a plugin with a fault, and what is said of it."""
    name, owner = TAKEN[kind]
    hook = f"storagedriver_register_{kind}s"
    sound = plugin(kind, "odd")
    return {
        "import": (f"{sound}\n1 / 0\n", "cannot be imported: ZeroDivisionError"),
        "hook": (sound.replace("return [", "return [1 / 0, "), f"{hook} raised ZeroDivisionError"),
        "version": (
            plugin(kind, "odd", version=(2, 0)),
            f"{kind} 'odd' wants API version 2.0, storagedriver-core has 1.0",
        ),
        "name": (plugin(kind, name), f"{kind} '{name}' is already registered by {owner}"),
    }[fault]


def known(plugins: PluginRegistry, kind: str) -> Mapping[str, Any]:
    return {"driver": plugins.drivers, "middleware": plugins.middlewares}[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["import", "hook", "version", "name"])
def test_fault_is_told_with_the_package_and_all_others_load(
    kind: str, fault: str, site: Site
) -> None:
    before = load_plugins()
    load_plugins.cache_clear()
    source, message = with_fault(kind, fault)
    # In front of all others in the order of names, and after them.
    for package in ("aaa", "zzz"):
        site.install(f"{package}-broken", source)
        site.install(f"{package}-sound", plugin(kind, package))
    plugins = load_plugins()
    told = {problem.distribution: str(problem) for problem in plugins.problems}
    assert set(told) == {"aaa-broken", "zzz-broken"}
    for package, text in told.items():
        assert text.startswith(f"{package} (entry point 'plugin'): ")
        assert message in text
    assert set(known(plugins, kind)) == {*known(before, kind), "aaa", "zzz"}
    name, owner = TAKEN[kind]
    assert plugins.sources[known(plugins, kind)[name]].distribution == owner


def test_of_two_packages_with_one_name_both_are_told(site: Site) -> None:
    site.install("acme-store", plugin("driver", "acme"))
    site.install("other-store", plugin("driver", "acme"))
    plugins = load_plugins()
    assert plugins.sources[plugins.drivers["acme"]].distribution == "acme-store"
    (problem,) = plugins.problems
    assert str(problem) == (
        "other-store (entry point 'plugin'): driver 'acme' is already registered by acme-store"
    )


def test_command_works_beside_all_faults_at_once_and_names_each_package(site: Site) -> None:
    packages = []
    for kind in KINDS:
        site.install(f"sound-{kind}", plugin(kind, f"sound-{kind}"))
        for fault in ("import", "hook", "version", "name"):
            packages.append(f"{kind}-with-wrong-{fault}")
            site.install(packages[-1], with_fault(kind, fault)[0])
    config = site.folder / "storage.yml"
    config.write_text("storage: { driver: sound-driver, middleware: [sound-middleware: {}] }\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "storagedriver_core.cli", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(site.folder)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    listed = run("drivers")
    assert "  sound-driver " in listed.stdout
    assert "  sound-middleware " in listed.stdout
    problems = [line for line in listed.stderr.splitlines() if line.startswith("problem: ")]
    assert len(problems) == len(packages)
    for package in packages:
        assert f"problem: {package} (entry point 'plugin'): " in listed.stderr
    # It is not only listed.
    assert run("ls", "--config", str(config), "/").stdout == ""


@pytest.mark.parametrize("kind", KINDS)
def test_who_asks_for_what_a_broken_package_has_is_told_its_name(kind: str, site: Site) -> None:
    site.install("acme-plugins", with_fault(kind, "import")[0])
    plugins = load_plugins()
    ask = {"driver": plugins.driver, "middleware": plugins.middleware}[kind]
    with pytest.raises(ConfigurationError) as caught:
        ask("odd")
    assert "acme-plugins is installed, but broken: cannot be imported: ZeroDiv" in str(caught.value)
