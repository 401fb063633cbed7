"""The API pages have every public name, and no other."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


# By package, the pages that have its names.
PAGES = {
    "storagedriver_core": ("api.md",),
    "storagedriver_testsuite": ("api.md",),
    "storagedriver_registry": ("api.md",),
    "storagedriver_registry.client": ("client.md",),
    "storagedriver_registry.client.transfer": ("client.md",),
    "storagedriver_registry.client.layouts": ("client.md",),
}


def described(page: str) -> Iterator[tuple[str, str]]:
    """Give package and name of each directive that describes something."""
    package = ""
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"\.\. (?:currentmodule|module):: (\S+)", line):
            package = found[1]
        elif found := re.fullmatch(r"\.\. auto(?:class|function|data|exception):: (\w+)", line):
            yield package, found[1]


@pytest.mark.parametrize("package", PAGES)
def test_every_public_name_is_described_once(package: str) -> None:
    names = [name for page in PAGES[package] for of, name in described(page) if of == package]
    assert sorted(names) == sorted(importlib.import_module(package).__all__)


@pytest.mark.parametrize("page", sorted({page for pages in PAGES.values() for page in pages}))
def test_nothing_of_another_package_is_described(page: str) -> None:
    assert {package for package, _ in described(page)} <= set(PAGES)
