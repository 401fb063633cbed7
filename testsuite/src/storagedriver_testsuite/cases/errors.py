"""Errors, and the life of a storage: E01 to E14, but for those in `configuration`."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from storagedriver_core import (
    AlreadyExistsError,
    AuthenticationError,
    Capabilities,
    ChecksumMismatchError,
    ClosedError,
    Conditions,
    ConfigurationError,
    ConflictError,
    InvalidOffsetError,
    InvalidPathError,
    OperationTimeoutError,
    PathNotFoundError,
    PermissionDeniedError,
    Storage,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    UnsupportedMethodError,
    UploadNotFoundError,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite._watch import BlockingCalls
from storagedriver_testsuite.cases._support import Disturbed, Recorder, names, with_middleware
from storagedriver_testsuite.proxy import Fault

Use = Callable[[Storage], Awaitable[object]]

# Enough for a healthy server on a busy machine; a hung one takes for ever.
HUNG_SECONDS = 2.0

EVERYDAY: dict[str, Use] = {
    "check": lambda storage: storage.check(),
    "stat": lambda storage: storage.stat("/"),
    "get_content": lambda storage: storage.get_content("/a"),
    "reader": lambda storage: storage.reader("/a"),
    "put_content": lambda storage: storage.put_content("/a", b"content"),
    "list": lambda storage: names(storage.list("/")),
    "walk": lambda storage: names(storage.walk("/")),
    "move": lambda storage: storage.move("/a", "/b"),
    "delete": lambda storage: storage.delete("/a", missing_ok=True),
}
"""Operations that need no capability."""


# Long enough to open a driver in, which does not hang.
HANG = 1.0


class ErrorCases(CaseGroup):
    """What errors say, and when a storage can be used."""

    @case("E01", needs=("harness.missing_driver",))
    async def test_missing_store_is_no_missing_file(self, kit: Kit) -> None:
        for use in EVERYDAY.values():
            storage = kit.unopened(kit.wrapped_driver(kit.harness.missing_driver()))
            with pytest.raises(ConfigurationError) as missing:
                async with storage:
                    await use(storage)
            assert missing.value.driver_name == kit.storage.driver_name

    @case("E04", needs=("harness.other_root_driver",))
    async def test_two_roots_on_one_store_do_not_see_each_other(self, kit: Kit) -> None:
        other = await kit.open(kit.wrapped_driver(kit.harness.other_root_driver()))
        await kit.storage.put_content("/a/x", b"one")
        await other.put_content("/a/y", b"two")
        assert await names(kit.storage.walk("/")) == ["/a/x"]
        assert await names(other.walk("/")) == ["/a/y"]
        with pytest.raises(PathNotFoundError):
            await other.get_content("/a/x")
        if kit.capabilities.list_uploads:
            writer = await kit.storage.writer("/a/z")
            await writer.write(b"three")
            token = await writer.suspend()
            assert [upload async for upload in other.list_uploads()] == []
            assert await other.purge_uploads(older_than=timedelta(0)) == []
            await (await kit.storage.resume(token)).cancel()
        await other.delete("/", everything=True)
        assert await kit.peek("/a/x") == b"one"

    @case("E05")
    async def test_errors_say_what_failed_where_and_no_secret(self, kit: Kit) -> None:
        storage, declared = kit.storage, kit.capabilities
        await kit.seed("/a", b"content")
        faults: list[tuple[str, Awaitable[object], type[StorageDriverError], str]] = [
            ("get_content", storage.get_content("/m"), PathNotFoundError, "/m"),
            ("reader", storage.reader("/m"), PathNotFoundError, "/m"),
            ("stat", storage.stat("/m"), PathNotFoundError, "/m"),
            ("list", names(storage.list("/m")), PathNotFoundError, "/m"),
            ("walk", names(storage.walk("/m")), PathNotFoundError, "/m"),
            ("delete", storage.delete("/m"), PathNotFoundError, "/m"),
            ("move", storage.move("/m", "/n"), PathNotFoundError, "/m"),
            ("put_content", storage.put_content("/m//", b""), InvalidPathError, "/m//"),
            (
                "put_content",
                storage.put_content("/a", b"x", digest="sha256:00"),
                ChecksumMismatchError,
                "/a",
            ),
        ]
        if declared.get_range:
            faults.append(("reader", storage.reader("/a", offset=99), InvalidOffsetError, "/a"))
        if declared.put_if_absent:
            again = storage.put_content("/a", b"", if_absent=True)
            faults.append(("put_content", again, AlreadyExistsError, "/a"))
        if declared.get_with_conditions:
            stale = storage.stat("/a", conditions=Conditions(if_match="no such etag"))
            faults.append(("stat", stale, ConflictError, "/a"))
        if declared.copy:
            faults.append(("copy", storage.copy("/m", "/n"), PathNotFoundError, "/m"))
        secrets: list[str] = []
        if declared.upload:
            writer = await storage.writer("/w")
            token = writer.token()
            secrets = [token.to_json(), *token.upload.data.values()]
            await writer.cancel()
            faults.append(("write", writer.write(b""), ClosedError, "/w"))
            faults.append(("resume", storage.resume(token), UploadNotFoundError, "/w"))
        for operation, call, kind, path in faults:
            with pytest.raises(StorageDriverError) as caught:
                await call
            error = caught.value
            assert type(error) is kind
            assert (error.driver_name, error.operation, error.path) == (
                storage.driver_name,
                operation,
                path,
            )
            assert error.temporary is False
            # What lies behind it is its cause (`raise … from`), not an accident on the way.
            behind = error.__context__
            assert isinstance(behind, StorageDriverError | None) or error.__suppress_context__
            assert path in str(error) and storage.driver_name in str(error)
            assert not any(secret in str(error) + repr(error) for secret in secrets)
            copy = pickle.loads(pickle.dumps(error))
            assert (type(copy), copy.__dict__) == (type(error), error.__dict__)

    @case("E06", needs=("harness.read_only_store|unauthenticated_driver|proxied_driver",))
    async def test_permission_denied_is_not_not_found(self, kit: Kit) -> None:
        if kit.harness.offers("read_only_store"):
            await self._check_read_only(kit)
        if kit.harness.offers("unauthenticated_driver"):
            await self._check_unauthenticated(kit)
        if kit.harness.offers("proxied_driver"):
            await self._check_refusals(kit)

    @staticmethod
    async def _check_unauthenticated(kit: Kit) -> None:
        await kit.seed("/a", b"content")
        for name, use in EVERYDAY.items():
            stranger = kit.unopened(kit.wrapped_driver(kit.harness.unauthenticated_driver()))
            with pytest.raises(AuthenticationError) as refused:
                async with stranger:
                    await use(stranger)
            assert not refused.value.temporary and refused.value.outcome == "none", name
        assert await kit.snapshot() == {"/a": b"content"}

    @staticmethod
    async def _check_refusals(kit: Kit) -> None:
        """Refusals that come without a word of the service's own."""
        proxy = await kit.proxy()
        storage = await kit.open(kit.harness.proxied_driver(proxy.url))
        await kit.seed("/a", b"content")
        headers = {"Retry-After": "3"}
        for status, kind in [
            (403, PermissionDeniedError),
            (429, ThrottledError),
            (503, ThrottledError),
        ]:
            refusal = Fault(action="answer", times=None, status=status, headers=headers)
            for name, use in EVERYDAY.items():
                async with proxy.faults(refusal):
                    with pytest.raises(StorageDriverError) as refused:
                        await use(storage)
                error = refused.value
                assert isinstance(error, kind), f"{name}, {status}: {error!r}"
                assert error.temporary == (status != 403), name
                if isinstance(error, ThrottledError):
                    assert error.retry_after == 3, name
        assert await kit.snapshot() == {"/a": b"content"}

    @staticmethod
    async def _check_read_only(kit: Kit) -> None:
        storage, declared = kit.storage, kit.capabilities
        await kit.seed("/a", b"content")

        async def write() -> None:
            async with await storage.writer("/b") as writer:
                await writer.write(b"content")
                await writer.commit()

        with kit.harness.read_only_store():
            denied: list[tuple[Awaitable[object], str]] = [
                (storage.put_content("/a", b"new"), "/a"),
                (storage.put_content("/b", b"new"), "/b"),
                (storage.delete("/a"), "/a"),
                (storage.move("/a", "/b"), "/a"),
            ]
            if declared.copy:
                denied.append((storage.copy("/a", "/b"), "/a"))
            if declared.upload:
                denied.append((write(), "/b"))
            for call, path in denied:
                with pytest.raises(PermissionDeniedError) as caught:
                    await call
                assert caught.value.path in (path, "/b") and not caught.value.temporary
            assert await storage.get_content("/a") == b"content"
        await storage.put_content("/a", b"new")
        assert await kit.peek("/a") == b"new"

    @case("E07")
    async def test_declared_works_and_undeclared_is_refused_before_any_request(
        self, kit: Kit
    ) -> None:
        await kit.seed("/a", b"content")
        await kit.seed("/copied", b"content")
        etag = (await kit.storage.stat("/a")).etag
        for verb, use in _verbs(kit.capabilities, etag or "").items():
            declared = getattr(kit.capabilities, verb)
            if declared:
                await use(kit.storage)
            recorder = Recorder(kit.wrapped_driver())
            without = () if verb == "checksum_algorithms" else False
            narrowed = await kit.open(recorder, narrow={verb: without})
            with pytest.raises(UnsupportedMethodError) as refused:
                await use(narrowed)
            missing = refused.value.capability
            assert missing == verb or not getattr(kit.capabilities, missing)
            assert recorder.calls == []

    @case("E12")
    async def test_closing_twice_is_allowed(self, kit: Kit) -> None:
        await kit.seed("/a", b"content")
        storage = kit.unopened()
        await storage.aclose()
        await storage.open()
        reader = await storage.reader("/a")
        for _ in range(2):
            await reader.aclose()
        if kit.capabilities.upload:
            writer = await storage.writer("/b")
            for _ in range(2):
                await writer.aclose()
        for _ in range(2):
            await storage.aclose()
        driver = kit.wrapped_driver()
        await driver.aclose()
        await driver.open()
        for _ in range(2):
            await driver.aclose()

    @case("E13")
    async def test_constructor_does_no_io_and_only_an_open_storage_can_be_used(
        self, kit: Kit
    ) -> None:
        kit.unopened()  # whatever is imported only now
        with BlockingCalls() as calls:
            storage = kit.unopened()
        assert calls.seen == []
        await _assert_closed(storage)
        async with storage:
            await storage.put_content("/a", b"content")
            with pytest.raises(ClosedError):
                await storage.open()
        await _assert_closed(storage)

    @case("E14")
    async def test_check_tells_whether_the_store_can_be_used_in_bounded_time(
        self, kit: Kit
    ) -> None:
        await kit.storage.check()
        if kit.harness.offers("missing_driver"):
            missing = kit.unopened(kit.wrapped_driver(kit.harness.missing_driver()))
            with pytest.raises(ConfigurationError):
                async with missing:
                    await missing.check()
        if kit.harness.offers("removed_store"):
            with kit.harness.removed_store(), pytest.raises((ConfigurationError, UnavailableError)):
                await kit.storage.check()
            await kit.storage.check()

        if kit.harness.offers("unauthenticated_driver"):
            stranger = kit.unopened(kit.wrapped_driver(kit.harness.unauthenticated_driver()))
            with pytest.raises(AuthenticationError):
                async with stranger:
                    await stranger.check()
        if kit.harness.offers("proxied_driver"):
            await self._check_hung_server(kit)

        async def hang(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
            await asyncio.Event().wait()

        hung = with_middleware(
            Disturbed(kit.wrapped_driver(), hang), "timeout", operation=HANG, step=HANG, grace=HANG
        )
        with pytest.raises(OperationTimeoutError) as late:
            await (await kit.open(hung)).check()
        assert late.value.operation == "check" and late.value.temporary

    @staticmethod
    async def _check_hung_server(kit: Kit) -> None:
        proxy = await kit.proxy()
        driver = kit.harness.proxied_driver(proxy.url)
        limits = {"operation": HUNG_SECONDS, "step": HUNG_SECONDS, "grace": HUNG_SECONDS}
        storage = await kit.open(with_middleware(driver, "timeout", **limits))
        async with proxy.faults(Fault(action="hang", times=None)):
            with pytest.raises(OperationTimeoutError):
                await storage.check()
        async with proxy.refusing():
            with pytest.raises(UnavailableError):
                await storage.check()
        await storage.check()


def _verbs(declared: Capabilities, etag: str) -> dict[str, Use]:
    """Give a call that needs the capability, for each that names a verb."""
    algorithm = next(iter(declared.checksum_algorithms), "md5")
    any_but_one = Conditions(if_none_match="no such etag")
    return {
        "get_range": lambda storage: _read(storage, offset=1),
        "get_with_conditions": lambda storage: storage.stat("/a", conditions=any_but_one),
        "put_if_absent": lambda storage: storage.put_content("/new", b"", if_absent=True),
        "put_if_match": lambda storage: storage.put_content("/a", b"content", if_match=etag),
        "put_with_metadata": lambda storage: storage.put_content("/b", b"", metadata={"a": "b"}),
        "copy": lambda storage: storage.copy("/a", "/copied"),
        "copy_if_absent": lambda storage: storage.copy("/a", "/copied-once", if_absent=True),
        "move_if_absent": lambda storage: storage.move("/copied", "/moved-once", if_absent=True),
        "upload": _write,
        "list_uploads": lambda storage: storage.purge_uploads(older_than=timedelta(days=1)),
        "walk_with_start_after": lambda storage: names(storage.walk("/", start_after="/a")),
        "checksum_algorithms": lambda storage: storage.checksum("/a", algorithm),
        "sign_get": lambda storage: storage.redirect_url("/a", method="GET"),
        "sign_head": lambda storage: storage.redirect_url("/a", method="HEAD"),
        "sign_put": lambda storage: storage.redirect_url("/a", method="PUT"),
        "sign_put_with_content_type": lambda storage: storage.redirect_url(
            "/a", method="PUT", content_type="text/plain"
        ),
        "local_path": lambda storage: storage.local_path("/a"),
    }


async def _read(storage: Storage, *, offset: int) -> None:
    async with await storage.reader("/a", offset=offset) as reader:
        assert await reader.read() == b"content"[offset:]


async def _write(storage: Storage) -> None:
    async with await storage.writer("/written") as writer:
        await writer.write(b"content")
        await writer.commit()


async def _assert_closed(storage: Storage) -> None:
    for operation, use in EVERYDAY.items():
        with pytest.raises(ClosedError) as closed:
            await use(storage)
        assert (closed.value.driver_name, closed.value.operation) == (
            storage.driver_name,
            operation,
        )
