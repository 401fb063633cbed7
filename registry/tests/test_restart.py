"""Upload sessions over the death of the server."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import httpx
import pytest

from registry.tests.client import Repository, SlowRequest, sha256
from registry.tests.processes import ServerProcess

MIB = 1024 * 1024
PATCH_BYTES = 3 * MIB
DATA = b"".join(bytes([number]) * PATCH_BYTES for number in range(5))


@pytest.fixture
def own(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    return start_server()


def test_push_in_five_patches_goes_on_after_a_kill_in_the_third(own: ServerProcess) -> None:
    with httpx.Client(base_url=own.url) as http:
        repository = Repository(http, "five/patches")
        location, acknowledged = repository.begin(), 0
        for number in range(2):
            chunk = DATA[number * PATCH_BYTES : (number + 1) * PATCH_BYTES]
            response = repository.patch(location, chunk)
            assert response.status_code == 202
            location = repository.location(response)
            acknowledged = int(response.headers["range"].removeprefix("0-")) + 1
        with SlowRequest("PATCH", location, content_length=PATCH_BYTES) as third:
            third.send(DATA[acknowledged : acknowledged + PATCH_BYTES // 2])
            own.kill()
    own.start()
    with httpx.Client(base_url=own.url) as http:
        repository = Repository(http, "five/patches")
        status = http.get(location)
        assert status.status_code == 204
        offset = int(status.headers["range"].removeprefix("0-")) + 1
        assert offset >= acknowledged
        location = repository.location(status)
        while offset < len(DATA):
            chunk = DATA[offset : offset + PATCH_BYTES]
            response = repository.patch(location, chunk, f"{offset}-{offset + len(chunk) - 1}")
            assert response.status_code == 202
            location = repository.location(response)
            offset += len(chunk)
        assert repository.finish(location, sha256(DATA)).status_code == 201
        assert sha256(repository.blob(sha256(DATA)).content) == sha256(DATA)
    assert not list((own.data / "docker/registry/v2/repositories").rglob("_uploads"))


@pytest.mark.parametrize("secret", [None, "configured"])
def test_upload_that_only_was_begun_survives(
    start_server: Callable[..., ServerProcess], secret: str | None
) -> None:
    server = start_server({"http": {"secret": secret}} if secret else None)
    key = server.data / "docker/registry/v2/storagedriver/upload-key"
    with httpx.Client(base_url=server.url) as http:
        repository = Repository(http, "begun")
        location = repository.begin()
        server.kill()
        server.start()
        assert key.exists() == (secret is None)
        assert http.get(location).status_code == 204
        assert repository.finish(location, sha256(b"data"), b"data").status_code == 201


def test_stop_lets_a_request_end(own: ServerProcess) -> None:
    # A client that keeps its connection does not keep the server.
    with httpx.Client(base_url=own.url) as idle:
        location = Repository(idle, "stopped").begin()
        with SlowRequest("PATCH", location, content_length=8) as slow:
            slow.send(b"half")
            own.process.terminate()
            while accepts(own):
                time.sleep(0.01)
            slow.send(b"more")
            assert slow.status() == 202
        assert own.process.wait(30) == 0
    own.start()
    assert httpx.get(location).headers["range"] == "0-7"


def test_second_stop_waits_for_nobody(own: ServerProcess) -> None:
    with httpx.Client(base_url=own.url) as http:
        location = Repository(http, "stopped").begin()
    with SlowRequest("PATCH", location, content_length=8):
        own.process.terminate()
        while accepts(own):
            time.sleep(0.01)
        assert own.process.poll() is None
        own.process.terminate()
        assert own.process.wait(30) == -signal.SIGTERM


def accepts(server: ServerProcess) -> bool:
    try:
        return httpx.get(f"{server.url}/v2/", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
