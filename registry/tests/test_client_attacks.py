"""Layouts, archives and registries that somebody has made to do harm."""

from __future__ import annotations

import asyncio
import errno
import gc
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from storagedriver_registry.client import (
    DigestMismatchError,
    InvalidAnswerError,
    RedirectRefusedError,
    RegistryClient,
    RegistryError,
    TLSOptions,
)
from storagedriver_registry.client.layouts import (
    ArchiveTarget,
    DockerArchiveTarget,
    LocalFiles,
    OCILayout,
    OCILayoutTarget,
    StorageFiles,
    TarFiles,
)
from storagedriver_registry.client.layouts import tar_files as tar_files_module
from storagedriver_registry.client.manifests import MOST_DEPTH, FetchedManifest
from storagedriver_registry.client.platforms import Platform
from storagedriver_registry.client.transfer import Blob, copy, plan
from storagedriver_registry.digest import compute_digest

from registry.tests.client import OCI_INDEX, OCI_MANIFEST, sha256
from registry.tests.dist import Layout, dist
from registry.tests.hostile import FakeTime, HostileRegistry, hostile, sent, tls_of, with_hostile
from registry.tests.serving import Certificates
from storagedriver_core import open_storage

MIB = 1 << 20
AMD64 = {"os": "linux", "architecture": "amd64"}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def write_index(layout: Layout, *descriptors: dict[str, Any]) -> None:
    index = {"schemaVersion": 2, "manifests": descriptors}
    (layout.folder / "index.json").write_text(json.dumps(index))


# Layouts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../secret",
        "sha256:" + "/" * 64,
        "SHA256:" + "0" * 64,
        "sha512:" + "0" * 64,
        "sha256:" + "0" * 128,
        "md5:" + "0" * 32,
        "../secret",
        7,
        None,
    ],
)
def test_digest_that_is_none_leads_nowhere(layout: Layout, tmp_path: Path, digest: object) -> None:
    (tmp_path / "secret").write_text("{}")
    write_index(layout, {"mediaType": OCI_MANIFEST, "digest": digest, "size": 2})
    with pytest.raises(InvalidAnswerError, match=r"index\.json"):
        asyncio.run(OCILayout(LocalFiles(layout.folder), None).root())
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}
    config = {"mediaType": "a/b", "digest": digest, "size": 2}
    data = json.dumps(manifest | {"config": config}).encode()
    write_index(layout, layout.add(data, OCI_MANIFEST))
    with pytest.raises(InvalidAnswerError):
        asyncio.run(plan(OCILayout(LocalFiles(layout.folder), None)))


def test_blob_whose_size_is_not_said_is_not_fetched(layout: Layout) -> None:
    layer = {"mediaType": "a/b", "digest": f"sha256:{'0' * 64}"}
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {**layer, "size": 2}}
    data = json.dumps({**manifest, "layers": [layer]}).encode()
    write_index(layout, layout.add(data, OCI_MANIFEST))
    with pytest.raises(InvalidAnswerError, match="does not say the size of sha256:000"):
        asyncio.run(plan(OCILayout(LocalFiles(layout.folder), None)))


def test_algorithm_of_a_digest_is_the_one_that_is_checked(layout: Layout) -> None:
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode()
    folder = layout.folder / "blobs/sha512"
    folder.mkdir()
    right, wrong = (hashlib.sha512(one).hexdigest() for one in (data, b"another"))
    for name in (right, wrong):
        (folder / name).write_bytes(data)
        write_index(layout, {"mediaType": OCI_MANIFEST, "digest": f"sha512:{name}", "size": 2})
        source = OCILayout(LocalFiles(layout.folder), None)
        if name == right:
            assert str(asyncio.run(source.root()).digest) == f"sha512:{right}"
        else:
            with pytest.raises(DigestMismatchError):
                asyncio.run(source.root())


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "large"])
def test_what_is_no_file_or_has_no_end_is_not_read(
    layout: Layout, tmp_path: Path, kind: str
) -> None:
    def make(path: Path) -> Path:
        path.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.touch()
            os.truncate(path, 1 << 40)
        return path

    files = LocalFiles(layout.folder)
    make(layout.folder / "index.json")
    with pytest.raises(InvalidAnswerError, match=r"no file|too large"):
        asyncio.run(OCILayout(files, None).root())
    with pytest.raises(RegistryError):
        asyncio.run(OCILayout(TarFiles(make(tmp_path / "a.tar")), None).root())
    if kind == "large":
        return
    blob = Blob(compute_digest(b"x"), 1)
    make(layout.folder / "blobs/sha256" / blob.digest.hex)
    assert asyncio.run(files.size(f"blobs/sha256/{blob.digest.hex}")) is None

    async def read() -> None:
        async for _ in OCILayout(files, None).chunks(blob):
            pass

    with pytest.raises(InvalidAnswerError, match="no file"):
        asyncio.run(read())


