"""One connection of a client, whose requests are passed on one after the other."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

from storagedriver_testsuite.proxy._faults import (
    KEPT_BYTES,
    Rules,
    changed_body,
    changed_head,
    corrupted,
)
from storagedriver_testsuite.proxy._http import (
    CHUNKED,
    HEAD_BYTES,
    UNTIL_CLOSE,
    Framing,
    Head,
    answer_framing,
    end_of,
    framed,
    pieces,
    read_head,
    request_framing,
)
from storagedriver_testsuite.proxy._rules import Exchange, Fault

# Bodies of these kinds, up to so many bytes, may name the server.
_TEXT = re.compile(r"xml|json")
_TEXT_BYTES = 64 * 1024
_RANGES = ("range", "x-ms-range")
_REASONS = {200: "OK", 206: "Partial Content", 308: "Resume Incomplete", 404: "Not Found"}


class ResetError(Exception):
    """The connection is to be reset: a rule wants it, or the client has broken off."""


class Relay:
    """Serves one connection; the server has a connection of its own for it.

    Args:
        rules: What to do.
        host: The server's.
        port: The server's.
        upstream: The server's base URL, which answers may hold.
        own: What comes in its place.
        client: The connection, as asyncio gives it.
    """

    def __init__(
        self,
        rules: Rules,
        host: str,
        port: int,
        upstream: bytes,
        own: bytes,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._rules = rules
        self._host, self._port = host, port
        self._upstream, self._own = upstream, own
        self._reader, self._writer = client
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        """Pass on what comes, until the connection ends."""
        try:
            while (head := await read_head(self._reader)) is not None:
                self._rules.began()
                try:
                    goes_on = await self._exchange(head)
                finally:
                    self._rules.ended()
                if not goes_on:
                    break
        except ResetError:
            self._reset()
        except (ConnectionError, TimeoutError, OSError):
            # The server broke off, so the client sees the same; or the client did.
            self._reset()
        finally:
            self._drop_server()
            self._writer.close()

    def _reset(self) -> None:
        sock = self._writer.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def _drop_server(self) -> None:
        if self._server is not None:
            self._server[1].close()
            self._server = None

    async def _to_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._server is not None and self._server[0].at_eof():
            self._drop_server()
        if self._server is None:
            self._server = await asyncio.open_connection(self._host, self._port, limit=HEAD_BYTES)
        return self._server

    # One exchange ------------------------------------------------------------------------------

    async def _exchange(self, head: Head) -> bool:
        """Pass on one request and its answer; tell whether the connection goes on."""
        fault = self._rules.find(head)
        entry = self._rules.entry(head, fault)
        action = fault.action if fault is not None else "pass"
        if fault is None or action == "pass":
            return await self._pass_on(head, entry, None)
        if action == "reset_before" or (action == "reset_during" and not request_framing(head)):
            raise ResetError
        if action == "hang":
            await self._rules.hang()
            raise ResetError
        if action == "answer":
            return await self._answer(head, entry, fault)
        if action == "ignore_range" and any(map(head.get, _RANGES)):
            whole = self._rules.whole.get(entry.path)
            if whole is not None:
                return await self._give_whole(head, entry, *whole)
        return await self._pass_on(head, entry, fault)

    async def _pass_on(self, head: Head, entry: Exchange, fault: Fault | None) -> bool:
        reader, writer = await self._to_server()
        framing = request_framing(head)
        writer.write(head.encode())
        sending = asyncio.create_task(self._send(writer, framing, entry, fault))
        answering = asyncio.create_task(self._answer_head(reader))
        try:
            await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and isinstance(sending.exception(), ResetError):
                raise ResetError
            answer = await answering
            goes_on = await self._pass_back(head, answer, entry, fault)
            # A server may answer before it has the whole body; then neither goes on.
            if not sending.done():
                await asyncio.wait({sending}, timeout=0.2)
            complete = sending.done() and sending.exception() is None
        finally:
            for task in (sending, answering):
                task.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)
        if not answer.keeps_alive or not complete:
            self._drop_server()
        return goes_on and complete

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        framing: Framing,
        entry: Exchange,
        fault: Fault | None,
    ) -> None:
        action = fault.action if fault is not None else "pass"
        length = max(framing or 0, 0)
        body = pieces(self._reader, framing)
        if action == "corrupt_request":
            body = corrupted(body, length // 2)
        most = length // 2 if action == "reset_during" else None
        async for piece in _or_reset(body):
            if most is not None:
                piece = piece[: max(most - entry.sent, 0)]
            entry.sent += len(piece)
            if piece:
                writer.writelines(framed(piece, framing))
                await writer.drain()
            if most is not None and entry.sent >= most:
                # What was sent so far is to arrive.
                await asyncio.sleep(0.01)
                raise ResetError
        writer.writelines(end_of(framing))
        await writer.drain()

    async def _answer_head(self, reader: asyncio.StreamReader) -> Head:
        while True:
            answer = await read_head(reader)
            if answer is None:
                raise ConnectionResetError("the server closed the connection")
            if answer.status >= 200:
                return answer
            self._writer.write(answer.encode())

    async def _pass_back(
        self, head: Head, answer: Head, entry: Exchange, fault: Fault | None
    ) -> bool:
        assert self._server is not None
        framing = answer_framing(answer, head.method)
        body: AsyncIterator[bytes] = pieces(self._server[0], framing)
        if fault is not None and (fault.action == "reset_after" or fault.acts):
            async for _ in body:
                pass
            if fault.action == "reset_after":
                raise ResetError
            return True
        if fault is not None and fault.action == "slow":
            await asyncio.sleep(fault.seconds)
        answer, body, framing = await self._in_own_name(answer, body, framing)
        if fault is not None and fault.action == "ignore_range":
            body = self._kept(entry.path, answer, body)
        head_sent = changed_head(answer, fault)
        length = max(framing or 0, 0)
        entry.status = answer.status
        self._writer.write(head_sent.encode())
        async with aclosing(changed_body(body, length, fault)) as changed:
            async for piece in changed:
                entry.received += len(piece)
                self._writer.writelines(framed(piece, framing))
                await self._writer.drain()
        if fault is not None and fault.action == "truncate":
            return False
        self._writer.writelines(end_of(framing))
        await self._writer.drain()
        return framing != UNTIL_CLOSE and head.keeps_alive and answer.keeps_alive

    async def _in_own_name(
        self, answer: Head, body: AsyncIterator[bytes], framing: Framing
    ) -> tuple[Head, AsyncIterator[bytes], Framing]:
        """Put the proxy's URL in the place of the server's."""
        upstream, own = self._upstream.decode(), self._own.decode()
        headers = [(key, value.replace(upstream, own)) for key, value in answer.headers]
        answer = Head(answer.start, headers)
        is_text = _TEXT.search(answer.get("content-type")) and not answer.get("content-encoding")
        if not is_text or framing == 0 or (framing or 0) > _TEXT_BYTES:
            return answer, body, framing
        read = bytearray()
        async for piece in body:
            read += piece
            if len(read) > _TEXT_BYTES:
                return answer, _joined(bytes(read), body), framing
        text = bytes(read).replace(self._upstream, self._own)
        if framing not in (CHUNKED, UNTIL_CLOSE):
            framing = len(text)
            length = ("Content-Length", str(framing))
            answer.headers = [*answer.without("content-length"), length]
        return answer, _joined(text), framing

    async def _kept(
        self, path: str, answer: Head, body: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        """Pass a body, and keep it if it is the whole object."""
        begun = re.fullmatch(r"bytes 0-(\d+)/(\d+)", answer.get("content-range"))
        is_whole = answer.status == 200 or bool(begun and int(begun[1]) + 1 == int(begun[2]))
        data = bytearray()
        async for piece in body:
            if is_whole and len(data) <= KEPT_BYTES:
                data += piece
            yield piece
        if is_whole and len(data) <= KEPT_BYTES:
            head = Head("HTTP/1.1 200 OK", answer.without("content-range", "transfer-encoding"))
            self._rules.whole[path] = (head, bytes(data))

    # Answers that are not the server's ---------------------------------------------------------

    async def _give_whole(self, head: Head, entry: Exchange, answer: Head, data: bytes) -> bool:
        async for piece in pieces(self._reader, request_framing(head)):
            entry.sent += len(piece)
        return await self._give(head, entry, answer, data)

    async def _answer(self, head: Head, entry: Exchange, fault: Fault) -> bool:
        waits = head.get("expect").lower() == "100-continue"
        if fault.acts:
            if not await self._pass_on(head, entry, fault):
                self._drop_server()
        elif not waits:
            async for piece in pieces(self._reader, request_framing(head)):
                entry.sent += len(piece)
        reason = _REASONS.get(fault.status, "Answer")
        answer = Head(f"HTTP/1.1 {fault.status} {reason}", list(fault.headers.items()))
        if not waits or fault.acts:
            return await self._give(head, entry, answer, fault.body)
        # The body that the client announced may still come; it must not be taken for a request.
        answer.headers.append(("Connection", "close"))
        await self._give(head, entry, answer, fault.body)
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while await self._reader.read(HEAD_BYTES):
                    pass
        return False

    async def _give(self, head: Head, entry: Exchange, answer: Head, data: bytes) -> bool:
        entry.status = answer.status
        headers = answer.without("content-length")
        if answer.status != 204:
            headers.append(("Content-Length", str(len(data))))
        self._writer.write(Head(answer.start, headers).encode())
        if head.method != "HEAD" and answer.status not in (204, 304):
            entry.received += len(data)
            self._writer.write(data)
        await self._writer.drain()
        return head.keeps_alive and answer.keeps_alive


async def _or_reset(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give what a client sends; that it breaks off is no fault of the server's."""
    try:
        async for piece in body:
            yield piece
    except ConnectionError as error:
        raise ResetError from error


async def _joined(first: bytes, rest: AsyncIterator[bytes] | None = None) -> AsyncIterator[bytes]:
    if first:
        yield first
    if rest is not None:
        async for piece in rest:
            yield piece
