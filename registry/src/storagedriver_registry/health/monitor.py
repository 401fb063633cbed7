"""All checks of one registry, made at intervals."""

from __future__ import annotations

import asyncio
import logging
import mmap

from storagedriver_core import Storage
from storagedriver_registry.configuration.models import HealthSettings
from storagedriver_registry.health.checks import (
    Check,
    file_check,
    http_check,
    storage_check,
    tcp_check,
)
from storagedriver_registry.health.status import Status

logger = logging.getLogger(__name__)

MANUAL = "manual_http_status"
"""The check that fails when somebody wants it to, by distribution's name."""

_LEAST_SECONDS = 0.05
_DEFAULT_SECONDS = 10.0


class Health:
    """Makes checks while it is open, and knows how they have ended.

    Each process that serves makes its own. What somebody has switched off by hand is off in all of
    them: they share a byte, if they are forked from the one that made this.
    """

    def __init__(self) -> None:
        self._checks: list[tuple[str, Check, float]] = []
        self._statuses: dict[str, Status] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._is_down = mmap.mmap(-1, 1)

    def add(self, name: str, check: Check, interval: float, threshold: int) -> None:
        """Add a check, before it is opened.

        Args:
            name: What it is called in answers.
            check: Makes it.
            interval: Seconds between two.
            threshold: Failures, one after the other, that it takes.
        """
        self._checks.append((name, check, max(interval or _DEFAULT_SECONDS, _LEAST_SECONDS)))
        self._statuses[name] = Status(threshold)

    @property
    def names(self) -> list[str]:
        """The checks, without the one that is made by hand."""
        return list(self._statuses)

    def checks(self) -> list[tuple[str, Check]]:
        """Give the checks, by name, to make them once."""
        return [(name, check) for name, check, _ in self._checks]

    def failures(self) -> dict[str, str]:
        """Give the checks that fail, each with the reason; empty if all is well."""
        found = {name: status.failure for name, status in self._statuses.items() if status.failure}
        if self._is_down[0]:
            found[MANUAL] = "Manual Check"
        return found

    def switch(self, *, is_down: bool) -> None:
        """Be unhealthy because somebody wants it, or no longer."""
        self._is_down[0] = int(is_down)

    async def open(self) -> None:
        """Begin to check."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._watch(*check)) for check in self._checks]

    async def aclose(self) -> None:
        """End."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _watch(self, name: str, check: Check, interval: float) -> None:
        status = self._statuses[name]
        while True:
            before = status.failure
            status.update(await _reason(check))
            if status.failure and not before:
                logger.error("health check %s: %s", name, status.failure)
            elif before and not status.failure:
                logger.warning("health check %s: it is well again", name)
            await asyncio.sleep(interval)


def make_health(settings: HealthSettings, storage: Storage, *, is_shown: bool) -> Health | None:
    """Make the checks that are configured; no I/O.

    Args:
        settings: The section `health`.
        storage: Which storage is checked; it is open before the checks begin.
        is_shown: Whether health can be asked for, and so switched, even if there are no checks.

    Returns:
        None if there is nothing to check and nobody can ask.
    """
    health = Health()
    if settings.storagedriver.enabled:
        of_storage = settings.storagedriver
        name = f"storagedriver_{storage.driver_name}"
        health.add(name, storage_check(storage), of_storage.interval, of_storage.threshold)
    for file in settings.file:
        health.add(file.file, file_check(file), file.interval, file.threshold)
    for http in settings.http:
        health.add(http.uri, http_check(http), http.interval, http.threshold)
    for tcp in settings.tcp:
        health.add(tcp.addr, tcp_check(tcp), tcp.interval, tcp.threshold)
    return health if health.names or is_shown else None


async def _reason(check: Check) -> str:
    """Make a check; give why it failed, or empty text."""
    try:
        await check()
    except Exception as error:
        # Whatever it is: a check that cannot be made is no sign of health.
        return str(error) or type(error).__name__
    return ""