def test_index_without_end_in_a_store_is_not_read() -> None:
    async def main() -> None:
        async with open_storage({"storage": {"driver": "inmemory"}}) as storage:
            await storage.put_content("/a/index.json", bytes(16 * MIB + 1))
            files = StorageFiles(storage, "/a", "store")
            with pytest.raises(InvalidAnswerError, match="too large"):
                await OCILayout(files, None).root()
            with pytest.raises(InvalidAnswerError, match="too large"):
                await files.change("index.json", lambda before: b"")

    asyncio.run(main())


def nested(layout: Layout, depth: int) -> list[dict[str, Any]]:
    """Make an image in an index in an index, and so on; give the descriptors, from within."""
    found = [layout.image(10) | {"platform": AMD64}]
    for _ in range(depth):
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [found[-1]]}
        found.append(layout.add(json.dumps(index).encode(), OCI_INDEX) | {"platform": AMD64})
    return found


def test_indexes_in_indexes_come_to_an_end(layout: Layout) -> None:
    image, *indexes = nested(layout, MOST_DEPTH + 1)
    deep = layout.name(indexes[-1], "deep")
    platform = ("--platform", "linux/amd64")
    assert image["digest"] in dist("inspect", layout.name(indexes[-2], "most"), *platform)
    assert "deep" in dist("inspect", deep, *platform, code=1)
    source = OCILayout(LocalFiles(layout.folder), "deep")
    for chosen in (None, Platform("linux", "amd64")):
        with pytest.raises(InvalidAnswerError, match="deep"):
            asyncio.run(plan(source, platform=chosen))

    async def test(registry: HostileRegistry, client: RegistryClient, clock: FakeTime) -> None:
        for one in (image, *indexes):
            digest = one["digest"]
            data = (layout.folder / "blobs/sha256" / digest.partition(":")[2]).read_bytes()
            path = f"/v2/a/manifests/{digest}"
            registry.on("GET", path, sent(data, Content_Type=one["mediaType"]))
        manifests = client.repository("a").manifests
        found = await manifests.get(indexes[-2]["digest"], platform="linux/amd64")
        assert str(found.digest) == image["digest"]
        with pytest.raises(InvalidAnswerError, match="deep"):
            await manifests.get(indexes[-1]["digest"], platform="linux/amd64")

    with_hostile(test)


def test_member_of_an_index_is_named_by_a_digest_and_nothing_else(layout: Layout) -> None:
    member = layout.image(10) | {"digest": "v1", "platform": AMD64}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [member]}
    data = json.dumps(index).encode()
    layout.name(layout.add(data, OCI_INDEX), "index")
    with pytest.raises(InvalidAnswerError, match="a digest is"):
        source = OCILayout(LocalFiles(layout.folder), "index")
        asyncio.run(plan(source, platform=Platform("linux", "amd64")))

    async def test(registry: HostileRegistry, client: RegistryClient, clock: FakeTime) -> None:
        registry.on("GET", "/v2/a/manifests/index", sent(data, Content_Type=OCI_INDEX))
        with pytest.raises(InvalidAnswerError, match="a digest is"):
            await client.repository("a").manifests.get("index", platform="linux/amd64")
        assert len(registry.requests) == 1

    with_hostile(test)


# Archives --------------------------------------------------------------------------------------


def test_archive_of_files_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_files_module, "_MOST_MEMBERS", 3)
    for count in (3, 4):
        with tarfile.open(tmp_path / f"{count}.tar", "w") as archive:
            for number in range(count):
                archive.addfile(tarfile.TarInfo(str(number)), io.BytesIO())
    assert asyncio.run(TarFiles(tmp_path / "3.tar").read("2")) == b""
    with pytest.raises(InvalidAnswerError, match="more than 3 files"):
        asyncio.run(TarFiles(tmp_path / "4.tar").read("2"))


def test_hard_links_of_an_archive_lead_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    targets = {"a": "../secret", "b": str(tmp_path / "secret"), "c": "c", "d": "data"}
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("data")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"data"))
        for name, target in targets.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.LNKTYPE, target
            archive.addfile(member)
    files = TarFiles(tmp_path / "a.tar")
    found = [asyncio.run(files.read(name)) for name in targets]
    assert found == [None, None, None, b"data"]


# Ends ------------------------------------------------------------------------------------------


