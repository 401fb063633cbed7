"""A registry that is busy, or fails for a while: what the client repeats, and when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from storagedriver_registry.client import (
    NotFoundError,
    RegistryClient,
    ResponseError,
    ServerError,
    TooManyRequestsError,
    UploadSession,
)

from registry.tests.hostile import (
    BLOB,
    DATA,
    DIGEST,
    FakeTime,
    HostileRegistry,
    failing,
    in_turn,
    read,
    sent,
    with_hostile,
)


def test_client_waits_as_long_as_it_is_told() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        busy = failing(429, "TOOMANYREQUESTS", Retry_After="7")
        registry.on("GET", BLOB, in_turn(busy, busy, sent(DATA)))
        assert await read(client) == DATA
        assert time.slept == [7.0, 7.0]

    with_hostile(test)


def test_who_wants_it_to_wait_too_long_gets_an_error_raised() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, failing(429, "TOOMANYREQUESTS", Retry_After="3600"))
        with pytest.raises(TooManyRequestsError) as caught:
            await read(client)
        assert (caught.value.retry_after, caught.value.code) == (3600, "TOOMANYREQUESTS")
        assert caught.value.detail == {"a": 1}
        assert time.slept == []

    with_hostile(test)


def test_failures_of_what_may_be_repeated_are_repeated_with_growing_delays() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, failing(503, "UNAVAILABLE"))
        with pytest.raises(ServerError) as caught:
            await read(client)
        assert caught.value.status == 503
        assert time.slept == [0.25, 0.5, 1, 2]
        assert len(registry.requests) == 5

    with_hostile(test)


@pytest.mark.parametrize(("status", "tries"), [(500, 1), (429, 5)])
def test_what_may_not_be_repeated_is_only_where_nothing_was_done(status: int, tries: int) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("PATCH", "/up", failing(status))
        uploads = client.repository("a").blobs.uploads
        with pytest.raises(ResponseError):
            await uploads.send(UploadSession(f"{registry.url}/up"), b"abc", 3)
        assert len(registry.asked("PATCH")) == tries

    with_hostile(test)


@pytest.mark.parametrize(
    "wanted",
    ["Mon, 01 Jan 2024 00:00:00 +99999999999999", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"],
)
def test_time_that_is_none_is_as_none_at_all(wanted: str) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, in_turn(failing(503, Retry_After=wanted), sent(DATA)))
        assert await read(client) == DATA
        assert time.slept == [0.25]

    with_hostile(test)


@pytest.mark.parametrize("first", [503, 429, None])
def test_what_is_gone_when_it_is_deleted_again_is_deleted(first: int | None) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        gone = failing(404, "BLOB_UNKNOWN")
        repository = client.repository("a")
        deletions: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            (BLOB, lambda: repository.blobs.delete(DIGEST)),
            ("/v2/a/manifests/v1", lambda: repository.manifests.delete("v1")),
        ]
        for path, delete in deletions:
            registry.on("DELETE", path, in_turn(failing(first), gone) if first else gone)
            # Who says 429 has deleted nothing.
            if first == 503:
                await delete()
            else:
                with pytest.raises(NotFoundError):
                    await delete()

    with_hostile(test)
