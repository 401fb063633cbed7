"""What the tests of every member share: the programs that `make services` fetches, and servers.

A test that needs a program says so with `@pytest.mark.service("skopeo")`, and gets its path from
the fixture `program`. One that needs a server asks for the server's fixture: it starts once a
session, when the first test wants it. A missing program fails the test in CI (`CI=true`) and skips
it elsewhere.

Where a suite takes long, and another shows the same anyhow, its class says which cases run with the
tests at full size only: `only_large = {"L22", …}`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

import httpx
import pytest

from servers._process import MissingProgramError, Server
from servers.azurite import Azurite
from servers.chromium import Chromium
from servers.fake_gcs import FakeGcs
from servers.moto import Moto
from servers.rclone_webdav import RcloneWebDav
from servers.seaweedfs import SeaweedFS
from servers.sshd import Sshd
from servers.strict_gcs import StrictGcs
from servers.swift import Swift
from servers.valkey import Valkey
from servers.wsgidav import WsgiDav

PROGRAMS = Path(__file__).parent / ".services" / "bin"
PATIENCE_SECONDS = 60.0
"""For an answer to a test's own request: a busy disk may take seconds for a sync."""
ServerT = TypeVar("ServerT", bound=Server)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests in a browser write the documentation's pictures, which they take anyway."""
    parser.addoption(
        "--write-screenshots", action="store_true", help="write docs/images/page-*.png anew"
    )


def pytest_configure() -> None:
    """Be more patient than httpx, which gives up after five seconds where a test says nothing."""
    default = inspect.signature(httpx.Client).parameters["timeout"].default
    # One object is the default of all its functions, so that to replace it would change nothing.
    assert default is inspect.signature(httpx.get).parameters["timeout"].default
    default.connect = default.read = default.write = default.pool = PATIENCE_SECONDS


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark cases that a class has for tests at full size, before marks select."""
    for item in items:
        only_large = getattr(getattr(item, "cls", None), "only_large", ())
        cases = (marker.args[0] for marker in item.iter_markers("case"))
        if any(getattr(case, "id", "") in only_large for case in cases):
            item.add_marker(pytest.mark.large)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for the programs before anything of the test is set up."""
    wanted = [name for marker in item.iter_markers("service") for name in marker.args]
    missing = [name for name in wanted if not (PROGRAMS / name).is_file()]
    if missing:
        _not_there(f"{', '.join(missing)}: not there; `make services` fetches it")


def _not_there(message: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Give the path of a program."""
    return lambda name: str(PROGRAMS / name)


def _running(
    server_class: Callable[[Path], ServerT], folders: pytest.TempPathFactory
) -> Iterator[ServerT]:
    server = server_class(folders.mktemp("server"))
    missing = ""
    try:
        server.start()
    except MissingProgramError as exc:
        missing = str(exc)
    if missing:
        _not_there(missing)
    with server:
        yield server


@pytest.fixture(scope="session")
def at_full_size(request: pytest.FixtureRequest) -> bool:
    """Say whether this session is one of tests at full size, which fit in no server's memory."""
    return str(request.config.getoption("markexpr")) == "large"


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """Run SeaweedFS, an S3 store."""
    yield from _running(SeaweedFS, tmp_path_factory)


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    """Run Swift, an S3 store with an interface of its own, too."""
    yield from _running(Swift, tmp_path_factory)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """Run moto, an S3 store that checks no signature."""
    yield from _running(Moto, tmp_path_factory)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory, at_full_size: bool) -> Iterator[Azurite]:
    """Run Azurite, an Azure Blob Storage; in memory, unless tests are large."""
    yield from _running(partial(Azurite, on_disk=at_full_size), tmp_path_factory)


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory, at_full_size: bool) -> Iterator[FakeGcs]:
    """Run fake-gcs-server, a Google Cloud Storage; in memory, unless tests are large."""
    yield from _running(partial(FakeGcs, on_disk=at_full_size), tmp_path_factory)


@pytest.fixture(scope="session")
def strict_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictGcs]:
    """Run the strict fake of Google Cloud Storage."""
    yield from _running(StrictGcs, tmp_path_factory)


@pytest.fixture(scope="session")
def rclone_webdav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneWebDav]:
    """Run rclone, a WebDAV server."""
    yield from _running(RcloneWebDav, tmp_path_factory)


@pytest.fixture(scope="session")
def wsgidav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WsgiDav]:
    """Run WsgiDAV, a second WebDAV server."""
    yield from _running(WsgiDav, tmp_path_factory)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Run OpenSSH's server, for SFTP."""
    yield from _running(Sshd, tmp_path_factory)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Run Valkey, or Redis where there is none."""
    yield from _running(Valkey, tmp_path_factory)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Run Chromium, a browser."""
    yield from _running(Chromium, tmp_path_factory)
