"""From a request and its answer to events. Source: distribution's `notifications/bridge.go`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storagedriver_registry.api import routes
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import Digest, parse_digest
from storagedriver_registry.manifest import read_stored
from storagedriver_registry.notifications.events import Action, Event, make_event
from storagedriver_registry.storage.errors import RegistryError

_BLOB_TYPE = "application/octet-stream"
# By route and method, the statuses that say that it was done.
_ACTIONS: Mapping[tuple[str, str], tuple[Action, frozenset[int]]] = {
    ("manifest", "GET"): ("pull", frozenset((200,))),
    ("manifest", "HEAD"): ("pull", frozenset((200,))),
    ("manifest", "PUT"): ("push", frozenset((201,))),
    ("manifest", "DELETE"): ("delete", frozenset((202,))),
    ("blob", "GET"): ("pull", frozenset((200, 206, 307))),
    ("blob", "HEAD"): ("pull", frozenset((200,))),
    ("blob", "DELETE"): ("delete", frozenset((202,))),
    ("uploads", "POST"): ("push", frozenset((201,))),
    ("upload", "PUT"): ("push", frozenset((201,))),
}


def action_of(request: Request, response: Response) -> Action | None:
    """Give what was done; None if it is nothing that events tell of."""
    action, statuses = _ACTIONS.get((request.route, request.method), (None, frozenset[int]()))
    if response.status not in statuses:
        return None
    if request.route == "uploads" and "mount" in request.query:
        return "mount"
    return action


class Recorder:
    """Makes events.

    Args:
        services: The registry.
        source: Which registry says so.
        with_references: Whether events tell what a manifest refers to.
    """

    def __init__(
        self, services: Services, source: Mapping[str, str], *, with_references: bool
    ) -> None:
        self._services = services
        self._source = source
        self._with_references = with_references

    async def record(
        self, action: Action, request: Request, response: Response, facts: Mapping[str, object]
    ) -> list[Event]:
        """Make the events of a request; for a manifest with several tags one for each.

        Args:
            action: What was done.
            request: The request.
            response: Its answer.
            facts: What the log says of it.

        Raises:
            StorageDriverError: The store failed.
        """
        by_whom = {
            "id": str(facts["http.request.id"]),
            "addr": str(facts["http.request.remoteaddr"]),
            "host": request.header(b"host") or "",
            "method": request.method,
            "useragent": request.header(b"user-agent") or "",
        }
        actor = "" if request.grant is None else request.grant.user
        headers = {name: value.decode("latin-1") for name, value in response.headers}
        target = await self._target(action, request, response, headers)
        tags = [value.decode() for name, value in response.headers if name == b"oci-tag"]
        targets = [{**target, "tag": request.tag or tag} for tag in tags or [""]]
        # Of a manifest that is deleted its tags go too.
        targets += [{"repository": request.name, "tag": tag} for tag in request.untagged]
        return [make_event(action, one, by_whom, actor, self._source) for one in targets]

    async def _target(
        self,
        action: Action,
        request: Request,
        response: Response,
        headers: Mapping[bytes, str],
    ) -> dict[str, Any]:
        told = headers.get(b"docker-content-digest")
        digest = request.digest if told is None else parse_digest(told)
        target: dict[str, Any] = {"repository": request.name}
        if digest is None:
            return target  # a tag was deleted
        target["digest"] = str(digest)
        if action == "delete":
            return target
        is_manifest = request.route == routes.MANIFEST.name
        urls = self._services.urls
        if is_manifest:
            named = {"name": request.name, "reference": str(digest)}
            target["url"] = urls.build(request, routes.MANIFEST, **named)
        else:
            named = {"name": request.name, "digest": str(digest)}
            target["url"] = urls.build(request, routes.BLOB, **named)
        if action == "mount":
            target["fromRepository"] = request.query.get("from", "")
        if action == "pull" and response.status == 200 and not self._wants_references(request):
            # What was answered says it all.
            size = int(headers[b"content-length"])
            media_type = headers[b"content-type"]
            return {**target, "mediaType": media_type, "size": size, "length": size}
        describe = self._manifest if is_manifest else self._blob
        try:
            return {**target, **await describe(request.name, digest)}
        except RegistryError:
            return target  # somebody has deleted it meanwhile

    def _wants_references(self, request: Request) -> bool:
        return self._with_references and request.route == routes.MANIFEST.name

    async def _blob(self, name: str, digest: Digest) -> dict[str, Any]:
        size = await self._services.stores.blobs.size(name, digest)
        return {"mediaType": _BLOB_TYPE, "size": size, "length": size}

    async def _manifest(self, name: str, digest: Digest) -> dict[str, Any]:
        manifests = self._services.stores.manifests
        found = await manifests.describe(name, digest)
        target: dict[str, Any] = {
            "mediaType": found.media_type,
            "size": found.size,
            "length": found.size,
        }
        if self._with_references:
            target["references"] = _references(await manifests.content(name, digest))
        return target


def _references(data: bytes) -> list[Any]:
    """Give the descriptors in a manifest, as they stand there."""
    document = read_stored(data)
    config = document.get("config")
    lists = [document.get(key) for key in ("layers", "manifests", "blobs")]
    others = [one for some in lists if isinstance(some, list) for one in some]
    return [one for one in (config, *others) if isinstance(one, dict) and "digest" in one]
