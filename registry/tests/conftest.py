"""Servers and clients for the registry's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from registry.tests.client import Repository, unique_name
from registry.tests.described import check
from registry.tests.images import Images
from registry.tests.interchange import Section, bucket_section
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.sites import Site, running_site
from registry.tests.stores import s3_parameters


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that all tests share, each in repositories of its own."""
    with running(our_server(tmp_path_factory.mktemp("registry"))) as server:
        yield server


@pytest.fixture(scope="session")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    """A client of it. Whatever a test asks, the answer has to be in the table of the API."""
    with httpx.Client(base_url=server.url, event_hooks={"response": [check]}) as client:
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


@pytest.fixture(scope="module")
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A registry of the kind that is the parameter."""

    def store() -> Mapping[str, object]:
        return {
            "s3": {**s3_parameters(request.getfixturevalue("seaweedfs")), "preset": "seaweedfs"}
        }

    with running_site(request.param, tmp_path_factory.mktemp("site"), store) as site:
        yield site


@pytest.fixture(scope="module", params=["directory", "bucket"])
def new_section(request: pytest.FixtureRequest) -> Callable[[], Section]:
    """Give the driver's section for a new place that two servers share; None for a directory."""
    if request.param == "directory":
        return lambda: None
    server = request.getfixturevalue("seaweedfs")
    return lambda: bucket_section(server)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give `dist` a home of its own, and let it work in `tmp_path`."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "CONTAINERS_REGISTRIES_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def images(program: Callable[[str], str], tmp_path: Path) -> Images:
    folder = tmp_path / "images"
    folder.mkdir()
    return Images(program, folder)
