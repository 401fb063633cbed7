"""Copies at the service, and moves made of them.

Source: "Copy Blob". Within one account the service copies at once. Where it does not, the answer
says `pending` and the target is empty until the copy ends: the copy is awaited, reads of the target
are refused meanwhile, and a cancelled one is aborted and what it began deleted. Whoever is killed
meanwhile may leave an empty blob of a failed copy, which is refused as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from storagedriver_azure._connection import Answer, Connection
from storagedriver_azure._objects import plain_etag, quoted, require_whole
from storagedriver_core import (
    ConflictError,
    PathNotFoundError,
    StorageDriverError,
    UnavailableError,
    finish,
    undo_if_cancelled,
)

_MOST_POLL_DELAY = 5.0
_CLEANUP_SECONDS = 30.0


async def version_of(connection: Connection, name: str) -> str:
    """Give the etag of a blob, whole or not.

    Raises:
        PathNotFoundError: There is none.
    """
    found = await connection.request("HEAD", name)
    return plain_etag(found.headers.get("etag", ""))


async def whole_version_of(connection: Connection, name: str) -> str:
    """Give the etag of a blob that can be copied.

    Raises:
        PathNotFoundError: There is none.
        UnavailableError: It is what is left of a copy.
    """
    found = await connection.request("HEAD", name)
    require_whole(found.headers)
    return plain_etag(found.headers.get("etag", ""))


async def copy_blob(
    connection: Connection,
    source: str,
    etag: str,
    target: str,
    *,
    if_absent: bool,
    poll_delay: float,
) -> None:
    """Copy a blob, media type and metadata included.

    Args:
        connection: The container.
        source: Name of the blob.
        etag: The version of it that is copied.
        target: Name of the copy.
        if_absent: Refuse if there is a blob.
        poll_delay: Seconds between the first two looks at a copy that takes time.

    Raises:
        PathNotFoundError: There is no source any more.
        AlreadyExistsError: `if_absent`, and there is a blob at the target.
        ConflictError: The source was replaced meanwhile.
    """
    headers = {"x-ms-copy-source": connection.url(source), "x-ms-source-if-match": quoted(etag)}
    if if_absent:
        headers["If-None-Match"] = "*"

    async def undo(begun: Answer) -> None:
        if begun.headers.get("x-ms-copy-status") == "pending":
            await _abort(connection, target, begun.headers.get("x-ms-copy-id", ""))

    answer = await undo_if_cancelled(
        connection.request("PUT", target, headers=headers, expect=(202,), changes=True), undo
    )
    await _await_copy(connection, target, answer, poll_delay)


async def delete_version(connection: Connection, name: str, etag: str) -> None:
    """Delete a blob unless it is another than this by now.

    Raises:
        ConflictError: It is this one, and a lease keeps it.
    """
    headers = {"If-Match": quoted(etag), "x-ms-delete-snapshots": "include"}
    with suppress(PathNotFoundError):
        try:
            await connection.request("DELETE", name, headers=headers, expect=(202,), changes=True)
        except ConflictError:
            if await version_of(connection, name) == etag:
                raise


async def _await_copy(
    connection: Connection, target: str, answer: Answer, poll_delay: float
) -> None:
    copy_id = answer.headers.get("x-ms-copy-id", "")
    status = answer.headers.get("x-ms-copy-status")
    headers: Mapping[str, str] = answer.headers
    try:
        while status == "pending":
            await asyncio.sleep(poll_delay)
            poll_delay = min(poll_delay * 2, _MOST_POLL_DELAY)
            try:
                headers = (await connection.request("HEAD", target)).headers
            except StorageDriverError as error:
                error.outcome = "unknown"
                raise
            if headers.get("x-ms-copy-id") != copy_id:
                raise ConflictError("the target was replaced while it was copied to")
            status = headers.get("x-ms-copy-status")
    except asyncio.CancelledError:
        # It does not hold a cancelled caller for as long as the service likes.
        with suppress(StorageDriverError, TimeoutError):
            await finish(asyncio.wait_for(_abort(connection, target, copy_id), _CLEANUP_SECONDS))
        raise
    if status != "success":
        with suppress(StorageDriverError):
            etag = plain_etag(headers.get("etag", ""))
            await finish(delete_version(connection, target, etag))
        told = headers.get("x-ms-copy-status-description", "")
        raise UnavailableError(f"the copy has ended as {status}: {told}")


async def _abort(connection: Connection, target: str, copy_id: str) -> None:
    """Abort a pending copy, and delete the empty blob that is left of it."""
    try:
        await connection.request(
            "PUT",
            target,
            query=f"comp=copy&copyid={copy_id}",
            headers={"x-ms-copy-action": "abort"},
            expect=(204,),
            changes=True,
        )
        left = await connection.request("HEAD", target)
        if left.headers.get("x-ms-copy-id") == copy_id:
            await delete_version(connection, target, plain_etag(left.headers.get("etag", "")))
    except (ConflictError, PathNotFoundError):
        pass  # it has ended meanwhile, or was replaced
