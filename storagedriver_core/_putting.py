"""Storing a whole object from whatever the caller has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from storagedriver_core._body import Body, flat, iterate_body
from storagedriver_core._context import Context
from storagedriver_core._errors import (
    ChecksumMismatchError,
    ConfigurationError,
    LimitExceededError,
)
from storagedriver_core._hashing import new_hasher, update_aside
from storagedriver_core._types import Buffer, FileInfo, PutOptions
from storagedriver_core._uploads import open_writer


def put_options(
    context: Context,
    *,
    content_type: str | None = None,
    metadata: Mapping[str, str] | None = None,
    if_absent: bool = False,
    if_match: str | None = None,
) -> PutOptions:
    """Check the options of a write against the capabilities."""
    if if_absent:
        context.require("put_if_absent")
    if if_match is not None:
        context.require("put_if_match")
    if content_type is None and not metadata:
        return PutOptions(if_absent=if_absent, if_match=if_match)
    context.require("put_with_metadata")
    pairs = dict(metadata or {})
    _check_metadata(content_type, pairs, context.capabilities.max_metadata_bytes)
    return PutOptions(
        content_type=content_type, metadata=pairs, if_absent=if_absent, if_match=if_match
    )


async def put_buffer(
    context: Context,
    path: str,
    data: Buffer,
    options: PutOptions,
    *,
    size: int | None,
    digest: str | None,
) -> FileInfo:
    """Store bytes that are in memory."""
    data = flat(data)
    length = len(data)
    if not _fits_one_put(context, length):
        return await _put_parts(context, path, data, options, size=size, digest=digest)
    if size is not None and length != size:
        raise ChecksumMismatchError(f"{length} bytes came, not {size}")
    if digest is not None:
        await _check_digest(context, data, digest)
    return await context.driver.put_content(path, data, options)


async def put_stream(
    context: Context,
    path: str,
    data: Body,
    options: PutOptions,
    *,
    size: int | None,
    digest: str | None,
    frozen: bool,
) -> FileInfo:
    """Store a body that comes in chunks: up to one part as one request, more through a writer."""
    chunks: list[Buffer] = []
    gathered = 0
    async with aclosing(iterate_body(data, context.workers)) as body:
        async for chunk in body:
            chunks.append(chunk if frozen else bytes(chunk))
            gathered += len(chunk)
            if gathered > context.part_size or not _fits_one_put(context, gathered):
                break
        else:
            whole = b"".join(chunks)
            return await put_buffer(context, path, whole, options, size=size, digest=digest)

        async def everything() -> AsyncGenerator[Buffer, None]:
            while chunks:
                yield chunks.pop(0)
            async for chunk in body:
                yield chunk

        return await _put_parts(
            context, path, everything(), options, size=size, digest=digest, frozen=frozen
        )


async def _put_parts(
    context: Context,
    path: str,
    data: Body,
    options: PutOptions,
    *,
    size: int | None,
    digest: str | None,
    frozen: bool = False,
) -> FileInfo:
    if options.if_match is not None:
        raise LimitExceededError("if_match takes what fits in one request, and this does not")
    writer = await open_writer(
        context,
        path,
        max_size=size,
        hashes=(digest.partition(":")[0],) if digest else (),
        content_type=options.content_type,
        metadata=options.metadata,
    )
    async with writer:
        async with aclosing(iterate_body(data, context.workers)) as body:
            async for chunk in body:
                if size is not None and writer.offset + len(chunk) > size:
                    raise ChecksumMismatchError(f"more than the {size} bytes announced came")
                await writer.write(chunk, frozen=frozen)
        return await writer.commit(if_absent=options.if_absent, size=size, digest=digest)


def _fits_one_put(context: Context, size: int) -> bool:
    declared = context.capabilities
    most = declared.max_object_size
    if most is not None and size > most:
        raise LimitExceededError(f"objects hold at most {most} bytes")
    return declared.max_put_size is None or size <= declared.max_put_size


async def _check_digest(context: Context, data: Buffer, digest: str) -> None:
    algorithm, _, expected = digest.partition(":")
    hasher = new_hasher(algorithm)
    await update_aside(hasher, data, context.workers)
    actual = hasher.hexdigest()
    if actual != expected:
        raise ChecksumMismatchError(f"the digest is {algorithm}:{actual}, not {digest}")


def _check_metadata(
    content_type: str | None, metadata: Mapping[str, str], most: int | None
) -> None:
    """Refuse what not every store keeps as it is, in the same way for all of them."""
    for key, value in [*metadata.items(), ("content-type", content_type or "")]:
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError("metadata keys and values are str")
        if not key or not key.isascii() or not key.replace("-", "").replace("_", "").isalnum():
            raise ConfigurationError(f"metadata key {key!r}: letters, digits, '-' and '_' only")
        if key != key.lower():
            raise ConfigurationError(f"metadata key {key!r}: lower case only")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise ConfigurationError(f"metadata value of {key!r}: printable ASCII, no outer spaces")
    size = sum(len(key) + len(value) for key, value in metadata.items())
    if most is not None and size > most:
        raise LimitExceededError(f"metadata of {size} bytes; at most {most}")
