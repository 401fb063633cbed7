"""Layouts, archives and stores, and what is wrong with some."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import json
import os
import sys
import tarfile
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import pytest
from storagedriver_registry.client import (
    DigestMismatchError,
    InvalidAnswerError,
    NotFoundError,
    RegistryError,
)
from storagedriver_registry.client.layouts import (
    ArchiveTarget,
    DockerArchive,
    DockerArchiveTarget,
    LocalFiles,
    OCILayout,
    OCILayoutTarget,
    StorageFiles,
    TarFiles,
)
from storagedriver_registry.client.layouts import local_files as local_files_module
from storagedriver_registry.client.manifests import FetchedManifest
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.transfer import Blob, copy, plan
from storagedriver_registry.client.transfer import plans as plans_module
from storagedriver_registry.digest import Digest, compute_digest, parse_digest

from registry.tests.client import OCI_MANIFEST, sha256
from registry.tests.dist import Layout
from storagedriver_core import open_storage

MIB = 1 << 20
DATA = os.urandom(6 * MIB)
BLOB = Blob(compute_digest(DATA), len(DATA))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def source(layout: Layout, name: str | None = "v1") -> OCILayout:
    return OCILayout(LocalFiles(layout.folder), name)


def write_tar(path: Path, files: Mapping[str, bytes], links: Mapping[str, str]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


# Layouts ---------------------------------------------------------------------------------------


def test_layout_with_several_images_wants_a_name(layout: Layout) -> None:
    layout.name(layout.image(10), "v1")
    layout.name(layout.image(10), "v2")
    with pytest.raises(NotFoundError, match="say which"):
        asyncio.run(source(layout, None).root())
    with pytest.raises(NotFoundError, match="it has v1, v2"):
        asyncio.run(source(layout, "v3").root())


def test_many_may_add_to_a_layout_at_once(layout: Layout, tmp_path: Path) -> None:
    names = [f"v{number}" for number in range(8)]
    for name in names:
        layout.name(layout.image(10), name)

    async def main() -> list[str]:
        files = LocalFiles(tmp_path / "target")
        targets = [copy(source(layout, name), OCILayoutTarget(files, name)) for name in names]
        await asyncio.gather(*targets)
        return await OCILayout(files, None).tags()

    assert asyncio.run(main()) == names


@pytest.mark.parametrize("driver", ["inmemory", "filesystem"])
def test_many_may_add_to_a_layout_in_a_store_at_once(
    layout: Layout, tmp_path: Path, driver: str
) -> None:
    names = [f"v{number}" for number in range(6)]
    for name in names:
        layout.name(layout.image(10), name)
    root = {"root_directory": str(tmp_path / "store")} if driver == "filesystem" else {}

    async def main() -> list[str]:
        config = {"storage": {"driver": driver, "parameters": root}}
        async with open_storage(config) as storage:
            files = StorageFiles(storage, "/a", "store")
            targets = [copy(source(layout, name), OCILayoutTarget(files, name)) for name in names]
            await asyncio.gather(*targets)
            return await OCILayout(files, None).tags()

    assert asyncio.run(main()) == names


@pytest.mark.parametrize("index", [b"", b"{", b"{}", b'{"manifests": {}}', b'{"manifests": [1]}'])
def test_index_that_makes_no_sense_is_not_replaced(
    layout: Layout, tmp_path: Path, index: bytes
) -> None:
    layout.name(layout.image(10), "v1")
    (tmp_path / "to").mkdir()
    (tmp_path / "to/index.json").write_bytes(index)
    files = LocalFiles(tmp_path / "to")
    with pytest.raises(InvalidAnswerError):
        asyncio.run(copy(source(layout), OCILayoutTarget(files, "v1")))
    assert (tmp_path / "to/index.json").read_bytes() == index
    with pytest.raises(InvalidAnswerError):
        asyncio.run(OCILayout(files, "v1").root())


def test_name_is_given_to_another_image(layout: Layout, tmp_path: Path) -> None:
    first, second = layout.image(10), layout.image(10)
    layout.name(first, "v1")
    layout.name(second, "v2")

    async def main() -> None:
        files = LocalFiles(tmp_path / "target")
        for name in ("v1", "v2"):
            await copy(source(layout, name), OCILayoutTarget(files, "latest"))
        root = await OCILayout(files, "latest").root()
        assert str(root.digest) == second["digest"]

    asyncio.run(main())


def test_blob_that_is_missing_leaves_no_image(layout: Layout, tmp_path: Path) -> None:
    layout.name(layout.image(10, 2 * MIB), "v1")
    largest = max((layout.folder / "blobs/sha256").iterdir(), key=lambda one: one.stat().st_size)
    largest.unlink()
    with pytest.raises(NotFoundError):
        asyncio.run(copy(source(layout), OCILayoutTarget(LocalFiles(tmp_path / "to"), "v1")))
    assert not (tmp_path / "to" / "index.json").exists()


def test_cancelled_write_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_go_on, was_open = threading.Event(), threading.Event(), []

    def slow(descriptor: int, chunk: bytes, offset: int) -> None:
        begun.set()
        assert may_go_on.wait(60)
        try:
            os.fstat(descriptor)
        except OSError:
            was_open.append(False)
        else:
            was_open.append(True)

    async def chunks(offset: int, before: RunningHash | None) -> AsyncGenerator[bytes, None]:
        yield DATA

    monkeypatch.setattr(local_files_module, "_pwrite", slow)

    async def main() -> None:
        files = LocalFiles(tmp_path / "layout")
        task = asyncio.ensure_future(files.put_blob("blob", BLOB, chunks))
        assert await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        # Whoever does not wait for the thread is at its end after a few of these.
        for _ in range(20):
            await asyncio.sleep(0)
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert was_open == [True]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing begins with it early")
def test_disk_begins_with_large_chunks_and_is_waited_for_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, calls = os.urandom(MIB + 100), []
    advise, sync = os.posix_fadvise, os.fsync

    def advised(descriptor: int, offset: int, size: int, advice: int) -> None:
        calls.append(("begun", offset, size))
        advise(descriptor, offset, size, advice)

    def synced(descriptor: int) -> None:
        calls.append(("synced", 0, os.fstat(descriptor).st_size))
        sync(descriptor)

    async def chunks(offset: int, before: RunningHash | None) -> AsyncGenerator[bytes, None]:
        yield content[:MIB]
        yield content[MIB:]

    monkeypatch.setattr(os, "posix_fadvise", advised)
    monkeypatch.setattr(os, "fsync", synced)
    blob = Blob(parse_digest(sha256(content)), len(content), BLOB.media_type)
    assert asyncio.run(LocalFiles(tmp_path).put_blob("blob", blob, chunks))
    assert calls[:2] == [("begun", 0, MIB), ("synced", 0, len(content))]
    assert (tmp_path / "blob").read_bytes() == content


def test_system_that_takes_no_advice_is_written_on_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(errno.ENOSYS, "no advice")

    async def chunks(offset: int, before: RunningHash | None) -> AsyncGenerator[bytes, None]:
        yield DATA

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    assert asyncio.run(LocalFiles(tmp_path).put_blob("blob", BLOB, chunks))
    assert (tmp_path / "blob").read_bytes() == DATA


class Counting(OCILayout):
    """A layout that counts the manifests that are fetched by digest."""

    fetched = 0

    async def manifest(self, digest: Digest, media_type: str = "") -> FetchedManifest:
        self.fetched += 1
        return await super().manifest(digest, media_type)


@pytest.mark.parametrize(
    ("limit", "most", "fetched"),
    [("_MOST_MANIFESTS", 3, 1), ("_MOST_BYTES", 1000, 5), ("MOST_DEPTH", 1, 5)],
)
def test_image_that_lists_without_end_is_refused(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, fetched: int
) -> None:
    inner = layout.index("a", "b", "c")
    members = [inner, layout.image(10), layout.image(10), layout.image(10)]
    index = {"schemaVersion": 2, "mediaType": inner["mediaType"], "manifests": members}
    layout.name(layout.add(json.dumps(index).encode(), inner["mediaType"]), "v1")
    all_of_it = asyncio.run(plan(source(layout)))
    assert len(all_of_it.manifests) == 8
    monkeypatch.setattr(plans_module, limit, most)
    counting = Counting(LocalFiles(layout.folder), "v1")
    with pytest.raises(InvalidAnswerError):
        asyncio.run(plan(counting))
    # The root, and what was begun before it was known.
    assert counting.fetched <= fetched


# Archives --------------------------------------------------------------------------------------


def test_archive_is_the_same_whoever_makes_it_when(layout: Layout, tmp_path: Path) -> None:
    layout.name(layout.image(10, 1000), "v1")
    for name in ("a.tar", "b.tar"):
        asyncio.run(copy(source(layout), ArchiveTarget(tmp_path / name, "v1")))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.tar", "b.tar", "layout"]


def test_archive_has_nothing_that_another_run_has_left(layout: Layout, tmp_path: Path) -> None:
    layout.name(layout.image(10, 1000), "v1")
    other = Layout(tmp_path / "b.tar.partial")
    other.name(other.image(10), "v2")
    for name in ("a.tar", "b.tar"):
        asyncio.run(copy(source(layout), ArchiveTarget(tmp_path / name, "v1")))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert not other.folder.exists()


@pytest.mark.parametrize("data", [b"", b"no archive" * 100, b"\x1f\x8b" + bytes(600)])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    with pytest.raises(RegistryError):
        asyncio.run(OCILayout(TarFiles(path), "v1").root())
    with pytest.raises(RegistryError):
        asyncio.run(DockerArchive(path, None).root())


@pytest.mark.parametrize("data", [b"1", b'"v1"', b'{"a": 1}', b'[{"RepoTags": 1}]', b"[" * 200_000])
def test_docker_archive_whose_manifest_makes_no_sense_is_refused(
    tmp_path: Path, data: bytes
) -> None:
    path = write_tar(tmp_path / "a.tar", {"manifest.json": data}, {})
    with pytest.raises(RegistryError):
        asyncio.run(DockerArchive(path, "a:v1").root())


def write_docker_archive(path: Path, layers: Sequence[bytes], diff_ids: Sequence[str]) -> Path:
    names = [f"{number}.tar" for number, _ in enumerate(layers)]
    entry = {"Config": "config.json", "RepoTags": None, "Layers": names}
    config = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    files = {"manifest.json": json.dumps([entry]), "config.json": json.dumps(config)}
    return write_tar(
        path,
        {name: text.encode() for name, text in files.items()}
        | dict(zip(names, layers, strict=True)),
        {},
    )


LAYERS = [os.urandom(3 * MIB), b"", b"x", bytes(40 * MIB)]
PACKED = [*map(gzip.compress, LAYERS), gzip.compress(b"a") + gzip.compress(b"b") + bytes(100)]


def test_layers_of_a_docker_archive_may_be_packed(tmp_path: Path) -> None:
    diff_ids = [*map(sha256, LAYERS), *map(sha256, LAYERS), sha256(b"ab")]
    path = write_docker_archive(tmp_path / "a.tar", LAYERS + PACKED, diff_ids)
    manifest = json.loads(asyncio.run(DockerArchive(path, None).root()).data)
    assert [one["digest"] for one in manifest["layers"]] == list(map(sha256, LAYERS + PACKED))
    packed = [one["mediaType"].endswith("gzip") for one in manifest["layers"]]
    assert packed == [False] * len(LAYERS) + [True] * len(PACKED)


@pytest.mark.parametrize(
    ("layers", "diff_ids"),
    [
        ([b"a"], [sha256(b"b")]),
        ([gzip.compress(b"a")], [sha256(gzip.compress(b"a"))]),
        ([gzip.compress(DATA)[:1000]], [sha256(DATA)]),
        ([gzip.compress(b"a")[:-4] + b"!!!!"], [sha256(b"a")]),
        ([b"a"], []),
        ([], [sha256(b"a")]),
    ],
)
def test_layers_that_the_configuration_does_not_list_are_refused(
    tmp_path: Path, layers: Sequence[bytes], diff_ids: Sequence[str]
) -> None:
    path = write_docker_archive(tmp_path / "a.tar", layers, diff_ids)
    with pytest.raises((DigestMismatchError, InvalidAnswerError)):
        asyncio.run(DockerArchive(path, None).root())


def test_small_file_that_is_large_or_sparse_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"index.json": bytes(16 * MIB + 1)}, {})
    with pytest.raises(InvalidAnswerError, match="too large"):
        asyncio.run(OCILayout(TarFiles(path), None).root())
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("index.json")
        member.type = tarfile.GNUTYPE_SPARSE
        archive.addfile(member)
    with pytest.raises(InvalidAnswerError, match="sparse"):
        asyncio.run(OCILayout(TarFiles(path), None).root())


def test_links_of_an_archive_lead_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    links = {"index.json": "../secret", "a": "b", "b": "a", "to/c": "../d"}
    files = TarFiles(write_tar(tmp_path / "a.tar", {"d": b"data"}, links))
    assert asyncio.run(files.read("index.json")) is None
    assert asyncio.run(files.read("a")) is None
    assert asyncio.run(files.read("to/c")) == b"data"


def test_docker_archive_keeps_layers_and_configuration(layout: Layout, tmp_path: Path) -> None:
    layout.name(layout.image(10, 1000), "v1")
    path = tmp_path / "d.tar"
    asyncio.run(copy(source(layout), DockerArchiveTarget(path, "a:v1")))
    with tarfile.open(path) as archive:
        file = archive.extractfile("manifest.json")
        assert file is not None
        [entry] = json.load(file)
        config = archive.extractfile(entry["Config"])
        assert config is not None
        diff_ids = json.load(config)["rootfs"]["diff_ids"]
        for name, diff_id in zip(entry["Layers"], diff_ids, strict=True):
            layer = archive.extractfile(name)
            assert layer is not None
            assert sha256(layer.read()) == diff_id
    assert entry["RepoTags"] == ["a:v1"]
    with pytest.raises(NotFoundError, match="0 images of that name"):
        asyncio.run(DockerArchive(path, "b:v1").root())


def test_image_whose_layers_are_null_has_none_in_a_docker_archive(
    layout: Layout, tmp_path: Path
) -> None:
    config = layout.add(b"{}", "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": None}
    layout.name(layout.add(json.dumps(manifest).encode(), OCI_MANIFEST), "v1")
    asyncio.run(copy(source(layout), DockerArchiveTarget(tmp_path / "d.tar", None)))
    data = asyncio.run(TarFiles(tmp_path / "d.tar").read("manifest.json"))
    assert json.loads(data or b"")[0]["Layers"] == []


def test_layer_that_is_not_what_the_configuration_says_is_refused(
    layout: Layout, tmp_path: Path
) -> None:
    descriptor = layout.image(10)
    blobs = layout.folder / "blobs" / "sha256"
    manifest = json.loads((blobs / descriptor["digest"].partition(":")[2]).read_bytes())
    config = json.loads((blobs / manifest["config"]["digest"].partition(":")[2]).read_bytes())
    config["rootfs"]["diff_ids"] = [sha256(b"another")]
    manifest["config"] = layout.add(json.dumps(config).encode(), manifest["config"]["mediaType"])
    layout.name(layout.add(json.dumps(manifest).encode(), descriptor["mediaType"]), "v1")
    with pytest.raises(DigestMismatchError):
        asyncio.run(copy(source(layout), DockerArchiveTarget(tmp_path / "d.tar", None)))
    assert not (tmp_path / "d.tar").exists()


def test_index_goes_into_no_docker_archive(layout: Layout, tmp_path: Path) -> None:
    layout.name(layout.index("amd64", "arm64"), "v1")
    with pytest.raises(InvalidAnswerError, match="only one image"):
        asyncio.run(copy(source(layout), DockerArchiveTarget(tmp_path / "d.tar", None)))
