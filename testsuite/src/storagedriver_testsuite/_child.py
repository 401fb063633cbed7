"""Running a coroutine function in another process, which can be killed at any moment.

The child is `python -m storagedriver_testsuite.child`; it reads one pickle from its standard input
and writes JSON lines to its standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from storagedriver_core import Storage

if TYPE_CHECKING:
    from typing import Self


class Child:
    """One child process; `async with` starts it and, at the end, kills it if it still runs."""

    def __init__(
        self,
        storage: Storage,
        function: Callable[..., Awaitable[None]],
        arguments: tuple[Any, ...],
        prefix: Sequence[str] = (),
    ) -> None:
        target = f"{function.__module__}:{function.__qualname__}"
        # By source file too: a test module may be on no import path.
        source = function.__code__.co_filename
        self._order = pickle.dumps((sys.path, target, source, storage, arguments))
        self._prefix = prefix
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._prefix,
            sys.executable,
            "-m",
            "storagedriver_testsuite.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._order)
        self._process.stdin.close()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        await self._running().communicate()

    async def said(self) -> Any:
        """Give the next value that the child said.

        Raises:
            AssertionError: The child has ended without another word.
        """
        stdout = self._running().stdout
        assert stdout is not None
        line = await stdout.readline()
        assert line, "the child process ended without another word"
        return json.loads(line)

    def kill(self) -> None:
        """Send SIGKILL. Does nothing if the process has ended."""
        process = self._running()
        if process.returncode is None:
            # Not `send_signal`, which looks whether the process has ended, and then takes the exit
            # code from under the hands of asyncio's own watcher.
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end and give the exit code; negative for a signal."""
        return await self._running().wait()

    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "the child is started by 'async with'"
        return self._process
