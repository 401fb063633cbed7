"""From errors of the upstream to what clients are told."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

from storagedriver_registry.api.codes import DENIED, TOOMANYREQUESTS, UNAVAILABLE
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.proxy.errors import (
    UpstreamBusyError,
    UpstreamDeniedError,
    UpstreamDownError,
    UpstreamError,
    UpstreamUnknownError,
)
from storagedriver_registry.storage.errors import UnknownError

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 5


@contextmanager
def telling(unknown: UnknownError) -> Iterator[None]:
    """Tell the client of errors of the upstream.

    Args:
        unknown: What is raised if the upstream does not have it.
    """
    try:
        yield
    except UpstreamUnknownError:
        raise unknown from None
    except UpstreamError as error:
        raise to_api_error(error) from error


def to_api_error(error: UpstreamError) -> ApiError:
    """Give what the client is told of an upstream that does not give what it asked for.

    Nothing of the upstream's own words: they may be about this proxy's credentials.
    """
    logger.warning("the upstream registry does not give what is asked for: %s", error)
    match error:
        case UpstreamBusyError():
            seconds = _RETRY_SECONDS if error.retry_after is None else error.retry_after
            wait = {"retry-after": str(max(1, math.ceil(seconds)))}
            return ApiError(TOOMANYREQUESTS, headers=wait)
        case UpstreamDeniedError():
            # Not 401: whatever the client sends, it is this proxy that is refused.
            return ApiError(DENIED, message="the upstream registry denies access to this proxy")
        case UpstreamDownError():
            wait = {"retry-after": str(_RETRY_SECONDS)}
            message = "the upstream registry cannot be reached"
            return ApiError(UNAVAILABLE, message=message, headers=wait)
    message = "the upstream registry sends something else than was asked for"
    return ApiError(UNAVAILABLE, message=message, status=502)
