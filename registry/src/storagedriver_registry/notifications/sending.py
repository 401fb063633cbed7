"""Sends an endpoint what waits for it, in order, until it has accepted it."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from storagedriver_registry.notifications.counting import EventCounter
from storagedriver_registry.notifications.endpoints import Endpoint
from storagedriver_registry.notifications.events import envelope
from storagedriver_registry.notifications.journal import Journal
from storagedriver_registry.notifications.posting import PostError, post
from storagedriver_registry.notifications.queue import Waiting

logger = logging.getLogger(__name__)

MOST_TOGETHER = 100
"""Events of one envelope."""

# Other processes that add events do not say so.
_LOOK_SECONDS = 0.2
_LOCK_SECONDS = 0.5
_FIRST_DELAY_SECONDS = 0.1


class Sender:
    """Sends to one endpoint, while no other process of the machine does.

    Args:
        endpoint: The endpoint.
        journal: What waits for it.
        directory: Where the lock is.
        counter: Is told.
    """

    def __init__(
        self, endpoint: Endpoint, journal: Journal, directory: Path, counter: EventCounter
    ) -> None:
        self._endpoint = endpoint
        self._journal = journal
        name = hashlib.sha256(endpoint.name.encode()).hexdigest()[:32]
        self._lock_path = directory / f"{name}.lock"
        self._counter = counter
        self._news = asyncio.Event()
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Begin. The journal is open."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="notifications-post")
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """End. A request that is on its way comes to its end, or else it would be sent again."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)

    def wake(self) -> None:
        """Look at once: there is something to send."""
        self._news.set()

    async def _run(self) -> None:
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # The kernel takes it from a process that dies, and tells nobody.
            while not _is_locked(lock):  # noqa: ASYNC110  # a file lock wakes no event
                await asyncio.sleep(_LOCK_SECONDS)
            while True:
                try:
                    await self._turn()
                except Exception:
                    logger.exception("notifications to %s are not sent", self._endpoint.name)
                    await asyncio.sleep(self._endpoint.backoff)
        finally:
            os.close(lock)

    async def _turn(self) -> None:
        """Send some events; or wait, if there are none or if they were not accepted."""
        queue, name = self._journal.queue, self._endpoint.name
        self._news.clear()
        events = await self._journal.run(queue.first, name, MOST_TOGETHER)
        self._counter.pending(name, (await self._journal.run(queue.waiting)).get(name, 0))
        if not events:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._news.wait()
            return
        sending = asyncio.ensure_future(self._send(events))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            # What it accepts now it would else be sent again after the next start.
            await sending
            raise
        if self._failures:
            await asyncio.sleep(self._delay())

    async def _send(self, events: list[Waiting]) -> None:
        name = self._endpoint.name
        reason = await self._post(events)
        if reason:
            self._failures += 1
            if self._failures in (1, self._endpoint.threshold):
                logger.warning("notifications to %s wait, they are not accepted: %s", name, reason)
            return
        await self._journal.run(self._journal.queue.remove, name, events[-1].number)
        if self._failures >= self._endpoint.threshold:
            logger.warning("notifications to %s are accepted again", name)
        self._failures = 0

    async def _post(self, events: list[Waiting]) -> str:
        """Send events; give why they are not accepted, or empty text."""
        name, body = self._endpoint.name, envelope(event.text for event in events)
        loop = asyncio.get_running_loop()
        try:
            status = await loop.run_in_executor(self._thread, post, self._endpoint, body)
        except PostError as error:
            self._counter.failed(name, len(events))
            return str(error)
        # As distribution has it: redirects are acceptance too.
        is_accepted = 200 <= status < 400
        self._counter.answered(name, status, len(events), is_accepted=is_accepted)
        return "" if is_accepted else f"status {status}"

    def _delay(self) -> float:
        backoff = self._endpoint.backoff
        if self._failures >= self._endpoint.threshold:
            return backoff
        return min(_FIRST_DELAY_SECONDS * 2.0 ** (self._failures - 1), backoff)


def _is_locked(descriptor: int) -> bool:
    """Lock a file; tell whether no other process has it locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
