"""Deleting many objects: one request for each, a bounded number at once.

The service's batch endpoint takes a hundred calls in one request, and counts, bills and answers
each as if it had come alone; a fault in the middle leaves a hundred of unknown outcome. Kept
connections with many requests at once are as fast.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing

from storagedriver_core import (
    PartialDeleteError,
    PathNotFoundError,
    StorageDriverError,
)
from storagedriver_gcs import _objects
from storagedriver_gcs._client import Client

AT_ONCE = 32

Outcomes = dict[str, StorageDriverError | None]


async def delete_each(client: Client, names: Iterable[str], outcomes: Outcomes) -> None:
    """Delete objects; note the error of each, None for those that are gone now."""
    left: Iterator[str] = iter(names)

    async def work() -> None:
        for name in left:
            try:
                await _objects.delete(client, name)
            except StorageDriverError as error:
                outcomes[name] = error
            else:
                outcomes[name] = None

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())


async def delete_pages(
    client: Client, pages: AsyncGenerator[Sequence[str], None]
) -> tuple[int, dict[str, StorageDriverError]]:
    """Delete every name of a listing; give how many there were, and the errors by name."""
    count = 0
    failures: dict[str, StorageDriverError] = {}
    async with aclosing(pages):
        async for page in pages:
            count += len(page)
            outcomes: Outcomes = {}
            if page:
                await delete_each(client, page, outcomes)
            for name, error in outcomes.items():
                # Somebody else was faster.
                if error is not None and not isinstance(error, PathNotFoundError):
                    failures[name] = error
    return count, failures


def partial(failures: dict[str, StorageDriverError]) -> PartialDeleteError:
    """Give the error that tells of those that are still there."""
    error = PartialDeleteError(f"{len(failures)} files were not deleted", failures=failures)
    error.outcome = "unknown"
    return error
