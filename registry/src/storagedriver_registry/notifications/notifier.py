"""Notifications of one registry."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from storagedriver_core import StorageDriverError
from storagedriver_registry.api.codes import UNAVAILABLE
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.configuration import Configuration
from storagedriver_registry.notifications.counting import EventCounter
from storagedriver_registry.notifications.endpoints import Endpoint, make_endpoints
from storagedriver_registry.notifications.events import Action, Event
from storagedriver_registry.notifications.journal import Journal
from storagedriver_registry.notifications.queue import Queue
from storagedriver_registry.notifications.recording import Recorder, action_of
from storagedriver_registry.notifications.sending import Sender

logger = logging.getLogger(__name__)

_WARNING_SECONDS = 60.0
_OF_FILES = ".notifications"
_ELSEWHERE = "registry-notifications"


class Notifier:
    """Keeps an event of each request that it is shown, and sends it on.

    Args:
        recorder: Makes events.
        endpoints: To whom they are sent.
        directory: Where they wait.
        most: How many may wait for one endpoint.
        counter: Is told.
    """

    def __init__(
        self,
        recorder: Recorder,
        endpoints: list[Endpoint],
        directory: Path,
        most: int,
        counter: EventCounter,
    ) -> None:
        self._recorder = recorder
        self._endpoints = endpoints
        self._directory = directory
        self._most = most
        self._counter = counter
        self._journal = Journal(Queue(directory, most))
        self._senders: list[Sender] = []
        self._quiet_until = 0.0

    async def open(self) -> None:
        """Open the queue, and begin to send what waits in it.

        Raises:
            ConfigurationError: Its directory cannot be used.
        """
        await self._journal.open()
        others = await self._journal.run(self._journal.queue.waiting)
        for endpoint in self._endpoints:
            others.pop(endpoint.name, None)
            sender = Sender(endpoint, self._journal, self._directory, self._counter)
            self._senders.append(sender)
            await sender.open()
        for name, count in others.items():
            logger.warning("%d notifications wait for %s, which is no endpoint now", count, name)

    async def aclose(self) -> None:
        """End; what was not sent waits for the next start."""
        senders, self._senders = self._senders, []
        for sender in senders:
            await sender.aclose()
        await self._journal.aclose()

    async def note(self, request: Request, response: Response, facts: Mapping[str, object]) -> None:
        """Keep the events of a request that is about to be answered.

        Args:
            request: The request.
            response: Its answer.
            facts: What the log says of it.

        Raises:
            ApiError: Something was changed, and no event of it can be kept: the client has to ask
                again, and is not told that it is done.
        """
        action = action_of(request, response)
        if action is None or not any(endpoint.wants(action) for endpoint in self._endpoints):
            return
        try:
            events = await self._recorder.record(action, request, response, facts)
            await self._keep(events)
        except (OSError, sqlite3.Error, StorageDriverError) as error:
            self._fail(action, error)

    async def _keep(self, events: list[Event]) -> None:
        rows = [
            (endpoint.name, event.text)
            for event in events
            for endpoint in self._endpoints
            if endpoint.takes(event.action, event.media_type)
        ]
        if not rows:
            return
        taken = await self._journal.add(rows)
        for (endpoint, _), is_taken in zip(rows, taken, strict=True):
            if is_taken:
                self._counter.queued(endpoint)
            else:
                self._counter.dropped(endpoint)
                self._complain(endpoint)
        for sender in self._senders:
            sender.wake()

    def _complain(self, endpoint: str) -> None:
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _WARNING_SECONDS
            logger.error(
                "notifications to %s are lost: %d wait, which is the most", endpoint, self._most
            )

    def _fail(self, action: Action, error: Exception) -> None:
        logger.error("a notification cannot be kept: %s", error)
        if action != "pull":
            raise ApiError(UNAVAILABLE, "its notification cannot be kept") from error


def make_notifier(
    config: Configuration, services: Services, counter: EventCounter
) -> Notifier | None:
    """Make what the section `notifications` asks for; no I/O.

    Returns:
        None if nobody is to be told.

    Raises:
        ConfigurationError: An endpoint is wrong.
    """
    settings = config.settings.notifications
    endpoints = make_endpoints(settings.endpoints)
    if not endpoints:
        return None
    addr = config.settings.http.addr.rpartition(":")[2]
    source = {"addr": f"{socket.gethostname()}:{addr}", "instanceID": str(uuid.uuid4())}
    recorder = Recorder(services, source, with_references=settings.events.includereferences)
    return Notifier(recorder, endpoints, queue_directory(config), settings.queue.most, counter)


def queue_directory(config: Configuration) -> Path:
    """Give where events wait: on a disk of this machine, and the same after a restart."""
    given = config.settings.notifications.queue.directory
    if given is not None:
        return Path(given)
    backend = config.backend
    root = None if backend is None else getattr(backend.parameters, "root_directory", None)
    if backend is not None and backend.driver_name == "filesystem" and root is not None:
        return Path(root) / _OF_FILES
    # systemd's, if it has one for the service; the first, if it has several.
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    directory = Path(state or ".").absolute() / _ELSEWHERE
    logger.warning(
        "notifications.queue.directory is not set: notifications wait in %s, which has to outlast "
        "this process",
        directory,
    )
    return directory
