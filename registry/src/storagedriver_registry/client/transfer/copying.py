"""Copying an image from one place to another: what is there is left out, layers go side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from storagedriver_core import at_once, finish
from storagedriver_registry.client.errors import DigestMismatchError
from storagedriver_registry.client.platforms import Platform
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.transfer.events import OnEvent, TransferEvent, ignore
from storagedriver_registry.client.transfer.places import Blob, Outcome, Source, Target
from storagedriver_registry.client.transfer.plans import plan
from storagedriver_registry.digest import Digest

WINDOW = 3
"""Blobs in flight, as with Docker. Large ones that end together wait for the target's disk
together, with nothing else to do meanwhile: six take a tenth longer than three."""

MOST_WINDOW = 64
"""Blobs in flight that a command may be asked for."""

_ABANDON_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy did.

    Attributes:
        digest: Digest of the image that is at the target now.
        media_type: Type of its manifest.
        manifests: Number of manifests that were put.
        copied: Number of blobs that went over.
        present: Number of blobs that were there.
        mounted: Number of blobs that the registry linked by itself.
        moved: Bytes that went over, those that were sent again included.
    """

    digest: Digest
    media_type: str
    manifests: int
    copied: int
    present: int
    mounted: int
    moved: int


async def copy(
    source: Source,
    target: Target,
    *,
    platform: Platform | None = None,
    referrers: bool = False,
    window: int = WINDOW,
    digest: Digest | None = None,
    on_event: OnEvent = ignore,
) -> CopyReport:
    """Copy an image, byte for byte.

    Blobs come first and manifests last, each after what it needs: at no time there is a manifest
    whose content is missing. If one blob fails, no other is begun, and what is under way ends. A
    cancelled copy leaves nothing behind; one that failed leaves what another run goes on with.

    Args:
        source: Where it is.
        target: Where it shall be.
        platform: The one that is wanted of an index; None for all of it.
        referrers: Whether what refers to its manifests is copied as well.
        window: Most blobs in flight.
        digest: What it must be; None for whatever it is. It is compared before anything is copied.
        on_event: Is told what happens.

    Raises:
        RegistryError: Something is missing, or wrong, or a registry fails.
        StorageDriverError: A store fails.
        OSError: The disk fails.
    """
    chosen = await plan(source, platform=platform, referrers=referrers)
    if digest is not None and chosen.root.digest != digest:
        raise DigestMismatchError(
            f"{source.name} is {chosen.root.digest}, and not {digest}, as the target shall be",
            expected=str(digest),
            actual=str(chosen.root.digest),
        )
    moved = 0

    async def put(blob: Blob) -> Outcome:
        def counted(offset: int, before: RunningHash | None) -> AsyncGenerator[bytes, None]:
            return _counted(source, blob, offset, before, note)

        def note(position: int, count: int) -> None:
            nonlocal moved
            moved += count
            on_event(TransferEvent("moved", blob, position))

        on_event(TransferEvent("begun", blob))
        while True:
            try:
                outcome = await target.put_blob(blob, counted, source)
                break
            except DigestMismatchError as error:
                # Each time there is a mirror less.
                if not error.may_be_elsewhere:
                    raise
        on_event(TransferEvent(outcome.value, blob, blob.size))
        return outcome

    # The largest first: the end does not wait for one that began last.
    blobs = sorted(chosen.blobs, key=lambda blob: -blob.size)
    try:
        outcomes = await at_once(blobs, put, window) if blobs else []
        for manifest in chosen.manifests:
            await target.put_manifest(manifest, is_root=manifest is chosen.root)
        await target.finish()
    except asyncio.CancelledError:
        await finish(target.abandon(), _ABANDON_SECONDS)
        raise
    finally:
        await target.release()
    return CopyReport(
        digest=chosen.root.digest,
        media_type=chosen.root.media_type,
        manifests=len(chosen.manifests),
        copied=outcomes.count(Outcome.COPIED),
        present=outcomes.count(Outcome.PRESENT),
        mounted=outcomes.count(Outcome.MOUNTED),
        moved=moved,
    )


async def _counted(
    source: Source,
    blob: Blob,
    offset: int,
    before: RunningHash | None,
    note: Callable[[int, int], None],
) -> AsyncGenerator[bytes, None]:
    """Give a blob's chunks, see that they are as many as its manifest says, and tell of each."""
    position = offset
    async with aclosing(source.chunks(blob, offset, before)) as chunks:
        async for chunk in chunks:
            position += len(chunk)
            if position > blob.size:
                break
            yield chunk
            note(position, len(chunk))
    if position != blob.size:
        raise DigestMismatchError(
            f"blob {blob.digest}: it has not the {blob.size} bytes that its manifest says",
            expected=str(blob.size),
            actual=str(position),
        )


async def read_through(source: Source, blob: Blob, on_event: OnEvent = ignore) -> None:
    """Read a blob for nothing but to see that it is what its digest says.

    Raises:
        DigestMismatchError: It is not.
        NotFoundError: It is not there.
    """
    on_event(TransferEvent("begun", blob))

    def note(position: int, count: int) -> None:
        on_event(TransferEvent("moved", blob, position))

    async with aclosing(_counted(source, blob, 0, None, note)) as chunks:
        async for _ in chunks:
            pass
    on_event(TransferEvent("verified", blob, blob.size))


async def read_whole(source: Source, blob: Blob) -> bytes:
    """Read a small blob, such as a configuration: as many bytes as its manifest says.

    Raises:
        DigestMismatchError: It is not what its digest says, or has more bytes or fewer.
        NotFoundError: It is not there.
    """
    async with aclosing(_counted(source, blob, 0, None, lambda position, count: None)) as chunks:
        return b"".join([chunk async for chunk in chunks])
