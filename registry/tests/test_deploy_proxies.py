"""nginx and Caddy in front of a registry, each with the configuration that the docs give."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from registry.tests.client import OCI_MANIFEST, Repository, error_codes, sha256, unique_name
from registry.tests.deploying import PROXIES, Proxy
from registry.tests.garbage import CONFIG, descriptor, image
from registry.tests.images import Images
from registry.tests.processes import ServerProcess, free_port, our_server, running
from registry.tests.serving import Certificates, eventually

MIB = 1024 * 1024
SECONDS = 60
# What the recipes give a client that says no more, and what a test can wait for.
SHORT_PAUSES = {
    "nginx": {"client_body_timeout 60s": "client_body_timeout 5s"},
    "caddy": {"read_body 1h": "read_body 5s"},
}

pytestmark = pytest.mark.service("nginx", "caddy")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Front(NamedTuple):
    """A proxy, and the registry behind it.

    Attributes:
        kind: The proxy's name.
        proxy: The proxy.
        server: The registry.
        tls: What clients of the proxy need.
    """

    kind: str
    proxy: Proxy
    server: ServerProcess
    tls: ssl.SSLContext

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.proxy.url, verify=self.tls, timeout=SECONDS, headers=headers
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running(our_server(tmp_path_factory.mktemp("registry"))) as server:
        yield server


@pytest.fixture(scope="module", params=PROXIES)
def front(
    request: pytest.FixtureRequest,
    server: ServerProcess,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Front]:
    kind: str = request.param
    folder = tmp_path_factory.mktemp(kind)
    with PROXIES[kind](folder, [server.host], certificates) as proxy:
        yield Front(kind, proxy, server, certificates.context())


@pytest.mark.service("skopeo", "umoci")
def test_image_is_pushed_and_pulled(front: Front, images: Images) -> None:
    made = images.make("pushed", (1, 100_000, 20 * MIB))
    address = f"{front.proxy.url.removeprefix('https:')}/{unique_name('deploy')}:v1"
    images.copy(made, f"docker:{address}")
    assert images.digest(images.pulled(f"docker:{address}", "pulled")) == images.digest(made)


class Raw:
    """A connection to a proxy, and requests by hand.

    Args:
        front: The proxy.
        method: The method.
        path: Path and query.
        length: What is announced of the body.
    """

    def __init__(self, front: Front, method: str, path: str, length: int) -> None:
        address = ("127.0.0.1", front.proxy.port)
        plain = socket.create_connection(address, timeout=SECONDS)
        self._socket = front.tls.wrap_socket(plain, server_hostname="127.0.0.1")
        head = [
            f"{method} {path} HTTP/1.1",
            f"host: 127.0.0.1:{front.proxy.port}",
            f"content-length: {length}",
        ]
        self._socket.sendall("\r\n".join([*head, "", ""]).encode())

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_until_answered(self, most: int) -> int:
        """Send a body as fast as it is taken, until there is an answer; give its status.

        Args:
            most: How many bytes it may take.
        """
        piece = b"x" * 65536
        for _ in range(most // len(piece)):
            # What is readable may be TLS's own.
            self._socket.settimeout(0.001)
            with suppress(TimeoutError):
                return self.status()
            self._socket.settimeout(SECONDS)
            try:
                self._socket.sendall(piece)
            except OSError:
                break  # It takes no more, and has said why.
        return self.status()

    def status(self) -> int:
        """Give the status of the answer."""
        return int(self._socket.recv(1000).split()[1])

    def wait_for_the_end(self) -> bytes:
        """Give what comes until the connection is closed."""
        found = b""
        while True:
            try:
                data = self._socket.recv(1000)
            except (ConnectionResetError, ssl.SSLEOFError):
                return found
            if not data:
                return found
            found += data


def test_upload_that_stalls_is_cut_and_keeps_what_had_come(
    front: Front, certificates: Certificates, tmp_path: Path
) -> None:
    data = os.urandom(2 * MIB)
    others = SHORT_PAUSES[front.kind]
    with (
        front.client() as http,
        PROXIES[front.kind](tmp_path, [front.server.host], certificates, others) as impatient,
    ):
        repository = Repository(http, unique_name("deploy"))
        location = repository.begin()
        target = httpx.URL(location).raw_path.decode()
        with Raw(front._replace(proxy=impatient), "PATCH", target, len(data)) as stalled:
            stalled.send(data[:MIB])
            # The socket here waits much longer.
            stalled.wait_for_the_end()

        def had_come() -> int:
            return int(http.get(location).headers["range"].removeprefix("0-")) + 1

        # The proxy may have cut it before the registry had all of it; of nothing it says `0-0`.
        count = eventually(had_come, lambda count: count > 1)
        assert count <= MIB
        patched = repository.patch(location, data[count:], f"{count}-{len(data) - 1}")
        assert patched.status_code == 202
        assert repository.finish(repository.location(patched), sha256(data)).status_code == 201
        assert repository.blob(sha256(data)).content == data


def test_refusal_comes_before_the_body_ends(front: Front) -> None:
    path = "/v2/a/blobs/uploads/00000000-0000-0000-0000-000000000000"
    with Raw(front, "PATCH", path, 1024 * MIB) as request:
        # Caddy wants some more of it before it answers. A node that has refused a body closes its
        # connection while more comes: a proxy that notices that first says so, and not why.
        assert request.send_until_answered(most=256 * MIB) in (404, 502, 503)


def test_manifest_that_is_too_large_is_refused(front: Front) -> None:
    with front.client() as http:
        response = http.put("/v2/a/manifests/v1", content=b" " * (4 * MIB + 1))
        assert (response.status_code, error_codes(response)) == (413, ["SIZE_INVALID"])
    if front.kind == "nginx":
        # By its length alone.
        with Raw(front, "PUT", "/v2/a/manifests/v1", 30 * MIB) as request:
            assert request.status() == 413


def test_streamed_body_goes_through_as_it_comes(front: Front) -> None:
    data = os.urandom(3 * MIB)
    with front.client() as http:
        repository = Repository(http, unique_name("deploy"))
        location = repository.begin()
        # Without a length: chunks, as docker sends them.
        patched = repository.patch(location, iter([data[:MIB], data[MIB:]]))
        assert patched.status_code == 202
        assert repository.finish(repository.location(patched), sha256(data)).status_code == 201


def test_plain_http_is_sent_to_https(
    server: ServerProcess, certificates: Certificates, tmp_path: Path
) -> None:
    with PROXIES["nginx"](tmp_path, [server.host], certificates) as proxy:
        asked = httpx.get(f"http://127.0.0.1:{proxy.ports[1]}/v2/a/tags/list?n=1")
        assert asked.status_code == 308
        assert asked.headers["location"] == "https://127.0.0.1/v2/a/tags/list?n=1"


def test_nobody_behind_it_is_told_as_registries_do(
    certificates: Certificates, tmp_path: Path
) -> None:
    server = our_server(tmp_path)  # not started
    with PROXIES["nginx"](tmp_path / "nginx", [server.host], certificates) as proxy:
        response = httpx.get(f"{proxy.url}/v2/", verify=certificates.context())
        assert (response.status_code, error_codes(response)) == (503, ["UNAVAILABLE"])
        assert response.headers["retry-after"] == "1"


def test_node_that_is_out_of_service_is_noticed_by_nobody(
    certificates: Certificates, tmp_path: Path
) -> None:
    port = free_port()
    settings = {"http": {"debug": {"addr": f"127.0.0.1:{port}"}}}
    with (
        running(our_server(tmp_path, settings)) as out_of_service,
        running(our_server(tmp_path)) as other,
        # For no longer than a request is it left alone, so it is asked again and again.
        PROXIES["nginx"](
            *(tmp_path / "nginx", [out_of_service.host, other.host], certificates),
            {"max_fails=1": "max_fails=0"},
        ) as proxy,
        httpx.Client(base_url=proxy.url, verify=certificates.context()) as http,
    ):
        httpx.post(f"http://127.0.0.1:{port}/debug/health/down")
        assert httpx.get(f"{out_of_service.url}/v2/").status_code == 503
        repository = Repository(http, unique_name("deploy"))
        for number in range(8):
            data = b"%d" % number
            target = httpx.URL(repository.begin()).raw_path.decode()
            # Bytes of blobs go through as they come, so they cannot go to another node.
            assert httpx.patch(f"{other.url}{target}", content=data).status_code == 202
            assert repository.finish(target, sha256(data)).status_code == 201
            assert http.head(repository.url(f"blobs/{sha256(data)}")).status_code == 200
            manifest = image(data, config=descriptor(data, CONFIG))
            assert repository.push_manifest(manifest, f"v{number}").status_code == 201


# What a client says of itself, and must not be believed behind a proxy.
FORGED = {
    "forwarded": "proto=http;host=evil.example",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "http",
    "x-forwarded-for": "192.0.2.1",
}


@pytest.mark.parametrize(
    ("settings", "begin"),
    [
        ({}, "{proxy}/v2/"),
        ({"host": "https://registry.example:8443"}, "https://registry.example:8443/v2/"),
        ({"relativeurls": True}, "/v2/"),
    ],
    ids=["forwarded", "host", "relativeurls"],
)
def test_urls_lead_back_to_the_proxy(
    settings: dict[str, Any], begin: str, certificates: Certificates, tmp_path: Path
) -> None:
    log = {"level": "info", "formatter": "json"}
    server = our_server(tmp_path, {"http": settings, "log": log})
    with running(server):
        for kind, make in PROXIES.items():
            with make(tmp_path / kind, [server.host], certificates) as proxy:
                front = Front(kind, proxy, server, certificates.context())
                for headers in ({}, FORGED):
                    with front.client(**headers) as http:
                        check_urls(http, begin.format(proxy=proxy.url))
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    addresses = {line["http.request.remoteaddr"] for line in lines if "http.request.id" in line}
    assert {address.rpartition(":")[0] or address for address in addresses} == {"127.0.0.1"}


def check_urls(http: httpx.Client, begin: str) -> None:
    """See that each kind of URL in answers begins so."""
    name = unique_name("deploy")
    answers: list[httpx.Response] = []

    def ask(method: str, url: str, **others: Any) -> str:
        """Give where the answer leads to, by the proxy that is asked here."""
        answers.append(http.request(method, url, **others))
        assert answers[-1].is_success, answers[-1].text
        return httpx.URL(answers[-1].headers["location"]).raw_path.decode()

    layers = (b"{}", b"some")
    for data in layers:
        begun = ask("POST", f"/v2/{name}/blobs/uploads/")
        patched = ask("PATCH", begun, content=data)
        ask("PUT", str(httpx.URL(patched).copy_merge_params({"digest": sha256(data)})))
    content_type = {"content-type": OCI_MANIFEST}
    ask("PUT", f"/v2/{name}/manifests/v1", content=image(layers[1]), headers=content_type)
    assert len(answers) == 7
    for answer in answers:
        assert answer.headers["location"].startswith(f"{begin}{name}/")
