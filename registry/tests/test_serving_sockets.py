"""Where the server listens."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from registry.tests.client import Repository, sha256
from registry.tests.serving import eventually, fails_to_serve, served


def client(path: Path) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(path))
    return httpx.Client(transport=transport, base_url="http://registry")


@pytest.mark.parametrize("workers", [1, 2])
def test_unix_socket_is_served_and_removed(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "registry.sock"
    with served(tmp_path, workers, http={"net": "unix", "addr": str(path)}) as server:
        assert f"serving http+unix://{path}/v2/" in server.lines
        with client(path) as http:
            repository = Repository(http, "unix")
            digest = repository.push_blob(b"data")
            assert repository.blob(digest).content == b"data"
            listed = http.get("/v2/none/tags/list", headers={"x-forwarded-for": "192.0.2.7"})
        assert listed.status_code == 404
        eventually(lambda: "http.request.remoteaddr=192.0.2.7 " in server.log)
        assert server.stop() == 0
    assert not path.exists()


def test_unix_socket_that_a_kill_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "registry.sock"
    section = {"net": "unix", "addr": str(path)}
    with served(tmp_path, http=section) as server:
        server.process.kill()
        server.process.wait()
    assert path.is_socket()
    with served(tmp_path, http=section), client(path) as http:
        assert http.get("/v2/").status_code == 200
        (tmp_path / "second").mkdir()
        told = fails_to_serve(tmp_path / "second", http=section)
        assert f"cannot listen at {path}: Address already in use" in told
        assert http.get("/v2/").status_code == 200


def test_file_that_is_no_socket_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    told = fails_to_serve(tmp_path, http={"net": "unix", "addr": str(path)})
    assert f"cannot listen at {path}: Address already in use" in told
    assert path.read_text() == "data"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="the machine has no IPv6")
def test_without_a_host_addresses_of_both_kinds_are_served(tmp_path: Path) -> None:
    with served(tmp_path, http={"addr": ":0"}) as server:
        port = httpx.URL(server.url).port
        assert port
        for host in ("127.0.0.1", "[::1]"):
            assert httpx.get(f"http://{host}:{port}/v2/").status_code == 200
        eventually(lambda: server.log.count("response completed") == 2)
        assert 'http.request.remoteaddr="127.0.0.1:' in server.log
        assert 'http.request.remoteaddr="[::1]:' in server.log


def test_address_needs_no_tables_of_scripts() -> None:
    code = (
        "import sys; from storagedriver_registry.serving.sockets import bind;"
        "bind(('127.0.0.1', 0)).close(); print('encodings.idna' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_second_server_at_a_port_is_told_before_its_storage_is_touched(tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    with served(tmp_path) as server:
        addr = f"127.0.0.1:{server.port}"
        told = fails_to_serve(second, 2, http={"addr": addr})
        assert f"cannot listen at {addr}: Address already in use" in told
    assert not (second / "data").exists()


def test_headers_prefix_and_relative_urls_are_on_answers_of_the_server(tmp_path: Path) -> None:
    section = {
        "prefix": "/some/where/",
        "relativeurls": True,
        "headers": {"X-Content-Type-Options": ["nosniff"], "X-Two": ["a", "b"]},
    }
    with served(tmp_path, http=section) as server, httpx.Client() as http:
        http.base_url = origin = f"http://127.0.0.1:{server.port}"
        assert server.url == f"{origin}/some/where"
        for path in ("/some/where/v2/", "/some/where/v2/none/tags/list", "/elsewhere"):
            response = http.get(path)
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers.get_list("x-two") == ["a", "b"]
        begun = http.post("/some/where/v2/a/blobs/uploads/")
        location = begun.headers["location"]
        assert location.startswith("/some/where/v2/a/blobs/uploads/")
        assert Repository(http, "a").finish(location, sha256(b"")).status_code == 201
