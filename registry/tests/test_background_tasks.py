"""Whoever ends what runs in the background can be cancelled, however long that clings to its end.

Else a time limit around a shutdown would hold for nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import Mock

import pytest
from storagedriver_registry.health import Health
from storagedriver_registry.notifications.sending import Sender
from storagedriver_registry.proxy.expiry import Expirer
from storagedriver_registry.purging import UploadPurger


class Background(Protocol):
    async def aclose(self) -> None: ...


def purger(task: asyncio.Task[None]) -> Background:
    made = UploadPurger(Mock(), Mock())
    made._task = task
    return made


def expirer(task: asyncio.Task[None]) -> Background:
    made = Expirer(Mock(), Mock(), Mock(), 60.0, 0.0, Mock())
    made._task = task
    return made


def health(task: asyncio.Task[None]) -> Background:
    made = Health()
    made._tasks = [task]
    return made


def sender(task: asyncio.Task[None]) -> Background:
    endpoint = Mock()
    endpoint.name = "receiver"
    made = Sender(endpoint, Mock(), Path(), Mock())
    made._task = task
    return made


@pytest.mark.parametrize("make", [purger, expirer, health, sender])
def test_end_that_takes_long_can_be_cancelled(make: Any) -> None:
    async def run() -> None:
        clings, go_on = asyncio.Event(), asyncio.Event()

        async def cling() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                clings.set()
                await go_on.wait()

        task = asyncio.create_task(cling())
        await asyncio.sleep(0)
        closing = asyncio.create_task(make(task).aclose())
        await clings.wait()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
