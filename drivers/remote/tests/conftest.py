"""Cases of thousands of requests run at full size only, where another suite shows them anyhow."""

from __future__ import annotations

import pytest

HEAVY = {
    "TestNodejs": {"L22", "P04", "F05", "N25"},
    "TestRemoteInMemory": {"N25", "P04"},
    "TestRemoteFilesystem": {"M18"},
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, before marks select."""
    for item in items:
        heavy = HEAVY.get(getattr(getattr(item, "cls", None), "__name__", ""), set())
        cases = (marker.args[0] for marker in item.iter_markers("case"))
        if any(getattr(case, "id", "") in heavy for case in cases):
            item.add_marker(pytest.mark.large)
