"""Opening, resuming and purging uploads."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta

from storagedriver_core._at_once import at_once
from storagedriver_core._context import PARTS_IN_FLIGHT, Context
from storagedriver_core._errors import (
    ConfigurationError,
    ConflictError,
    PathNotFoundError,
    UnsupportedMethodError,
    UploadNotFoundError,
)
from storagedriver_core._hash_queue import HashQueue
from storagedriver_core._hashing import Hasher, new_hasher
from storagedriver_core._parts import plan_parts
from storagedriver_core._sidecars import TAILS, read_tail, tail_directory
from storagedriver_core._token import UploadToken
from storagedriver_core._types import FileInfo, ListOptions, UploadInfo, UploadOptions
from storagedriver_core._uploader import Durable, PartUploader
from storagedriver_core._writer import FileWriter


async def open_writer(
    context: Context,
    path: str,
    *,
    max_size: int | None,
    hashes: Sequence[str],
    content_type: str | None,
    metadata: Mapping[str, str],
) -> FileWriter:
    """Open a new upload and give the writer over it."""
    context.require("upload")
    plan = plan_parts(context.capabilities, max_size=max_size, part_size=context.part_size)
    hashers = {name: new_hasher(name) for name in (*hashes, *context.driver.wanted_digests)}
    options = UploadOptions(content_type=content_type, metadata=metadata, part_size=plan.part_size)
    upload = await context.driver.open_upload(path, new_holder(), options)
    queue = HashQueue(hashers, 0, context.workers, context.hash_room)
    uploader = PartUploader(
        context.driver, context.capabilities, upload, plan, queue, concurrency=PARTS_IN_FLIGHT
    )
    return FileWriter(context, uploader, queue, part_size=plan.part_size)


async def resume_writer(context: Context, token: UploadToken) -> FileWriter:
    """Find the token's upload again and give the writer that goes on with it."""
    context.require("upload")
    if token.driver_name != context.name:
        raise ConfigurationError(f"the token is of driver {token.driver_name!r}")
    context.check(token.upload.path)
    ledger = context.capabilities.keeps_ledger
    if token.offset and bool(token.parts or token.tail) != ledger:
        raise ConfigurationError("the token was made where uploads had another kind of parts")
    upload = dataclasses.replace(token.upload, holder=new_holder())
    in_parts = sum(part.size for part in token.parts)
    stored = in_parts if ledger else token.offset
    state = await context.driver.upload_state(upload, stored)
    completed = state.completed
    if state.data is not None:
        upload = dataclasses.replace(upload, data=state.data)
    try:
        if completed is None and state.size < stored:
            raise UploadNotFoundError(f"the store holds {state.size} bytes, not {stored}")
        tail = b""
        if token.tail and completed is None:
            tail = await read_tail(context, token, token.offset - in_parts)
        is_whole = completed is None or completed.size == token.offset
        hashers = _restored_hashers(token) if is_whole else {}
        queue = HashQueue(hashers, token.offset, context.workers, context.hash_room)
    except BaseException:
        context.driver.release_upload(upload)
        raise
    plan = plan_parts(context.capabilities, part_size=token.part_size)
    uploader = PartUploader(
        context.driver,
        context.capabilities,
        upload,
        plan,
        queue,
        concurrency=PARTS_IN_FLIGHT,
        durable=Durable(token.offset, len(token.parts), token.tail, token.hashes),
        parts=token.parts,
        tail=tail,
    )
    return FileWriter(
        context,
        uploader,
        queue,
        part_size=plan.part_size,
        token_is_out=True,
        completed=completed,
    )


async def purge_uploads(
    context: Context, *, older_than: timedelta, dry_run: bool
) -> Sequence[UploadInfo]:
    """Abort uploads, and delete sidecars without an upload, by the store's clock.

    Several at once; if one fails, no other is begun, and its error is raised.
    """
    limit = _before(await context.driver.now(), older_than)
    purged: list[UploadInfo] = []
    kept: set[str] = set()

    async def purge(info: UploadInfo) -> bool:
        sidecars = tail_directory(info.upload.upload_id)
        # Looked at right before the abort, and for this upload alone: a suspension may just end.
        entries = [] if info.active else await _entries_of(context, sidecars)
        is_old = not info.active and max([info.updated_at, *_times_of(entries)]) <= limit
        if is_old and (dry_run or await _abort(context, info)):
            if entries and not dry_run:
                await _delete_quietly(context, sidecars)
            return True
        kept.add(sidecars)
        return False

    async with aclosing(context.driver.list_uploads()) as pages:
        async for page in pages:
            done = await at_once(page, purge)
            purged += [info for info, is_purged in zip(page, done, strict=True) if is_purged]
    if not dry_run:
        await _purge_orphaned_tails(context, kept, limit)
    return purged


def _before(moment: datetime, age: timedelta) -> datetime:
    try:
        return moment - age
    except OverflowError:
        # Older than the first year there is, as a `timedelta.max` that stands for never: nothing.
        return (datetime.min if age > timedelta(0) else datetime.max).replace(tzinfo=UTC)


def new_holder() -> str:
    """Give a name for one writer."""
    return secrets.token_hex(8)


def _restored_hashers(token: UploadToken) -> dict[str, Hasher]:
    """Restore what can be; a digest that is left out is found by reading back at the commit."""
    hashers: dict[str, Hasher] = {}
    for name, state in token.hashes.items():
        try:
            if state is not None or token.offset == 0:
                hashers[name] = new_hasher(name, state)
        except UnsupportedMethodError:
            continue
    return hashers


async def _abort(context: Context, info: UploadInfo) -> bool:
    try:
        await context.driver.abort_upload(info.upload)
    except (UploadNotFoundError, ConflictError):
        return False  # another purger, a commit or a resume came first
    return True


async def _purge_orphaned_tails(context: Context, kept: set[str], limit: datetime) -> None:
    async def purge(entry: FileInfo) -> None:
        times = _times_of(await _entries_of(context, entry.path))
        if times and max(times) <= limit:
            await _delete_quietly(context, entry.path)

    tails = await _entries_of(context, TAILS)
    await at_once([entry for entry in tails if entry.path not in kept], purge)


def _times_of(entries: Sequence[FileInfo]) -> list[datetime]:
    return [entry.mod_time for entry in entries if entry.mod_time is not None]


async def _entries_of(context: Context, directory: str) -> list[FileInfo]:
    try:
        async with aclosing(context.driver.list(directory, ListOptions())) as pages:
            return [entry async for page in pages for entry in page]
    except PathNotFoundError:
        return []


async def _delete_quietly(context: Context, path: str) -> None:
    with suppress(PathNotFoundError):
        await context.driver.delete(path)


async def each_upload(context: Context) -> AsyncGenerator[UploadInfo, None]:
    """Give every upload in progress."""
    async with aclosing(context.driver.list_uploads()) as pages:
        while True:
            with context.operation("list_uploads", ""):
                page = await anext(pages, None)
            if page is None:
                return
            for info in page:
                yield info
