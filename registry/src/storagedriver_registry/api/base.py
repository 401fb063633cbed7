"""The base resource: this is a registry, and it speaks version 2."""

from __future__ import annotations

from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response, fixed_headers
from storagedriver_registry.api.services import Services

_HEADERS = fixed_headers({"content-type": "application/json"})


async def get(services: Services, request: Request) -> Response:
    """Say that the registry is there. Source: distribution-spec, "Determining Support"."""
    return Response(200, _HEADERS, b"{}")
