"""TLS: certificates of the server and of clients, versions, HTTP/2."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from storagedriver_registry.configuration.models import HttpSettings
from storagedriver_registry.serving import StartError
from storagedriver_registry.serving.options import options_of
from storagedriver_registry.serving.tls import prepare_tls

from registry.tests.client import Repository, sha256
from registry.tests.serving import Certificates, Served, fails_to_serve, served

DATA = bytes(range(256)) * 40_000
SUITE = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("secure"), http={"tls": certificates.section()}) as server:
        yield server


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_image_is_pushed_and_pulled_over_tls(
    secure: Served, certificates: Certificates, version: str
) -> None:
    context = certificates.context()
    with httpx.Client(base_url=secure.url, verify=context, http2=version == "HTTP/2") as http:
        assert http.get("/v2/").http_version == version
        repository = Repository(http, f"over/{version[-1]}")
        digest = repository.push_image("v1", DATA)
        location = repository.begin()
        assert location.startswith(f"https://127.0.0.1:{secure.port}/v2/")
        chunks = [DATA[:1000], DATA[1000:2000]]
        patched = repository.patch(location, iter(chunks))
        assert patched.headers["range"] == "0-1999"
        manifest = http.get(repository.url("manifests/v1"))
        assert manifest.headers["docker-content-digest"] == digest
        assert repository.blob(sha256(DATA)).content == DATA
        part = repository.blob(sha256(DATA), range="bytes=5-9")
        assert (part.status_code, part.content) == (206, DATA[5:10])


def test_http_is_not_answered_at_a_port_of_tls(secure: Served) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{secure.port}/v2/")


def test_http2_can_be_disabled(certificates: Certificates, tmp_path: Path) -> None:
    section = {"tls": certificates.section(), "http2": {"disabled": True}}
    with (
        served(tmp_path, http=section) as server,
        httpx.Client(verify=certificates.context(), http2=True) as http,
    ):
        assert http.get(f"{server.url}/v2/").http_version == "HTTP/1.1"


@pytest.mark.parametrize("enabled", [True, False])
def test_http2_without_tls_is_spoken_if_it_is_enabled(tmp_path: Path, enabled: bool) -> None:
    with served(tmp_path, http={"h2c": {"enabled": enabled}}) as server:
        assert httpx.get(f"{server.url}/v2/").http_version == "HTTP/1.1"
        with httpx.Client(http1=False, http2=True) as http:
            if enabled:
                assert http.get(f"{server.url}/v2/").http_version == "HTTP/2"
            else:
                with pytest.raises(httpx.RemoteProtocolError):
                    http.get(f"{server.url}/v2/")


def shake_hands(server: Served, context: ssl.SSLContext) -> str | None:
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
    ):
        return encrypted.version()


def test_least_version_is_kept(secure: Served, certificates: Certificates, tmp_path: Path) -> None:
    old, new = certificates.context(), certificates.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert (shake_hands(secure, old), shake_hands(secure, new)) == ("TLSv1.2", "TLSv1.3")
    with served(tmp_path, http={"tls": certificates.section(minimumtls="tls1.3")}) as server:
        assert shake_hands(server, new) == "TLSv1.3"
        with pytest.raises(ssl.SSLError):
            shake_hands(server, old)


@pytest.mark.parametrize("workers", [1, 2])
def test_clients_have_to_have_a_certificate_of_one_of_the_authorities(
    certificates: Certificates, tmp_path: Path, workers: int
) -> None:
    second, third = certificates.make_authority("second"), certificates.make_authority("third")
    clients = {by: certificates.issue(f"client-{by}", by) for by in ("ca", "second", "third")}
    section = certificates.section(clientcas=[str(certificates.authority), str(second)])
    with served(tmp_path, workers, http={"tls": section}) as server:
        for by in ("ca", "second"):
            context = certificates.context(clients[by])
            assert httpx.get(f"{server.url}/v2/", verify=context).status_code == 200
        for client in (None, clients["third"]):
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{server.url}/v2/", verify=certificates.context(client))
        # It goes on.
        context = certificates.context(clients["ca"])
        assert httpx.get(f"{server.url}/v2/", verify=context).status_code == 200
    assert third.exists()


def test_clients_may_leave_their_certificate_out_if_it_is_only_verified(
    certificates: Certificates, tmp_path: Path
) -> None:
    certificates.make_authority("other")
    stranger = certificates.issue("stranger", "other")
    section = certificates.section(
        clientcas=[str(certificates.authority)], clientauth="verify-client-cert-if-given"
    )
    with served(tmp_path, http={"tls": section}) as server:
        assert httpx.get(f"{server.url}/v2/", verify=certificates.context()).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/v2/", verify=certificates.context(stranger))


@pytest.mark.parametrize("mode", ["request-client-cert", "require-any-client-cert"])
def test_mode_without_verification_is_refused(certificates: Certificates, mode: str) -> None:
    section = certificates.section(clientcas=[str(certificates.authority)], clientauth=mode)
    with pytest.raises(StartError, match=f"http.tls.clientauth: {mode} is not supported"):
        prepare(section)


def prepare(section: Mapping[str, Any]) -> None:
    http = HttpSettings.model_validate({"tls": section})
    prepare_tls(options_of(http).tls)


def wrong_files(folder: Path, certificates: Certificates) -> dict[str, dict[str, Any]]:
    empty = folder / "empty.pem"
    empty.write_text("")
    other_key = certificates.issue("another")[1]
    locked = certificates.issue("locked", password=b"secret")
    return {
        "missing": {"certificate": str(folder / "none.pem")},
        "empty": {"certificate": str(empty)},
        "another key": {"key": str(other_key)},
        "a password": {"certificate": str(locked[0]), "key": str(locked[1])},
        "no authority": {"clientcas": [str(empty)]},
        "authority missing": {"clientcas": [str(folder / "none.pem")]},
    }


FAULTS = {
    "missing": "http.tls.certificate: {folder}/none.pem: No such file",
    "empty": "{folder}/empty.pem",
    "another key": "another.key",
    "a password": "without a password",
    "no authority": "http.tls.clientcas: {folder}/empty.pem",
    "authority missing": "http.tls.clientcas: {folder}/none.pem: No such file",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_file_is_told(certificates: Certificates, tmp_path: Path, fault: str) -> None:
    section = certificates.section(**wrong_files(tmp_path, certificates)[fault])
    with pytest.raises(StartError, match=re.escape(FAULTS[fault].format(folder=tmp_path))):
        prepare(section)


def test_server_does_not_start_with_a_wrong_file(
    certificates: Certificates, tmp_path: Path
) -> None:
    section = certificates.section(**wrong_files(tmp_path, certificates)["a password"])
    (line,) = fails_to_serve(tmp_path, http={"tls": section}).splitlines()
    assert FAULTS["a password"] in line


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({}, ""),
        ({"minimumtls": "tls1.0"}, "http.tls.minimumtls: tls1.0: it is tls1.2 at least"),
        ({"ciphersuites": [SUITE]}, "http.tls.ciphersuites cannot be chosen"),
        # distribution cannot choose those of 1.3 either.
        ({"ciphersuites": [SUITE], "minimumtls": "tls1.3"}, ""),
    ],
)
def test_what_cannot_be_had_is_told(
    certificates: Certificates,
    section: dict[str, Any],
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    prepare(certificates.section(**section))
    assert told in caplog.text if told else not caplog.text


def test_files_that_are_made_for_the_start_have_no_name(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    authorities = [certificates.authority, certificates.make_authority("more")]
    options = options_of(
        HttpSettings.model_validate(
            {"tls": certificates.section(clientcas=[str(path) for path in authorities])}
        )
    )
    tls = prepare_tls(options.tls)
    joined = tls.context[5]
    assert joined is not None
    assert Path(joined).read_text().count("BEGIN CERTIFICATE") == 2
    assert list(tmp_path.iterdir()) == []
    for file in tls.files:
        file.close()
