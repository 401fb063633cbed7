"""A program that is started, watched, and started again when it ends before its time.

It is given one line of JSON on its standard input, which then stays open: its end is the program's,
too, so that none outlives whoever started it, however that ended. When it listens it says so in
one line on its standard output. What it writes to its standard error goes to the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from storagedriver_core import ConfigurationError, StorageDriverError, UnavailableError
from storagedriver_remote._client import VERSION

PREFIX = "registry-storagedriver-"

_STOP_SECONDS = 5.0
_LAST_WORDS_SECONDS = 1.0
# A program that has lived so long has not failed to start.
_LIVED_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_WORDS = 300
# Of whoever is called wrongly or configured wrongly; also the command's own.
_WRONG_CONFIGURATION = 2

_logger = logging.getLogger(__name__)


class Child:
    """The program of one driver.

    Args:
        name: The last part of its name.
        parameters: Its configuration.
        start_seconds: How long it may take until it listens, and how long a call waits for that.
    """

    def __init__(self, name: str, parameters: Mapping[str, Any], start_seconds: float) -> None:
        self._name = name
        self._parameters = dict(parameters)
        self._seconds = start_seconds
        self._program = ""
        self._directory = ""
        self._run: _Run | None = None
        self._up = asyncio.Event()
        self._failures = 0
        self._last_words = ""
        self._is_closing = False
        self._pause: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The number of its process; None while none runs."""
        return self._run.pid if self._run is not None and self._up.is_set() else None

    async def start(self) -> str:
        """Start it, and give the address that it listens at.

        Raises:
            ConfigurationError: There is no such program, it cannot be executed, or it refuses its
                configuration.
            UnavailableError: It ended, or was not ready in time.
        """
        program = await asyncio.to_thread(shutil.which, f"{PREFIX}{self._name}")
        if program is None:
            raise ConfigurationError(f"no program {PREFIX}{self._name} on the PATH")
        self._program = program
        # Nobody else may enter it, so that the socket needs no token.
        self._directory = await asyncio.to_thread(tempfile.mkdtemp, prefix="storagedriver-")
        try:
            await self._start_once()
        except StorageDriverError:
            raise  # several of them are OSErrors as well
        except OSError as error:
            why = error.strerror or error
            raise ConfigurationError(f"{PREFIX}{self._name} cannot be executed: {why}") from error
        return f"unix:{self._directory}/socket"

    async def ready(self) -> None:
        """Return when it listens, at once if it does.

        Raises:
            UnavailableError: It does not, for all of `start_seconds`.
        """
        if self._up.is_set():
            return
        try:
            async with asyncio.timeout(self._seconds):
                await self._up.wait()
        except TimeoutError:
            raise UnavailableError(f"{PREFIX}{self._name} does not run{self._said()}") from None

    async def aclose(self) -> None:
        """End it, and remove what was made for it. Idempotent."""
        self._is_closing = True
        if self._pause is not None:
            self._pause.cancel()
        try:
            if self._starting is not None:
                self._starting.cancel()
                await asyncio.wait([self._starting])
            run, self._run = self._run, None
            if run is not None:
                await run.end()
        finally:
            if self._directory:
                await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _start_once(self) -> None:
        """Start it and wait until it listens; what does not is ended."""
        # Of the run before, if it was killed.
        await asyncio.to_thread(Path(self._directory, "socket").unlink, missing_ok=True)
        order = {
            "version": VERSION,
            "listen": f"unix:{self._directory}/socket",
            "parameters": self._parameters,
        }
        loop = asyncio.get_running_loop()
        run = _Run(self._name, loop)
        await run.begin(self._program, order)
        self._run = run
        try:
            async with asyncio.timeout(self._seconds):
                either: list[asyncio.Future[Any]] = [run.listens, run.ended]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            await run.end()
            raise UnavailableError(f"{PREFIX}{self._name} was not ready in time") from None
        except BaseException:
            await run.end()
            raise
        self._last_words = run.last_words
        if run.ended.done():
            code = run.ended.result()
            message = f"{PREFIX}{self._name} ended with code {code}{self._said()}"
            if code == _WRONG_CONFIGURATION:
                raise ConfigurationError(message)
            raise UnavailableError(message)
        self._up.set()
        started = loop.time()
        run.ended.add_done_callback(lambda _: self._ended(run, started))
        _logger.debug("%s%s runs as process %d", PREFIX, self._name, run.pid)

    def _ended(self, run: _Run, started: float) -> None:
        self._up.clear()
        self._last_words = run.last_words
        if self._is_closing:
            return
        code = run.ended.result()
        _logger.warning("%s%s ended with code %s, and is started again", PREFIX, self._name, code)
        if asyncio.get_running_loop().time() - started > _LIVED_SECONDS:
            self._failures = 0
        self._start_later()

    def _start_later(self) -> None:
        """Start it again: at once the first time, then after pauses that grow."""
        pause = 0.0
        if self._failures:
            pause = min(_FIRST_PAUSE * 2.0 ** (self._failures - 1), _LONGEST_PAUSE)
        self._failures += 1
        self._pause = asyncio.get_running_loop().call_later(pause, self._start_again)

    def _start_again(self) -> None:
        self._starting = asyncio.create_task(self._try_to_start())

    async def _try_to_start(self) -> None:
        try:
            await self._start_once()
        except (ConfigurationError, UnavailableError, OSError) as error:
            _logger.warning("%s", error)
            if not self._is_closing:
                self._start_later()

    def _said(self) -> str:
        return f": {self._last_words}" if self._last_words else ""


