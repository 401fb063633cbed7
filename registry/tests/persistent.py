"""Clients that push and pull while servers come and go: they ask again, as real clients do."""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import httpx

from registry.tests.client import OCI_MANIFEST, error_codes, sha256
from registry.tests.garbage import image

MIB = 1024 * 1024
# More than a store's requests are cut into, so that its upload is one of parts.
_LARGE = 5 * MIB
_GIVE_UP_SECONDS = 120
_PAUSE_SECONDS = 0.05

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image whose manifest was answered 201.

    Attributes:
        name: The repository.
        tag: Its tag, which nothing else ever has.
        manifest: The manifest.
        blobs: The blobs that it names.
    """

    name: str
    tag: str
    manifest: bytes
    blobs: tuple[bytes, ...]


class AgainError(Exception):
    """The client has to ask again; the text says what it was told."""


class Client(threading.Thread):
    """One client, in a thread of its own.

    Args:
        number: Tells it from the others.
        url: Where it asks.
        tls: What it needs for that.
        large: Each so many images have a layer that is sent in chunks.
        pause: Seconds from one image to the next.

    Attributes:
        acknowledged: What was pushed.
        pulls: How many images were pulled, and were whole.
        again: How often it was told what, and asked again.
        failure: What it was told that no client may be.
    """

    def __init__(
        self, number: int, url: str, tls: ssl.SSLContext, *, large: int, pause: float
    ) -> None:
        super().__init__(name=f"client-{number}")
        self.acknowledged: list[Pushed] = []
        self.pulls = 0
        self.again: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self.stopping = threading.Event()
        self._number = number
        self._large = large
        self._pause = pause
        self._random = random.Random(number)
        self._http = httpx.Client(base_url=url, verify=tls, timeout=60, follow_redirects=True)
        self._shared = f"shared by the images of client {number}".encode()

    def run(self) -> None:
        try:
            with self._http:
                while not self.stopping.wait(self._pause):
                    self.push()
                    self.pull(self._random.choice(self.acknowledged))
        except BaseException as error:
            self.failure = error

    def push(self) -> None:
        """Push an image; return when it is acknowledged."""
        index = len(self.acknowledged)
        name, tag = f"c{self._number}/r{index % 2}", f"v{index}"
        layers = [self._shared, self._random.randbytes(self._random.randrange(1, 20_000))]
        if index % self._large == self._large - 1:
            layers.append(self._random.randbytes(_LARGE + 100_000))
        for data in (b"{}", *layers):
            self._repeat(partial(self._push_blob, name, data))
        manifest = image(*layers, annotations={"tag": tag})
        self._repeat(partial(self._put_manifest, name, tag, manifest))
        self.acknowledged.append(Pushed(name, tag, manifest, (b"{}", *layers)))

    def pull(self, one: Pushed) -> None:
        """Pull an image by its digest, and see that it is whole."""
        digest = sha256(one.manifest)
        parts = [(f"manifests/{digest}", one.manifest)]
        parts += [(f"blobs/{sha256(data)}", data) for data in one.blobs]
        for path, data in parts:
            found = self._repeat(partial(self._get, f"/v2/{one.name}/{path}"))
            assert found == data, f"{one.name}: {path} has other bytes"
        self.pulls += 1

    def _repeat(self, attempt: Callable[[], T]) -> T:
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        while True:
            try:
                return attempt()
            except httpx.TransportError as error:
                said = type(error).__name__
            except AgainError as error:
                said = str(error)
            assert time.monotonic() < deadline, said
            self.again[said] += 1
            time.sleep(_PAUSE_SECONDS)

    def _get(self, path: str) -> bytes:
        return self._ask("GET", path, {200}).content

    def _put_manifest(self, name: str, tag: str, manifest: bytes) -> None:
        path, headers = f"/v2/{name}/manifests/{tag}", {"content-type": OCI_MANIFEST}
        self._ask("PUT", path, {201}, content=manifest, headers=headers)

    def _push_blob(self, name: str, data: bytes) -> None:
        digest = sha256(data)
        if self._ask("HEAD", f"/v2/{name}/blobs/{digest}", {200, 404}).status_code == 200:
            return
        begun = self._ask("POST", f"/v2/{name}/blobs/uploads/", {202})
        location = begun.headers["location"]
        if len(data) > _LARGE:
            location = self._send_chunks(location, data)
            data = b""
        url = httpx.URL(location).copy_merge_params({"digest": digest})
        self._ask_upload("PUT", url, 201, content=data)

    def _send_chunks(self, location: str, data: bytes) -> str:
        """Send a blob but for its end's answer; go on where the registry says that it is."""
        offset, asked = 0, httpx.URL(location)
        while offset < len(data):
            chunk = data[offset : offset + _LARGE]
            headers = {"content-range": f"{offset}-{offset + len(chunk) - 1}"}
            try:
                answer = self._ask_upload("PATCH", asked, 202, content=chunk, headers=headers)
            except (httpx.TransportError, AgainError) as error:
                self.again[f"chunk: {type(error).__name__}"] += 1
                answer = self._repeat(partial(self._ask_upload, "GET", asked, 204))
                self.again["session went on"] += 1
            asked = httpx.URL(answer.headers["location"])
            first, _, last = answer.headers["range"].partition("-")
            assert first == "0"
            # An upload that has nothing says the same as one that has a byte.
            offset = 0 if last == "0" else int(last) + 1
        return str(asked)

    def _ask_upload(
        self, method: str, url: httpx.URL, wanted: int, **others: Any
    ) -> httpx.Response:
        """Ask for something of an upload session.

        It may be over, if an answer was lost; or another request may be at work on it, which was.
        """
        answer = self._ask(method, str(url), {wanted, 404, 409, 416}, **others)
        if answer.status_code != wanted:
            raise AgainError(f"{method}: {answer.status_code} {' '.join(error_codes(answer))}")
        return answer

    def _ask(self, method: str, url: str, wanted: set[int], **others: Any) -> httpx.Response:
        answer = self._http.request(method, url, **others)
        if answer.status_code == 503:
            raise AgainError("503")
        assert answer.status_code in wanted, f"{method} {url}: {answer.status_code} {answer.text}"
        return answer
