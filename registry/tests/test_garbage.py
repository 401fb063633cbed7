"""What garbage collection deletes, and what it keeps."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from storagedriver_registry.cli import app as cli
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage import condemned, paths
from storagedriver_registry.storage.garbage_scan import (
    ForeignUploadError,
    GarbageError,
    UnreadableManifestError,
)
from typer.testing import CliRunner

from registry.tests.application import Application, in_memory, run
from registry.tests.client import Repository, sha256
from registry.tests.garbage import (
    blob_file,
    collect,
    files,
    image,
    in_files,
    index,
    marker,
    names,
    push,
    put_manifest,
    statuses,
    write_config,
)
from registry.tests.interchange import client
from registry.tests.processes import REGISTRY, docker_registry, our_server, running
from storagedriver_core import StorageDriver

DAY = timedelta(hours=24)


@pytest.fixture(autouse=True)
def _servers_learn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no grace period be too short."""
    monkeypatch.setattr(condemned, "LEARN_SECONDS", 0.0)


@pytest.fixture(params=["inmemory", "filesystem"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> StorageDriver:
    return in_memory() if request.param == "inmemory" else in_files(tmp_path)


def test_what_nothing_names_is_condemned_by_one_run_and_deleted_by_the_next(
    driver: StorageDriver,
) -> None:
    async def test(one: Application) -> None:
        await push(one, "a", "v1", b"layer")
        await push(one, "b/c", "v1", b"layer", b"other")
        before = await files(one.storage)
        await one.push_blob("a", b"garbage", sha256(b"garbage"))
        await one.push_blob("b", b"garbage", sha256(b"garbage"))

        first = await collect(one.storage)
        assert (first.repositories, first.manifests, first.blobs) == (2, 2, 6)
        assert names(first, "condemned") == {sha256(b"garbage")}
        assert names(first) == set()
        # Who may be about to push is told that it is not there; a pull goes on.
        assert await statuses(one, "a", b"garbage", b"layer", b"{}") == [404, 200, 200]
        pulled = await one.http.get(f"/v2/a/blobs/{sha256(b'garbage')}")
        assert pulled.content == b"garbage"

        forgotten: list[Digest] = []
        second = await collect(one.storage, forgotten=forgotten)
        assert names(second) == {sha256(b"garbage")} == set(map(str, forgotten))
        assert second.deleted_bytes == len(b"garbage")
        assert (await one.http.get(f"/v2/a/blobs/{sha256(b'garbage')}")).status_code == 404
        # Its links are gone from both repositories, and the marker goes with the third run.
        await collect(one.storage)
        left = await files(one.storage)
        assert {path for path in left - before if "/garbage/collector" not in path} == set()
        assert before <= left
        await one.push_blob("a", b"garbage", sha256(b"garbage"))
        assert await statuses(one, "a", b"garbage") == [200]

    run(test, on=driver)


@pytest.mark.parametrize("how", ["upload", "session", "manifest", "mount"])
def test_push_of_what_is_condemned_lifts_the_marker(how: str, driver: StorageDriver) -> None:
    async def test(one: Application) -> None:
        for data in (b"{}", b"layer"):
            await one.push_blob("a", data, sha256(data))
        assert len((await collect(one.storage)).condemned) == 2
        if how == "upload":
            await one.push_blob("b", b"layer", sha256(b"layer"))
        elif how == "manifest":
            # Its client has looked before.
            assert (await put_manifest(one, "a", image(b"layer"), "v1")).status_code == 201
        else:
            query = f"?mount={sha256(b'layer')}&from=a" if how == "mount" else ""
            begun = await one.http.post(f"/v2/b/blobs/uploads/{query}")
            # What is condemned is not mounted: it is uploaded.
            assert begun.status_code == 202
            location, params = begun.headers["location"], {"digest": sha256(b"layer")}
            url = one.http.build_request("PUT", location).url.copy_merge_params(params)
            assert (await one.http.put(url, content=b"layer")).status_code == 201
        name = "a" if how == "manifest" else "b"
        assert await statuses(one, name, b"layer") == [200]
        report = await collect(one.storage)
        assert sha256(b"layer") not in names(report)
        assert (await one.http.get(f"/v2/{name}/blobs/{sha256(b'layer')}")).content == b"layer"
        if how == "manifest":
            assert report.deleted == report.condemned == []

    run(test, on=driver)


def test_what_was_pushed_within_the_grace_period_is_in_use() -> None:
    async def test(one: Application) -> None:
        await one.push_blob("a", b"first", sha256(b"first"))
        assert names(await collect(one.storage, DAY), "condemned") == set()
        assert names(await collect(one.storage), "condemned") == {sha256(b"first")}
        # The time of what was condemned is not up; a push in another repository counts as well.
        report = await collect(one.storage, timedelta(minutes=1))
        assert (report.deleted, report.spared) == ([], 1)

    run(test)


def test_nothing_is_deleted_before_the_grace_period_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(one: Application) -> None:
        await one.push_blob("a", b"garbage", sha256(b"garbage"))
        # So that the marker is later by the store's clock.
        await asyncio.sleep(0.02)
        await collect(one.storage)
        written = (await one.storage.stat(marker(b"garbage"))).mod_time
        assert written is not None
        for early, expected in ((timedelta(milliseconds=5), (1, 0)), (timedelta(0), (0, 1))):

            async def now(early: timedelta = early) -> datetime:
                return written + DAY - early

            monkeypatch.setattr(one.storage, "now", now)
            report = await collect(one.storage, DAY)
            assert (report.waiting, len(report.deleted)) == expected

    run(test)


def test_untagged_manifests_go_from_the_top_down_when_asked_for() -> None:
    async def test(one: Application) -> None:
        member = await push(one, "a", sha256(image(b"member")), b"member")
        manifest = index(image(b"member"))
        assert (await put_manifest(one, "a", manifest, "v1")).status_code == 201
        subject = {"mediaType": "x/y", "digest": member, "size": len(image(b"member"))}
        signature = await push(
            one, "a", sha256(image(b"sig", subject=subject)), b"sig", subject=subject
        )
        alone = await push(one, "a", sha256(image(b"alone")), b"alone")
        assert (await collect(one.storage)).condemned == []
        for _ in range(3):
            report = await collect(one.storage, delete_untagged=True)
        # What a tag leads to stays: members, and what refers to them.
        assert (await one.http.get("/v2/a/manifests/v1")).status_code == 200
        for digest in (member, signature):
            assert (await one.http.head(f"/v2/a/manifests/{digest}")).status_code == 200
        assert (await one.http.get(f"/v2/a/manifests/{alone}")).status_code == 404
        await one.http.delete("/v2/a/manifests/v1")
        gone = []
        for _ in range(12):
            report = await collect(one.storage, delete_untagged=True)
            gone += [item.digest.hex for item in report.deleted if item.name]
        order = [sha256(manifest), member, signature]
        assert gone == [digest.partition(":")[2] for digest in order]
        assert {path for path in await files(one.storage) if "storagedriver" not in path} == set()

    run(test)


def test_push_of_an_untagged_manifest_that_is_condemned_keeps_it_and_its_members() -> None:
    async def test(one: Application) -> None:
        member = await push(one, "a", sha256(image(b"member")), b"member")
        report = await collect(one.storage, delete_untagged=True)
        assert names(report, "condemned") == {f"a@{member}"}
        assert (await one.http.head(f"/v2/a/manifests/{member}")).status_code == 404
        assert (await one.http.get(f"/v2/a/manifests/{member}")).status_code == 200
        response = await put_manifest(one, "a", index(image(b"member")), "v1")
        assert response.status_code == 201
        assert (await one.http.head(f"/v2/a/manifests/{member}")).status_code == 200
        for _ in range(3):
            report = await collect(one.storage, delete_untagged=True)
            assert (report.deleted, report.condemned) == ([], [])

    run(test)


def test_rest_of_deleted_manifests_goes_too() -> None:
    async def test(one: Application) -> None:
        subject = {"mediaType": "x/y", "digest": sha256(b"subject"), "size": 7}
        digest = await push(one, "a", "v1", b"layer", subject=subject)
        assert (await one.http.delete(f"/v2/a/manifests/{digest}")).status_code == 202
        assert any("_referrers" in path for path in await files(one.storage))
        for _ in range(4):
            await collect(one.storage)
        assert {path for path in await files(one.storage) if "storagedriver" not in path} == set()

    run(test)


def test_signatures_of_schema_1_stay_with_their_manifest() -> None:
    async def test(one: Application) -> None:
        document = {"schemaVersion": 1, "fsLayers": [{"blobSum": sha256(b"layer")}]}
        manifest = json.dumps(document).encode()
        revision = sha256(manifest).replace(":", "/")
        root = "/docker/registry/v2/repositories/old/_manifests/revisions"
        for data in (manifest, b"layer", b"signature"):
            await one.storage.put_content(blob_file(data), data)
        link = f"{root}/{revision}/signatures/{sha256(b'signature').replace(':', '/')}/link"
        await one.storage.put_content(f"{root}/{revision}/link", sha256(manifest).encode())
        await one.storage.put_content(link, sha256(b"signature").encode())
        assert (await collect(one.storage)).condemned == []
        await one.storage.delete(f"{root}/{revision}/link")
        for _ in range(3):
            await collect(one.storage)
        assert {path for path in await files(one.storage) if "storagedriver" not in path} == set()

    run(test)


@pytest.mark.parametrize("offline", [False, True])
def test_dry_run_tells_and_changes_nothing(offline: bool) -> None:
    async def test(one: Application) -> None:
        await push(one, "a", "v1", b"layer")
        await one.push_blob("a", b"garbage", sha256(b"garbage"))
        which = "deleted" if offline else "condemned"
        for _ in range(2):
            before = await files(one.storage)
            report = await collect(one.storage, dry_run=True, offline=offline)
            assert names(report, which) == {sha256(b"garbage")}
            assert await files(one.storage) == before
        await collect(one.storage)
        before = await files(one.storage)
        assert names(await collect(one.storage, dry_run=True)) == {sha256(b"garbage")}
        assert await files(one.storage) == before

    run(test)


def test_offline_deletes_at_once_with_all_that_is_left_of_repositories(tmp_path: Path) -> None:
    async def test(one: Application) -> None:
        await push(one, "a", "v1", b"layer")
        await push(one, "a/gone", sha256(image(b"untagged")), b"untagged")
        await one.push_blob("b", b"garbage", sha256(b"garbage"))
        # As docker/distribution leaves them.
        empty = tmp_path / "docker/registry/v2/repositories/a/empty/_manifests/revisions/sha256"
        empty.mkdir(parents=True)
        (empty.parents[2] / "_uploads").mkdir()
        await one.storage.put_content(f"{paths.uploads('a')}/1/startedat", b"now")
        await collect(one.storage, timedelta(hours=1), offline=True, delete_untagged=True)
        assert await statuses(one, "b", b"garbage") == [200]
        report = await collect(one.storage, offline=True, delete_untagged=True)
        blobs = {sha256(data) for data in (b"garbage", b"untagged", image(b"untagged"))}
        assert names(report) == {f"a/gone@{sha256(image(b'untagged'))}", *blobs}
        assert not empty.exists()
        catalog = await one.http.get("/v2/_catalog")
        assert catalog.json()["repositories"] == ["a"]
        assert await statuses(one, "a", b"layer", b"{}") == [200, 200]

    run(test, on=in_files(tmp_path))


@pytest.mark.parametrize("manifest", [b"{}", b" { }", b"{\r\n\t}\n"])
def test_manifest_that_is_an_empty_object_stops_no_collection(manifest: bytes) -> None:
    async def test(one: Application) -> None:
        url, headers = "/v2/a/manifests/v1", {"content-type": "application/vnd.example+json"}
        assert (await one.http.put(url, content=manifest, headers=headers)).status_code == 201
        await one.push_blob("a", b"garbage", sha256(b"garbage"))
        assert names(await collect(one.storage, offline=True)) == {sha256(b"garbage")}
        assert (await one.http.get(url)).content == manifest

    run(test)


def test_it_refuses_where_it_would_not_be_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    async def plain(one: Application) -> None:
        await one.push_blob("a", b"garbage", sha256(b"garbage"))
        with pytest.raises(GarbageError, match="--offline"):
            await collect(one.storage)
        assert len((await collect(one.storage, offline=True)).deleted) == 1

    run(plain, {"put_if_match": False})

    async def beside_distribution(one: Application) -> None:
        await one.push_blob("a", b"garbage", sha256(b"garbage"))
        upload = f"{paths.uploads('a')}/0123"
        await one.storage.put_content(f"{upload}/startedat", b"2020-01-01T00:00:00Z")
        with pytest.raises(ForeignUploadError, match="0123"):
            await collect(one.storage)
        await one.storage.delete(upload)
        await collect(one.storage)

    run(beside_distribution)

    async def unreadable(one: Application) -> None:
        digest = await push(one, "a", "v1", b"layer")
        await one.storage.put_content(blob_file(image(b"layer")), b"")
        with pytest.raises(UnreadableManifestError, match=digest):
            await collect(one.storage, offline=True)
        assert await statuses(one, "a", b"layer") == [200]

    run(unreadable)

    monkeypatch.setattr(condemned, "LEARN_SECONDS", 1.0)

    async def short(one: Application) -> None:
        with pytest.raises(GarbageError, match="2s at least"):
            await collect(one.storage, timedelta(seconds=1.9))
        with pytest.raises(GarbageError, match="20s at least"):
            await collect(one.storage, timedelta(seconds=19), max_stale=10.0)

    run(short)


def test_dry_run_beside_sessions_of_distribution_tells_of_both(tmp_path: Path) -> None:
    config = str(write_config(tmp_path))
    blob = tmp_path / "data" / blob_file(b"garbage")[1:]
    session = tmp_path / "data" / paths.uploads("a")[1:] / "0123"
    for file in (blob, session / "startedat"):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"garbage")
    before = sorted(tmp_path.rglob("*"))
    dry = ["garbage-collect", "--dry-run", "--grace", "0s", config]
    told = CliRunner().invoke(cli, dry)
    assert told.exit_code == 0, told.output
    assert f"would be condemned\tblob\t{sha256(b'garbage')}" in told.stdout
    assert "1 upload sessions of docker/distribution" in told.stderr
    assert f"{paths.uploads('a')}/0123" in told.stderr and "uploads purge" in told.stderr
    spelt = json.loads(CliRunner().invoke(cli, [*dry, "--json"]).stdout)
    assert spelt["foreign_uploads"] == [f"{paths.uploads('a')}/0123"]
    # What deletes is refused as ever; and where nobody is at work, they are no matter.
    refused = CliRunner().invoke(cli, ["garbage-collect", "--grace", "0s", config])
    assert refused.exit_code == 1 and "0123" in refused.stderr
    alone = CliRunner().invoke(cli, [*dry, "--offline"])
    assert alone.exit_code == 0 and "upload sessions" not in alone.stderr
    assert blob.exists() and set(before) <= set(tmp_path.rglob("*"))


def test_hot_path_asks_nothing_while_there_is_no_garbage(monkeypatch: Any) -> None:
    monkeypatch.setattr(condemned, "LEARN_SECONDS", 3600.0)

    async def test(one: Application) -> None:
        await push(one, "a", "v1", b"layer")
        one.driver.calls.clear()
        await push(one, "a", "v2", b"second")
        assert await statuses(one, "a", b"second") == [200]
        assert [path for _, path in one.driver.calls if "garbage" in path] == []

    run(test)


def test_head_looks_at_a_marker_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(one: Application) -> None:
        await push(one, "a", "v1", b"layer")
        await one.push_blob("a", b"garbage", sha256(b"garbage"))
        await collect(one.storage)
        monkeypatch.setattr(condemned, "LEARN_SECONDS", 3600.0)
        other = Application(one.storage, one.driver)
        async with other.http:
            one.driver.calls.clear()
            for _ in range(3):
                assert await statuses(other, "a", b"layer", b"garbage") == [200, 404]
            looks = [path for _, path in one.driver.calls]
            assert looks.count(marker(b"layer")) == looks.count(paths.GARBAGE_SIGN) == 1
            # What was lifted by one server shows at the other at once.
            await one.push_blob("a", b"garbage", sha256(b"garbage"))
            assert await statuses(other, "a", b"garbage") == [200]

    run(test)


def test_command_reports_in_lines_and_as_json(tmp_path: Path) -> None:
    config = str(write_config(tmp_path))
    data = b"garbage"
    blob = tmp_path / "data" / blob_file(data)[1:]
    blob.parent.mkdir(parents=True)
    blob.write_bytes(data)
    runner = CliRunner()
    first = runner.invoke(cli, ["garbage-collect", "--dry-run", "--grace", "0s", config])
    assert first.exit_code == 0, first.output
    assert f"would be condemned\tblob\t{sha256(data)}" in first.stdout
    assert blob.exists()
    assert not (tmp_path / "data" / marker(data)[1:]).exists()
    second = runner.invoke(cli, ["garbage-collect", "--grace", "0s", "--json", config])
    assert json.loads(second.stdout)["condemned"]["blobs"] == [sha256(data)]
    third = runner.invoke(cli, ["garbage-collect", "--grace", "0s", "--json", config])
    report = json.loads(third.stdout)
    assert report["deleted"] == {"blobs": [sha256(data)], "manifests": []}
    assert report["deleted_bytes"] == len(data)
    assert not blob.exists()
    wrong = runner.invoke(cli, ["garbage-collect", "--grace", "soon", config])
    assert wrong.exit_code == 1
    assert "--grace" in wrong.stderr


@pytest.mark.service("docker-registry")
@pytest.mark.parametrize("offline", [[], ["--offline"]], ids=["marked", "offline"])
def test_root_of_docker_registry_is_collected(
    offline: list[str], program: Callable[[str], str], tmp_path: Path
) -> None:
    theirs = docker_registry(program("docker-registry"), tmp_path)
    with running(theirs), client(theirs) as http:
        repository = Repository(http, "their/images")
        kept = repository.push_image("v1", b"kept")
        dropped = repository.push_image("v2", b"dropped")
        assert http.delete(repository.url(f"manifests/{dropped}")).status_code == 202
        repository.push_blob(b"loose")
    config = str(write_config(tmp_path))
    for _ in range(4):
        result = CliRunner().invoke(cli, ["garbage-collect", "--grace", "0s", *offline, config])
        assert result.exit_code == 0, result.output
    blobs = (tmp_path / "data/docker/registry/v2/blobs").glob("*/*/*/data")
    assert {path.parent.name for path in blobs} == {
        digest.partition(":")[2] for digest in (kept, sha256(b"kept"), sha256(b"{}"))
    }
    servers = [our_server(tmp_path), docker_registry(program("docker-registry"), tmp_path)]
    for server in servers:
        with running(server), client(server) as http:
            repository = Repository(http, "their/images")
            assert repository.tags().json()["tags"] == ["v1"]
            for data in (b"kept", b"{}"):
                assert repository.blob(sha256(data)).content == data


def test_progress_is_for_terminals_alone(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    blob = tmp_path / "data" / blob_file(b"garbage")[1:]
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"garbage")
    command = [REGISTRY, "garbage-collect", "--dry-run", "--quiet", str(config)]
    piped = subprocess.run(command, capture_output=True, check=True)
    assert (piped.stdout, piped.stderr) == (b"", b"")
    ours, theirs = os.openpty()
    try:
        subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True)
        assert b"blobs" in os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
