"""A plain client of the API: what tests do often, with nothing hidden."""

from __future__ import annotations

import hashlib
import itertools
import json
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urljoin

import httpx

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

_numbers = itertools.count()


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def sha512(data: bytes) -> str:
    return f"sha512:{hashlib.sha512(data).hexdigest()}"


def unique_name(prefix: str = "test") -> str:
    return f"{prefix}/r{next(_numbers)}"


def error_codes(response: httpx.Response) -> list[str]:
    """Give the codes of an error body, and see that it has the specified form."""
    assert response.headers["content-type"] == "application/json"
    errors = response.json()["errors"]
    assert all(set(error) == {"code", "message", "detail"} for error in errors)
    return [error["code"] for error in errors]


class SlowRequest:
    """One request by hand, whose body comes when the test wants, or never."""

    def __init__(self, method: str, url: str, *, content_length: int | None) -> None:
        target = httpx.URL(url)
        self._socket = socket.create_connection((target.host, target.port), timeout=60)
        length = f"content-length: {content_length}"
        head = [
            f"{method} {target.raw_path.decode()} HTTP/1.1",
            f"host: {target.netloc.decode()}",
            "transfer-encoding: chunked" if content_length is None else length,
            "expect: 100-continue",
        ]
        self._chunked = content_length is None
        self._socket.sendall("\r\n".join([*head, "", ""]).encode())
        # The server says so when the handler begins to read: it is at work on the request then.
        assert self._socket.recv(1000).startswith(b"HTTP/1.1 100")

    def __enter__(self) -> SlowRequest:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        framed = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        self._socket.sendall(framed)

    def status(self) -> int:
        """Give the status of the answer."""
        return int(self._socket.recv(1000).split()[1])

    def end(self) -> bytes:
        """Give how the answer begins; nothing if the connection is cut off."""
        try:
            return self._socket.recv(1000)
        except ConnectionResetError:
            return b""

    def go_away(self, how: str) -> None:
        """End the connection: `reset`, `close`, or `shutdown` of the sending half."""
        if how == "reset":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "shutdown":
            self._socket.shutdown(socket.SHUT_WR)
        else:
            self._socket.close()


class Repository:
    """One repository on a server."""

    def __init__(self, http: httpx.Client, name: str) -> None:
        self.http = http
        self.name = name

    def url(self, rest: str) -> str:
        return f"/v2/{self.name}/{rest}"

    def begin(self) -> str:
        """Begin an upload, and give its Location."""
        response = self.http.post(self.url("blobs/uploads/"))
        assert response.status_code == 202, response.text
        return self.location(response)

    def location(self, response: httpx.Response) -> str:
        return urljoin(str(response.request.url), response.headers["location"])

    def patch(
        self, location: str, data: bytes | Iterable[bytes], content_range: str | None = None
    ) -> httpx.Response:
        headers = {"content-type": "application/octet-stream"}
        if content_range is not None:
            headers["content-range"] = content_range
        return self.http.patch(location, content=data, headers=headers)

    def finish(self, location: str, digest: str, data: bytes = b"") -> httpx.Response:
        params = dict(httpx.URL(location).params) | {"digest": digest}
        return self.http.put(location, params=params, content=data)

    def push_blob(self, data: bytes) -> str:
        digest = sha256(data)
        response = self.finish(self.begin(), digest, data)
        assert response.status_code == 201, response.text
        return digest

    def blob(self, digest: str, **headers: str) -> httpx.Response:
        return self.http.get(self.url(f"blobs/{digest}"), headers=headers)

    def push_manifest(self, manifest: Mapping[str, Any] | bytes, reference: str) -> httpx.Response:
        body = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        document = json.loads(body)
        media_type = document.get("mediaType") or OCI_MANIFEST
        return self.http.put(
            self.url(f"manifests/{reference}"), content=body, headers={"content-type": media_type}
        )

    def push_image(self, tag: str, content: bytes = b"layer") -> str:
        """Push a small image, and give the digest of its manifest."""
        response = self.push_manifest(self.image(content), tag)
        assert response.status_code == 201, response.text
        return response.headers["docker-content-digest"]

    def image(self, content: bytes = b"layer", media_type: str = OCI_MANIFEST) -> dict[str, Any]:
        """Give the manifest of an image whose blobs are pushed."""
        return {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.descriptor(b"{}", "application/vnd.oci.image.config.v1+json"),
            "layers": [self.descriptor(content, "application/vnd.oci.image.layer.v1.tar")],
        }

    def descriptor(self, data: bytes, media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self.push_blob(data), "size": len(data)}

    def tags(self, **params: str | int) -> httpx.Response:
        return self.http.get(self.url("tags/list"), params=params)
