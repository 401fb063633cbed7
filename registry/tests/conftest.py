"""Servers and clients for the registry's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from registry.tests.client import Repository, unique_name
from registry.tests.images import Images
from registry.tests.processes import ServerProcess, our_server, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that all tests share, each in repositories of its own."""
    with running(our_server(tmp_path_factory.mktemp("registry"))) as server:
        yield server


@pytest.fixture(scope="session")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def repository(http: httpx.Client) -> Repository:
    return Repository(http, unique_name())


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers on `tmp_path/data`, which a test may kill."""
    with ExitStack() as stack:

        def start(settings: Mapping[str, Mapping[str, object]] | None = None) -> ServerProcess:
            return stack.enter_context(running(our_server(tmp_path, settings)))

        yield start


@pytest.fixture
def images(program: Callable[[str], str], tmp_path: Path) -> Images:
    folder = tmp_path / "images"
    folder.mkdir()
    return Images(program, folder)
