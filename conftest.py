"""What the tests of every member share: the programs that `make services` fetches.

A test that needs one says so with `@pytest.mark.service("skopeo")`, and gets its path from the
fixture `program`. A missing program fails the test in CI (`CI=true`) and skips it elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / ".services" / "bin"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for the programs before anything of the test is set up."""
    wanted = [name for marker in item.iter_markers("service") for name in marker.args]
    missing = [name for name in wanted if not (PROGRAMS / name).is_file()]
    if not missing:
        return
    message = f"{', '.join(missing)}: not there; `make services` fetches it"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Give the path of a program."""
    return lambda name: str(PROGRAMS / name)
