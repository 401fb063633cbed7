"""Each server answers a client that others wrote, and leaves nothing behind."""

from __future__ import annotations

import base64
import contextlib
import importlib
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.session
import httpx
import paramiko
import psutil
import pytest
from azure.storage.blob import BlobServiceClient
from botocore.config import Config
from botocore.exceptions import ClientError

from servers import _http
from servers.__main__ import SERVERS
from servers._process import HOST, Server
from servers._s3 import S3Server
from servers._webdav import WebDavServer
from servers.azurite import Azurite
from servers.caddy import Caddy
from servers.fake_gcs import FakeGcs
from servers.nginx import Nginx
from servers.sshd import Sshd
from servers.valkey import Valkey


def processes_of(directory: Path) -> list[str]:
    """Name the processes that know the directory, by an argument or as the place they work in."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [*(process.info["cmdline"] or ()), process.info["cwd"] or ""]
        if any(word.startswith(str(directory)) or f"={directory}" in word for word in words):
            found.append(" ".join(words))
    return found


def sockets() -> set[Path]:
    """Name the sockets in the directory that a server takes which asks for no other."""
    return set(Path("/tmp").glob("*.sock"))


def are_of(paths: set[Path], ports: Sequence[int]) -> list[Path]:
    """Give those that are named after a port; the others are another test's."""
    return [path for path in paths if any(str(port) in path.name for port in ports)]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Give a directory whose name is short enough for sockets in it, which `tmp_path`'s is not."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@contextlib.contextmanager
def s3_client(server: S3Server, access_key: str, secret_key: str) -> Iterator[Any]:
    client = botocore.session.Session().create_client(
        "s3",
        endpoint_url=server.url,
        region_name=server.region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    with contextlib.closing(client):
        yield client


@pytest.mark.parametrize("name", SERVERS)
def test_second_server_runs_beside_the_first_and_leaves_nothing(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first: Server = request.getfixturevalue(name)
    module = importlib.import_module(f"servers.{name}")
    second: Server = getattr(module, SERVERS[name])(tmp_path)
    monkeypatch.setenv("TMPDIR", str(temporary))
    before = sockets()
    with second:
        assert processes_of(tmp_path)
        assert first.is_ready()
        assert second.is_ready()
        assert not set(first.ports) & set(second.ports)
        ports = second.ports[:]
    assert not processes_of(tmp_path)
    assert not are_of(sockets() - before, ports)
    assert not list(temporary.iterdir())
    assert first.is_ready()


@pytest.mark.parametrize("name", ["seaweedfs", "swift", "moto"])
def test_s3_server_keeps_an_object_for_both_identities(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: S3Server = request.getfixturevalue(name)
    bucket = f"bucket-{uuid4().hex}"
    server.create_bucket(bucket)
    with s3_client(server, server.access_key, server.secret_key) as client:
        client.put_object(Bucket=bucket, Key="a/b", Body=b"content")
    with s3_client(server, server.other_access_key, server.other_secret_key) as client:
        assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"content"
        client.delete_object(Bucket=bucket, Key="a/b")
        client.delete_bucket(Bucket=bucket)


@pytest.mark.parametrize("name", ["seaweedfs", "swift"])
def test_s3_server_refuses_a_wrong_secret(name: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(name)
    with (
        s3_client(server, server.access_key, "wrong") as client,
        pytest.raises(ClientError) as failure,
    ):
        client.list_buckets()
    assert failure.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


@pytest.mark.parametrize("name", ["seaweedfs", "swift", "moto"])
def test_s3_server_makes_no_bucket_that_nobody_asked_for(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: S3Server = request.getfixturevalue(name)
    assert server.request("PUT", f"bucket-{uuid4().hex}/key", b"content").status == 404


def test_azurite_keeps_a_blob(azurite: Azurite) -> None:
    with BlobServiceClient(azurite.url, azurite.key) as client:
        container = client.create_container(f"container-{uuid4().hex}")
        container.upload_blob("a/b", b"content")
        assert container.download_blob("a/b").readall() == b"content"
        container.delete_container()


def test_fake_gcs_keeps_an_object(fake_gcs: FakeGcs) -> None:
    bucket = f"bucket-{uuid4().hex}"
    fake_gcs.create_bucket(bucket)
    upload = f"{fake_gcs.url}/upload/storage/v1/b/{bucket}/o?uploadType=media&name=a%2Fb"
    _http.request("POST", upload, b"content").check()
    media = f"{fake_gcs.url}/storage/v1/b/{bucket}/o/a%2Fb?alt=media"
    assert _http.request("GET", media).body == b"content"


@pytest.mark.parametrize("name", ["rclone_webdav", "wsgidav"])
def test_webdav_server_keeps_a_file_of_its_user(name: str, request: pytest.FixtureRequest) -> None:
    server: WebDavServer = request.getfixturevalue(name)
    url = f"{server.url}/file"
    token = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    user = {"authorization": f"Basic {token}"}
    assert _http.request("PUT", url, b"content").status == 401
    _http.request("PUT", url, b"content", user).check()
    assert (server.files / "file").read_bytes() == b"content"
    assert _http.request("GET", url, headers=user).body == b"content"


@contextlib.contextmanager
def sftp_client(server: Sshd) -> Iterator[paramiko.SFTPClient]:
    with paramiko.SSHClient() as ssh:
        kind, key = server.host_key.read_text().split()[:2]
        host_key = paramiko.PKey.from_type_string(kind, base64.b64decode(key))
        ssh.get_host_keys().add(f"[{server.host}]:{server.port}", kind, host_key)
        ssh.connect(
            server.host,
            server.port,
            server.user,
            key_filename=str(server.key_file),
            allow_agent=False,
            look_for_keys=False,
        )
        with ssh.open_sftp() as sftp:
            yield sftp


def test_sshd_keeps_a_file_in_the_home_of_its_user(sshd: Sshd) -> None:
    with sftp_client(sshd) as sftp:
        assert sftp.normalize(".") == str(sshd.files)
        with sftp.open("file", "wb") as file:
            file.write(b"content")
        assert (sshd.files / "file").read_bytes() == b"content"


def test_sshd_that_stops_takes_its_connections_along(tmp_path: Path) -> None:
    with Sshd(tmp_path) as server, sftp_client(server):
        assert server.pid is not None
        family = psutil.Process(server.pid).children(recursive=True)
        assert family
        server.stop()
        assert not any(process.is_running() for process in family)


def test_valkey_answers(valkey: Valkey) -> None:
    with socket.create_connection((HOST, valkey.port), timeout=5) as connection:
        connection.sendall(b"SET key value\r\nGET key\r\n")
        assert connection.makefile("rb").readline() == b"+OK\r\n"


PROXY_SITES = {
    Nginx: "server {{ listen 127.0.0.1:{0[0]}; listen 127.0.0.1:{0[1]}; return 418; }}",
    Caddy: "{{\n\tadmin off\n}}\nhttp://127.0.0.1:{0[0]} {{\n\tbind 127.0.0.1\n\trespond 418\n}}",
}


@pytest.mark.service("nginx", "caddy")
@pytest.mark.parametrize("kind", list(PROXY_SITES))
def test_proxy_serves_its_site_and_leaves_no_process(
    kind: type[Nginx | Caddy], tmp_path: Path
) -> None:
    with kind(tmp_path, PROXY_SITES[kind].format) as proxy:
        assert httpx.get(f"http://{HOST}:{proxy.port}/").status_code == 418
        assert processes_of(tmp_path)
    assert not processes_of(tmp_path)
