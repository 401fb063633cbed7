"""Deleting blobs, one request each: many at once, and what became of each.

The service's batch of 256 is not used: it answers each in a part of a multipart body under one 202,
costs the service as much, and the emulator refuses what the SDK makes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from storagedriver_azure._connection import Connection
from storagedriver_core import PathNotFoundError, StorageDriverError

AT_ONCE = 32


@dataclass(slots=True)
class Deleted:
    """What became of blobs, by the keys that they were given under.

    Attributes:
        gone: Deleted now.
        missing: Not there.
        failed: The error of each other.
    """

    gone: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    failed: dict[str, StorageDriverError] = field(default_factory=dict)


async def delete_blob(connection: Connection, name: str) -> None:
    """Delete a blob with its snapshots.

    Raises:
        PathNotFoundError: There is none.
    """
    headers = {"x-ms-delete-snapshots": "include"}
    await connection.request("DELETE", name, headers=headers, expect=(202,), changes=True)


async def delete_blobs(connection: Connection, named: Mapping[str, str]) -> Deleted:
    """Delete the blobs of these names, given by any key."""
    result = Deleted()
    left = iter(named.items())

    async def delete_some() -> None:
        for key, name in left:
            try:
                await delete_blob(connection, name)
            except PathNotFoundError:
                result.missing.append(key)
            except StorageDriverError as error:
                result.failed[key] = error
            else:
                result.gone.append(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(named))):
            group.create_task(delete_some())
    return result
