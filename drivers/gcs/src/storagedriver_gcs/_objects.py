"""Single objects: stat, put, delete, rewrite. Each function is one call of the JSON API."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    ConflictError,
    PathNotFoundError,
    PutOptions,
    UnavailableError,
)
from storagedriver_gcs._body import MemoryBody
from storagedriver_gcs._client import Client
from storagedriver_gcs._resources import FIELDS, attributes, generation

Resource = Mapping[str, Any]


async def get_resource(
    client: Client,
    name: str,
    query: Mapping[str, str] | None = None,
    fields: str = FIELDS,
    *,
    is_followed: bool = False,
) -> Resource:
    """Give an object's metadata; `is_followed` by a list if there is none.

    Raises:
        PathNotFoundError: There is no object.
        ConflictError: The preconditions of `query` do not hold.
    """
    asked = {"fields": fields, **(query or {})}
    url = client.object_url(name)
    return (await client.call("GET", url, asked, is_followed=is_followed)).json()


async def find_resource(client: Client, name: str, fields: str = FIELDS) -> Resource | None:
    """Give an object's metadata; None if there is no object."""
    try:
        return await get_resource(client, name, fields=fields)
    except PathNotFoundError:
        return None


async def put(client: Client, name: str, data: Buffer, options: PutOptions) -> Resource:
    """Store an object in one request.

    Raises:
        AlreadyExistsError: `if_absent`, and there is one.
        ConflictError: `if_match` does not hold.
    """
    query = {"name": name, "fields": FIELDS}
    if options.if_absent:
        query["ifGenerationMatch"] = "0"
    if options.if_match is not None:
        query["ifGenerationMatch"] = generation(options.if_match)
    if options.metadata:
        body = _multipart({"name": name, **attributes(options)}, data)
        query["uploadType"] = "multipart"
    else:
        body = MemoryBody([data], options.content_type)
        query["uploadType"] = "media"
    try:
        reply = await client.call("POST", client.upload_url, query, body=body, changes=True)
    except ConflictError as exc:
        if options.if_absent and options.if_match is None:
            raise AlreadyExistsError from exc
        raise
    except PathNotFoundError as exc:
        # Nothing but the bucket can be missing; a bucket that came back is no answer either.
        raise UnavailableError(exc.message, outcome="none") from exc
    return reply.json(changes=True)


def _multipart(document: Mapping[str, Any], data: Buffer) -> MemoryBody:
    """Join metadata and bytes. Source: storage/docs/uploading-objects, "JSON API", multipart."""
    boundary = secrets.token_hex(16)
    media_type = document.get("contentType")
    kind = f"Content-Type: {media_type}\r\n" if media_type else ""
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
        f"{json.dumps(document)}\r\n--{boundary}\r\n{kind}\r\n"
    )
    parts = [head.encode(), data, f"\r\n--{boundary}--\r\n".encode()]
    return MemoryBody(parts, f"multipart/related; boundary={boundary}")


async def delete(
    client: Client, name: str, *, only: str | None = None, is_followed: bool = False
) -> None:
    """Delete an object.

    Args:
        client: The bucket.
        name: The object.
        only: Generation that it must have.
        is_followed: A list comes next if there is none.

    Raises:
        PathNotFoundError: There is none.
        ConflictError: It has another generation.
    """
    query = {"ifGenerationMatch": only} if only is not None else None
    reply = await client.call(
        "DELETE", client.object_url(name), query, changes=True, is_followed=is_followed
    )
    # The service answers 204, an emulator `null`; a page is somebody else's.
    if reply.body.strip() not in (b"", b"null"):
        raise UnavailableError("the answer is not the service's", outcome="unknown")


async def rewrite(
    client: Client, source: Resource, target: str, *, if_absent: bool = False
) -> Resource:
    """Copy an object at the service, attributes included, in as many calls as it takes.

    Args:
        client: The bucket.
        source: The object; it must still have the same generation.
        target: Name of the new object, which appears whole with the last call.
        if_absent: Refuse if there is an object.

    Raises:
        PathNotFoundError: The source is gone.
        ConflictError: The source, or with `if_absent` the target, is not as it should be.
    """
    bucket = quote(client.config.bucket, safe="")
    url = f"{client.object_url(source['name'])}/rewriteTo/b/{bucket}/o/{quote(target, safe='')}"
    query = {
        "ifSourceGenerationMatch": source["generation"],
        "fields": f"done,rewriteToken,resource({FIELDS})",
    }
    if if_absent:
        query["ifGenerationMatch"] = "0"
    while True:
        answer = (await client.call("POST", url, query, changes=True)).json(changes=True)
        if answer.get("done"):
            resource = answer.get("resource")
            if not isinstance(resource, dict):
                raise UnavailableError("the answer is not the service's", outcome="unknown")
            return resource
        token = answer.get("rewriteToken")
        if not isinstance(token, str):
            raise UnavailableError("the answer is not the service's", outcome="unknown")
        query["rewriteToken"] = token
