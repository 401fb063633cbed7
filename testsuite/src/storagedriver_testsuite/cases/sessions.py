"""Uploads that the service ends or misreports, and credentials that change: F12 to F14, W48."""

from __future__ import annotations

import pytest

from storagedriver_core import ConflictError, StorageDriverError, UploadNotFoundError
from storagedriver_testsuite._case import case
from storagedriver_testsuite._harness import Answer
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._calls import retrying
from storagedriver_testsuite.cases.transport import is_temporary
from storagedriver_testsuite.cases.writers import assert_unpublished, suspended
from storagedriver_testsuite.proxy import Fault

_PROXIED = ("upload", "harness.upstream_url", "harness.proxied_driver")


def answering(answer: Answer, times: int | None = 1) -> Fault:
    """Give a rule by which a harness's answer comes in the server's place."""
    return Fault(
        action="answer",
        target=answer.pattern,
        times=times,
        status=answer.status,
        headers=answer.headers,
        body=answer.body,
    )


def some_parts(kit: Kit) -> bytes:
    """Give what fills a part and begins another one."""
    return kit.random_bytes(max(PART, kit.capabilities.min_part_size) + PART // 2)


class SessionCases(CaseGroup):
    """What a service does with an upload, behind our backs."""

    @case("W48", needs=("upload", "harness.rotated_driver"))
    async def test_upload_goes_on_with_other_credentials(self, kit: Kit) -> None:
        data = some_parts(kit)
        rotated = await kit.open_parts(kit.wrapped_driver(kit.harness.rotated_driver()))
        storage = await kit.open_parts()
        token = await suspended(storage, "/a/x", data)
        writer = await rotated.resume(token)
        assert writer.offset == len(data)
        await writer.write(data)
        token = await writer.suspend()
        writer = await storage.resume(token)
        await writer.write(b"end")
        token = await writer.suspend()
        assert (await (await rotated.resume(token)).commit()).size == 2 * len(data) + 3
        assert await kit.peek("/a/x") == data + data + b"end"

    @case("F12", needs=(*_PROXIED, "harness.commit_error_answer"))
    async def test_commit_that_fails_under_status_200_is_no_success(self, kit: Kit) -> None:
        answer, data = kit.harness.commit_error_answer(), some_parts(kit)
        proxy = await kit.proxy()
        bare = await kit.open_parts(kit.harness.proxied_driver(proxy.url))
        async with await bare.writer("/a/x") as writer:
            await writer.write(data)
            async with proxy.faults(answering(answer, None)):
                with pytest.raises(StorageDriverError) as failed:
                    await writer.commit()
                assert any(entry.fault for entry in await proxy.log()), "no request matched"
            assert is_temporary(failed.value)
            await assert_unpublished(kit.storage, "/a/x")
            assert (await writer.commit()).size == len(data)
        assert await kit.peek("/a/x") == data

        wrapped = kit.wrapped_driver(kit.harness.proxied_driver(proxy.url))
        storage = await kit.open_parts(retrying(wrapped))
        async with proxy.faults(answering(answer)), await storage.writer("/a/y") as writer:
            await writer.write(data)
            assert (await writer.commit()).size == len(data)
        assert await kit.peek("/a/y") == data

    @case("F13", needs=(*_PROXIED, "harness.session_faults"))
    async def test_state_of_a_session_is_believed_and_nothing_lost(self, kit: Kit) -> None:
        data = some_parts(kit)
        proxy = await kit.proxy()
        bare = await kit.open_parts(kit.harness.proxied_driver(proxy.url))
        for name, answer in kit.harness.session_faults().items():
            path = f"/a/{name}"
            writer = await bare.writer(path)
            await proxy.forget()
            if name == "no_progress":
                async with proxy.faults(answering(answer)):
                    await writer.write(data)
                    token = await writer.suspend()
                    assert any(entry.fault for entry in await proxy.log()), f"{name}: no match"
                async with await bare.resume(token) as writer:
                    await writer.write(b"end")
                    assert (await writer.commit()).size == len(data) + 3
                assert await kit.peek(path) == data + b"end"
                continue
            async with proxy.faults(answering(answer, None)):
                with pytest.raises(UploadNotFoundError):
                    await writer.write(data)
                    await writer.commit()
                assert any(entry.fault for entry in await proxy.log()), f"{name}: no match"
            await assert_unpublished(kit.storage, path)
            await writer.cancel()
            # So it is for whoever comes with a token.
            token = await suspended(bare, path, data)
            async with proxy.faults(answering(answer, None)):
                with pytest.raises(UploadNotFoundError):
                    writer = await bare.resume(token)
                    await writer.commit()
            await assert_unpublished(kit.storage, path)
            await (await bare.resume(token)).cancel()

        # The session may be complete already, although nobody was told so.
        writer = await bare.writer("/a/complete")
        await writer.write(data)
        await proxy.forget()
        token = await writer.suspend()
        writer = await bare.resume(token)
        await proxy.forget()
        async with proxy.faults(Fault(action="reset_after", times=None)):
            with pytest.raises(StorageDriverError) as lost:
                await writer.commit()
            assert is_temporary(lost.value)
        assert (await writer.commit()).size == len(data)
        assert await kit.peek("/a/complete") == data

    @case("F14", needs=("upload", "harness.discard_parts"))
    async def test_parts_that_a_competing_write_has_dropped_are_missed(self, kit: Kit) -> None:
        data = some_parts(kit)
        storage = await kit.open_parts()
        writer = await storage.writer("/a/x")
        await writer.write(data)
        # A whole part: what is less would wait in a file of its own.
        token = await suspended(storage, "/a/y", data[: -PART // 2])
        for path in ("/a/x", "/a/y"):
            await kit.harness.discard_parts(path, b"another's")
        with pytest.raises((ConflictError, UploadNotFoundError)):
            await writer.write(data)
            await writer.commit()
        await writer.aclose()
        with pytest.raises((ConflictError, UploadNotFoundError)):
            resumed = await storage.resume(token)
            try:
                await resumed.write(b"end")
                await resumed.commit()
            finally:
                await resumed.aclose()
        for path in ("/a/x", "/a/y"):
            assert await kit.peek(path) == b"another's"
