"""The SFTP sessions of one connection, and when one of them counts as gone.

paramiko's session is for one thread at a time, so there are several on one connection, each behind
a lock. A session ends when its process at the server does, while the connection lives. It is also
ended here, by whatever may have left half of a packet behind: who comes next would read from the
middle of it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from storagedriver_core import StorageDriverError, UnavailableError

_SESSIONS = 8
"""A server allows ten on one connection, unless it is told otherwise (sshd_config, MaxSessions)."""

SILENCE_SECONDS = 60.0
"""After this time without an answer the server counts as gone."""


class Wire:
    """A channel as paramiko's client uses it, closed by the first failure.

    Here rather than where errors are caught: paramiko's files swallow some when they are closed.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent and answered."""
        return not (self._channel.closed or self._channel.eof_received)

    def get_name(self) -> str:
        """Give the name that paramiko logs."""
        name: str = self._channel.get_name()
        return name

    def send(self, data: bytes) -> int:
        """Send some of the bytes; 0 says that the channel is closed."""
        with self._closed_by_failure():
            sent: int = self._channel.send(data)
        if not sent:
            self.close()
        return sent

    def recv(self, size: int) -> bytes:
        """Give some bytes, none at the end."""
        with self._closed_by_failure():
            data: bytes = self._channel.recv(size)
        if not data:
            self.close()
        return data

    def close(self) -> None:
        """Close the channel, which ends the session's process at the server."""
        # Of a connection that is gone there is nothing to close.
        with suppress(Exception):
            self._channel.close()

    @contextmanager
    def _closed_by_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise


class Session:
    """One SFTP session, used by one thread at a time.

    Args:
        client: paramiko's.
    """

    def __init__(self, client: Any) -> None:
        self.lock = threading.Lock()
        channel = client.get_channel()
        channel.settimeout(SILENCE_SECONDS)
        self._wire = client.sock = Wire(channel)
        self.client = client

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent and answered."""
        return self._wire.is_open

    @contextmanager
    def use(self) -> Iterator[None]:
        """Give the session to this thread.

        Raises:
            UnavailableError: The session is gone.
        """
        with self.lock:
            if not self.is_open:
                raise UnavailableError("the SFTP session is gone")
            try:
                yield
            except BaseException as error:
                # An OSError is a status, which leaves the session in order, or the wire's, which
                # has closed it. What else there is says that the server is not understood.
                if not isinstance(error, OSError | StorageDriverError):
                    self._wire.close()
                if not self.is_open and type(error) is OSError and error.errno is None:
                    # paramiko's for a closed channel has the look of a status. Neither has done
                    # anything: the one was not sent, the other says no.
                    raise UnavailableError("the SFTP session is gone") from error
                raise


class Sessions:
    """The sessions of one connection, which is made anew when it is lost.

    Args:
        make: Makes fsspec's filesystem, and by it the connection.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._fs: Any = None
        self._sessions: list[Session] = []
        self._turns = itertools.count()
        self._connecting = threading.Lock()

    @contextmanager
    def use(self) -> Iterator[Session]:
        """Give a session to this thread: one that is free, or one that soon will be."""
        while True:
            session = self._pick()
            with ExitStack() as held:
                try:
                    held.enter_context(session.use())
                except UnavailableError:
                    continue  # it has ended under who had it before
                yield session
                return

    def close(self) -> None:
        """Disconnect. Idempotent."""
        with self._connecting:
            self._disconnect()

    def _pick(self) -> Session:
        with self._connecting:
            if self._fs is not None and not self._is_connected():
                self._disconnect()
            self._sessions = [each for each in self._sessions if each.is_open]
            if self._fs is None:
                self._connect()
            free = next((each for each in self._sessions if not each.lock.locked()), None)
            if free is None and len(self._sessions) < _SESSIONS:
                free = self._another()
            if free is None and not self._sessions:
                # A connection that gives no session is of no use any more.
                self._disconnect()
                self._connect()
            return free or self._sessions[next(self._turns) % len(self._sessions)]

    def _connect(self) -> None:
        self._fs = self._make()
        # As long for a session as for an answer: paramiko waits for an hour.
        self._fs.client.get_transport().channel_timeout = SILENCE_SECONDS
        self._sessions = [Session(self._fs.ftp)]

    def _another(self) -> Session | None:
        import paramiko

        try:
            session = Session(self._fs.client.open_sftp())
        except (paramiko.SSHException, EOFError, OSError):
            return None  # the server allows no more, or is gone
        self._sessions.append(session)
        return session

    def _is_connected(self) -> bool:
        transport = self._fs.client.get_transport()
        return transport is not None and transport.is_active()

    def _disconnect(self) -> None:
        fs, self._fs, self._sessions = self._fs, None, []
        if fs is not None:
            transport = fs.client.get_transport()
            fs.client.close()
            if transport is not None:
                transport.join(5.0)  # its thread takes a moment to end
