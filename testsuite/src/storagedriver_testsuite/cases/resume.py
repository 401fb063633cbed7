"""Tokens, and going on with them: W32, W33, W40, W42, W43, W49, W51."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from storagedriver_core import (
    ByteStream,
    ChecksumMismatchError,
    ConfigurationError,
    DriverMiddleware,
    InvalidOffsetError,
    ReadOptions,
    Storage,
    UploadNotFoundError,
    UploadToken,
    is_internal,
    new_hasher,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._crashing import Say
from storagedriver_testsuite.cases.writers import assert_unpublished, suspended

TOKEN_BYTES = 4096
TOKEN_BYTES_A_PART = 32


class NoReads(DriverMiddleware):
    """Refuses to read any object; the drivers' own sidecars are none."""

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        """Refuse it."""
        raise AssertionError(f"{path} is read again")

    async def get_content(self, path: str) -> bytes:
        """Refuse it, but for a sidecar."""
        assert is_internal(path), f"{path} is read again"
        return await super().get_content(path)


class LogRecorder(logging.Handler):
    """Keeps what is logged, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        # What asyncio tells in its debug mode is not ours.
        if not record.name.startswith("asyncio"):
            self.lines.append(self.format(record))

    @classmethod
    @asynccontextmanager
    async def on_everything(cls) -> AsyncGenerator[LogRecorder, None]:
        """Record while the context lasts."""
        root, recorder = logging.getLogger(), cls()
        level = root.level
        root.addHandler(recorder)
        root.setLevel(logging.DEBUG)
        try:
            yield recorder
        finally:
            root.removeHandler(recorder)
            root.setLevel(level)


async def resume_and_commit(storage: Storage, say: Say, token: str, rest: bytes) -> None:
    """In a child process: write what is missing, and commit."""
    writer = await storage.resume(token)
    await writer.write(rest)
    say((await writer.commit()).size)


async def let_parts_arrive() -> None:
    """Let what is under way get on, where that takes no time."""
    for _ in range(20):
        await asyncio.sleep(0)


def secrets_of(token: UploadToken) -> list[str]:
    """Give what must show in no text: the token, what finds the upload, the digests' states."""
    document = json.loads(token.to_json())
    return [
        token.to_json(),
        *(value for value in document["data"].values() if value),
        *(value for value in document["hashes"].values() if value),
    ]


