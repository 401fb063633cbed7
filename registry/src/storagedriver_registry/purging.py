"""Purging upload sessions while a server runs, as `storage.maintenance.uploadpurging` asks."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import timedelta

from storagedriver_core import StorageDriverError
from storagedriver_registry.configuration.models.storage import UploadPurgingSettings
from storagedriver_registry.storage import Stores

logger = logging.getLogger(__name__)

# So that servers that are started together do not all walk the store together.
_MOST_DELAY_SECONDS = 3600.0
_LEAST_INTERVAL_SECONDS = 1.0


class UploadPurger:
    """Purges at intervals, from some moment after the start on.

    Args:
        stores: What is purged.
        settings: Whether, how often, and what is old.
    """

    def __init__(self, stores: Stores, settings: UploadPurgingSettings) -> None:
        self._sessions = stores.sessions
        self._settings = settings
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if the settings say so."""
        if self._settings.enabled and self._task is None:
            self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """End. A purge that is under way is cut off; the next one goes on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        interval = max(self._settings.interval, _LEAST_INTERVAL_SECONDS)
        await asyncio.sleep(random.uniform(0, min(interval, _MOST_DELAY_SECONDS)))
        while True:
            try:
                await self._purge()
            except StorageDriverError as error:
                logger.warning("uploads are not purged: %s", error)
            except Exception:
                logger.exception("uploads are not purged")
            await asyncio.sleep(interval)

    async def _purge(self) -> None:
        dry_run = self._settings.dryrun
        age = timedelta(seconds=self._settings.age)
        report = await self._sessions.purge(age, dry_run=dry_run)
        would = "would be purged" if dry_run else "purged"
        for session in report.sessions:
            logger.info("upload %s of %s %s", session.id, session.name, would)
        if report.sessions or report.others:
            logger.info(
                "%d upload sessions and %d other uploads %s",
                *(len(report.sessions), report.others, would),
            )
