"""Copies and moves of objects over the store's limit for one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from storagedriver_core._context import PARTS_IN_FLIGHT, Context
from storagedriver_core._errors import (
    AlreadyExistsError,
    ConflictError,
    PathNotFoundError,
    UploadNotFoundError,
)
from storagedriver_core._parts import plan_parts
from storagedriver_core._shield import finish
from storagedriver_core._types import CompleteOptions, FileInfo, Part, Upload, UploadOptions
from storagedriver_core._uploads import new_holder

Progress = Callable[[int], None]


async def is_transfer(
    context: Context, source: str, target: str, *, if_absent: bool, verb: str
) -> bool:
    """Check both paths; False if they are one, which then has to be a file."""
    context.check(source)
    context.check(target)
    if if_absent:
        context.require(verb)
    if source != target:
        return True
    if (await context.driver.stat(source)).is_dir:
        raise PathNotFoundError("a directory is not a file")
    if if_absent:
        raise AlreadyExistsError(path=target)
    return False


async def needs_parts(context: Context, source: str) -> FileInfo | None:
    """Give the file `source` if it is too large for one copy request; else None."""
    single = context.capabilities.max_single_copy
    if single is None:
        return None
    info = await context.driver.stat(source)
    return None if info.is_dir or info.size <= single else info


async def copy_in_parts(
    context: Context,
    source: FileInfo,
    target: str,
    *,
    if_absent: bool,
    progress: Progress | None,
) -> None:
    """Copy at the store, several parts at once; whatever stops it, nothing is left behind.

    Raises:
        ConflictError: The source was replaced while it was copied.
    """
    context.require("copy_part")
    driver, capabilities = context.driver, context.capabilities
    plan = plan_parts(capabilities, max_size=source.size, part_size=context.part_size)
    options = UploadOptions(
        content_type=source.content_type,
        metadata=source.metadata or {},
        part_size=plan.part_size,
    )
    upload = await driver.open_upload(target, new_holder(), options)
    slots = asyncio.Semaphore(PARTS_IN_FLIGHT if capabilities.upload_out_of_order else 1)
    done = 0

    async def copy_part(number: int, offset: int) -> Part:
        nonlocal done
        length = min(plan.part_size, source.size - offset)
        async with slots:
            part = await driver.copy_part(upload, number, offset, source.path, offset, length)
        done += length
        if progress is not None:
            progress(done)
        return part

    tasks = [
        asyncio.create_task(copy_part(number, offset))
        for number, offset in enumerate(range(0, source.size, plan.part_size), start=1)
    ]
    try:
        parts = await asyncio.gather(*tasks)
        if (await driver.stat(source.path)).etag != source.etag:
            raise ConflictError("the source was replaced while it was copied")
        complete = CompleteOptions(path=target, size=source.size, if_absent=if_absent)
        await driver.complete_upload(upload, parts if capabilities.keeps_ledger else (), complete)
    except BaseException:
        await finish(_give_up(context, upload, tasks))
        raise
    finally:
        driver.release_upload(upload)


async def _give_up(context: Context, upload: Upload, tasks: Sequence[asyncio.Task[Part]]) -> None:
    """Leave nothing of a copy."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with suppress(UploadNotFoundError):
        await context.driver.abort_upload(upload)
