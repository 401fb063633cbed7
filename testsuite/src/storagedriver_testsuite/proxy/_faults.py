"""Which rule acts on which request, what it does to an answer, and what was seen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from urllib.parse import parse_qsl, urlencode

from storagedriver_testsuite.proxy._http import Head
from storagedriver_testsuite.proxy._rules import Exchange, Fault

_SECRET = re.compile(r"sig|credential|token|secret|key|policy|upload_id|session", re.IGNORECASE)
# Keys of a query that are no secret, though they look like one.
_PLAIN = frozenset({"key-marker", "encoding-type", "start-after", "key"})
KEPT_BYTES = 64 * 1024 * 1024


class Rules:
    """The rules of one proxy, how often each has matched, and the log.

    Attributes:
        log: The requests, in the order in which they came.
        idle: Set while none is under way, those that hang left out.
        whole: What passed under `ignore_range`: the head and body of each path.
    """

    def __init__(self) -> None:
        self.log: list[Exchange] = []
        self.idle = asyncio.Event()
        self.idle.set()
        self._running = 0
        self.whole: dict[str, tuple[Head, bytes]] = {}
        self._rules: list[tuple[Fault, re.Pattern[str], re.Pattern[str]]] = []
        self._matched: list[int] = []
        self._cleared = asyncio.Event()

    def add(self, fault: Fault) -> None:
        """Add a rule behind those that are there."""
        self._rules.append((fault, re.compile(fault.method), re.compile(fault.target)))
        self._matched.append(0)

    def clear(self) -> None:
        """Drop every rule; what hangs is cut off."""
        self._rules, self._matched = [], []
        self.whole = {}
        self._cleared.set()
        self._cleared = asyncio.Event()

    def began(self) -> None:
        """Say that a request is under way."""
        self._running += 1
        self.idle.clear()

    def ended(self) -> None:
        """Say that one no longer is."""
        self._running -= 1
        if not self._running:
            self.idle.set()

    async def hang(self) -> None:
        """Wait until the rules are cleared."""
        cleared = self._cleared
        self.ended()
        try:
            await cleared.wait()
        finally:
            self.began()

    def find(self, head: Head) -> Fault | None:
        """Give the rule that acts on a request, which every rule counts that fits it."""
        acting = None
        for index, (fault, method, target) in enumerate(self._rules):
            if not method.fullmatch(head.method):
                continue
            if not target.search(f"{head.method} {head.target}"):
                continue
            self._matched[index] += 1
            number = self._matched[index]
            last = None if fault.times is None else fault.nth + fault.times - 1
            if acting is None and number >= fault.nth and (last is None or number <= last):
                acting = fault
        return acting

    def entry(self, head: Head, fault: Fault | None) -> Exchange:
        """Enter a request in the log."""
        path, _, query = head.target.partition("?")
        exchange = Exchange(head.method, path, _without_secrets(query))
        if fault is not None:
            exchange.fault = fault.action
        self.log.append(exchange)
        return exchange


def _without_secrets(query: str) -> str:
    kept = [
        (key, "…" if _SECRET.search(key) and key not in _PLAIN else value)
        for key, value in parse_qsl(query, keep_blank_values=True)
    ]
    return urlencode(kept, safe="/…")


def changed_head(head: Head, fault: Fault | None) -> Head:
    """Give the head of an answer as a rule wants it."""
    length = head.get("content-length")
    if fault is None or fault.action != "shorten" or not length:
        return head
    keep = int(length) // 2 if fault.size is None else fault.size
    return Head(head.start, [*head.without("content-length"), ("Content-Length", str(keep))])


async def changed_body(
    body: AsyncIterator[bytes], length: int, fault: Fault | None
) -> AsyncGenerator[bytes, None]:
    """Give the body of an answer as a rule wants it.

    Args:
        body: Its pieces.
        length: Its bytes as the head says, or 0 if it does not.
        fault: The rule.
    """
    action = fault.action if fault is not None else "pass"
    if fault is None or action not in ("drip", "truncate", "shorten", "corrupt"):
        async for piece in body:
            yield piece
    elif action == "drip":
        async for piece in body:
            size = fault.size or 1024
            for start in range(0, len(piece), size):
                yield piece[start : start + size]
                await asyncio.sleep(fault.seconds)
    elif action == "corrupt":
        async for piece in corrupted(body, length // 2):
            yield piece
    else:
        left = length // 2 if fault.size is None else fault.size
        async for piece in body:
            if left > 0:
                yield piece[:left]
            left -= len(piece)


async def corrupted(body: AsyncIterator[bytes], position: int) -> AsyncIterator[bytes]:
    """Give a body of which the byte at a position is another one."""
    start = 0
    async for piece in body:
        at = position - start
        start += len(piece)
        if 0 <= at < len(piece):
            piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
        yield piece
