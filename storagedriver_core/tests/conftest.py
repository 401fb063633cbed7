"""Fixtures of the core's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storagedriver_core._plugins import load_plugins


class Site:
    """A folder of installed distributions, as pip leaves them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, source: str, *, entry_point: str = "plugin") -> str:
        """Install a plugin of one module, and give the module's name."""
        module = distribution.replace("-", "_") + "_hooks"
        (self.folder / f"{module}.py").write_text(source)
        info = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[storagedriver]\n{entry_point} = {module}\n")
        return module


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site of its own for this test's plugins, in front of the environment's."""
    folder = tmp_path / "site"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    load_plugins.cache_clear()
    yield Site(folder)
    load_plugins.cache_clear()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) in {str(p) for p in folder.glob("*.py")}:
            del sys.modules[name]


@pytest.fixture
def demo(site: Site) -> None:
    """The driver `demo`, installed."""
    site.install("demo-driver", "from storagedriver_core.tests.demo_plugin import *\n")
