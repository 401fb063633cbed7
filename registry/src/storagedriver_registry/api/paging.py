"""Pages of lists. Source: distribution-spec, "Listing Tags"; distribution's SPEC, "Pagination"."""

from __future__ import annotations

import re

from storagedriver_registry.api.codes import PAGINATION_NUMBER_INVALID
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request

_NUMBER = re.compile(r"[0-9]{1,9}")


def page_size(request: Request) -> int | None:
    """Give how many entries the client wants at most; None if it does not say.

    Raises:
        ApiError: `n` is no number, or negative.
    """
    text = request.query.get("n")
    if text is None:
        return None
    if _NUMBER.fullmatch(text) is None:
        raise ApiError(PAGINATION_NUMBER_INVALID, {"n": text})
    return int(text)


def last_seen(request: Request) -> str:
    """Give the entry after which the page begins; it need not exist."""
    return request.query.get("last", "")
