"""Several processes of `dist` at one layout, or one archive, and what becomes of one's end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from storagedriver_registry.client import BusyError
from storagedriver_registry.client.layouts import (
    ArchiveTarget,
    LocalFiles,
    OCILayout,
    OCILayoutTarget,
)
from storagedriver_registry.client.layouts import local_files as local_files_module
from storagedriver_registry.client.layouts.locks import is_locked, locked_file, shared_folder
from storagedriver_registry.client.manifests import FetchedManifest
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.transfer import Blob, Chunks, Outcome
from storagedriver_registry.digest import compute_digest

from registry.tests.client import OCI_MANIFEST, unique_name
from registry.tests.counting import CountingProxy, counting
from registry.tests.dist import PATIENCE, Layout, dist, dist_json, started, until
from registry.tests.processes import ServerProcess

pytestmark = pytest.mark.usefixtures("home")

MIB = 1 << 20
DATA = os.urandom(100_000)
BLOB = Blob(compute_digest(DATA), len(DATA))


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[CountingProxy]:
    with counting(server.host) as proxy:
        yield proxy


@pytest.fixture
def other_proxy(server: ServerProcess) -> Iterator[CountingProxy]:
    with counting(server.host) as proxy:
        yield proxy


@pytest.fixture
def shared(server: ServerProcess, tmp_path: Path) -> tuple[str, str]:
    """Push images `a` and `b` with a layer in common; give the repository and that layer's hex."""
    layout = Layout(tmp_path / "images")
    config = layout.add(b"{}", "application/vnd.oci.empty.v1+json")
    common = layout.add(os.urandom(6 * MIB), "a/b")
    repository = unique_name()
    for name in ("a", "b"):
        own = layout.add(name.encode() * 2 * MIB, "a/b")
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config,
            "layers": [common, own],
        }
        image = layout.name(layout.add(json.dumps(manifest).encode(), OCI_MANIFEST), name)
        dist("push", image, f"{server.host}/{repository}:{name}")
    return repository, common["digest"].partition(":")[2]


def own_blob(layout: Path, name: str) -> Path:
    return layout / "blobs/sha256" / hashlib.sha256(name.encode() * 2 * MIB).hexdigest()


def ended(process: subprocess.Popen[bytes], code: int = 0) -> str:
    """Wait for the end of a process; give what it said of errors."""
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, errors
    assert b"Traceback" not in errors
    return errors.decode()


def assert_whole(layout: Path) -> None:
    """See that whatever is visible is what its name says."""
    for path in (layout / "blobs/sha256").iterdir():
        # What is being written has another name.
        if not path.name.startswith("."):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


# Layouts ---------------------------------------------------------------------------------------


def test_blob_that_a_killed_process_wrote_is_ended_by_who_waits_for_it(
    server: ServerProcess,
    proxy: CountingProxy,
    shared: tuple[str, str],
    tmp_path: Path,
    home: Path,
) -> None:
    repository, common = shared
    layout = tmp_path / "both"
    pull = ("pull", f"{proxy.host}/{repository}:a", "oci:both:a", "--window=1")
    proxy.hold_after(3 * MIB)
    first = started(*pull, home=home)
    proxy.wait_until_held()
    partial = layout / f".partial/sha256-{common}"
    until(lambda: partial.exists() and partial.stat().st_size > MIB)
    second = started("pull", f"{server.host}/{repository}:b", "oci:both:b", home=home)
    # It has what is its own, and waits for the rest.
    until(own_blob(layout, "b").exists)
    assert second.poll() is None
    assert_whole(layout)
    first.kill()
    first.communicate()
    ended(second)
    assert dist_json("tags", "oci:both") == ["b"]
    proxy.release()
    ended(started(*pull, home=home))
    assert dist_json("tags", "oci:both") == ["a", "b"]
    for name in ("a", "b"):
        assert dist_json("verify", f"oci:both:{name}")["wrong"] == []
    assert not (layout / ".partial").exists()


def test_interrupted_process_removes_nothing_that_another_needs(
    proxy: CountingProxy,
    other_proxy: CountingProxy,
    shared: tuple[str, str],
    tmp_path: Path,
    home: Path,
) -> None:
    repository, common = shared
    layout = tmp_path / "both"
    processes = []
    for name, via, after in (("a", proxy, 7 * MIB), ("b", other_proxy, MIB)):
        via.hold_after(after)
        pull = ("pull", f"{via.host}/{repository}:{name}", f"oci:both:{name}", "--window=1")
        processes.append(started(*pull, home=home))
        via.wait_until_held()
        # The first has put what both need, and the second has seen it.
        until((layout / "blobs/sha256" / common).exists)
        until((layout / ".partial" / f"sha256-{own_blob(layout, name).name}").exists)
    first, second = processes
    first.send_signal(signal.SIGINT)
    assert ended(first, 130).endswith("dist: interrupted\n")
    assert not own_blob(layout, "a").exists()
    other_proxy.release()
    ended(second)
    assert dist_json("verify", "oci:both:b")["wrong"] == []
    proxy.release()
    ended(started("pull", f"{proxy.host}/{repository}:a", "oci:both:a", home=home))
    assert dist_json("verify", "oci:both:a")["wrong"] == []
    assert dist_json("tags", "oci:both") == ["a", "b"]


