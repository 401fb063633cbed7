"""Streams of 2 GiB in memory that does not grow with them."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import resource
from pathlib import Path
from typing import Any

import pytest
from storagedriver_azure.harness import AzureHarness

from servers.azurite import Azurite
from storagedriver_core import DEFAULT_PART_SIZE, Storage

MIB = 1024 * 1024
SIZE = 2048 * MIB
PARTS_IN_FLIGHT = 4
SLACK = 96 * MIB


async def move_bytes(parameters: dict[str, Any], directory: Path, block: bytes) -> int:
    """Write and read 2 GiB; give what the process has grown by."""
    harness = AzureHarness(directory, parameters)
    await harness.start()
    try:
        async with Storage(harness.driver()) as storage:
            await storage.put_content("/warm", block)
            assert await storage.get_content("/warm") == block
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            written, read = hashlib.sha256(), hashlib.sha256()
            async with await storage.writer("/large", max_size=SIZE) as writer:
                for _ in range(SIZE // len(block)):
                    written.update(block)
                    await writer.write(block)
                await writer.commit(size=SIZE)
            async with await storage.reader("/large") as reader:
                async for chunk in reader:
                    read.update(chunk)
            assert read.digest() == written.digest()
            return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    finally:
        await harness.stop()


def in_process(queue: Any, parameters: dict[str, Any], directory: Path) -> None:
    """Run in a process of its own, whose peak is its own."""
    block = bytes(range(256)) * (MIB // 256)
    queue.put(asyncio.run(move_bytes(parameters, directory, block)))


@pytest.mark.large
def test_two_gibibytes_pass_in_bounded_memory(tmp_path: Path) -> None:
    data = tmp_path / "azurite"
    data.mkdir()
    with Azurite(data, on_disk=True) as server:
        parameters = {
            "account_name": server.account,
            "account_key": server.key,
            "container": "large",
            "endpoint": server.url,
        }
        spawning = multiprocessing.get_context("spawn")
        queue = spawning.Queue()
        process = spawning.Process(target=in_process, args=(queue, parameters, tmp_path))
        process.start()
        grown = queue.get(timeout=1200)
        process.join()
    assert grown <= PARTS_IN_FLIGHT * DEFAULT_PART_SIZE + SLACK, f"{grown / MIB:.0f} MiB"