class _Run(asyncio.SubprocessProtocol):
    """One life of the program. It takes callbacks, so that no task runs while nothing happens.

    Attributes:
        listens: Done when it listens.
        ended: Its exit code, when it has ended.
        last_words: The last line of its standard error.
        pid: The number of its process.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.listens: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.last_words = ""
        self.pid = 0
        self._name = name
        self._loop = loop
        self._lines = {1: b"", 2: b""}

    async def begin(self, program: str, order: Mapping[str, Any]) -> None:
        """Start the process, and give it its order.

        Raises:
            OSError: It cannot be executed; there is nothing to end.
        """
        # A session of its own: Ctrl-C is for whoever started it, who then ends it in order.
        await self._loop.subprocess_exec(
            lambda: self, program, env=os.environ.copy(), start_new_session=True
        )
        self.pid = self._transport.get_pid()
        stdin = self._transport.get_pipe_transport(0)
        assert isinstance(stdin, asyncio.WriteTransport)
        stdin.write(json.dumps(order).encode() + b"\n")

    async def end(self) -> None:
        """Close its standard input, and kill it if it does not go."""
        if not self.ended.done():
            stdin = self._transport.get_pipe_transport(0)
            if stdin is not None:
                stdin.close()
            await asyncio.wait([self.ended], timeout=_STOP_SECONDS)
        if not self.ended.done():
            with suppress(ProcessLookupError):
                self._transport.kill()
            await asyncio.wait([self.ended])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._lines[fd] = (self._lines[fd] + data).split(b"\n")
        self._lines[fd] = self._lines[fd][-_WORDS:]
        for line in lines:
            self._hear(fd, line.decode(errors="replace").rstrip())

    def process_exited(self) -> None:
        # What it said last is still on its way, and others may hold its pipes open.
        self._loop.call_later(_LAST_WORDS_SECONDS, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            code = self._transport.get_returncode()
            self._transport.close()
            self.ended.set_result(-1 if code is None else code)

    def _hear(self, fd: int, line: str) -> None:
        if fd == 1 and not self.listens.done() and line.startswith('{"ready"'):
            self.listens.set_result(None)
        elif line:
            self.last_words = line[:_WORDS]
            _logger.info("%s%s: %s", PREFIX, self._name, line)
