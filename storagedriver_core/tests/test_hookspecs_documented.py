from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from storagedriver_core import hookspecs

ROOT = Path(__file__).resolve().parents[2]
HOOKS = [name for name in vars(hookspecs) if name.startswith("storagedriver_")]
SPECS = [name for name in vars(hookspecs) if name.endswith("Spec")]


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_marked_typed_and_described(hook: str) -> None:
    function = getattr(hookspecs, hook)
    assert re.fullmatch(r"storagedriver_(register|observe)_[a-z]+", hook)
    assert hasattr(function, f"{hookspecs.PROJECT_NAME}_spec")
    signature = inspect.signature(function)
    annotations = [parameter.annotation for parameter in signature.parameters.values()]
    assert inspect.Signature.empty not in [*annotations, signature.return_annotation]
    text = inspect.getdoc(function) or ""
    assert "Called" in text
    assert ("Returns:" in text) == (signature.return_annotation != "None")
    assert all(f"{name}:" in text for name in signature.parameters)


@pytest.mark.parametrize("name", [*HOOKS, *SPECS])
def test_hook_or_spec_has_an_entry_in_the_docs(name: str) -> None:
    # What stands there is written from the code; docs/tests/test_reference.py compares it.
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    assert f"\n### `{name}`\n" in page


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_has_a_test(hook: str) -> None:
    tests = (Path(__file__).parent / "test_plugins.py").read_text(encoding="utf-8")
    assert hook in tests


def test_core_implements_only_hooks_that_are_specified() -> None:
    from storagedriver_core import hooks

    implemented = {name for name in vars(hooks) if name.startswith("storagedriver_")}
    assert implemented <= set(HOOKS)
    assert len(HOOKS) == 5
