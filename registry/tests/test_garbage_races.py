"""Garbage collection against what happens at the same time: pushes, other collectors, kills."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from storagedriver_registry.digest import parse_digest
from storagedriver_registry.storage import collector_turn, condemned, paths
from storagedriver_registry.storage.collector_turn import CollectorBusyError
from storagedriver_registry.storage.markers import Markers

from registry.tests.application import Application
from registry.tests.client import error_codes, sha256
from registry.tests.garbage import (
    Interrupted,
    blob_file,
    collect,
    files,
    image,
    in_files,
    marker,
    names,
    push,
    put_manifest,
    statuses,
    write_config,
)
from registry.tests.stores import s3_parameters
from servers.seaweedfs import SeaweedFS
from storagedriver_core import Storage, StorageDriver, UnavailableError, load_plugins

GARBAGE = b"garbage"
BLOB = blob_file(GARBAGE)
MARKER = marker(GARBAGE)


@pytest.fixture(autouse=True)
def _servers_learn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no grace period be too short."""
    monkeypatch.setattr(condemned, "LEARN_SECONDS", 0.0)


@pytest.fixture(params=["inmemory", "filesystem", "s3"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Interrupted:
    if request.param == "filesystem":
        return Interrupted(in_files(tmp_path))
    return Interrupted(on_s3(request.getfixturevalue) if request.param == "s3" else None)


def on_s3(fixture: Callable[[str], SeaweedFS]) -> StorageDriver:
    plugins = load_plugins()
    spec = plugins.driver("s3")
    parameters = s3_parameters(fixture("seaweedfs"))
    values = {
        "bucket": parameters["bucket"],
        "region": parameters["region"],
        "endpoint": parameters["regionendpoint"],
        "access_key": parameters["accesskey"],
        "secret_key": parameters["secretkey"],
        "root_directory": parameters["rootdirectory"],
        "preset": "seaweedfs",
    }
    driver: StorageDriver = plugins.load_factory(spec)(spec.parameters.model_validate(values))
    return driver


def race(driver: Interrupted, test: Callable[[Application, Interrupted], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Storage(driver) as storage:
            # Pulls of a store that signs URLs go there.
            application = Application(storage, driver, {"redirect": {"disable": True}})
            async with application.http:
                await test(application, driver)

    asyncio.run(main())


async def ready(one: Application) -> None:
    """Have a blob that nothing names, in two repositories, and the other one of an image."""
    await one.push_blob("a", GARBAGE, sha256(GARBAGE))
    await one.push_blob("a", b"{}", sha256(b"{}"))
    await push(one, "other", "v1", b"layer")


async def tag_it(one: Application) -> httpx.Response:
    return await put_manifest(one, "a", image(GARBAGE), "v1")


async def check_pulls(one: Application) -> None:
    """See that what the image names is there, for ever."""
    for _ in range(3):
        assert (await one.http.get("/v2/a/manifests/v1")).content == image(GARBAGE)
        for data in (GARBAGE, b"{}"):
            assert (await one.http.get(f"/v2/a/blobs/{sha256(data)}")).content == data
        assert await statuses(one, "a", GARBAGE, b"{}") == [200, 200]
        assert (await collect(one.storage)).deleted == []


def test_manifest_that_comes_between_scan_and_marker_hides_nothing(driver: Interrupted) -> None:
    async def test(one: Application, driver: Interrupted) -> None:
        await ready(one)

        async def tag() -> None:
            assert (await tag_it(one)).status_code == 201

        async def look() -> None:
            assert await statuses(one, "a", GARBAGE) == [200]

        driver.before("put_content", MARKER, tag)
        driver.after("put_content", MARKER, look)
        report = await collect(one.storage)
        assert report.condemned == []
        await check_pulls(one)

    race(driver, test)


def test_manifest_that_comes_after_the_second_scan_lifts_the_marker(driver: Interrupted) -> None:
    async def test(one: Application, driver: Interrupted) -> None:
        await ready(one)

        async def tag() -> None:
            assert (await tag_it(one)).status_code == 201

        async def first_marker() -> None:
            driver.before("put_content", MARKER, tag)  # the one that says `condemned`

        driver.after("put_content", MARKER, first_marker)
        assert sha256(GARBAGE) not in names(await collect(one.storage), "condemned")
        await check_pulls(one)

    race(driver, test)


@pytest.mark.parametrize("how", ["manifest", "upload"])
def test_push_between_scan_and_sweep_keeps_the_blob(how: str, driver: Interrupted) -> None:
    async def test(one: Application, driver: Interrupted) -> None:
        await ready(one)
        await collect(one.storage)

        async def act() -> None:
            if how == "upload":
                await one.push_blob("b", GARBAGE, sha256(GARBAGE))
            else:
                assert (await tag_it(one)).status_code == 201

        # The scan of the sweep is over: this is the step to `sweeping`.
        driver.before("put_content", MARKER, act)
        report = await collect(one.storage)
        assert sha256(GARBAGE) not in names(report)
        assert report.spared >= 1
        name = "a" if how == "manifest" else "b"
        assert (await one.http.get(f"/v2/{name}/blobs/{sha256(GARBAGE)}")).content == GARBAGE
        if how == "manifest":
            await check_pulls(one)

    race(driver, test)


def test_push_of_a_blob_that_is_being_swept_waits_and_stores_it_anew(driver: Interrupted) -> None:
    async def test(one: Application, driver: Interrupted) -> None:
        await ready(one)
        await collect(one.storage)
        pushes: list[asyncio.Task[None]] = []

        async def begin() -> None:
            pushes.append(asyncio.create_task(one.push_blob("a", GARBAGE, sha256(GARBAGE))))
            await asyncio.sleep(0.2)
            # It has found the data there, and has not made do with them.
            assert not pushes[0].done()

        driver.after("put_content", MARKER, begin)
        assert sha256(GARBAGE) in names(await collect(one.storage))
        await pushes[0]
        assert await statuses(one, "a", GARBAGE) == [200]
        assert (await one.http.get(f"/v2/a/blobs/{sha256(GARBAGE)}")).content == GARBAGE
        await one.push_blob("a", b"{}", sha256(b"{}"))
        assert (await tag_it(one)).status_code == 201
        await check_pulls(one)

    race(driver, test)


def test_manifest_that_comes_too_late_is_refused_and_can_be_pushed_again(
    driver: Interrupted,
) -> None:
    async def test(one: Application, driver: Interrupted) -> None:
        await ready(one)
        await collect(one.storage)
        answers: list[asyncio.Task[httpx.Response]] = []

        async def begin() -> None:
            answers.append(asyncio.create_task(tag_it(one)))
            await asyncio.sleep(0.2)

        driver.after("put_content", MARKER, begin)
        await collect(one.storage)
        answer = await answers[0]
        assert answer.status_code == 400
        assert set(error_codes(answer)) == {"MANIFEST_BLOB_UNKNOWN"}
        assert (await one.http.get("/v2/a/manifests/v1")).status_code == 404
        assert (await statuses(one, "a", GARBAGE)) == [404]
        for data in (GARBAGE, b"{}"):
            await one.push_blob("a", data, sha256(data))
        assert (await tag_it(one)).status_code == 201
        await check_pulls(one)

    race(driver, test)


def test_server_that_remembers_links_does_not_serve_what_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(one: Application, driver: Interrupted) -> None:
        settings = {"cache": {"blobdescriptor": "inmemory", "max_stale": "300ms"}}
        other = Application(one.storage, driver, settings)
        async with other.http:
            await ready(one)
            grace = timedelta(seconds=0.6)
            await asyncio.sleep(0.65)
            assert sha256(GARBAGE) in names(
                await collect(one.storage, grace, max_stale=0.3), "condemned"
            )
            await asyncio.sleep(0.65)
            # A pull, so that it remembers the link of a moment ago.
            pulled = await other.http.get(f"/v2/a/blobs/{sha256(GARBAGE)}")
            assert pulled.status_code == 200
            report = await collect(one.storage, grace, max_stale=0.3)
            assert sha256(GARBAGE) in names(report)
            assert await statuses(other, "a", GARBAGE) == [404]

    race(Interrupted(), test)


def test_second_collector_is_refused_and_a_dead_one_is_not_waited_for(
    driver: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_turn, "RENEW_SECONDS", 0.1)
    # However slow the machine is, the first one is not taken for dead.
    monkeypatch.setattr(collector_turn, "LIFE_SECONDS", 60.0)
    monkeypatch.setattr(collector_turn, "DEAD_SECONDS", 90.0)

    async def test(one: Application, driver: Interrupted) -> None:
        await ready(one)

        async def second() -> None:
            with pytest.raises(CollectorBusyError):
                await collect(one.storage)

        driver.before("walk", "/repositories", second)
        assert sha256(GARBAGE) in names(await collect(one.storage), "condemned")

        # One that dies leaves its turn, and what it has marked.
        monkeypatch.setattr(collector_turn, "DEAD_SECONDS", 1.0)
        if not one.storage.capabilities.local_path:
            dead = await collector_turn._begin(Markers(one.storage))
            assert dead is not None
        assert sha256(GARBAGE) in names(await collect(one.storage))

    race(driver, test)


def test_collector_that_fails_anywhere_loses_nothing_and_the_next_one_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collector_turn, "DEAD_SECONDS", 0.0)

    class Failing(Interrupted):
        left = -1

        async def around(self, operation, path, call):  # type: ignore[no-untyped-def]  # three of the driver's
            if operation in ("put_content", "delete", "delete_many") and self.left >= 0:
                self.left -= 1
                if self.left < 0:
                    raise UnavailableError("it dies here")
            return await super().around(operation, path, call)

    steps = 0
    for when in range(200):

        async def test(one: Application, driver: Interrupted, when: int = when) -> None:
            nonlocal steps
            assert isinstance(driver, Failing)
            await ready(one)
            tree = await files(one.storage)
            failed = False
            for _ in range(3):
                driver.left = when
                try:
                    await collect(one.storage)
                except UnavailableError:
                    failed = True
                driver.left = -1
                # What is in use is there, wherever it died, and so is what is pushed now.
                for data in (b"layer", b"{}"):
                    pulled = await one.http.get(f"/v2/other/blobs/{sha256(data)}")
                    assert pulled.content == data
                assert await statuses(one, "other", b"layer", b"{}") == [200, 200]
            steps += failed
            for _ in range(4):
                await collect(one.storage)
            left = await files(one.storage)
            assert BLOB.removeprefix("/docker/registry/v2/") not in left
            assert {path for path in left if "/garbage/" in path} == {
                "storagedriver/garbage/collector"
            }
            assert left - tree == {"storagedriver/garbage/collector"}

        before = steps
        race(Failing(), test)
        if steps == before:
            break
    assert steps > 5


def test_push_after_a_collector_died_in_the_middle_of_a_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(condemned, "DEAD_SECONDS", 0.3)

    async def test(one: Application, driver: Interrupted) -> None:
        await ready(one)
        await collect(one.storage)

        async def die() -> None:
            raise UnavailableError("it dies here")

        driver.before("delete_many", "", die)
        with pytest.raises(UnavailableError):
            await collect(one.storage)
        assert (await one.storage.get_content(MARKER)).startswith(b"sweeping ")
        await one.push_blob("a", GARBAGE, sha256(GARBAGE))
        await one.push_blob("a", b"{}", sha256(b"{}"))
        assert (await tag_it(one)).status_code == 201
        await check_pulls(one)

    race(Interrupted(), test)


def test_push_that_waits_for_a_dead_collector_is_told_by_the_next_one(
    driver: Interrupted,
) -> None:
    async def test(one: Application, driver: Interrupted) -> None:
        await ready(one)
        await collect(one.storage)

        async def die() -> None:
            raise UnavailableError("it dies here")

        async def sweeping() -> None:
            driver.before("put_content", MARKER, die)  # the one that says `swept`

        async def collect_and_die() -> None:
            driver.after("put_content", MARKER, sweeping)
            with pytest.raises(UnavailableError):
                await collect(one.storage)
            assert (await one.storage.get_content(MARKER)).startswith(b"sweeping ")

        # What it names was there when that was checked.
        link = paths.revision_link("a", parse_digest(sha256(image(GARBAGE))))
        driver.before("put_content", link, collect_and_die)
        linked = asyncio.Event()

        async def tell() -> None:
            linked.set()

        driver.after("put_content", link, tell)
        answer = asyncio.create_task(tag_it(one))
        await linked.wait()
        # The next one finds the manifest's link, but too late for the blob.
        assert not answer.done()
        await collect(one.storage)
        assert set(error_codes(await answer)) == {"MANIFEST_BLOB_UNKNOWN"}

    race(driver, test)


# Ends itself in the middle of its work, since nobody else could tell when that is.
DOOMED = """
import os, signal, sys
from storagedriver_registry.cli import app
from storagedriver_registry.storage.garbage import Collector
from storagedriver_registry.storage.markers import Markers

config, method, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
owner = Markers if method == "add" else Collector
original = getattr(owner, method)

async def die_in_the_end(*arguments):
    global left
    result = await original(*arguments)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, method, die_in_the_end)
app(["garbage-collect", config])
"""


def test_kill_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    config, data = write_config(tmp_path), tmp_path / "data"
    used = {f"used {number}".encode() for number in range(20)}
    garbage = {f"garbage {number}".encode() for number in range(100)}

    async def fill() -> None:
        driver = Interrupted(in_files(data))
        async with Storage(driver) as storage:
            one = Application(storage, driver)
            async with one.http:
                await push(one, "a", "v1", *used)
                for content in garbage:
                    await storage.put_content(blob_file(content), content)

    asyncio.run(fill())
    markers = [data / marker(content)[1:] for content in garbage]
    places = [data / blob_file(content)[1:] for content in garbage]

    def marked() -> int:
        return sum(path.exists() for path in markers)

    def deleted() -> int:
        return sum(not path.exists() for path in places)

    def collect_until(method: str, times: int) -> int:
        """Collect, by a process that kills itself at so many calls, and give its status."""
        command = [sys.executable, "-c", DOOMED, str(config), method, str(times)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for content in used:
            assert (data / blob_file(content)[1:]).read_bytes() == content
        return done.returncode

    def age(paths: list[Path]) -> None:
        for path in paths:
            os.utime(path, (0, 0))

    age(places)
    assert collect_until("add", 20) == -9
    assert 20 <= marked() < 100
    assert collect_until("add", 1000) == 0
    assert (marked(), deleted()) == (100, 0)
    age(markers)
    assert collect_until("_delete", 20) == -9
    assert 20 <= deleted() < 100
    assert collect_until("_delete", 1000) == 0
    assert deleted() == 100
