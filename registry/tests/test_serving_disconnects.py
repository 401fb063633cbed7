"""Clients that go away where `test_disconnects` does not look: over HTTP/2, and while they read."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import psutil
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import PingAckReceived

from registry.tests.client import Repository, sha256
from registry.tests.serving import Served, eventually, served

BLOB = bytes(range(256)) * 200_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with served(folder, http={"h2c": {"enabled": True}}) as server:
        yield server


@pytest.fixture
def repository(server: Served) -> Iterator[Repository]:
    with httpx.Client(base_url=server.url) as http:
        yield Repository(http, "disconnected")


class Http2Request:
    """A request by hand, whose body never ends."""

    def __init__(self, server: Served, method: str, target: str, length: int | None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self.connection = H2Connection(H2Configuration(client_side=True))
        self.connection.initiate_connection()
        headers = [(":method", method), (":path", target), (":scheme", "http"), (":authority", "x")]
        if length is not None:
            headers.append(("content-length", str(length)))
        self.connection.send_headers(1, headers)
        self.flush()

    def __enter__(self) -> Http2Request:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send a part of the body, and wait until the server has it."""
        self.connection.send_data(1, data)
        self.connection.ping(b"are you?")
        self.flush()
        while True:
            events = self.connection.receive_data(self.socket.recv(10_000))
            if any(isinstance(event, PingAckReceived) for event in events):
                return

    def go_away(self, how: str) -> None:
        if how == "stream":
            self.connection.reset_stream(1, ErrorCodes.CANCEL)
        if how == "connection":
            self.connection.close_connection(ErrorCodes.INTERNAL_ERROR)
        self.flush()
        if how != "stream":
            self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.connection.data_to_send())


def puts(server: Served, location: httpx.URL) -> int:
    """Give how many to an upload the server is done with."""
    lines = [line for line in server.lines if "http.request.method=PUT" in line]
    return sum(location.path in line for line in lines)


@pytest.mark.parametrize("how", ["stream", "connection", "socket"])
@pytest.mark.parametrize("length", [None, 8], ids=["unknown", "length"])
def test_put_of_http2_that_is_cut_publishes_nothing(
    server: Served, repository: Repository, how: str, length: int | None
) -> None:
    half = f"half of {how} {length}".encode()
    location = httpx.URL(repository.begin()).copy_merge_params({"digest": sha256(half)})
    announced = None if length is None else length + len(half)
    with Http2Request(server, "PUT", location.raw_path.decode(), announced) as request:
        request.send(half)
        request.go_away(how)
        eventually(lambda: puts(server, location) == 1)
    # What came has the digest: only that there was no end tells that it is not all.
    assert repository.blob(sha256(half)).status_code == 404
    whole = half + b"more"
    assert repository.finish(str(location), sha256(whole), whole).status_code == 201


@pytest.mark.parametrize("part", [True, False])
def test_client_that_goes_away_while_it_reads_leaves_nothing_open(
    server: Served, repository: Repository, part: bool
) -> None:
    repository.push_blob(BLOB)
    process, ports = psutil.Process(server.process.pid), set[int]()

    def held() -> list[str]:
        """Give what the server still has of the readers."""
        files = [file.path for file in process.open_files() if file.path.endswith("/data")]
        links = [link.raddr for link in process.net_connections("tcp") if link.raddr]
        return files + [str(address) for address in links if address.port in ports]

    path = repository.url(f"blobs/{sha256(BLOB)}")
    lines = [f"GET {path} HTTP/1.1", "host: x", *(["range: bytes=1-"] if part else []), "", ""]
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as reader:
            ports.add(reader.getsockname()[1])
            reader.sendall("\r\n".join(lines).encode())
            assert reader.recv(9) == b"HTTP/1.1 "
            assert held()
    eventually(held, lambda found: not found)
    assert repository.blob(sha256(BLOB), range="bytes=0-3").content == BLOB[:4]
