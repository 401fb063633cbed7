"""Connections that do next to nothing, all in one process: idle ones, and slow readers."""

from __future__ import annotations

import multiprocessing
import resource
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from benchmarks.registry_crowd._fast import Place
from benchmarks.registry_load._plan import KIB, MIB
from benchmarks.registry_load._wire import SECONDS, Connection, LoadError

_CONTEXT = multiprocessing.get_context("fork")
# So little that the server, not the kernel, holds what is to come.
_WINDOW = 64 * KIB
# More than kernels keep of what a server has sent: who gets so much is served still.
_BUFFERED = 8 * MIB
_SPARE_FILES = 100


@dataclass(frozen=True, slots=True)
class Numbers:
    """How many there are, and how slow.

    Attributes:
        idle: Connections that have asked once.
        slow: Connections that read a blob.
        step: Bytes that each of these takes at a time.
        pause: Seconds between two of these steps.
    """

    idle: int
    slow: int
    step: int = 16 * KIB
    pause: float = 0.5


class Crowd:
    """The crowd, from when all have been answered once until the block ends.

    Args:
        place: What is read.
        numbers: How many they are.

    Raises:
        LoadError: One was not answered, or not rightly, or was cut off; also at the end.
    """

    def __init__(self, place: Place, numbers: Numbers) -> None:
        self._place = place
        self._numbers = numbers

    def __enter__(self) -> Self:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=_run, args=(theirs, self._place, self._numbers), daemon=True
        )
        self._process.start()
        # Else the end of the process would not be the end of what it says.
        theirs.close()
        try:
            self._listen()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc is None:
                self._pipe.send("go")
                self._listen()
        finally:
            self._end()

    def _listen(self) -> None:
        if not self._pipe.poll(SECONDS):
            raise LoadError(f"the crowd was not answered in {SECONDS} s")
        try:
            said: str = self._pipe.recv()
        except EOFError:
            said = "it ended before it had said anything"
        if said:
            raise LoadError(f"the crowd: {said}")

    def _end(self) -> None:
        self._process.terminate()
        self._process.join()
        self._pipe.close()


def _run(pipe: Pipe, place: Place, numbers: Numbers) -> None:
    try:
        with ExitStack() as stack:
            _allow(numbers.idle + numbers.slow)
            idle = [stack.enter_context(Connection(place.url)) for _ in range(numbers.idle)]
            for connection in idle:
                connection.expect(200, "GET", "/v2/")
            slow = [stack.enter_context(_SlowReader(place)) for _ in range(numbers.slow)]
            for reader in slow:
                reader.begin()
            pipe.send("")
            while not pipe.poll(numbers.pause):
                for reader in slow:
                    reader.read(numbers.step)
            for connection in idle:
                connection.expect(200, "GET", "/v2/")
            for reader in slow:
                reader.read_on(_BUFFERED)
            pipe.send("")
    except (LoadError, OSError) as exc:
        pipe.send(f"{type(exc).__name__}: {exc}")


def _allow(files: int) -> None:
    """Let this process have so many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + _SPARE_FILES
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


class _SlowReader:
    """One connection that takes a little of the large blob whenever it is told to."""

    def __init__(self, place: Place) -> None:
        parts = urlsplit(place.url)
        self._host = parts.netloc
        self._path, self._content = place.large
        self._at = 0
        self._socket = socket.socket()
        # Before it connects: the window is agreed on then.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW)
        self._socket.settimeout(SECONDS)
        self._socket.connect((parts.hostname, parts.port))

    def begin(self) -> None:
        """Ask, and read the head of the answer."""
        self._socket.sendall(f"GET {self._path} HTTP/1.1\r\nhost: {self._host}\r\n\r\n".encode())
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._some(4 * KIB)
        if not received.startswith(b"HTTP/1.1 200 "):
            raise LoadError(f"GET {self._path}: {received[:end]!r}")
        self._take(received[end + 4 :])

    def read(self, count: int) -> None:
        """Take so many bytes at most; after the last one nothing happens."""
        if self._at < len(self._content):
            self._take(self._some(count))

    def read_on(self, count: int) -> None:
        """Take so many bytes, or the rest, without a pause."""
        end = min(self._at + count, len(self._content))
        while self._at < end:
            self._take(self._some(end - self._at))

    def _some(self, count: int) -> bytes:
        data = self._socket.recv(count)
        if not data:
            raise LoadError(f"a slow reader was cut off after {self._at} bytes")
        return data

    def _take(self, data: bytes) -> None:
        if data != self._content[self._at : self._at + len(data)]:
            raise LoadError(f"a slow reader got other bytes after {self._at}")
        self._at += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()
