"""The proxy's process, as a case sees it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from storagedriver_testsuite.proxy._rules import Exchange, Fault

if TYPE_CHECKING:
    from typing import Self

_LINE_BYTES = 64 * 1024 * 1024


class Proxy:
    """A fault proxy in front of a server; `async with` starts it and, at the end, stops it.

    Args:
        upstream: Base URL of the server.

    Attributes:
        url: The proxy's own, to use in the server's place.
    """

    url: str

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "storagedriver_testsuite.proxy",
            self._upstream,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self.url = await self._answer()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        assert process is not None
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()

    async def add(self, *faults: Fault) -> None:
        """Add rules, behind those that are there; each counts requests from now on."""
        await self._order(do="add", faults=[fault.to_json() for fault in faults])

    async def clear(self) -> None:
        """Drop every rule; what hangs is reset."""
        await self._order(do="clear")

    @asynccontextmanager
    async def faults(self, *faults: Fault) -> AsyncIterator[None]:
        """Have these rules alone while the context lasts."""
        await self.clear()
        await self.add(*faults)
        try:
            yield
        finally:
            await self.clear()

    @asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Refuse connections while the context lasts; those that are there are broken."""
        await self._order(do="listen", wanted=False)
        try:
            yield
        finally:
            await self._order(do="listen", wanted=True)

    async def log(self) -> list[Exchange]:
        """Give the requests since the start, or since `forget`, once none is under way."""
        return [Exchange(**entry) for entry in await self._order(do="log")]

    async def forget(self) -> None:
        """Empty the log."""
        await self._order(do="forget")

    async def counts(self) -> Counter[str]:
        """Count the requests of the log by method."""
        return Counter(entry.method for entry in await self.log())

    async def _order(self, **order: Any) -> Any:
        assert self._process is not None and self._process.stdin is not None
        async with self._lock:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            return await self._answer()

    async def _answer(self) -> Any:
        assert self._process is not None and self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the fault proxy has ended")
        return json.loads(line)