class ResumeCases(CaseGroup):
    """Tokens, and going on with them."""

    @case("W32", needs=("upload",))
    async def test_token_is_small_confidential_and_of_use_to_any_process(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        part = storage.capabilities.min_part_size
        data = kit.random_bytes(part * 7 // 2)
        async with LogRecorder.on_everything() as log:
            token = await suspended(storage, "/a/x", data[: part * 5 // 2])
            text = token.to_json()
            read = UploadToken.from_json(text)
            assert read.to_json() == text
            assert isinstance(json.loads(text), dict)
            assert len(text.encode()) <= TOKEN_BYTES + TOKEN_BYTES_A_PART * len(token.parts)
            if storage.capabilities.shared_between_processes:
                child = kit.child(resume_and_commit, text, data[token.offset :], storage=storage)
                async with child as process:
                    assert await process.said() == len(data)
                    assert await process.wait() == 0
            else:
                other = await kit.open_parts()
                await resume_and_commit(other, lambda _: None, text, data[token.offset :])
            assert await kit.peek("/a/x") == data
            await storage.delete("/a/x")
            with pytest.raises(UploadNotFoundError) as refused:
                await storage.resume(text)
            with pytest.raises(ConfigurationError) as broken:
                UploadToken.from_json(text[:-1])
        shown = [
            *(str(token), repr(token), f"{token}", repr(read.upload), repr([token])),
            *(str(refused.value), repr(refused.value), str(broken.value), repr(broken.value)),
            *log.lines,
        ]
        for secret in [*secrets_of(token), *kit_secrets(kit)]:
            assert not any(secret in line for line in shown)
        assert not any(secret in text for secret in kit_secrets(kit))

    @case("W33", needs=("upload",))
    async def test_upload_resumes_at_every_part_boundary_and_beside_it(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        part = storage.capabilities.min_part_size
        data = kit.random_bytes(part * 7 // 2)
        cuts = [number * part + beside for number in (1, 2, 3) for beside in (-1, 0, 1)]
        for cut in cuts:
            token = await suspended(storage, "/a/x", data[:cut])
            writer = await storage.resume(token.to_json())
            assert writer.offset == cut
            await writer.write(data[cut:])
            await writer.commit(size=len(data), digest=sha256(data))
            assert await kit.peek("/a/x") == data
        # And one upload that stops at each of them; or before it, with a token that was taken
        # while parts were on their way.
        token = await suspended(storage, "/a/x", b"")
        for end in [*cuts, len(data)]:
            writer = await storage.resume(token)
            await writer.write(data[writer.offset : end])
            await let_parts_arrive()
            token = writer.token()
            assert token.offset == writer.durable_offset <= writer.offset == end
            await writer.aclose()
            writer = await storage.resume(token.to_json())
            assert writer.offset == token.offset
            await writer.write(data[writer.offset : end])
            token = await writer.suspend()
            assert token.offset == end
        await (await storage.resume(token)).commit(digest=sha256(data))
        assert await kit.peek("/a/x") == data

    @case("W40", needs=("upload",))
    async def test_token_of_a_cancelled_or_purged_upload_is_not_found(self, kit: Kit) -> None:
        for storage in (kit.storage, await kit.open_parts()):
            cancelled = await suspended(storage, "/a/x", b"abc")
            await (await storage.resume(cancelled)).cancel()
            tokens = [cancelled]
            if storage.capabilities.list_uploads:
                tokens.append(await suspended(storage, "/a/y", b"abc"))
                await storage.purge_uploads(older_than=timedelta(0))
            for token in tokens:
                with pytest.raises(UploadNotFoundError):
                    await storage.resume(token)

    @case("W42", needs=("upload",))
    async def test_write_at_another_offset_names_the_durable_one(self, kit: Kit) -> None:
        token = await suspended(kit.storage, "/a/x", b"abc")
        writer = await kit.storage.resume(token)
        await writer.write(b"def")
        for offset in (-1, 0, 3, 5, 7):
            with pytest.raises(InvalidOffsetError) as refused:
                await writer.write(b"xyz", offset=offset)
            assert (refused.value.offset, refused.value.durable_offset) == (offset, 3)
            assert refused.value.path == "/a/x"
        await writer.write(b"ghi", offset=6)
        await writer.commit()
        assert await kit.peek("/a/x") == b"abcdefghi"

    @case("W43", needs=("upload",))
    async def test_token_of_another_driver_or_version_is_refused(self, kit: Kit) -> None:
        token = await suspended(kit.storage, "/a/x", b"abc")
        text = token.to_json()
        document = json.loads(text)
        changes: list[dict[str, object]] = [
            {"driver": "nobody"},
            {"v": document["v"] + 1},
            {"v": None},
            {"offset": -1},
            {"sizes": "3*2"},
            {"hashes": []},
        ]
        for change in changes:
            with pytest.raises(ConfigurationError) as refused:
                await kit.storage.resume(json.dumps({**document, **change}))
            assert not any(secret in str(refused.value) for secret in secrets_of(token))
        for broken in ("", "{}", "[]", "null", text[:-1], text[1:]):
            with pytest.raises(ConfigurationError):
                await kit.storage.resume(broken)
        await (await kit.storage.resume(text)).cancel()

    @case("W49", needs=("upload",))
    async def test_digest_of_a_resumed_upload_needs_no_reading_again(self, kit: Kit) -> None:
        data = kit.random_bytes(300_000)
        if new_hasher("sha256").state() is not None:
            storage = await kit.open_parts(kit.wrapped_driver(NoReads(kit.harness.driver())))
            token = await suspended(storage, "/a/x", data[:100_000])
            writer = await storage.resume(token.to_json())
            await writer.write(data[100_000:150_001])
            writer = await storage.resume((await writer.suspend()).to_json())
            await writer.write(data[150_001:])
            await writer.commit(digest=sha256(data))
            assert writer.digests == {"sha256": hashlib.sha256(data).hexdigest()}
            assert await kit.peek("/a/x") == data
        # The state of md5 cannot be saved: it is found by reading what was stored.
        for storage in (kit.storage, await kit.open_parts()):
            for right in (True, False):
                writer = await storage.writer("/up/x", hashes=("md5",))
                await writer.write(data[:100_000])
                writer = await storage.resume((await writer.suspend()).to_json())
                await writer.write(data[100_000:])
                expected = hashlib.md5(data if right else b"").hexdigest()
                commit = writer.commit(to="/a/y", digest=f"md5:{expected}")
                if right:
                    await commit
                    assert writer.digests["md5"] == expected
                    assert await kit.peek("/a/y") == data
                    await storage.delete("/a/y")
                else:
                    with pytest.raises(ChecksumMismatchError):
                        await commit
                    await writer.aclose()
                await assert_unpublished(storage, "/up/x")
            await assert_unpublished(storage, "/a/y")

    @case("W51", needs=("upload", "independent_uploads"))
    async def test_two_uploads_on_one_path_each_resume_their_own(self, kit: Kit) -> None:
        for storage in (kit.storage, await kit.open_parts()):
            contents = [kit.random_bytes(100_000), kit.random_bytes(100_001)]
            tokens = [await suspended(storage, "/a/x", data[:80_000]) for data in contents]
            for token, data in zip(tokens, contents, strict=True):
                writer = await storage.resume(token)
                await writer.write(data[80_000:])
                await writer.commit(digest=sha256(data))
                assert await kit.peek("/a/x") == data


def sha256(data: bytes) -> str:
    """Give the digest as a commit takes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def kit_secrets(kit: Kit) -> list[str]:
    """Give the credentials that the harness configures the driver with."""
    if not kit.harness.offers("parameters"):
        return []
    words = ("secret", "password", "key", "token", "credential")
    return [
        str(value)
        for name, value in kit.harness.parameters().items()
        if any(word in name for word in words)
    ]
