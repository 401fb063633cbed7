"""Copying a file from one storage to another: streamed, verified, and resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from storagedriver_core._errors import (
    ChecksumMismatchError,
    ConfigurationError,
    PathNotFoundError,
    UploadNotFoundError,
)
from storagedriver_core._hashing import update_aside
from storagedriver_core._reader import FileReader
from storagedriver_core._storage import Storage
from storagedriver_core._token import UploadToken
from storagedriver_core._types import Conditions, FileInfo
from storagedriver_core._writer import FileWriter

CHECKPOINT_BYTES = 64 * 1024 * 1024
"""Far enough apart that making them durable costs little, near enough to lose little."""


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What a transfer did.

    Attributes:
        info: The file at the target.
        copied: Bytes that went over; 0 if the target had the same content already.
        unchanged: Whether the target had the same content already.
        metadata_kept: Whether content type and metadata of the source, if any, went along.
    """

    info: FileInfo
    copied: int
    unchanged: bool = False
    metadata_kept: bool = True


async def transfer(
    source: Storage,
    source_path: str,
    target: Storage,
    target_path: str,
    *,
    state: str | None = None,
    on_state: Callable[[str], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    checkpoint_bytes: int = CHECKPOINT_BYTES,
) -> TransferReport:
    """Copy one file between two open storages, whole or not at all.

    All bytes are of one version of the source, and the target is checked by digest when it is
    there. Where the target has the same size and digest already, nothing is copied.

    Args:
        source: Where to read.
        source_path: A file.
        target: Where to write.
        target_path: What to write, replacing a file.
        state: What `on_state` was given last by a transfer of the same file to the same place
            that did not end. A state that is no longer of use is ignored.
        on_state: Called with a state from which another process can go on: text, to be kept
            where only its owner can read it. Without it nothing is left of a failed transfer.
        on_progress: Called with the bytes done and the bytes in all.
        checkpoint_bytes: Bytes after which `on_state` is called: what a crash costs at most.

    Raises:
        PathNotFoundError: There is no file at `source_path`.
        ChecksumMismatchError: The target, once written, does not hold what was read.
    """
    info = await source.stat(source_path)
    if info.is_dir:
        raise PathNotFoundError("a directory is not a file", path=source_path)
    if await _is_same(source, info, target, target_path):
        return TransferReport(await target.stat(target_path), 0, unchanged=True)
    keeps = target.capabilities.put_with_metadata
    writer = None
    if state is not None and source.capabilities.get_range:
        writer = await _resumed(target, state, info)
    if writer is None:
        writer = await target.writer(
            target_path,
            max_size=info.size,
            content_type=info.content_type if keeps else None,
            metadata=info.metadata if keeps else None,
        )
    begin = saved = writer.offset
    try:
        async with await _rest(source, info, begin) as reader:
            async for chunk in reader:
                await writer.write(chunk)
                if on_progress is not None:
                    on_progress(writer.offset, info.size)
                if on_state is not None and writer.offset - saved >= checkpoint_bytes:
                    saved = writer.offset
                    writer = await _checkpoint(target, writer, info, on_state)
        await writer.commit(size=info.size)
    finally:
        await writer.aclose()
    expected = writer.digests.get("sha256") or await content_digest(source, source_path)
    actual = await content_digest(target, target_path)
    if actual != expected:
        raise ChecksumMismatchError(
            f"sha256:{actual} is stored, not sha256:{expected}",
            driver_name=target.driver_name,
            operation="transfer",
            path=target_path,
            outcome="applied",
        )
    return TransferReport(
        await target.stat(target_path),
        info.size - begin,
        metadata_kept=keeps or not (info.content_type or info.metadata),
    )


async def content_digest(storage: Storage, path: str) -> str:
    """Give the sha256 of a file in hex: by the store where it can, else by reading it."""
    if "sha256" in storage.capabilities.checksum_algorithms:
        return await storage.checksum(path, "sha256")
    running = hashlib.sha256()
    async with await storage.reader(path) as reader:
        async for chunk in reader:
            await update_aside(running, chunk)
    return running.hexdigest()


async def _is_same(source: Storage, info: FileInfo, target: Storage, target_path: str) -> bool:
    try:
        there = await target.stat(target_path)
    except PathNotFoundError:
        return False
    if there.is_dir or there.size != info.size:
        return False
    return await content_digest(source, info.path) == await content_digest(target, target_path)


async def _rest(source: Storage, info: FileInfo, offset: int) -> FileReader:
    pinned = None
    if info.etag is not None and source.capabilities.get_with_conditions:
        pinned = Conditions(if_match=info.etag)
    return await source.reader(info.path, offset=offset, conditions=pinned)


async def _checkpoint(
    target: Storage, writer: FileWriter, info: FileInfo, on_state: Callable[[str], None]
) -> FileWriter:
    if target.capabilities.keeps_ledger and target.capabilities.durable_parts:
        # Parts become durable by themselves. Elsewhere only suspending makes anything durable.
        on_state(_state(info, writer.token().to_json()))
        return writer
    token = await writer.suspend()
    on_state(_state(info, token.to_json()))
    return await target.resume(token)


async def _resumed(target: Storage, state: str, info: FileInfo) -> FileWriter | None:
    try:
        version, token = json.loads(state)
        writer = await target.resume(UploadToken.from_json(token))
    except (UploadNotFoundError, ConfigurationError, ValueError, TypeError):
        return None  # purged meanwhile, or of another release: from the start, then
    if version == _version(info):
        return writer
    # The source has changed since.
    async with writer:
        with suppress(UploadNotFoundError):  # it was committed
            await writer.cancel()
    return None


def _state(info: FileInfo, token: str) -> str:
    return json.dumps([_version(info), token])


def _version(info: FileInfo) -> list[str | int | None]:
    modified = info.mod_time.isoformat() if info.mod_time else None
    return [info.path, info.size, info.etag, modified]
