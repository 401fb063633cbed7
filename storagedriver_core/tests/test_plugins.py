from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import subprocess
import sys

import pytest

from storagedriver_core import ConfigurationError, open_storage
from storagedriver_core._plugins import load_plugins
from storagedriver_core.tests.conftest import Site

DRIVER = """
from pydantic import BaseModel
from storagedriver_core import DriverSpec, hookimpl

class Parameters(BaseModel, extra="forbid"):
    pass

@hookimpl
def storagedriver_register_drivers():
    return [
        DriverSpec(
            name="{name}",
            summary="A driver of a test",
            factory="{factory}",
            parameters=Parameters,
            api_version={api_version},
        )
    ]
"""


def driver(name: str, *, factory: str = "nowhere:Driver", api_version: object = (1, 0)) -> str:
    return DRIVER.format(name=name, factory=factory, api_version=api_version)


def returning(value: str, hook: str = "storagedriver_register_drivers") -> str:
    return f"""
from storagedriver_core import CommandSpec, DriverSpec, HarnessSpec, MiddlewareSpec, hookimpl
from pydantic import BaseModel

class Lax(BaseModel):
    pass

@hookimpl
def {hook}():
    return {value}
"""


BROKEN = {
    "cannot be imported: ModuleNotFoundError": "import a_module_that_is_not_there",
    "cannot be imported: SyntaxError": "def (",
    "cannot be imported: SystemExit": "raise SystemExit(3)",
    "storagedriver_register_drivers raised ZeroDivisionError": returning("1 / 0"),
    "returned None, not a list": returning("None"),
    "returned dict, not a list": returning("{}"),
    "returned str, not DriverSpec": returning("['s3']"),
    "'My Driver' is not a name": driver("My Driver"),
    "is not of the form 'module:attribute'": driver("odd", factory="module.Class"),
    "wants API version 2.0, storagedriver-core has 1.0; upgrade storagedriver-core": driver(
        "odd", api_version=(2, 0)
    ),
    "wants API version 1.1, storagedriver-core has 1.0; upgrade storagedriver-core": driver(
        "odd", api_version=(1, 1)
    ),
    "wants API version 0.9, storagedriver-core has 1.0; upgrade the plugin": driver(
        "odd", api_version=(0, 9)
    ),
    "is not a pair of numbers": driver("odd", api_version="1.0"),
    "do not forbid unknown keys": returning(
        "[DriverSpec(name='odd', summary='', factory='a:b', parameters=Lax)]"
    ),
    "are no pydantic model": returning(
        "[DriverSpec(name='odd', summary='', factory='a:b', parameters=dict)]"
    ),
    "implements no hook; is @hookimpl missing?": "def storagedriver_register_drivers(): return []",
    "unknown hook 'storagedriver_register_drover'": returning(
        "[]", hook="storagedriver_register_drover"
    ),
    "command 'ls' is one of storagedriver-core's own": returning(
        "[CommandSpec(name='ls', summary='', factory='a:b')]",
        hook="storagedriver_register_commands",
    ),
    "driver 'inmemory' is already registered by storagedriver-inmemory": driver("inmemory"),
    "middleware 'retry' is already registered by storagedriver-core": returning(
        "[MiddlewareSpec(name='retry', summary='', factory='a:b', rank=1,"
        " parameters=type('P', (BaseModel,), {'model_config': {'extra': 'forbid'}}))]",
        hook="storagedriver_register_middlewares",
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_plugin_is_reported_with_its_distribution_and_the_others_load(
    message: str, site: Site
) -> None:
    # Sorted before every other name, so that nothing loads only because it came first.
    site.install("aaa-broken", BROKEN[message], entry_point="broken")
    site.install("zzz-sound", driver("sound"))
    plugins = load_plugins()
    (problem,) = [one for one in plugins.problems if one.distribution == "aaa-broken"]
    assert message in problem.message
    assert problem.entry_point == "broken"
    assert {"sound", "inmemory", "filesystem"} <= set(plugins.drivers)
    assert plugins.sources[plugins.drivers["inmemory"]].distribution == "storagedriver-inmemory"
    assert "odd" not in plugins.drivers


def test_leftover_of_an_uninstalled_plugin_is_reported(site: Site) -> None:
    site.install("left-over", driver("leftover"))
    (site.folder / "left_over-1.0.dist-info" / "METADATA").unlink()
    (site.folder / "left_over_hooks.py").unlink()
    assert any("left_over_hooks" in problem.message for problem in load_plugins().problems)


def test_command_lists_what_is_installed_beside_a_broken_plugin(site: Site) -> None:
    site.install("broken-plugin", "raise RuntimeError('boom')")
    site.install("sound-plugin", driver("sound"))
    done = subprocess.run(
        [sys.executable, "-m", "storagedriver_core.cli", "drivers", "--json"],
        env={**os.environ, "PYTHONPATH": str(site.folder)},
        capture_output=True,
        check=True,
    )
    listing = json.loads(done.stdout)
    assert {"sound", "inmemory", "filesystem"} <= {one["name"] for one in listing["drivers"]}
    assert {
        "distribution": "broken-plugin",
        "entry_point": "plugin",
        "message": "cannot be imported: RuntimeError: boom",
    } in listing["problems"]


def test_plugins_are_looked_for_once(site: Site) -> None:
    assert load_plugins() is load_plugins()


def test_unknown_driver_lists_what_is_installed_and_what_to_install() -> None:
    plugins = load_plugins()
    local = {name: plugins.drivers[name] for name in ("filesystem", "inmemory")}
    with pytest.raises(ConfigurationError) as caught:
        dataclasses.replace(plugins, drivers=local).driver("s3")
    assert "pip install storagedriver-s3" in str(caught.value)
    assert "filesystem, inmemory" in str(caught.value)


def test_unknown_driver_names_the_close_match_and_no_misspelt_package() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_plugins().driver("filesytem")
    assert "did you mean 'filesystem'?" in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_unknown_driver_of_a_third_party_names_the_usual_package() -> None:
    with pytest.raises(ConfigurationError, match="pip install storagedriver-ceph"):
        load_plugins().driver("ceph")


def test_unknown_driver_is_never_replaced_by_another() -> None:
    with pytest.raises(ConfigurationError, match="unknown driver 'nosuchdriver'"):
        open_storage({"storage": {"driver": "nosuchdriver"}})


def test_driver_of_a_broken_plugin_says_that_it_is_broken(site: Site) -> None:
    site.install("storagedriver-ceph", "raise RuntimeError('boom')")
    with pytest.raises(ConfigurationError) as caught:
        load_plugins().driver("ceph")
    assert "storagedriver-ceph is installed, but broken" in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_unknown_middleware_lists_what_is_installed() -> None:
    with pytest.raises(
        ConfigurationError, match=r"did you mean 'retry'\?.*limit, .*prefix, .*retry"
    ):
        load_plugins().middleware("retyr")


def test_missing_sdk_shows_when_the_driver_is_made_and_names_the_distribution(site: Site) -> None:
    site.install("needs-sdk", driver("sdk", factory="an_sdk_that_is_not_there:Driver"))
    assert "sdk" in load_plugins().drivers
    with pytest.raises(ConfigurationError, match="pip install --upgrade needs-sdk"):
        open_storage({"storage": {"driver": "sdk"}})


def test_middlewares_of_the_core_have_their_ranks(site: Site) -> None:
    middlewares = load_plugins().middlewares
    ranks = {name: spec.rank for name, spec in middlewares.items()}
    assert ranks == {
        "prefix": 10,
        "readonly": 10,
        "redirect": 12,
        "cloudfront": 12,
        "rewrite": 12,
        "checksum": 14,
        "cache": 16,
        "retry": 20,
        "limit": 30,
        "timeout": 40,
        "chaos": 50,
        "metrics": None,
        "tracing": None,
    }
    # storagedriver_register_middlewares of a plugin is called as the core's own is.
    source = BROKEN["middleware 'retry' is already registered by storagedriver-core"]
    site.install("more-middleware", source.replace("'retry'", "'more'"))
    load_plugins.cache_clear()
    assert load_plugins().middlewares["more"].rank == 1


def test_harness_of_a_plugin_is_handed_on(site: Site) -> None:
    site.install(
        "with-harness",
        returning(
            "[HarnessSpec(name='sound', driver_name='sound', factory='a:b', summary='')]",
            hook="storagedriver_register_harnesses",
        ),
    )
    assert load_plugins().harnesses["sound"].driver_name == "sound"


def test_command_of_a_plugin_runs_with_its_arguments(site: Site) -> None:
    site.install(
        "with-command",
        returning(
            "[CommandSpec(name='greet', summary='Greet', factory='greeting:app')]",
            hook="storagedriver_register_commands",
        ),
    )
    (site.folder / "greeting.py").write_text(
        "import typer\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def greet(name: str, loud: bool = False) -> None:\n"
        "    typer.echo(f'hello {name} {loud}')\n"
        "    raise typer.Exit(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "storagedriver_core.cli", "greet", "you", "--loud"],
        env={**os.environ, "PYTHONPATH": str(site.folder)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (3, "hello you True\n")


OBSERVER = """
from storagedriver_core import hookimpl
events = []

@hookimpl
def storagedriver_observe_operation(event):
    events.append(event)
    if {raises}:
        raise RuntimeError("an observer's fault")
"""


@pytest.mark.parametrize("raises", [False, True])
def test_observer_of_a_plugin_sees_operations_and_disturbs_none(
    raises: bool, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    module = site.install("observing-plugin", OBSERVER.format(raises=raises))
    with caplog.at_level(logging.ERROR):
        asyncio.run(put_and_get())
    events = sys.modules[module].events
    assert [(one.operation, one.path, one.size) for one in events] == [
        ("put_content", "/a", 3),
        ("get_content", "/a", 3),
    ]
    assert ("an observer's fault" in caplog.text) is raises


async def put_and_get() -> None:
    async with open_storage({"storage": {"driver": "inmemory"}}) as storage:
        await storage.put_content("/a", b"abc")
        assert await storage.get_content("/a") == b"abc"
