"""Parts of files: what is in memory is sent on the loop, and the rest by the kernel, in a thread.

```text
                ┌─ in memory ──► the loop's buffer ──► connection     (no disk is waited for)
  part of file ─┤
                └─ on the disk ──────── sendfile ────► connection     (in a thread)
```
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import suppress

TURN_BYTES = 768 * 1024
"""Most bytes of one connection, before others have their turn."""

# As little is read for a client that takes little at a time.
_LEAST_BYTES = 64 * 1024
# What is read at a time of a file that the kernel does not send.
_READ_BYTES = 128 * 1024

# Some filesystems, of FUSE and of networks, have files that are read, but not sent.
_NOT_SENT = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})

# Not every system says what is in memory; nothing is then.
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
# Nor does every one wait for more before it sends a packet.
_MORE: int = getattr(socket, "MSG_MORE", 0)


class FileSender:
    """Sends parts of files over a connection that a transport of the loop has.

    The connection is waited for by a descriptor of its own, for the loop knows the other as the
    transport's.

    Args:
        loop: The event loop.
        connection: Descriptor of the connection; it blocks nobody.
        buffer: `TURN_BYTES` for what is in memory, on its way; all senders of the loop share it.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: int, buffer: memoryview
    ) -> None:
        self._loop = loop
        self._buffer = buffer
        self._most = TURN_BYTES
        self._socket = socket.socket(fileno=os.dup(connection))
        self._waiting: asyncio.Future[None] | None = None
        self._is_gone = False

    async def send(self, head: bytes, file: int, offset: int, count: int) -> bool:
        """Send what goes before it, and a part of a file; to a client that is gone nothing.

        Returns:
            Whether all was sent. If not, the client is gone, or the file's server.

        Raises:
            RuntimeError: The file ends before the part does.
        """
        with suppress(ConnectionError, TimeoutError):
            # In one packet with what follows it.
            await self._send_head(head, _MORE if count else 0)
            end = offset + count
            while offset < end and not self._is_gone:
                sent = await self._send_some(file, offset, min(end - offset, TURN_BYTES))
                if sent == 0:
                    raise RuntimeError(f"a file is {end - offset} bytes shorter than announced")
                offset += sent or 0
            return offset == end
        return False

    def leave(self) -> None:
        """Note that the client is gone."""
        self._is_gone = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Let go of the connection."""
        self._socket.close()

    async def _send_head(self, head: bytes, flags: int) -> None:
        while head and not self._is_gone:
            try:
                head = head[self._socket.send(head, flags) :]
            except BlockingIOError:
                await self._room()

    async def _send_some(self, file: int, offset: int, count: int) -> int | None:
        """Send a part, or the beginning of it; give its size, or None if there is no room now."""
        try:
            piece = _read_from_memory(file, offset, self._buffer[: min(count, self._most)])
            if not piece:
                return await self._send_from_disk(file, offset, count)
            sent = self._socket.send(piece)
        except BlockingIOError:
            await self._room()
            return None
        self._most = min(TURN_BYTES, max(_LEAST_BYTES, 2 * sent))
        if sent < len(piece):
            await self._room()
        else:
            await asyncio.sleep(0)
        return sent

    async def _send_from_disk(self, file: int, offset: int, count: int) -> int:
        sending = self._loop.run_in_executor(None, _send_part, self._socket, file, offset, count)
        is_cancelled = False
        # A thread cannot be cancelled, and its descriptors must stay until it is done.
        while not sending.done():
            try:
                await asyncio.wait({sending})
            except asyncio.CancelledError:
                is_cancelled = True
        if is_cancelled:
            sending.exception()  # taken note of, or the loop would complain
            raise asyncio.CancelledError
        try:
            return sending.result()
        finally:
            del sending  # its error would refer to it by this call

    async def _room(self) -> None:
        """Wait until the client has taken something, or is gone."""
        if self._is_gone:
            return
        waiting = self._waiting = self._loop.create_future()
        self._loop.add_writer(self._socket.fileno(), _let_go, waiting)
        try:
            await waiting
        finally:
            self._loop.remove_writer(self._socket.fileno())
            self._waiting = None


def _read_from_memory(file: int, offset: int, buffer: memoryview) -> memoryview:
    """Give what is in memory of the beginning of a part; nothing where that cannot be told."""
    size = 0
    if _NOWAIT is not None:
        with suppress(OSError):
            size = os.preadv(file, [buffer], offset, _NOWAIT)
    return buffer[:size]


def _send_part(connection: socket.socket, file: int, offset: int, count: int) -> int:
    """Send a part of a file, or the beginning of it, and give its size.

    Raises:
        BlockingIOError: There is no room now.
    """
    try:
        return os.sendfile(connection.fileno(), file, offset, count)
    except OSError as error:
        if error.errno not in _NOT_SENT:
            raise
    piece = os.pread(file, min(count, _READ_BYTES), offset)
    return connection.send(piece) if piece else 0


def _let_go(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
