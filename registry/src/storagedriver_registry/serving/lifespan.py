"""Starting an application up, and shutting it down. Source: ASGI's "Lifespan Protocol"."""

from __future__ import annotations

import asyncio
import logging

from storagedriver_registry.api.request import ASGIApp, Message
from storagedriver_registry.serving.errors import StartError

logger = logging.getLogger(__name__)


class Lifespan:
    """The life of one application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._orders: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._life: asyncio.Future[None] | None = None
        self._started = False

    async def start(self) -> None:
        """Start the application up.

        Raises:
            StartError: It does not start up; the text is what it says.
        """
        self._life = asyncio.ensure_future(self._live())
        answer = await self._order("startup")
        if answer["type"] != "lifespan.startup.complete":
            raise StartError(answer.get("message", "") or "the application does not start up")
        self._started = True

    async def stop(self) -> None:
        """Shut it down. What fails then is logged."""
        if self._life is None or self._life.done():
            return
        if not self._started:
            self._life.cancel()
            await asyncio.wait({self._life})
            return
        answer = await self._order("shutdown")
        if answer["type"] != "lifespan.shutdown.complete":
            logger.error("the application was not shut down in order: %s", answer.get("message"))
        await self._life

    async def _order(self, order: str) -> Message:
        await self._orders.put({"type": f"lifespan.{order}"})
        return await self._answers.get()

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        try:
            await self._app(scope, self._orders.get, self._answers.put)
        except Exception as error:
            await self._answers.put({"type": "lifespan.failed", "message": str(error)})
