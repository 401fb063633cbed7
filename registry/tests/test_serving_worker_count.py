"""How many processes serve where nobody has said so."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from registry.tests.serving import served

PROCESSORS = sorted(os.sched_getaffinity(0))


@pytest.fixture
def processors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let this process and what it starts have so many processors."""
    if len(PROCESSORS) < request.param:
        pytest.skip(f"this machine has {len(PROCESSORS)} processors")
    os.sched_setaffinity(0, PROCESSORS[: request.param])
    yield
    os.sched_setaffinity(0, PROCESSORS)


@pytest.mark.parametrize(
    ("processors", "settings", "workers"),
    [
        pytest.param(2, {}, 2, id="files on two processors"),
        pytest.param(1, {}, 0, id="files on one processor"),
        pytest.param(2, {"storage": {"inmemory": {}}}, 0, id="memory"),
        pytest.param(2, {"proxy": {"remoteurl": "http://127.0.0.1:9"}}, 0, id="a proxy"),
    ],
    indirect=["processors"],
)
@pytest.mark.usefixtures("processors")
def test_as_many_serve_as_the_storage_suits(
    tmp_path: Path, settings: Mapping[str, Mapping[str, object]], workers: int
) -> None:
    with served(tmp_path, None, **settings) as server:
        assert len(server.workers()) == workers
        assert server.process.poll() is None
