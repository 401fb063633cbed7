"""A function for each page: asks the stores, and has the answer rendered in a thread."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing

from storagedriver_core import StorageDriverError, at_once
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.paging import last_seen
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import Digest
from storagedriver_registry.pages import limits
from storagedriver_registry.pages.images import show_image
from storagedriver_registry.pages.manifests import (
    IMAGE_CONFIGS,
    Content,
    show_content,
    show_manifest,
)
from storagedriver_registry.pages.references import Origin, pull_commands, read_origin
from storagedriver_registry.pages.rendering import render, render_failure
from storagedriver_registry.storage.errors import BlobUnknownError, TagUnknownError

_PREFIX = re.compile(r"[a-z0-9._/-]{0,255}")
# Comes after all that names have.
_AFTER_NAMES = "~"


async def show_repositories(services: Services, request: Request) -> Response:
    """List repositories, those that begin with the parameter `prefix`."""
    prefix = request.query.get("prefix", "").strip().lower()
    last = last_seen(request)
    most = min(limits.REPOSITORIES, services.most_repositories)
    names: list[str] = []
    if _PREFIX.fullmatch(prefix):
        after = max(last, _before(prefix), key=_components)
        async with aclosing(services.stores.catalog.names(after)) as found:
            async for name in found:
                # Names with one prefix follow each other, component by component.
                if not name.startswith(prefix):
                    break
                names.append(name)
                if len(names) > most:
                    break
    values = {
        "names": names[:most],
        "prefix": prefix,
        "last": last,
        "has_more": len(names) > most,
    }
    return await asyncio.to_thread(render, request, "repositories", values)


async def show_repository(services: Services, request: Request) -> Response:
    """List tags of a repository, each with the digest that it points to."""
    stores, name, last = services.stores, request.name, last_seen(request)
    count = min(limits.TAGS, services.most_tags or limits.TAGS)
    found = await stores.tags.list(name, after=last, most=count + 1)
    page = found[:count]

    async def resolve(tag: str) -> Digest | None:
        try:
            return await stores.tags.resolve(name, tag)
        except TagUnknownError:
            return None  # deleted meanwhile, or a directory of something else
        except StorageDriverError as error:
            if error.temporary:
                raise
            return None  # what the link holds is no digest

    digests = await at_once(page, resolve)
    values = {
        "name": name,
        "origin": _origin(services, request),
        "tags": list(zip(page, digests, strict=True)),
        "last": last,
        "has_more": len(found) > count,
    }
    return await asyncio.to_thread(render, request, "repository", values)


async def show_manifest_page(services: Services, request: Request) -> Response:
    """Show a manifest, what refers to it, and what its configuration says."""
    stores, name = services.stores, request.name
    digest = request.digest or await stores.tags.resolve(name, request.tag)
    manifest = await stores.manifests.get(name, digest)
    last = last_seen(request)
    referrers = await stores.referrers.page(name, digest, "", last, limits.REFERRERS)
    shown = await asyncio.to_thread(show_manifest, manifest.data)
    config = await _small_config(services, name, shown.config)
    reference = f":{request.tag}" if request.tag else f"@{digest}"
    values = {
        "name": name,
        "tag": request.tag,
        "reference": reference,
        "manifest": manifest,
        "size": len(manifest.data),
        "shown": shown,
        "image": None if config is None else show_image(config),
        "commands": pull_commands(_origin(services, request), name, reference, shown.kind),
        "referrers": [show_content(each) for each in referrers.descriptors],
        "last": last,
        "next_referrer": referrers.last,
    }
    return await asyncio.to_thread(render, request, "manifest", values)


async def show_failure(request: Request, error: ApiError) -> Response:
    """Say what is wrong."""
    return await asyncio.to_thread(render_failure, request, error)


async def _small_config(services: Services, name: str, config: Content | None) -> bytes | None:
    """Give the configuration of an image, if the repository has it and it is small."""
    if config is None or config.parsed is None or config.media_type not in IMAGE_CONFIGS:
        return None
    blobs = services.stores.blobs
    try:
        size = await blobs.size(name, config.parsed)
        return await blobs.small(config.parsed, size)
    except BlobUnknownError:
        return None


def _origin(services: Services, request: Request) -> Origin:
    return read_origin(services.urls.origin(request))


def _before(prefix: str) -> str:
    """Give a text that comes before every name that begins with `prefix`, and after all others."""
    if not prefix or prefix.endswith("/"):
        return prefix.removesuffix("/")
    lesser = chr(ord(prefix[-1]) - 1)
    # A slash would begin another component; the dot is what comes before it.
    return f"{prefix[:-1]}{'.' if lesser == '/' else lesser}{_AFTER_NAMES}"


def _components(name: str) -> list[str]:
    return name.split("/")
