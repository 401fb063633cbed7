"""Lists that come in pages. Source: distribution-spec, "Listing Tags"; RFC 8288."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from yarl import URL

from storagedriver_registry.client.addresses import given_url, is_same_origin
from storagedriver_registry.client.errors import InvalidAnswerError
from storagedriver_registry.client.transport import Request, Transport

_MOST_OF_A_PAGE = 32 << 20
_NEXT = re.compile(r"<([^<>]*)>((?:\s*;[^,;]*)*)")
_IS_NEXT = re.compile(r";\s*rel\s*=\s*\"?next\"?\s*(?:;|$)", re.IGNORECASE)


async def pages(
    transport: Transport, target: str, scopes: frozenset[str], headers: Mapping[str, str]
) -> AsyncGenerator[tuple[Mapping[str, Any], Mapping[str, str]], None]:
    """Give the pages of a list as JSON objects, each with its headers.

    Args:
        transport: The registry.
        target: Where the first is.
        scopes: What the requests need to be allowed.
        headers: Theirs.

    Raises:
        InvalidAnswerError: A page is no JSON object, or the pages lead elsewhere or in a circle.
    """
    url = await transport.url(target)
    seen: set[URL] = set()
    while True:
        seen.add(url)
        answer, data = await transport.read(Request("GET", url, scopes, headers), _MOST_OF_A_PAGE)
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise InvalidAnswerError(f"{url.path}: it is no JSON object", host=transport.host)
        yield document, answer.headers
        link = _next_of(answer.headers.get("Link", ""))
        if link is None:
            return
        try:
            target_url = given_url(url.join(URL(link, encoded=True)))
        except ValueError:
            raise InvalidAnswerError(
                f"{url.path}: its next page is at no URL", host=transport.host
            ) from None
        if not is_same_origin(target_url, url) or target_url in seen:
            raise InvalidAnswerError(
                f"{url.path}: its next page is elsewhere, or one before", host=transport.host
            )
        url = target_url


def texts(document: Mapping[str, Any], key: str) -> list[str]:
    """Give the texts of a list in a page; anything else there is left out."""
    # Registries say null of an empty list.
    listed = document.get(key)
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _next_of(link: str) -> str | None:
    for target, parameters in _NEXT.findall(link):
        if _IS_NEXT.search(parameters):
            return str(target)
    return None
