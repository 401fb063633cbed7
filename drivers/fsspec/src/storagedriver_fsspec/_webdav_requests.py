"""The requests of WebDAV, by an HTTP client: each of the protocol's methods that is used here.

Errors are those of the contract, but for what the client itself raises.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from storagedriver_core import (
    AlreadyExistsError,
    ConflictError,
    FileInfo,
    PathNotFoundError,
    StorageDriverError,
    UnavailableError,
)
from storagedriver_fsspec._errors import from_status
from storagedriver_fsspec._webdav_answers import STAMP_NAMESPACE, resources_of, stamp_in

_MULTISTATUS = 207
# Source: RFC 4918, section 9.1. Only what is read: some servers compute the others.
_WANTED = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>"
)
_KINDS_WANTED = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/></prop></propfind>"
)
# Source: RFC 4918, section 9.10.
_LOCK = (
    b'<?xml version="1.0" encoding="utf-8"?><lockinfo xmlns="DAV:">'
    b"<lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>"
)
# Source: RFC 4918, section 9.2.
_STAMP = (
    '<?xml version="1.0" encoding="utf-8"?><propertyupdate xmlns="DAV:"><set><prop>'
    f'<upload xmlns="{STAMP_NAMESPACE}">%s</upload></prop></set></propertyupdate>'
)
_STAMP_WANTED = (
    '<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    f'<upload xmlns="{STAMP_NAMESPACE}"/></prop></propfind>'
).encode()
_XML = {"content-type": "application/xml"}
_LOCKED = 423
# What says that it is done (RFC 4918, sections 9.3 to 9.10; RFC 9110, section 9.3.4). A 200 for
# these is a page of something in between.
_ANSWERS = {
    "PUT": (201, 204),
    "MOVE": (201, 204, _MULTISTATUS),
    "COPY": (201, 204, _MULTISTATUS),
    "DELETE": (204, _MULTISTATUS),
}
_WAITING = ("MOVE", "COPY", "DELETE", "MKCOL", "LOCK")
_LOCK_TRIES = 100
# Less than all the pauses together, so that whoever waits outlasts a lock that was lost. What is
# deleted under a lock that has ended meanwhile is not deleted (RFC 4918, section 10.4).
_LOCK_SECONDS = 3
LOCK_PAUSE_SECONDS = 0.05


class Requests:
    """The requests on the resources below one collection. Blocking.

    Args:
        http: An httpx client with the credentials.
        base: The URL of the server's collection, as httpx has it.
        root: The collection below it, with a slash in front, or empty.
    """

    def __init__(self, http: Any, base: Any, root: str) -> None:
        self._http = http
        self._base = base.copy_with(raw_path=b"/", query=None, fragment=None)
        self._above = quote(base.path.rstrip("/"))
        self._prefix = self._above + quote(root)

    def url(self, path: str) -> Any:
        """Give the URL of a path."""
        # By the raw path: httpx takes `%2F` in a name for a slash that is quoted already.
        return self._base.copy_with(raw_path=f"{self._prefix}{quote(path)}".encode())

    def get(self, path: str, byte_range: str) -> Any:
        """Begin to read; whatever the answer is, who called closes it."""
        headers = {"accept-encoding": "identity"}
        if byte_range:
            headers["range"] = byte_range
        request = self._http.build_request("GET", self.url(path), headers=headers)
        return self._http.send(request, stream=True, follow_redirects=False)

    def put(self, path: str, pieces: Iterator[bytes], size: int) -> None:
        """Write a resource."""
        headers = {"content-length": str(size), "content-type": "application/octet-stream"}
        try:
            self._request("PUT", path, headers=headers, content=pieces)
        except ConflictError:
            # Source: RFC 4918, section 9.7.1: 409 where a parent is missing.
            raise PathNotFoundError("the collection is missing", path=path) from None

    def delete(self, path: str, lock: str = "") -> None:
        """Remove a resource, and whatever is below it; `lock` is the one that is held."""
        headers = {"if": f"({lock})"} if lock else None
        self._request("DELETE", path, headers=headers, changing=True)

    def transfer(self, method: str, source: str, target: str, *, overwrite: bool) -> None:
        """MOVE or COPY a resource."""
        url = self.url(target)
        # Without the user and password that the address may hold.
        place = b"%s://%s%s" % (url.raw_scheme, url.netloc, url.raw_path)
        headers = {"destination": place.decode(), "overwrite": "T" if overwrite else "F"}
        self._request(method, source, headers=headers, changing=True)

    def make_collection(self, path: str) -> None:
        """Make a collection below the root."""
        self._mkcol(self.url(path))

    def make_collection_above(self, place: str) -> None:
        """Make a collection by its path from the server's own."""
        self._mkcol(self._base.copy_with(raw_path=f"{self._above}{quote(place)}".encode()))

    def _mkcol(self, url: Any) -> None:
        response = self._send("MKCOL", url)
        status = response.status_code
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            # Source: RFC 4918, section 9.3.1, as the next one.
            raise AlreadyExistsError
        if status == HTTPStatus.CONFLICT:
            raise PathNotFoundError("the collection is missing")
        check(response)
        if status != HTTPStatus.CREATED:
            raise UnavailableError("the server's answer is none of WebDAV")

    def find(
        self, path: str, depth: str, *, kinds_only: bool = False
    ) -> Generator[tuple[str, FileInfo], None, None]:
        """Give a resource (`depth` 0), or it and its members (1), in any order.

        With `kinds_only` not what makes a server look into files: neither size, time nor etag.
        """
        with self._http.stream(
            "PROPFIND",
            self.url(path),
            headers={"depth": depth, **_XML},
            content=_KINDS_WANTED if kinds_only else _WANTED,
            follow_redirects=False,
        ) as response:
            check(response)
            if response.status_code != _MULTISTATUS:
                raise UnavailableError("the server's answer is none of WebDAV")
            yield from resources_of(response.iter_bytes())

    def put_stamp(self, path: str, stamp: str) -> None:
        """Set the dead property that is the stamp."""
        self._request("PROPPATCH", path, headers=_XML, content=(_STAMP % stamp).encode())

    def stamp(self, path: str) -> str:
        """Give the stamp."""
        headers = {"depth": "0", **_XML}
        response = self._request("PROPFIND", path, headers=headers, content=_STAMP_WANTED)
        return stamp_in(response.content)

    def lock(self, path: str, *, patient: bool) -> tuple[str, bool]:
        """Lock what is at `path`; give the lock, and whether something was there.

        Args:
            path: The resource.
            patient: Wait while somebody else has a lock there, or below it.
        """
        headers = {"depth": "infinity", "timeout": f"Second-{_LOCK_SECONDS}", **_XML}
        response = self._request("LOCK", path, headers=headers, content=_LOCK, waits=patient)
        token: str = response.headers.get("lock-token", "")
        if not token:
            raise UnavailableError("the server's answer names no lock")
        return token, response.status_code != HTTPStatus.CREATED

    def unlock(self, path: str, lock: str) -> None:
        """Give a lock back."""
        self._request("UNLOCK", path, headers={"lock-token": lock})

    def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Any = None,
        changing: bool = False,
        waits: bool = True,
    ) -> Any:
        response = self._send(method, self.url(path), waits, headers=headers, content=content)
        check(response, changing=changing)
        if response.status_code not in _ANSWERS.get(method, (response.status_code,)):
            failed = UnavailableError("the server's answer is none of WebDAV")
            failed.outcome = "unknown" if changing else "none"
            raise failed
        if response.status_code == _MULTISTATUS and not method.startswith("PROP"):
            # Part of it failed (RFC 4918, section 9.6.1).
            raise StorageDriverError("the server could not do all of it", outcome="unknown")
        return response

    def _send(self, method: str, url: Any, waits: bool = True, **options: Any) -> Any:
        for _ in range(_LOCK_TRIES):
            response = self._http.request(method, url, follow_redirects=False, **options)
            if response.status_code != _LOCKED or method not in _WAITING or not waits:
                break
            # Another request is at the same path, or another process sees whether it is empty.
            time.sleep(LOCK_PAUSE_SECONDS)
        return response


def check(response: Any, *, changing: bool = False) -> None:
    """Raise the contract's error for a status of 300 and more."""
    if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        after = response.headers.get("retry-after", "")
        raise from_status(response.status_code, changing=changing, retry_after=after)
