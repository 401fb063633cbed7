"""Errors, in the form that the JSON API gives them.

Source: json_api/v1/status-codes, "Error Response Format": a document with `error.code`,
`error.message` and `error.errors[]` of `domain`, `reason`, `message`. Downloads of media give the
message alone, as plain text, which the same page shows for `alt=media`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

_REASONS = {
    304: "notModified",
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    405: "methodNotAllowed",
    408: "requestTimeout",
    409: "conflict",
    410: "gone",
    411: "lengthRequired",
    412: "conditionNotMet",
    413: "uploadTooLarge",
    416: "requestedRangeNotSatisfiable",
    429: "rateLimitExceeded",
    499: "clientClosedRequest",
    500: "backendError",
    501: "notImplemented",
    503: "backendError",
}


class ApiError(Exception):
    """A request that is refused."""

    def __init__(
        self,
        status: int,
        message: str,
        reason: str = "",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason or _REASONS.get(status, "invalid")
        self.headers = dict(headers or {})

    def response(self, *, plain: bool = False) -> web.Response:
        """Give the answer; `plain` for downloads of media."""
        if self.status == 304:
            return web.Response(status=304, headers=self.headers)
        if plain:
            return web.Response(status=self.status, text=self.message, headers=self.headers)
        detail = {"domain": "global", "reason": self.reason, "message": self.message}
        document = {"error": {"code": self.status, "message": self.message, "errors": [detail]}}
        return web.Response(
            status=self.status,
            body=json.dumps(document).encode(),
            content_type="application/json",
            charset="utf-8",
            headers=self.headers,
        )


def no_bucket() -> ApiError:
    return ApiError(404, "The specified bucket does not exist.")


def no_object(bucket: str, name: str) -> ApiError:
    return ApiError(404, f"No such object: {bucket}/{name}")


def condition_not_met() -> ApiError:
    return ApiError(412, "At least one of the pre-conditions you specified did not hold.")
