"""A disk that is full: the error is told, nothing is left of what did not fit, and all goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from registry.tests.client import Repository, error_codes, sha256
from registry.tests.serving import Served, served

MIB = 1024 * 1024
SPACE = 8 * MIB
TOO_MUCH = bytes(range(256)) * (12 * MIB // 256)


@pytest.fixture(scope="module", params=["disk", "limit"])
def full(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server with little space: on a small disk, or with small files only."""
    folder = tmp_path_factory.mktemp("full")
    root = folder / "data"
    root.mkdir()
    if request.param == "limit":
        with served(folder, log={"level": "error"}) as server:
            limit = (SPACE, SPACE)
            psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_FSIZE, limit)
            yield server
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SPACE}", "none", str(root)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only an administrator can mount a small disk; the limit stands for it")
    try:
        with served(folder, log={"level": "error"}) as server:
            yield server
    finally:
        subprocess.run(["umount", str(root)], check=True)


@pytest.fixture
def repository(full: Served) -> Iterator[Repository]:
    with httpx.Client(base_url=full.url, timeout=60) as http:
        repository = Repository(http, "full")
        repository.push_blob(b"fits")
        yield repository


def stored(server: Served) -> set[Path]:
    return {path for path in server.data.rglob("*") if path.is_file()}


def assert_full(response: httpx.Response) -> None:
    assert (response.status_code, error_codes(response)) == (507, ["UNKNOWN"])
    assert "no space left" in response.text


def test_patch_that_does_not_fit_leaves_the_upload_as_it_was(
    full: Served, repository: Repository
) -> None:
    before = stored(full)
    location = repository.location(repository.patch(repository.begin(), b"begun"))
    assert_full(repository.patch(location, TOO_MUCH))
    status = repository.http.get(location)
    assert (status.status_code, status.headers["range"]) == (204, "0-4")
    # What did not fit is not in the way of what does.
    assert repository.patch(location, b" and", "5-8").status_code == 202
    assert repository.http.delete(location).status_code == 204
    assert stored(full) == before


def test_put_that_does_not_fit_publishes_nothing(full: Served, repository: Repository) -> None:
    before = stored(full)
    location = repository.begin()
    assert_full(repository.finish(location, sha256(TOO_MUCH), TOO_MUCH))
    assert repository.blob(sha256(TOO_MUCH)).status_code == 404
    assert repository.finish(location, sha256(b"small"), b"small").status_code == 201
    assert len(stored(full) - before) == 2  # the blob and its link
    assert stored(full) >= before


def test_post_that_does_not_fit_leaves_nothing(full: Served, repository: Repository) -> None:
    before = stored(full)
    url = repository.url(f"blobs/uploads/?digest={sha256(TOO_MUCH)}")
    assert_full(repository.http.post(url, content=TOO_MUCH))
    assert repository.blob(sha256(TOO_MUCH)).status_code == 404
    assert stored(full) == before


def test_nothing_fits_and_all_can_be_read(full: Served, repository: Repository) -> None:
    if not full.data.is_mount():
        pytest.skip("the limit is one of single files")
    image = repository.image(b"layer")
    assert repository.push_manifest(image, "before").status_code == 201
    before, filler = stored(full), full.data / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    try:
        assert_full(repository.push_manifest({**image, "annotations": {"a": "b"}}, "after"))
        assert_full(repository.patch(repository.begin(), b"x" * 4096))
        assert repository.http.get(repository.url("manifests/before")).json() == image
        assert repository.tags().json()["tags"] == ["before"]
        assert stored(full) - {filler} == before
    finally:
        filler.unlink()
    assert repository.push_manifest(image, "after").status_code == 201
