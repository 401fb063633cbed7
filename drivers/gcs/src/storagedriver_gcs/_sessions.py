"""One resumable upload session: the requests of its protocol, and what their answers mean.

Source: cloud.google.com/storage/docs/performing-resumable-uploads and …/docs/resumable-uploads:

- 308 tells in `Range` what is persisted; without `Range` nothing is. It may be less than was sent.
- 200 and 201 come with the object: the upload is complete, now or since an earlier request.
- 404 and 410: the session has expired or never was; 499: it was cancelled.
- What is persisted cannot be overwritten; the service ignores it when it comes again.

The session's URI is a credential: it is sent without another one, kept in the token's data alone,
and shows in no error or log. Only its path and query are kept, so that a token cannot direct a
writer to another server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from storagedriver_core import Buffer, ConfigurationError, UnavailableError, UploadNotFoundError
from storagedriver_gcs._body import MemoryBody
from storagedriver_gcs._client import Client, Reply
from storagedriver_gcs._errors import error_of
from storagedriver_gcs._resources import FIELDS

_RANGE = re.compile(r"bytes=0-(\d+)")
_OVER = {404: "unknown", 410: "unknown", 499: "none"}
_NOBODY: MemoryBody | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a session says of itself.

    Attributes:
        persisted: Bytes from the start that the service keeps.
        resource: The object, once the upload is complete.
    """

    persisted: int
    resource: Mapping[str, Any] | None = None


async def begin(client: Client, name: str, document: Mapping[str, Any]) -> str:
    """Begin a session for the object `name`; give the path and query of its URI."""
    query = {"uploadType": "resumable", "name": name, "fields": f"{FIELDS},crc32c"}
    body = MemoryBody([json.dumps(document).encode()], "application/json; charset=UTF-8")
    reply = await client.call("POST", client.upload_url, query, body=body, changes=True)
    parts = urlsplit(reply.headers.get("Location", ""))
    if not parts.path.startswith("/upload/") or not parts.query:
        raise UnavailableError("the answer is not the service's", outcome="unknown")
    return f"{parts.path}?{parts.query}"


async def status(client: Client, session: str) -> Progress:
    """Ask a session what it has."""
    return await _put(client, session, "bytes */*", [], 0)


async def send(
    client: Client, session: str, start: int, data: Sequence[Buffer], size: int, total: int | None
) -> Progress:
    """Send bytes that begin at `start`; with a `total` that they reach, they are the last."""
    whole = "*" if total is None else str(total)
    last = start + size - 1
    return await _put(client, session, f"bytes {start}-{last}/{whole}", data, start)


async def finish(client: Client, session: str, total: int) -> Progress:
    """Say that what is persisted is all."""
    return await _put(client, session, f"bytes */{total}", [], 0)


async def cancel(client: Client, session: str) -> bool:
    """Drop a session; False if it is over already, in whichever way."""
    reply = await client.call(
        "DELETE",
        _url(client, session),
        headers={"Content-Length": "0"},
        changes=True,
        accept=(404, 410, 499, 400),
        is_session=True,
    )
    # Servers that are not Google's answer 2xx.
    return reply.status == 499 or reply.status < 300


async def _put(
    client: Client, session: str, content_range: str, data: Sequence[Buffer], start: int
) -> Progress:
    reply = await client.call(
        "PUT",
        _url(client, session),
        headers={"Content-Range": content_range},
        body=MemoryBody(data),
        changes=True,
        accept=(308, *_OVER),
        is_session=True,
    )
    if reply.status == 308:
        return Progress(_persisted(reply))
    if reply.status in _OVER:
        unknown = _OVER[reply.status] == "unknown"
        raise UploadNotFoundError(
            f"the session is over ({reply.status})", outcome="unknown" if unknown else "none"
        )
    if reply.status not in (200, 201):
        raise error_of(reply.status, reply.headers, reply.body, changes=True)
    resource = reply.json(changes=True)
    try:
        return Progress(int(resource["size"]), resource)
    except (KeyError, TypeError, ValueError):
        raise UnavailableError("the answer is not the service's", outcome="unknown") from None


def _persisted(reply: Reply) -> int:
    text = reply.headers.get("Range")
    if text is None:
        return 0
    match = _RANGE.fullmatch(text)
    if match is None:
        raise UnavailableError("the answer is not the service's", outcome="unknown")
    return int(match[1]) + 1


def _url(client: Client, session: str) -> str:
    if not session.startswith("/upload/"):
        raise ConfigurationError("not an upload token")
    return f"{client.config.url}{session}"