class Slow(ArchiveTarget):
    """An archive that is packed until nobody wants it any more."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "v1")
        self.begun, self.over = threading.Event(), threading.Event()

    def pack(self, archive: tarfile.TarFile, root: FetchedManifest) -> None:
        self.begun.set()
        try:
            for number in range(12_000):
                archive.addfile(tarfile.TarInfo(str(number)), io.BytesIO())
                time.sleep(0.01)
        finally:
            self.over.set()

    async def abandon(self) -> None:
        # What is still written would be removed with the rest, or not.
        assert self.over.is_set()
        await super().abandon()


@pytest.mark.parametrize("times", [1, 2])
def test_interrupt_ends_the_packing_of_an_archive(
    layout: Layout, tmp_path: Path, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    layout.name(layout.image(10), "v1")
    source = OCILayout(LocalFiles(layout.folder), "v1")

    async def main() -> None:
        target = Slow(tmp_path / "new/a.tar")
        task = asyncio.ensure_future(copy(source, target))
        assert await asyncio.to_thread(target.begun.wait, 60)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not (tmp_path / "new").exists()
    gc.collect()
    assert caplog.text == ""


class Asking(DockerArchiveTarget):
    """An archive of Docker's that notes which of its steps ask whether to go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "v1")
        self.steps: set[str] = set()

    def go_on(self) -> None:
        self.steps.add(sys._getframe(1).f_code.co_name)


def test_each_long_step_of_an_archive_for_docker_may_be_interrupted(
    layout: Layout, tmp_path: Path
) -> None:
    layout.name(layout.image(10), "v1")
    target = Asking(tmp_path / "a.tar")
    asyncio.run(copy(OCILayout(LocalFiles(layout.folder), "v1"), target))
    assert target.steps == {"_unpacked", "_check_layer", "write"}


def test_disk_that_is_full_is_no_fault_of_the_layer_that_is_unpacked(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.name(layout.image(10), "v1")
    full = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115  # its user closes it
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: full)
    target = DockerArchiveTarget(tmp_path / "a.tar", "v1")
    with pytest.raises(OSError, match="No space left"):
        asyncio.run(copy(OCILayout(LocalFiles(layout.folder), "v1"), target))
    assert full.closed


class Full(ArchiveTarget):
    """An archive for which the disk has no room."""

    def pack(self, archive: tarfile.TarFile, root: FetchedManifest) -> None:
        super().pack(archive, root)
        raise OSError(errno.ENOSPC, "no room")


def test_archive_that_there_is_no_room_for_leaves_what_another_run_goes_on_with(
    layout: Layout, tmp_path: Path
) -> None:
    layout.name(layout.image(10), "v1")
    target = Full(tmp_path / "a.tar", "v1")
    with pytest.raises(OSError, match="no room"):
        asyncio.run(copy(OCILayout(LocalFiles(layout.folder), "v1"), target))
    # Of the archive nothing is left: it would have the most.
    left = {path.name for path in target.folder.iterdir()}
    assert left == {"blobs", "index.json", "lock", "oci-layout"}


def test_cancelled_copy_removes_nothing_from_a_store_that_others_may_need(layout: Layout) -> None:
    layout.name(layout.image(10), "v1")
    source = OCILayout(LocalFiles(layout.folder), "v1")

    async def main() -> None:
        blob, *_ = (await plan(source)).blobs
        async with open_storage({"storage": {"driver": "inmemory"}}) as storage:
            target = OCILayoutTarget(StorageFiles(storage, "/a", "store"), "v1")
            await target.put_blob(blob, lambda *where: source.chunks(blob, *where), source)
            await target.abandon()
            await target.release()
            path = f"/a/blobs/{blob.digest.algorithm}/{blob.digest.hex}"
            assert (await storage.stat(path)).size == blob.size

    asyncio.run(main())


# Registries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "elsewhere", [lambda url: url.replace("https", "http"), lambda url: "ftp://127.0.0.1"]
)
def test_upload_is_not_sent_without_encryption(
    tmp_path: Path, elsewhere: Callable[[str], str]
) -> None:
    made = Certificates(tmp_path)

    async def main() -> None:
        async with hostile(tls_of(made)) as registry:
            where = f"{elsewhere(registry.url)}/up"
            registry.on("POST", "/v2/a/blobs/uploads/", sent(b"", 202, Location=where))
            tls = TLSOptions((made.authority,))
            async with RegistryClient(registry.host, tls=tls) as client:
                with pytest.raises(RedirectRefusedError, match="without encryption"):
                    await client.repository("a").blobs.upload(sha256(b"data"), b"data")

    asyncio.run(main())
