"""Upstreams for the tests of the proxy: one in this process, and a relay before a real one."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from storagedriver_registry.digest import Digest, compute_digest
from storagedriver_registry.proxy.errors import UpstreamError, UpstreamUnknownError
from storagedriver_registry.proxy.upstream import FetchedBlob, FetchedManifest

from registry.tests.processes import ServerProcess, our_server

SECONDS = 60
_RELAYED_BYTES = 64 * 1024


class ScriptedUpstream:
    """An upstream in this process: what it sends, and when, is the test's.

    Attributes:
        calls: What was asked, in order.
        errors: By what is asked: what is raised in place of an answer.
        gate: While it is closed, blobs come to a halt after their first half.
        closing: While it is closed, they come to a halt after their last byte.
        ending: Raised in place of the end of a blob, after its last byte.
        surplus: By how many bytes more is announced than there is.
        open_blobs: How many blobs it is sending.
    """

    def __init__(self, *blobs: bytes) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.errors: dict[tuple[str, str], UpstreamError] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.closing = asyncio.Event()
        self.closing.set()
        self.ending: UpstreamError | None = None
        self.surplus = 0
        self.open_blobs = 0
        self.blobs = {compute_digest(data): data for data in blobs}

    async def tagged(self, name: str, tag: str) -> Digest | None:
        raise UpstreamUnknownError

    async def manifest(self, name: str, reference: str) -> FetchedManifest:
        raise UpstreamUnknownError

    async def blob_size(self, name: str, digest: Digest) -> int:
        return len(self._asked("stat", name, digest))

    @asynccontextmanager
    async def blob(
        self, name: str, digest: Digest, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[FetchedBlob]:
        data = self._asked("get", name, digest)[offset:]
        data = data if length is None else data[:length]
        self.open_blobs += 1
        try:
            yield FetchedBlob(len(data) + self.surplus, self._halting(data))
        finally:
            self.open_blobs -= 1

    async def tags(self, name: str) -> list[str]:
        raise UpstreamUnknownError

    async def referrers(self, name: str, subject: Digest) -> Sequence[dict[str, Any]]:
        return []

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def _halting(self, data: bytes) -> AsyncIterator[bytes]:
        half = len(data) // 2
        yield data[:half]
        await self.gate.wait()
        yield data[half:]
        await self.closing.wait()
        if self.ending is not None:
            raise self.ending

    def _asked(self, what: str, name: str, digest: Digest) -> bytes:
        self.calls.append((what, name, str(digest)))
        error = self.errors.get((what, name))
        if error is not None:
            raise error
        try:
            return self.blobs[digest]
        except KeyError:
            raise UpstreamUnknownError(str(digest)) from None


class Relay:
    """Passes requests on to a registry, notes them, and does to the answers what a test wants.

    Attributes:
        url: Where it is.
        requests: Method, path, and headers of each request, in order.
        answers: By a part of the path: status and headers of an answer that is given instead.
        corrupts: A part of the path: the last byte of such an answer's content is another one.
        cuts: A part of the path: such an answer breaks off after half of its content.
        cuts_once: The same for the first such answer alone.
        gate: While it is closed, answers come to a halt after half of their content.
    """

    def __init__(self, target: str) -> None:
        self.target = target.removeprefix("http://")
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.answers: dict[str, tuple[int, dict[str, str]]] = {}
        self.gate = threading.Event()
        self.heal()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                relay.pass_on(self)

            do_HEAD = do_GET

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def heal(self) -> None:
        """Pass everything on as it is."""
        self.answers.clear()
        self.corrupts = self.cuts = self.cuts_once = ""
        self.gate.set()

    def count(self, method: str, part: str) -> int:
        """Tell how many requests there were with a method, for paths with this part."""
        return sum(one == method and part in path for one, path, _ in self.requests)

    def start(self) -> None:
        """Begin to take requests."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """End."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def pass_on(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        path, headers = request.path, dict(request.headers)
        self.requests.append((request.command, path, headers))
        for part, (status, extra) in self.answers.items():
            if part in path:
                request.send_response(status)
                for name, value in {**extra, "content-length": "0"}.items():
                    request.send_header(name, value)
                request.end_headers()
                return
        asking = http.client.HTTPConnection(self.target, timeout=SECONDS)
        try:
            asking.request(request.command, path, headers=headers)
            answer = asking.getresponse()
            request.send_response_only(answer.status)
            for name, value in answer.getheaders():
                request.send_header(name, value)
            request.end_headers()
            if request.command == "GET":
                self._pass_body(request, answer)
        except (OSError, http.client.HTTPException):
            cut(request.connection)
            request.close_connection = True
        finally:
            asking.close()

    def _pass_body(self, request: BaseHTTPRequestHandler, answer: http.client.HTTPResponse) -> None:
        size = answer.length or 0
        passed = 0
        while passed < size:
            half = size // 2
            wanted = half - passed if passed < half else size - passed
            data = answer.read(min(wanted, _RELAYED_BYTES))
            if not data:
                raise ConnectionError("the registry has ended")
            passed += len(data)
            if self.corrupts and self.corrupts in request.path and passed == size:
                data = data[:-1] + bytes([data[-1] ^ 1])
            request.wfile.write(data)
            if passed == half:
                assert self.gate.wait(SECONDS)
                if self._cuts(request.path):
                    raise ConnectionError("the test wants it so")

    def _cuts(self, path: str) -> bool:
        if self.cuts_once and self.cuts_once in path:
            self.cuts_once = ""
            return True
        return bool(self.cuts) and self.cuts in path


def cut(connection: socket.socket) -> None:
    """End a connection, whatever was announced."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def relaying(target: str) -> Iterator[Relay]:
    """Run a relay before a registry."""
    relay = Relay(target)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()


def proxy_of(url: str, folder: Path, **settings: Mapping[str, object]) -> ServerProcess:
    """Give a proxy, not started."""
    folder.mkdir()
    sections = {**settings, "proxy": {"remoteurl": url, **settings.get("proxy", {})}}
    return our_server(folder, sections)