def test_interrupted_process_leaves_the_images_of_others_and_nothing_else(
    proxy: CountingProxy, shared: tuple[str, str], tmp_path: Path, home: Path
) -> None:
    repository, _ = shared
    layout = tmp_path / "both"
    dist("pull", f"{proxy.host}/{repository}:a", "oci:both:a")
    before = sorted(layout.rglob("*"))
    proxy.hold_after(MIB)
    pull = ("pull", f"{proxy.host}/{repository}:b", "oci:both:b", "--window=1")
    process = started(*pull, home=home)
    proxy.wait_until_held()
    until((layout / ".partial" / f"sha256-{own_blob(layout, 'b').name}").exists)
    process.send_signal(signal.SIGINT)
    ended(process, 130)
    assert sorted(layout.rglob("*")) == before


def test_same_image_may_be_pulled_twice_at_once(
    server: ServerProcess, shared: tuple[str, str], home: Path
) -> None:
    repository, _ = shared
    name = f"{server.host}/{repository}:a"
    for process in [started("pull", name, "oci:one:v1", home=home) for _ in range(2)]:
        ended(process)
    assert len(json.loads(Path("one/index.json").read_bytes())["manifests"]) == 1
    assert dist_json("verify", "oci:one:v1")["wrong"] == []


async def no_chunks(offset: int, before: RunningHash | None) -> AsyncGenerator[bytes, None]:
    raise AssertionError("nothing is to be read")
    yield b""


async def chunks(offset: int, before: RunningHash | None) -> AsyncGenerator[bytes, None]:
    yield DATA[offset:]


def partial_of(folder: Path) -> Path:
    return folder / ".partial" / f"sha256-{BLOB.digest.hex}"


def test_who_waits_for_a_blob_finds_what_the_other_has_stored(tmp_path: Path) -> None:
    async def main() -> None:
        files = LocalFiles(tmp_path)
        lock = locked_file(partial_of(tmp_path))
        assert lock is not None
        task = asyncio.ensure_future(files.put_blob("blob", BLOB, no_chunks))
        # It gets as far as it can.
        for _ in range(20):
            await asyncio.sleep(0)
        (tmp_path / "blob").write_bytes(DATA)
        partial_of(tmp_path).unlink()
        os.close(lock)
        assert not await task
        assert await files.put_blob("other", BLOB, chunks)

    asyncio.run(main())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blob", "other"]


def test_blob_that_another_holds_and_does_not_write_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files_module, "_STUCK_SECONDS", 0.1)
    monkeypatch.setattr(local_files_module, "_WAIT_SECONDS", 0.01)
    lock = locked_file(partial_of(tmp_path))
    assert lock is not None
    with pytest.raises(BusyError, match=str(partial_of(tmp_path))):
        asyncio.run(LocalFiles(tmp_path).put_blob("blob", BLOB, chunks))
    os.close(lock)
    assert asyncio.run(LocalFiles(tmp_path).put_blob("blob", BLOB, chunks))


def test_who_waits_is_patient_with_another_that_gets_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, now = locked_file(partial_of(tmp_path)), 0.0
    assert lock is not None

    async def work_on(_: float) -> None:
        nonlocal now
        now += local_files_module._STUCK_SECONDS / 2
        if now > 3 * local_files_module._STUCK_SECONDS:
            os.close(lock)
        else:
            size = os.fstat(lock).st_size
            os.write(lock, DATA[size : size + 100])

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
        monkeypatch.setattr(asyncio, "sleep", work_on)
        assert await LocalFiles(tmp_path).put_blob("blob", BLOB, chunks)

    asyncio.run(main())
    assert (tmp_path / "blob").read_bytes() == DATA


def test_copy_is_in_a_layout_once_however_many_blobs_begin_it(tmp_path: Path) -> None:
    async def main() -> None:
        alone = shared_folder(tmp_path / "blobs")
        assert alone is not None
        assert is_locked(alone)
        target = OCILayoutTarget(LocalFiles(tmp_path), "v1")
        puts = [target.put_blob(BLOB, chunks, target) for _ in range(2)]
        tasks = [asyncio.ensure_future(one) for one in puts]
        # They get as far as they can.
        for _ in range(20):
            await asyncio.sleep(0)
        os.close(alone)
        assert {await one for one in tasks} == {Outcome.COPIED, Outcome.PRESENT}
        await target.release()
        after = shared_folder(tmp_path / "blobs")
        assert after is not None
        assert is_locked(after)
        os.close(after)

    asyncio.run(main())


