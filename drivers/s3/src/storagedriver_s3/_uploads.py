"""Multipart uploads.

What is published is named by its parts' etags, and S3 keeps one part of each number. So two that
resume one token cannot mix: whoever overwrites a part of the other makes the other's completion
fail, and the upload is gone after the first completion.

An upload writes a mark into the metadata of its object, which no listing and no `FileInfo` shows.
By it a later process knows the object that this very upload has made, although it knows neither its
last part nor whether anybody got the answer; by the etag of the whole, which is made of those of
the parts, a writer knows that the parts were its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from botocore.compat import unquote_str

from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    CompleteOptions,
    ConflictError,
    FileInfo,
    Part,
    PathNotFoundError,
    PutOptions,
    StorageDriverError,
    UnavailableError,
    Upload,
    UploadInfo,
    UploadNotFoundError,
    UploadOptions,
    UploadState,
    finish,
    undo_if_cancelled,
)
from storagedriver_s3._body import body_of
from storagedriver_s3._bucket import Bucket
from storagedriver_s3._copying import copy_source
from storagedriver_s3._errors import code_of
from storagedriver_s3._info import MARK, info_of

_ABORTS = 10
_UPLOADS_AT_ONCE = 8
_MD5_ETAG = re.compile(r'"?([0-9a-f]{32})"?')


async def open_upload(bucket: Bucket, path: str, holder: str, options: UploadOptions) -> Upload:
    """Begin an upload."""
    mark = secrets.token_hex(8)
    parameters = _description(bucket, options, mark)
    key = bucket.keys.key(path)

    async def drop(created: dict[str, Any]) -> None:
        await abort_upload(bucket, Upload(path, created["UploadId"]))

    response = await undo_if_cancelled(
        bucket.change("create_multipart_upload", Key=key, **parameters), drop
    )
    return Upload(path, response["UploadId"], {"mark": mark}, holder, options)


async def put_part(
    bucket: Bucket, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
) -> Part:
    """Store one part."""
    response = await bucket.change(
        "upload_part", **_name(bucket, upload), PartNumber=number, Body=body_of(data)
    )
    return Part(number, offset, sum(len(each) for each in data), _etag(response))


async def copy_part(
    bucket: Bucket,
    upload: Upload,
    number: int,
    offset: int,
    source: str,
    source_offset: int,
    size: int,
) -> Part:
    """Store a range of a file as one part."""
    response = await bucket.change(
        "upload_part_copy",
        **_name(bucket, upload),
        PartNumber=number,
        CopySource=copy_source(bucket, source),
        CopySourceRange=f"bytes={source_offset}-{source_offset + size - 1}",
    )
    return Part(number, offset, size, _etag(response["CopyPartResult"]))


async def upload_state(bucket: Bucket, upload: Upload, size: int) -> UploadState:
    """Find an upload again, or the object that it has made."""
    if bucket.config.traits.keeps_completed:
        info = await _published(bucket, upload, upload.path)
        if info is not None:
            return UploadState(info.size, info)
    try:
        held = await _held(bucket, upload)
    except UploadNotFoundError as error:
        info = await _published(bucket, upload, upload.path)
        if info is None:
            error.outcome = "unknown"
            raise
        return UploadState(info.size, info)
    if held < size:
        raise ConflictError(f"the store holds {held} bytes, not {size}: parts were replaced")
    return UploadState(held)


async def complete_upload(
    bucket: Bucket, upload: Upload, parts: Sequence[Part], options: CompleteOptions
) -> FileInfo:
    """Publish the parts."""
    if not bucket.config.traits.keeps_completed:
        return await _complete(bucket, upload, parts, options)
    # Whoever is cancelled here aborts next, which would take the parts out of the object.
    return await finish(_complete(bucket, upload, parts, options))


async def _complete(
    bucket: Bucket, upload: Upload, parts: Sequence[Part], options: CompleteOptions
) -> FileInfo:
    if not parts:
        return await _complete_empty(bucket, upload, options)
    condition: dict[str, Any] = {"IfNoneMatch": "*"} if options.if_absent else {}
    try:
        response = await bucket.change(
            "complete_multipart_upload",
            **_name(bucket, upload),
            MultipartUpload={
                "Parts": [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
            },
            **condition,
        )
    except UploadNotFoundError as error:
        return await _completed_before(bucket, upload, parts, error)
    except ConflictError as error:
        if options.if_absent and code_of(error) in ("PreconditionFailed", "412"):
            raise AlreadyExistsError(path=upload.path) from error
        raise
    etag = _etag(response)
    if _is_made_of(etag, parts) is False:
        # A store that says yes to every repetition: somebody else's parts are published.
        raise ConflictError("another writer has committed the upload", outcome="unknown")
    return FileInfo(upload.path, options.size, etag=etag, content_type=upload.options.content_type)


async def abort_upload(bucket: Bucket, upload: Upload) -> None:
    """Drop an upload, with the parts that were still on their way."""
    if bucket.config.traits.keeps_completed and await _published(bucket, upload, upload.path):
        raise UploadNotFoundError("the upload is completed")
    try:
        await _drop(bucket, upload)
    except PathNotFoundError as error:
        raise UploadNotFoundError(error.message) from error


async def _drop(bucket: Bucket, upload: Upload) -> None:
    name = _name(bucket, upload)
    if bucket.config.traits.abort_is_silent:
        await bucket.read("list_parts", **name, MaxParts=1)
    await bucket.change("abort_multipart_upload", **name)
    # Source: Amazon S3 API Reference, AbortMultipartUpload: a part in progress can arrive after it.
    for attempt in range(_ABORTS):
        try:
            if not (await bucket.read("list_parts", **name, MaxParts=1)).get("Parts"):
                return
            await asyncio.sleep(0.05 * attempt)
            await bucket.change("abort_multipart_upload", **name)
        except UploadNotFoundError:
            return
    raise UnavailableError("parts still arrive at the upload", outcome="unknown")


async def list_uploads(bucket: Bucket) -> AsyncGenerator[Sequence[UploadInfo], None]:
    """Give every upload in progress below the root directory."""
    parameters: dict[str, Any] = {"Prefix": bucket.keys.root, "EncodingType": "url"}
    while True:
        page = await bucket.read("list_multipart_uploads", **parameters)
        decode = unquote_str if page.get("EncodingType") == "url" else str
        slots = asyncio.Semaphore(_UPLOADS_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_look(bucket, slots, decode(entry["Key"]), entry))
                for entry in page.get("Uploads", ())
            ]
        yield [info for task in tasks if (info := task.result()) is not None]
        if not page["IsTruncated"]:
            return
        parameters["KeyMarker"] = decode(page["NextKeyMarker"])
        parameters["UploadIdMarker"] = page["NextUploadIdMarker"]


async def _look(
    bucket: Bucket, slots: asyncio.Semaphore, key: str, entry: dict[str, Any]
) -> UploadInfo | None:
    """Find out how much an upload holds and when it grew; None if it is over meanwhile."""
    upload = Upload(bucket.keys.path(key), entry["UploadId"])
    started = updated = entry["Initiated"]
    size = 0
    async with slots:
        try:
            async with aclosing(_parts(bucket, upload)) as pages:
                async for page in pages:
                    for part in page:
                        size += part["Size"]
                        updated = max(updated, part["LastModified"])
        except UploadNotFoundError:
            return None
    return UploadInfo(upload, started, updated, size)


async def _parts(bucket: Bucket, upload: Upload) -> AsyncGenerator[Sequence[dict[str, Any]], None]:
    parameters = _name(bucket, upload)
    while True:
        page = await bucket.read("list_parts", **parameters)
        yield page.get("Parts", ())
        if not page["IsTruncated"]:
            return
        parameters["PartNumberMarker"] = page["NextPartNumberMarker"]


async def _held(bucket: Bucket, upload: Upload) -> int:
    """Give the bytes of the parts from the first one on without a gap."""
    sizes: dict[int, int] = {}
    async with aclosing(_parts(bucket, upload)) as pages:
        async for page in pages:
            # Some stores show a part that was sent twice twice; the later one counts.
            sizes.update({part["PartNumber"]: part["Size"] for part in page})
    held, number = 0, 1
    while number in sizes:
        held += sizes[number]
        number += 1
    return held


async def _complete_empty(bucket: Bucket, upload: Upload, options: CompleteOptions) -> FileInfo:
    """Publish an object without bytes, which no part can make, and drop the upload."""
    name = _name(bucket, upload)
    try:
        await bucket.read("list_parts", **name, MaxParts=1)
    except UploadNotFoundError as error:
        return await _completed_before(bucket, upload, (), error)
    info = await _put_empty(bucket, upload, options)
    try:
        await _drop(bucket, upload)
    except (UploadNotFoundError, PathNotFoundError):
        # Whoever ended it has published before us, or after.
        current = await _published(bucket, upload, upload.path)
        if current is None or current.size:
            raise ConflictError("another writer has ended the upload", outcome="unknown") from None
    except StorageDriverError as error:
        # It is published, and a repetition finds it so.
        error.outcome = "unknown"
        raise
    return info


async def _put_empty(bucket: Bucket, upload: Upload, options: CompleteOptions) -> FileInfo:
    given = upload.options
    put = PutOptions(
        content_type=given.content_type, metadata=given.metadata, if_absent=options.if_absent
    )
    return await put_object(bucket, upload.path, b"", put, mark=upload.data.get("mark"))


async def put_object(
    bucket: Bucket, path: str, data: Buffer, options: PutOptions, *, mark: str | None = None
) -> FileInfo:
    """Store a whole object by one request."""
    parameters = _description(bucket, options, mark)
    if options.if_absent:
        parameters["IfNoneMatch"] = "*"
    if options.if_match is not None:
        parameters["IfMatch"] = options.if_match
    try:
        response = await bucket.change(
            "put_object", Key=bucket.keys.key(path), Body=body_of([data]), **parameters
        )
    except ConflictError as error:
        if options.if_absent and code_of(error) in ("PreconditionFailed", "412"):
            raise AlreadyExistsError from error
        raise
    except PathNotFoundError as error:
        if options.if_match is not None:
            raise ConflictError("there is no object") from error
        raise
    return FileInfo(
        path, memoryview(data).nbytes, etag=_etag(response), content_type=options.content_type
    )


async def _completed_before(
    bucket: Bucket, upload: Upload, parts: Sequence[Part], error: UploadNotFoundError
) -> FileInfo:
    """Give the object, if the upload is gone because this writer's parts have been published."""
    info = await _published(bucket, upload, upload.path)
    if info is None:
        error.outcome = "unknown"
        raise error
    ours = _is_made_of(info.etag or "", parts) if parts else not info.size
    if ours:
        return info
    if ours is None:
        error.outcome = "unknown"
        raise error
    raise ConflictError("another writer has committed the upload") from error


