"""A store of one object, whose answers are written by hand."""

from __future__ import annotations

import asyncio
import datetime
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

MIB = 1024 * 1024

DATA = random.Random(26).randbytes(3 * MIB + 7)
"""The object."""


class Exchange:
    """One request to the store, and how it answers.

    Attributes:
        connection: Number of the connection that it came by.
        range: What its `Range` says; empty for none.
        closed: Set when the other side has closed the connection.
    """

    def __init__(self, writer: asyncio.StreamWriter, connection: int, range: str) -> None:
        self._writer = writer
        self.connection = connection
        self.range = range
        self.closed = asyncio.Event()

    @property
    def offset(self) -> int:
        return int(self.range.removeprefix("bytes=").partition("-")[0] or 0)

    async def head(self, *more: str, size: int = len(DATA)) -> None:
        first = self.offset
        lines = [
            f"HTTP/1.1 {206 if self.range else 200} OK",
            "Last-Modified: Thu, 26 Nov 2026 05:00:00 GMT",
            'ETag: "e"',
            *more,
        ]
        if self.range:
            lines.append(f"Content-Range: bytes {first}-{size - 1}/{size}")
        if not any(line.startswith("Transfer-Encoding") for line in more):
            lines.append(f"Content-Length: {size - first}")
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        self._writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        self._writer.transport.abort()

    def end(self) -> None:
        self._writer.close()


Answer = Callable[[Exchange], Awaitable[None]]


class Store:
    """The store.

    Args:
        answers: To one request after the other, on whichever connection it comes.
        tls: With which certificate; None for plain HTTP.

    Attributes:
        exchanges: What it was asked, in order.
        url: Where it is.
    """

    url: str

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self._answers = list(answers)
        self._tls = tls
        self._connections = 0
        self.exchanges: list[Exchange] = []

    async def __aenter__(self) -> Store:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", ssl=self._tls)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"{'https' if self._tls else 'http'}://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self._connections = self._connections, self._connections + 1
        exchange: Exchange | None = None
        try:
            while head := await _head(reader):
                exchange = Exchange(writer, number, head.get("range", ""))
                self.exchanges.append(exchange)
                await self._answers.pop(0)(exchange)
        except ConnectionError:
            pass
        finally:
            if exchange is not None:
                exchange.closed.set()
            writer.close()


async def _head(reader: asyncio.StreamReader) -> Mapping[str, str]:
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return {}
    pairs = (line.partition(": ") for line in text.split("\r\n")[1:-2])
    return {name.lower(): value for name, _, value in pairs}


async def whole(exchange: Exchange) -> None:
    """Answer with what is asked for."""
    await exchange.head()
    await exchange.send(DATA[exchange.offset :])


async def half(exchange: Exchange) -> None:
    """Answer with a part of the object, and then with nothing more.

    The end of the connection is seen all the same: `Store` reads from it when this is over.
    """
    await exchange.head()
    await exchange.send(DATA[:MIB])


def certificate(folder: Path) -> Path:
    """Make one that nobody trusts, in a file with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "store.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    return file