def test_copy_that_is_cancelled_at_its_end_leaves_nothing(tmp_path: Path) -> None:
    class Cancelled(LocalFiles):
        async def change(self, path: str, make: object) -> None:
            raise asyncio.CancelledError

    async def main() -> None:
        target = OCILayoutTarget(Cancelled(tmp_path / "new"), "v1")
        manifest = FetchedManifest(b"{}", compute_digest(b"{}"), OCI_MANIFEST)
        with pytest.raises(asyncio.CancelledError):
            await target.put_manifest(manifest, is_root=True)
        await target.abandon()
        await target.release()

    asyncio.run(main())
    assert not (tmp_path / "new").exists()


def test_partial_file_that_leads_elsewhere_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    partial = partial_of(tmp_path / "layout")
    partial.parent.mkdir(parents=True)
    for target in ("../../secret", "../../none/none"):
        partial.symlink_to(target)
        with pytest.raises(OSError, match="symbolic links"):
            asyncio.run(LocalFiles(tmp_path / "layout").put_blob("blob", BLOB, chunks))
        partial.unlink()
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_cancelled_copy_leaves_what_an_image_of_another_needs(tmp_path: Path) -> None:
    config = Blob(compute_digest(b"{}"), 2)
    described = {"mediaType": "a/b", "digest": str(BLOB.digest), "size": BLOB.size}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "a/b", "digest": str(config.digest), "size": config.size},
        "layers": [described],
    }
    data = json.dumps(document).encode()
    unneeded = Blob(compute_digest(b"x"), 1)

    def of(data: bytes) -> Chunks:
        async def chunks(offset: int, before: RunningHash | None) -> AsyncGenerator[bytes, None]:
            yield data[offset:]

        return chunks

    async def main() -> None:
        first, second = (OCILayoutTarget(LocalFiles(tmp_path), name) for name in ("a", "b"))
        source = OCILayout(LocalFiles(tmp_path), None)
        await first.put_blob(BLOB, chunks, source)
        await first.put_blob(unneeded, of(b"x"), source)
        assert await second.put_blob(BLOB, no_chunks, source) is Outcome.PRESENT
        await second.put_blob(config, of(b"{}"), source)
        manifest = FetchedManifest(data, compute_digest(data), OCI_MANIFEST)
        await second.put_manifest(manifest, is_root=True)
        await second.release()
        await first.abandon()
        await first.release()

    asyncio.run(main())
    found = {path.name for path in (tmp_path / "blobs/sha256").iterdir()}
    assert found == {BLOB.digest.hex, config.digest.hex, compute_digest(data).hex}


# Archives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_killed", [True, False])
def test_second_process_at_an_archive_is_told_who_has_it(
    server: ServerProcess,
    proxy: CountingProxy,
    shared: tuple[str, str],
    tmp_path: Path,
    home: Path,
    is_killed: bool,
) -> None:
    repository, common = shared
    proxy.hold_after(3 * MIB)
    pull_first = ("pull", f"{proxy.host}/{repository}:a", "oci-archive:a.tar:v1", "--window=1")
    first = started(*pull_first, home=home)
    proxy.wait_until_held()
    partial = tmp_path / f"a.tar.partial/.partial/sha256-{common}"
    until(lambda: partial.exists() and partial.stat().st_size > MIB)
    pull = ("pull", f"{server.host}/{repository}:b", "oci-archive:a.tar:v1")
    said = ended(started(*pull, home=home), 6)
    assert f"a.tar: process {first.pid} on " in said
    assert partial.stat().st_size > MIB
    if is_killed:
        first.kill()
        first.communicate()
    proxy.release()
    if not is_killed:
        ended(first)
        wanted = dist_json("inspect", f"{server.host}/{repository}:a")["digest"]
        assert dist_json("verify", "oci-archive:a.tar:v1")["digest"] == wanted
    ended(started(*pull, home=home))
    wanted = dist_json("inspect", f"{server.host}/{repository}:b")["digest"]
    assert dist_json("verify", "oci-archive:a.tar:v1")["digest"] == wanted
    assert not (tmp_path / "a.tar.partial").exists()


def test_copy_that_found_an_archive_taken_removes_nothing_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        first, second = (ArchiveTarget(tmp_path / "new/a.tar", "v1") for _ in range(2))
        assert await first.put_blob(BLOB, chunks, None) is Outcome.COPIED  # type: ignore[arg-type]
        with pytest.raises(BusyError, match=f"process {os.getpid()} on "):
            await second.put_blob(BLOB, no_chunks, None)  # type: ignore[arg-type]
        await second.abandon()
        await second.release()
        assert (first.folder / "blobs/sha256" / BLOB.digest.hex).exists()
        await first.release()
        # It went no further: the next one goes on with it.
        third = ArchiveTarget(tmp_path / "new/a.tar", "v1")
        assert await third.put_blob(BLOB, no_chunks, None) is Outcome.PRESENT  # type: ignore[arg-type]
        await third.abandon()
        await third.release()

    asyncio.run(main())
    assert [path.name for path in (tmp_path / "new").iterdir()] == []
