"""Pages and pictures that come from the code are what the code says today."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import reference
from pages.models import keys
from pages.plugins import own_plugins
from storagedriver_registry.cli import app as registry_app
from storagedriver_registry.client.commands.cli import app as dist_app
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from storagedriver_core.cli._app import make_app

ROOT = Path(__file__).resolve().parents[2]

PLUGINS = own_plugins()
MODELS = {
    **{name: spec.parameters for name, spec in PLUGINS.drivers.items()},
    **{name: spec.parameters for name, spec in PLUGINS.middlewares.items()},
}


STRANGER = """
from pydantic import BaseModel
from storagedriver_core.hookspecs import CommandSpec, DriverSpec, MiddlewareSpec, hookimpl

class Nothing(BaseModel, extra="forbid"):
    pass

@hookimpl
def storagedriver_register_drivers():
    return [DriverSpec(
        name="stranger", summary="Else", factory="stranger:Driver", parameters=Nothing)]

@hookimpl
def storagedriver_register_middlewares():
    return [MiddlewareSpec(
        name="strange", summary="Else", factory="stranger:wrap", parameters=Nothing, rank=None)]

@hookimpl
def storagedriver_register_commands():
    return [CommandSpec(name="estrange", summary="Else", factory="stranger:app")]
"""


@pytest.mark.parametrize("name", reference.FILES)
def test_file_is_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == reference.FILES[name](), "run scripts/reference.py"


@pytest.mark.parametrize("name", MODELS)
def test_every_key_says_what_it_takes_and_means(name: str) -> None:
    for key in keys(MODELS[name]):
        assert key.takes, key.name
        assert key.meaning.endswith((".", "`")), key.name


def test_every_summary_and_option_in_help_is_a_sentence() -> None:
    apps = {"storagedriver": make_app(PLUGINS), "dist": dist_app, "registry": registry_app}
    apps |= {name: PLUGINS.load_factory(spec) for name, spec in PLUGINS.commands.items()}
    assert {"bench", "conformance", "new", "serve"} < set(apps)
    for program, app in apps.items():
        for name, command in shown_commands(program, get_command(app)):
            texts = [inspect.cleandoc(command.help or "").partition("\n\n")[0]]
            options = [one for one in command.params if isinstance(one, TyperOption)]
            texts += [one.help for one in options if one.help]
            for text in texts:
                assert text[:1].isupper() and text.endswith("."), (name, text)


def shown_commands(name: str, command: object) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    """Give a command as `--help` shows it, and those below it."""
    assert isinstance(command, TyperCommand | TyperGroup)
    yield name, command
    for below, inner in command.commands.items() if isinstance(command, TyperGroup) else ():
        yield from shown_commands(f"{name} {below}", inner)


def test_no_page_is_written_by_hand() -> None:
    for name in reference.FILES:
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert text.startswith("<!-- Written by scripts/reference.py from "), name


def test_no_page_tells_of_plugins_of_other_projects(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text(STRANGER)
    metadata = tmp_path / "stranger-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[storagedriver]\nstranger = stranger\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    listed = run("-m", "storagedriver_core.cli", "drivers", environment=environment)
    assert "stranger" in listed.stdout, listed.stderr
    assert "problem" not in listed.stderr
    checked = run(str(ROOT / "scripts" / "reference.py"), "--check", environment=environment)
    assert checked.returncode == 0, checked.stderr


def run(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True
    )
