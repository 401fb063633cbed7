"""A body of `SyncStorage.put_content` that is read in the thread of the caller, who waits anyway.

```text
  caller's thread   waits ──► next chunk ──► waits ──► ...     until the operation is over
                      ▲           │
                 ask  │           ▼  answer
  event loop        put_content ... writes ─────► asks again
```

What gives the chunks may belong to that thread, as a request's context or a database's connection
does; and an interrupt (Ctrl-C) reaches it there, where no other thread could be stopped.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from storagedriver_core._loop_thread import MOST_SECONDS_OF_A_WAIT
from storagedriver_core._types import Buffer

_END = object()


class CallersBody:
    """The chunks of an iterator, handed over to an event loop as it asks for them.

    Args:
        source: Is advanced in the thread that calls `serve`.
    """

    def __init__(self, source: Iterator[Buffer]) -> None:
        self._source = source
        self._asked: queue.SimpleQueue[asyncio.Future[Any] | None] = queue.SimpleQueue()

    async def chunks(self) -> AsyncGenerator[Buffer, None]:
        """Give the chunks, on the loop."""
        loop = asyncio.get_running_loop()
        while True:
            answer: asyncio.Future[Any] = loop.create_future()
            self._asked.put(answer)
            if (chunk := await answer) is _END:
                return
            yield chunk

    def serve(self, operation: Future[Any]) -> None:
        """Give each chunk that is asked for, until the operation is over.

        What the source raises, the operation gets; but an interrupt comes out here.
        """
        operation.add_done_callback(lambda _: self._asked.put(None))
        while (answer := self._next()) is not None:
            chunk: object = None
            failure: Exception | None = None
            try:
                chunk = next(self._source, _END)
            except Exception as error:
                failure = error
            with suppress(RuntimeError):  # the loop has ended, with the storage
                answer.get_loop().call_soon_threadsafe(_settle, answer, chunk, failure)

    def _next(self) -> asyncio.Future[Any] | None:
        while True:
            with suppress(queue.Empty):
                return self._asked.get(timeout=MOST_SECONDS_OF_A_WAIT)


def _settle(answer: asyncio.Future[Any], chunk: object, failure: Exception | None) -> None:
    if answer.done():  # the operation was cancelled meanwhile
        return
    if failure is not None:
        answer.set_exception(failure)
    else:
        answer.set_result(chunk)