async def _published(bucket: Bucket, upload: Upload, path: str) -> FileInfo | None:
    """Give the object at `path`, if it bears the upload's mark."""
    try:
        response = await bucket.raw_head(path)
    except PathNotFoundError:
        return None
    mark = upload.data.get("mark")
    if mark is None or response["Metadata"].get(MARK) != mark:
        return None
    return info_of(path, response, response["ContentLength"])


def _is_made_of(etag: str, parts: Sequence[Part]) -> bool | None:
    """Tell whether an object with this etag is made of exactly these parts; None if it cannot be.

    The etag of the whole is made of those of the parts. But encryption by KMS and some stores'
    copied parts have etags that are no digests.
    """
    digests = [match[1] for part in parts if (match := _MD5_ETAG.fullmatch(part.etag))]
    if len(digests) < len(parts):
        return None
    joined = bytes.fromhex("".join(digests))
    whole = hashlib.md5(joined, usedforsecurity=False).hexdigest()
    return etag.strip('"') == f"{whole}-{len(parts)}"


def _description(
    bucket: Bucket, options: PutOptions | UploadOptions, mark: str | None
) -> dict[str, Any]:
    parameters = bucket.description(options)
    if mark is not None:
        parameters["Metadata"][MARK] = mark
    return parameters


def _name(bucket: Bucket, upload: Upload) -> dict[str, Any]:
    return {"Key": bucket.keys.key(upload.path), "UploadId": upload.upload_id}


def _etag(response: dict[str, Any]) -> str:
    etag: str | None = response.get("ETag")
    if not etag:
        raise UnavailableError("the answer is not that of an S3 store", outcome="unknown")
    return etag
