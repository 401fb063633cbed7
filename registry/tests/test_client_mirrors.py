"""Reads that go to mirrors first, and what never does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from storagedriver_registry.client import (
    BlockedError,
    DigestMismatchError,
    Mirror,
    NotFoundError,
    RegistriesConfig,
    RegistryClient,
    RegistryRule,
    Repository,
)
from storagedriver_registry.client.layouts import LocalFiles, OCILayoutTarget
from storagedriver_registry.client.transfer import Blob, RepositoryPlace, copy
from storagedriver_registry.digest import parse_digest

from registry.tests.client import sha256
from registry.tests.dist import Layout
from registry.tests.hostile import (
    DATA,
    DIGEST,
    Handler,
    cut,
    failing,
    hostile,
    in_turn,
    sent,
)
from registry.tests.mirroring import HELD, MANIFEST, OTHER, Mirrored, reset, with_mirrors

BLOB = f"/v2/a/blobs/{DIGEST}"
MIRRORED_BLOB = f"/v2/m/a/blobs/{DIGEST}"


async def read(repository: Repository, **options: Any) -> bytes:
    async with await repository.blobs.open(DIGEST, **options) as reader:
        return await reader.read()


def test_first_mirror_that_has_it_is_asked_and_nobody_after_it() -> None:
    async def test(all_: Mirrored) -> None:
        all_.hold(all_.mirrors[1])
        all_.hold(all_.upstream, OTHER)
        all_.mirrors[1].on("GET", MIRRORED_BLOB, sent(DATA))
        all_.mirrors[1].on("HEAD", MIRRORED_BLOB, sent(DATA))
        repository = all_.repository
        for reference in ("v1", HELD):
            assert (await repository.manifests.get(reference)).data == MANIFEST
            assert str((await repository.manifests.head(reference)).digest) == HELD
        assert await read(repository) == DATA
        assert (await repository.blobs.stat(DIGEST)).size == len(DATA)
        assert await repository.blobs.read(DIGEST) == DATA
        assert all_.asked() == [7, 7, 0]

    with_mirrors(test)


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (failing(404), 1),
        (failing(401), 1),
        (failing(403), 1),
        (failing(429, Retry_After="1"), 2),
        (failing(500), 2),
        (failing(503), 2),
        (reset, 2),
        (sent(MANIFEST, 302, Location="file:///etc/passwd"), 1),
    ],
    ids=lambda value: None,
)
def test_mirror_that_fails_costs_nothing_but_the_time(answer: Handler, tries: int) -> None:
    async def test(all_: Mirrored) -> None:
        for mirror in all_.mirrors:
            mirror.on("GET", "/v2/m/*", answer)
        all_.hold(all_.upstream)
        all_.upstream.on("GET", BLOB, sent(DATA))
        assert (await all_.repository.manifests.get("v1")).data == MANIFEST
        assert all_.asked() == [tries, tries, 1]
        assert await read(all_.repository) == DATA

    with_mirrors(test)


def test_error_names_all_that_were_tried() -> None:
    async def test(all_: Mirrored) -> None:
        all_.mirrors[0].on("GET", "/v2/m/*", failing(503, "UNAVAILABLE"))
        for ask in (lambda: all_.repository.manifests.get("v1"), lambda: read(all_.repository)):
            with pytest.raises(NotFoundError) as caught:
                await ask()
            assert caught.value.host == all_.upstream.host
            hosts = [error.host for error in caught.value.tried]
            assert hosts == [mirror.host for mirror in all_.mirrors]
            assert f"tried before: {hosts[0]}: GET /v2/m/a/" in str(caught.value)
            assert "UNAVAILABLE" in str(caught.value)

    with_mirrors(test)


def test_mirror_that_cannot_be_reached_rests_for_a_minute() -> None:
    async def test(all_: Mirrored) -> None:
        all_.mirrors[0].on("GET", "/v2/m/*", reset)
        all_.hold(all_.upstream)
        asked = []
        for seconds in (0, 0, 61):
            all_.time.now += seconds
            await all_.repository.manifests.get("v1")
            asked.append([count > 0 for count in all_.asked()])
        assert asked == [[True, True, True], [False, True, True], [True, True, True]]
        # Who is left alone is told of nevertheless.
        with pytest.raises(NotFoundError) as caught:
            await all_.repository.manifests.get("v2")
        assert [error.host for error in caught.value.tried] == [one.host for one in all_.mirrors]

    with_mirrors(test)


def test_manifest_that_a_mirror_lies_about_comes_from_elsewhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(all_: Mirrored) -> None:
        lie = sent(OTHER, Docker_Content_Digest=HELD)
        all_.mirrors[0].on("GET", "/v2/m/a/manifests/*", lie)
        all_.hold(all_.upstream)
        for reference in ("v1", HELD):
            assert (await all_.repository.manifests.get(reference)).data == MANIFEST
        assert f"{all_.mirrors[0].host} is left" in caplog.text

    caplog.set_level(logging.WARNING)
    with_mirrors(test)


@pytest.mark.parametrize(
    ("answer", "most"),
    [(in_turn(cut(DATA, 500_000), reset), 500_000), (cut(DATA, 500_000), 1_000_000)],
    ids=["once", "again"],
)
def test_blob_goes_on_at_its_byte_where_a_mirror_breaks_off(answer: Handler, most: int) -> None:
    async def test(all_: Mirrored) -> None:
        all_.mirrors[0].on("GET", MIRRORED_BLOB, answer)
        all_.upstream.on("GET", BLOB, cut(DATA, len(DATA)))
        assert await read(all_.repository) == DATA
        [headers] = all_.upstream.asked("GET", DIGEST)
        begin = int(headers["Range"].removeprefix("bytes=").partition("-")[0])
        assert 0 < begin <= most

    with_mirrors(test)


def test_each_place_has_as_many_tries_as_if_it_were_the_first() -> None:
    async def test(all_: Mirrored) -> None:
        for mirror in all_.mirrors:
            mirror.on("GET", MIRRORED_BLOB, cut(DATA, 10))
        broken = [cut(DATA, 10)] * 4
        all_.upstream.on("GET", BLOB, in_turn(*broken, cut(DATA, len(DATA))))
        assert await read(all_.repository) == DATA
        assert all_.asked() == [2, 2, 5]

    with_mirrors(test)


def test_blob_that_a_mirror_lies_about_is_copied_from_elsewhere(tmp_path: Path) -> None:
    async def test(all_: Mirrored) -> None:
        layout = Layout(tmp_path / "image")
        described = layout.image(2_000_000)
        blobs = {one.name: one.read_bytes() for one in layout.folder.glob("blobs/sha256/*")}
        for name, data in blobs.items():
            kind = "manifests" if f"sha256:{name}" == described["digest"] else "blobs"
            wrong = data if kind == "manifests" else data[:-1] + bytes([data[-1] ^ 1])
            answers = (sent(wrong), sent(wrong + b"."), sent(data))
            places = (*all_.mirrors, all_.upstream)
            for place, path, answer in zip(places, ("m/a", "m/a", "a"), answers, strict=True):
                place.on("GET", f"/v2/{path}/{kind}/sha256:{name}", answer)
        source = RepositoryPlace(all_.repository, parse_digest(described["digest"]))
        target = OCILayoutTarget(LocalFiles(tmp_path / "pulled"), "v1")
        report = await copy(source, target)
        assert (str(report.digest), report.copied) == (described["digest"], 2)
        for name, data in blobs.items():
            assert (tmp_path / "pulled" / "blobs" / "sha256" / name).read_bytes() == data

    with_mirrors(test)


def test_reader_of_a_lie_is_told_that_another_try_may_do() -> None:
    wrong = DATA[:-1] + b"!"

    async def test(all_: Mirrored) -> None:
        all_.mirrors[0].on("GET", MIRRORED_BLOB, sent(wrong))
        all_.upstream.on("GET", BLOB, sent(wrong))
        repository = all_.repository
        for place, may_be_elsewhere in ((all_.mirrors[0], True), (all_.upstream, False)):
            with pytest.raises(DigestMismatchError) as caught:
                await read(repository)
            assert caught.value.host == place.host
            assert caught.value.may_be_elsewhere is may_be_elsewhere

    with_mirrors(test)


@pytest.mark.parametrize(
    ("pull", "by_tag", "by_digest"),
    [("all", 1, 1), ("digest-only", 0, 1), ("tag-only", 1, 0)],
)
def test_mirror_is_asked_for_the_manifests_that_it_is_for(
    pull: Any, by_tag: int, by_digest: int
) -> None:
    async def test(all_: Mirrored) -> None:
        all_.hold(all_.upstream)
        await all_.repository.manifests.get("v1")
        assert all_.asked() == [by_tag, by_tag, 1]
        await all_.repository.manifests.get(HELD)
        assert all_.asked() == [by_digest, by_digest, 1]

    with_mirrors(test, lambda one: Mirror(f"{one.host}/m", pull=pull))


def test_what_a_tag_named_at_a_mirror_is_read_there() -> None:
    async def test(all_: Mirrored) -> None:
        mirror, repository = all_.mirrors[0], all_.repository
        all_.hold(mirror, OTHER)
        all_.hold(all_.upstream)
        mirror.on("GET", MIRRORED_BLOB, sent(DATA))
        assert (await repository.manifests.get("v1")).data == OTHER
        assert (await repository.manifests.get(sha256(OTHER))).data == OTHER
        assert await read(repository) == DATA
        assert all_.asked() == [3, 0, 0]

    with_mirrors(test, lambda one: Mirror(f"{one.host}/m", pull="tag-only"))


def test_what_writes_and_what_lists_goes_to_the_registry_alone() -> None:
    async def test(all_: Mirrored) -> None:
        at, repository = all_.upstream.on, all_.repository
        at("HEAD", BLOB, failing(404))
        at("POST", "/v2/a/blobs/uploads/", sent(b"", 202, Location="/up"))
        at("PUT", "/up", sent(b"", 201))
        at("PUT", "/v2/a/manifests/*", sent(b"", 201))
        at("DELETE", "/v2/a/*", sent(b"", 202))
        at("GET", "/v2/a/tags/list", sent(b'{"tags": ["v1"]}'))
        at("GET", "/v2/a/manifests/sha256-*", failing(404))
        at("GET", "/v2/_catalog", sent(b'{"repositories": []}'))
        assert not await repository.blobs.exists(DIGEST)
        await repository.blobs.upload(DIGEST, DATA[:100])
        await repository.manifests.put("v1", MANIFEST)
        subject = b'{"subject": {"digest": "%s"}}' % HELD.encode()
        await repository.referrers.record(subject, "application/vnd.oci.image.manifest.v1+json")
        assert [tag async for tag in repository.tags.list()] == ["v1"]
        assert [one async for one in repository.referrers.list(HELD)] == []
        assert [name async for name in all_.client.catalog()] == []
        await repository.tags.delete("v1")
        await repository.manifests.delete(HELD)
        await repository.blobs.delete(DIGEST)
        all_.hold(all_.mirrors[0])
        with pytest.raises(NotFoundError):
            await repository.itself.manifests.get("v1")
        assert all_.asked()[:2] == [0, 0]

    with_mirrors(test)


def test_rule_with_a_location_moves_reads_and_no_writes() -> None:
    async def main() -> None:
        async with hostile() as named, hostile() as other:
            rules = RegistriesConfig(
                [RegistryRule(f"{named.host}/team", f"{other.host}/moved/team")]
            )
            for path in ("manifests/v1", "blobs/*"):
                other.on("GET", f"/v2/moved/team/a/{path}", sent(MANIFEST))
            other.on("GET", "/v2/moved/team/a/tags/list", sent(b'{"tags": ["v1"]}'))
            named.on("PUT", "/v2/team/a/manifests/v1", sent(b"", 201))
            async with RegistryClient(named.host, mirrors=rules) as client:
                repository = client.repository("team/a")
                assert (await repository.manifests.get("v1")).data == MANIFEST
                assert [tag async for tag in repository.tags.list()] == ["v1"]
                async with await repository.blobs.open(HELD) as reader:
                    assert await reader.read() == MANIFEST
                await repository.manifests.put("v1", MANIFEST)
                with pytest.raises(NotFoundError):
                    await client.repository("teams/a").manifests.get("v1")
            assert named.asked("GET", "/v2/team/") == []
            assert len(named.asked("GET", "/v2/teams/")) == 1

    asyncio.run(main())


def test_what_is_blocked_is_not_asked_for() -> None:
    rules = RegistriesConfig(
        [
            RegistryRule("registry.example/bad", blocked=True),
            RegistryRule("*.bad.example", blocked=True),
        ]
    )

    async def main() -> None:
        async with (
            RegistryClient("registry.example", mirrors=rules) as client,
            RegistryClient("r.bad.example", mirrors=rules) as other,
        ):
            with pytest.raises(BlockedError, match="bad/a"):
                client.repository("bad/a")
            client.repository("good/a")
            blocked: list[Callable[[], Awaitable[Any]]] = [
                other.ping,
                lambda: anext(other.catalog()),
            ]
            for ask in blocked:
                with pytest.raises(BlockedError):
                    await ask()

    asyncio.run(main())


def test_blob_of_another_size_is_left_before_a_byte_of_it_is_read() -> None:
    async def test(all_: Mirrored) -> None:
        all_.mirrors[0].on("GET", MIRRORED_BLOB, sent(DATA + b"."))
        all_.upstream.on("GET", BLOB, sent(DATA))
        blob = Blob(parse_digest(DIGEST), len(DATA))
        place = RepositoryPlace(all_.repository, "v1")
        assert b"".join([chunk async for chunk in place.chunks(blob)]) == DATA
        assert all_.asked() == [1, 1, 1]

    with_mirrors(test)
