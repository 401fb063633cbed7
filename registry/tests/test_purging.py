"""Uploads that nobody goes on with: listed, and dropped by their age."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from storagedriver_registry import purging
from storagedriver_registry.app import RegistryApp
from storagedriver_registry.cli import app as cli
from storagedriver_registry.storage import make_stores
from storagedriver_registry.storage.sessions import PurgeReport, SessionStore
from storagedriver_registry.storage.upload_session import UploadSession
from storagedriver_registry.storage.uploads import UploadStore
from typer.testing import CliRunner

from registry.tests.application import Application, run
from registry.tests.client import Repository, SlowRequest, sha256
from registry.tests.processes import ServerProcess

PARTS = {"max_parts": 1000, "min_part_size": 1024 * 1024}
LARGE = bytes(5 * 1024 * 1024)
NOW = timedelta(0)


async def begin(one: Application, name: str, data: bytes) -> tuple[str, str]:
    """Begin a session that has stored something; give its URL and its id."""
    begun = await one.http.post(f"/v2/{name}/blobs/uploads/")
    patched = await one.http.patch(begun.headers["location"], content=data)
    assert patched.status_code == 202
    return patched.headers["location"], patched.headers["docker-upload-uuid"]


async def rest(one: Application) -> list[str]:
    """Give what is stored of uploads."""
    uploads = [str(info.upload.upload_id) async for info in one.storage.list_uploads()]
    return uploads + [info.path async for info in one.storage.walk("/") if "_uploads" in info.path]


@pytest.mark.parametrize("narrow", [{}, PARTS], ids=["stream", "parts"])
def test_sessions_of_every_kind_are_listed_and_purged(narrow: dict[str, object]) -> None:
    async def test(one: Application) -> None:
        expected = {}
        for name, data in (("a", b"few"), ("a/b", LARGE), ("c/d", b"x" * 10)):
            _, upload_id = await begin(one, name, data)
            expected[name, upload_id] = len(data)
        # One of docker/distribution.
        theirs = "/docker/registry/v2/repositories/c/_uploads/0123"
        await one.storage.put_content(f"{theirs}/startedat", b"2020-01-01T00:00:00Z")
        await one.storage.put_content(f"{theirs}/data", b"four")
        expected["c", "0123"] = 4
        # One whose server died before its first record.
        async with await one.storage.writer("/docker/lost") as writer:
            await writer.write(b"lost")
            writer.token()
        sessions = make_stores(one.storage).sessions
        found = {(info.name, info.id): info.size async for info in sessions.list()}
        assert found == expected
        before = await rest(one)
        report = await sessions.purge(NOW, dry_run=True)
        assert {(info.name, info.id): info.size for info in report.sessions} == expected
        assert report.others >= 1
        assert await rest(one) == before
        assert (await sessions.purge(timedelta(hours=1))).sessions == []
        assert await rest(one) == before
        report = await sessions.purge(NOW)
        assert {(info.name, info.id): info.size for info in report.sessions} == expected
        assert report.others == 1
        assert await rest(one) == []

    run(test, narrow)


@pytest.mark.parametrize("narrow", [{}, PARTS], ids=["stream", "parts"])
def test_rest_of_a_session_and_an_unreadable_record_are_purged(narrow: dict[str, object]) -> None:
    async def test(one: Application) -> None:
        for name, content in (("a", b"over\n"), ("b", b"{}")):
            _, upload_id = await begin(one, name, b"few")
            path = f"/docker/registry/v2/repositories/{name}/_uploads/{upload_id}/token"
            await one.storage.put_content(path, content)
        sessions = make_stores(one.storage).sessions
        assert len((await sessions.purge(NOW)).sessions) == 2
        assert await rest(one) == []

    run(test, narrow)


def test_session_is_no_more_after_the_purge_and_others_go_on() -> None:
    async def test(one: Application) -> None:
        await one.push_blob("a", b"kept", sha256(b"kept"))
        location, _ = await begin(one, "a", b"few")
        assert len((await make_stores(one.storage).sessions.purge(NOW)).sessions) == 1
        assert (await one.http.get(location)).status_code == 404
        assert (await one.http.get(f"/v2/a/blobs/{sha256(b'kept')}")).content == b"kept"

    run(test, PARTS)


def test_session_that_somebody_goes_on_with_meanwhile_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(one: Application) -> None:
        location, _ = await begin(one, "a", b"few")
        hold = UploadStore.hold

        @asynccontextmanager
        async def hold_late(
            self: UploadStore, name: str, upload_id: str, ticket: str, *, patience: float
        ) -> AsyncIterator[UploadSession]:
            monkeypatch.undo()
            await one.http.patch(location, content=b" more")
            async with hold(self, name, upload_id, ticket, patience=patience) as session:
                yield session

        await asyncio.sleep(0.05)
        monkeypatch.setattr(UploadStore, "hold", hold_late)
        report = await make_stores(one.storage).sessions.purge(timedelta(milliseconds=40))
        assert report.sessions == []
        assert (await one.http.get(location)).headers["range"] == "0-7"

    run(test)


def age(server: ServerProcess, seconds: float) -> None:
    """Let all that is stored of uploads be so old."""
    then = time.time() - seconds
    for path in server.data.rglob("*"):
        if path.is_file() and ("_uploads" in path.parts or ".storagedriver" in path.parts):
            os.utime(path, (then, then))


def files(server: ServerProcess) -> list[Path]:
    below = server.data / "docker/registry/v2/repositories"
    return [path for path in below.rglob("_uploads/**/*") if path.is_file()]


def command(server: ServerProcess, *arguments: str) -> list[str]:
    """Run `registry uploads`; give its lines."""
    config = server.data.parent / f"registry-{server.url.rpartition(':')[2]}.yml"
    done = CliRunner().invoke(cli, ["uploads", *arguments, str(config)])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_command_lists_and_purges_beside_a_server(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server()
    with httpx.Client(base_url=server.url) as http:
        repository = Repository(http, "team/app")
        old = repository.location(repository.patch(repository.begin(), b"old"))
        slow = repository.location(repository.patch(repository.begin(), b"slow"))
        with SlowRequest("PATCH", slow, content_length=5) as request:
            age(server, 8 * 24 * 3600)
            young = repository.location(repository.patch(repository.begin(), b"young"))
            lines = [line.split("\t") for line in command(server, "list")]
            sizes = sorted((name, size) for name, _, size, _ in lines)
            assert sizes == [("team/app", "3"), ("team/app", "4"), ("team/app", "5")]
            # A request is at work on the other old one.
            assert [line.split("\t")[2] for line in command(server, "purge")] == ["3"]
            request.send(b" more")
            assert request.status() == 202
        assert http.get(old).status_code == 404
        assert http.get(slow).headers["range"] == "0-8"
        assert http.get(young).headers["range"] == "0-4"
        assert len(command(server, "purge", "--older-than", "0s")) == 2
        assert files(server) == []


@pytest.mark.parametrize(
    ("section", "is_purged"),
    [
        ({}, True),
        ({"uploadpurging": {"enabled": False}}, False),
        ({"uploadpurging": {"dryrun": True}}, False),
        ({"readonly": {"enabled": True}}, False),
    ],
    ids=["on", "off", "dryrun", "readonly"],
)
def test_server_purges_at_intervals(
    section: dict[str, dict[str, object]], is_purged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: asyncio.Queue[PurgeReport] = asyncio.Queue()
    purge = SessionStore.purge

    async def counted(self: SessionStore, age: timedelta, *, dry_run: bool) -> PurgeReport:
        report = await purge(self, age, dry_run=dry_run)
        await rounds.put(report)
        return report

    monkeypatch.setattr(SessionStore, "purge", counted)
    monkeypatch.setattr(random, "uniform", lambda *_: 0)
    monkeypatch.setattr(purging, "_LEAST_INTERVAL_SECONDS", 0.05)

    async def test(one: Application) -> None:
        await begin(one, "a", b"few")
        every = {"interval": "1ms", "age": "1ns", **section.get("uploadpurging", {})}
        settings = {"maintenance": {**section, "uploadpurging": every}}
        server = Application(one.storage, one.driver, settings)
        assert isinstance(server.app, RegistryApp)
        async with server.http:
            server.app.start_maintenance()
            if is_purged or "dryrun" in str(section):
                reports = [await rounds.get() for _ in range(2)]
                assert len(reports[0].sessions) == 1
                assert len(reports[1].sessions) == (0 if is_purged else 1)
            else:
                for _ in range(20):
                    await asyncio.sleep(0)
                assert rounds.empty()
            assert bool(await rest(one)) != is_purged
            await server.app({"type": "lifespan"}, _shutdown, _ignore)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    run(test)


async def _shutdown() -> dict[str, str]:
    return {"type": "lifespan.shutdown"}


async def _ignore(_: object) -> None: ...
