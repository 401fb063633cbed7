"""One request to an endpoint."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO

from storagedriver_registry.notifications.endpoints import Endpoint
from storagedriver_registry.notifications.events import MEDIA_TYPE


class PostError(Exception):
    """There was no answer; the text says why."""


def post(endpoint: Endpoint, body: bytes) -> int:
    """Send an envelope, and give the status of the answer. It blocks.

    Raises:
        PostError: There is none.
    """
    headers = {"Content-Type": MEDIA_TYPE, **endpoint.headers}
    request = urllib.request.Request(endpoint.url, body, headers, method="POST")
    try:
        with _OPENER.open(request, timeout=endpoint.timeout) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise PostError(str(reason) or type(error).__name__) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: the events, and credentials, go where they were to go."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)
