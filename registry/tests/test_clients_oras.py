"""Python's oras with every kind of registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import oras.client
import oras.oci
import pytest
import requests
from oras.auth.utils import parse_auth_header

from registry.tests.client import OCI_INDEX
from registry.tests.sites import Site, kinds

every_kind = pytest.mark.parametrize("site", kinds("oras"), indirect=True)
# oras says its types in part, and hands out others: they end here.
Client: TypeAlias = Any


@pytest.fixture
def make_client(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Client]:
    """Make clients, which trust the registry's authority, and may log in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    # It waits for minutes before it gives up.
    monkeypatch.setattr("oras.decorator.time.sleep", lambda seconds: None)
    if site.authority is not None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(site.authority))

    def make(user: tuple[str, str] | None = site.user) -> Client:
        backend = "basic" if site.kind.auth == "htpasswd" else "token"
        plain = site.kind.scheme == "http"
        client = oras.client.OrasClient(hostname=site.host, insecure=plain, auth_backend=backend)
        if user is not None:
            config = str(tmp_path / "config.json")
            client.login(*user, hostname=site.host, config_path=config)
        return client

    return make


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    """It has logged in, where that is needed, and gets a token by itself."""
    return make_client()


@pytest.fixture
def name(site: Site) -> str:
    return site.name()


@pytest.fixture
def owner(site: Site, make_client: Callable[..., Client], name: str) -> Client:
    """A client with a token for everything in the repository.

    Its first request in a push wants a token to pull. While it has one it asks for no other, which
    lets it push: oras-project/oras-py, issue 187.
    """
    client = make_client()
    if site.kind.auth == "token":
        answer = requests.get(f"{site.server.url}/v2/")
        challenge = parse_auth_header(answer.headers["www-authenticate"])
        challenge.scope = f"repository:{name}:pull,push,delete"
        client.auth.set_token_auth(client.auth.request_token(challenge))
    return client


@pytest.fixture
def files(tmp_path: Path) -> Sequence[Path]:
    folder = tmp_path / "files"
    folder.mkdir()
    paths = [folder / "small.txt", folder / "large.bin"]
    for path, size in zip(paths, (1, 1_500_000), strict=True):
        path.write_bytes(os.urandom(size))
    return paths


def push(client: Client, target: str, files: Sequence[Path], **options: Any) -> str:
    """Push files, and give the digest of the manifest."""
    names = [str(file) for file in files]
    response = client.push(target, files=names, disable_path_validation=True, quiet=True, **options)
    assert response.status_code == 201
    digest: str = response.headers["docker-content-digest"]
    return digest


def pulled(client: Client, target: str, folder: Path) -> dict[str, bytes]:
    paths = [Path(path) for path in client.pull(target, outdir=str(folder))]
    return {path.name: path.read_bytes() for path in paths}


def contents(files: Sequence[Path]) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in files}


@every_kind
@pytest.mark.parametrize("chunk_size", [None, 400_000], ids=["plain", "chunked"])
def test_files_come_back(
    site: Site,
    owner: Client,
    client: Client,
    name: str,
    files: Sequence[Path],
    tmp_path: Path,
    chunk_size: int | None,
) -> None:
    remote = f"{site.host}/{name}"
    options = {} if chunk_size is None else {"do_chunked": True, "chunk_size": chunk_size}
    digest = push(owner, f"{remote}:v1", files, **options)
    assert pulled(client, f"{remote}:v1", tmp_path / "by-tag") == contents(files)
    assert pulled(client, f"{remote}@{digest}", tmp_path / "by-digest") == contents(files)


@every_kind
def test_attached_files_are_found_by_their_subject(
    site: Site, owner: Client, client: Client, name: str, files: Sequence[Path], tmp_path: Path
) -> None:
    remote = f"{site.host}/{name}"
    digest = push(owner, f"{remote}:v1", files)
    subject = oras.oci.Subject.from_manifest(client.get_manifest(f"{remote}:v1"))
    assert subject.digest == digest
    notes = {"org.example.note": "signed"}
    options = {"subject": subject, "manifest_annotations": notes}
    attached = push(owner, f"{remote}:signature", files[:1], **options)
    listed = client.do_request(f"{site.server.url}/v2/{name}/referrers/{digest}")
    assert (listed.status_code, listed.headers["content-type"]) == (200, OCI_INDEX)
    [found] = listed.json()["manifests"]
    assert (found["digest"], found["annotations"]) == (attached, notes)
    assert pulled(client, f"{remote}@{attached}", tmp_path / "back") == contents(files[:1])


@every_kind
def test_tags_are_listed_and_deleted(
    site: Site, owner: Client, client: Client, name: str, files: Sequence[Path]
) -> None:
    remote = f"{site.host}/{name}"
    for tag in ("v1", "v2", "v3"):
        # It deletes the manifest, with all of its tags.
        push(owner, f"{remote}:{tag}", files[:1], manifest_annotations={"tag": tag})
    assert client.get_tags(remote) == ["v1", "v2", "v3"]
    assert client.get_tags(remote, N=2) == ["v1", "v2"]
    assert owner.delete_tags(remote, ["v1", "v3", "v4"]) == ["v1", "v3"]
    assert site.without_ghosts(client.get_tags(remote), "v1", "v3") == ["v2"]


@pytest.mark.parametrize("site", kinds("oras", guarded=True), indirect=True)
def test_stranger_is_refused(
    site: Site,
    owner: Client,
    make_client: Callable[..., Client],
    name: str,
    files: Sequence[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who has the wrong password, or does not trust the registry's authority."""
    remote = f"{site.host}/{name}:v1"
    push(owner, remote, files[:1])
    if site.user is not None:
        with pytest.raises(ValueError, match=r"Unauthorized|Cannot respond"):
            make_client((site.user[0], "wrong")).get_manifest(remote)
    if site.authority is not None:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            make_client().get_manifest(remote)


@pytest.mark.xfail(raises=ValueError, strict=True, reason="oras-project/oras-py, issue 187")
@pytest.mark.parametrize(
    "site", [kind for kind in kinds("oras") if kind.values[0].auth == "token"], indirect=True
)
def test_client_gets_a_token_to_push_by_itself(
    site: Site, client: Client, name: str, files: Sequence[Path]
) -> None:
    push(client, f"{site.host}/{name}:v1", files[:1])
