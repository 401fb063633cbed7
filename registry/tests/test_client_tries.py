"""How often a registry is asked when it keeps on failing: five times, whatever it fails at."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from aiohttp import web
from storagedriver_registry.client import (
    ConnectionFailedError,
    NotFoundError,
    RegistryClient,
    RegistryError,
    ServerError,
)
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.transfer import Blob, RepositoryPlace
from storagedriver_registry.digest import parse_digest

from registry.tests.hostile import (
    BLOB,
    DATA,
    DIGEST,
    UPLOADS,
    FakeTime,
    Handler,
    HostileRegistry,
    cut,
    failing,
    in_turn,
    read,
    sent,
    with_hostile,
)
from registry.tests.mirroring import reset

AT = {"Location": f"{UPLOADS}1"}
BREAKS = cut(DATA, 10)
MIB = 1 << 20


@pytest.mark.parametrize(
    "answers",
    [
        [BREAKS],
        [BREAKS, reset],
        [BREAKS, failing(503)],
        # No request of these fails five times.
        [reset, BREAKS, failing(503), BREAKS, reset, BREAKS],
    ],
    ids=["broken", "reset", "failing", "all"],
)
def test_blob_is_asked_for_five_times(answers: list[Handler]) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, in_turn(*answers))
        with pytest.raises((ConnectionFailedError, ServerError)):
            await read(client)
        assert len(registry.requests) == 5
        assert time.slept == [0.25, 0.5, 1.0, 2.0]

    with_hostile(test)


@pytest.mark.parametrize("begins", [reset, failing(503)], ids=["reset", "failing"])
def test_upload_that_cannot_begin_is_begun_five_times(begins: Handler) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("POST", UPLOADS, begins)
        with pytest.raises((ConnectionFailedError, ServerError)):
            await client.repository("a").blobs.upload(DIGEST, DATA)
        assert len(registry.requests) == 5

    with_hostile(test)


@pytest.mark.parametrize("size", [1000, len(DATA)])
@pytest.mark.parametrize("looked_up", [[reset], [failing(503)], [reset, sent(b"", 204, **AT)]])
def test_upload_fails_five_times_in_all(size: int, looked_up: list[Handler]) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("POST", UPLOADS, sent(b"", 202, **AT))
        for method in ("PATCH", "PUT", "DELETE"):
            registry.on(method, f"{UPLOADS}1", reset)
        registry.on("GET", f"{UPLOADS}1", in_turn(*looked_up))
        with pytest.raises((ConnectionFailedError, ServerError)):
            await client.repository("a").blobs.upload(DIGEST, DATA[:size])
        assert len(time.slept) == 4
        # To drop it is tried once: for more there is no try left.
        assert len(registry.asked("DELETE")) == 1

    with_hostile(test)


def test_upload_that_cannot_be_looked_up_costs_no_more_requests() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("POST", UPLOADS, sent(b"", 202, **AT))
        for method in ("PATCH", "GET", "DELETE"):
            registry.on(method, f"{UPLOADS}1", reset)
        with pytest.raises(ConnectionFailedError):
            await client.repository("a").blobs.upload(DIGEST, DATA)
        asked = [method for method, _, _ in registry.requests]
        assert asked == ["POST", "PATCH", *["GET"] * 4, "DELETE"]

    with_hostile(test)


def test_upload_that_gets_on_has_its_tries_anew() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        taken = 0

        async def takes_some(request: web.BaseRequest) -> web.StreamResponse:
            nonlocal taken
            taken += MIB
            return await reset(request)

        async def state(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=204, headers={**AT, "Range": f"0-{taken - 1}"})

        registry.on("POST", UPLOADS, sent(b"", 202, **AT))
        registry.on("PATCH", f"{UPLOADS}1", takes_some)
        registry.on("GET", f"{UPLOADS}1", state)
        registry.on("PUT", f"{UPLOADS}1", sent(b"", 201))
        await client.repository("a").blobs.upload(DIGEST, bytes(9 * MIB))
        assert len(registry.asked("PATCH")) == 8
        assert len(time.slept) == 8 and max(time.slept) <= 0.5

    with_hostile(test)


@pytest.mark.parametrize(
    ("answer", "tries"), [(BREAKS, 5), (failing(503), 5), (failing(404), 1)], ids=lambda _: None
)
@pytest.mark.parametrize("size", [1000, len(DATA)])
def test_source_is_not_asked_again_by_the_upload_of_what_it_gives(
    answer: Handler, tries: int, size: int
) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        async def takes(request: web.BaseRequest) -> web.StreamResponse:
            await request.read()
            return web.Response(status=202, headers=AT)

        registry.on("POST", UPLOADS, sent(b"", 202, **AT))
        registry.on("PATCH", f"{UPLOADS}1", takes)
        registry.on("DELETE", f"{UPLOADS}1", sent(b"", 204))
        registry.on("GET", "/v2/b/*", answer)
        source = RepositoryPlace(client.repository("b"), "v1")
        blob = Blob(parse_digest(DIGEST), len(DATA))

        def chunks(offset: int, before: RunningHash | None) -> AsyncGenerator[bytes, None]:
            return source.chunks(blob, offset, before)

        target = RepositoryPlace(client.repository("a"), "v1")
        with pytest.raises(RegistryError) as caught:
            await target.put_blob(Blob(blob.digest, size), chunks, target)
        assert isinstance(caught.value, NotFoundError) == (tries == 1)
        assert len(registry.asked("GET", "/v2/b/")) == tries
        assert len(registry.asked("DELETE")) == 1

    with_hostile(test)


def test_delete_whose_answer_is_lost_is_done() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        path = f"/v2/a/manifests/{DIGEST}"
        registry.on("DELETE", path, in_turn(reset, failing(404)))
        await client.repository("a").manifests.delete(DIGEST)
        assert len(registry.requests) == 2
        with pytest.raises(NotFoundError):
            await client.repository("a").manifests.delete(DIGEST)

    with_hostile(test)
