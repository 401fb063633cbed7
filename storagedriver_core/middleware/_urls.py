"""What the middlewares have in common that change the URLs to which clients are sent."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator

from storagedriver_core._driver import StorageDriver
from storagedriver_core._service_url import check_service_url
from storagedriver_core._types import SignedMethod
from storagedriver_core.middleware._wrapper import DriverMiddleware

# Source: RFC 3986, "Path": what stands for itself there.
_OF_PATHS = "/:@!$&'()*+,;=~"


def escape_path(path: str) -> str:
    """Give a path as it stands in a URL."""
    return quote(path, safe=_OF_PATHS)


def _base(url: str) -> str:
    return check_service_url(url).rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base)]
"""What URLs begin with: scheme, host and perhaps a path; without a slash at its end."""


class UrlMiddleware(DriverMiddleware):
    """Sends those who read to another server that has the store's files.

    It makes URLs by itself, so it declares `sign_get` and `sign_head`, whatever the driver does.
    Those for `PUT` stay the driver's own.
    """

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver, own_verbs=("sign_get", "sign_head"))

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        if method == "PUT":
            return await super().redirect_url(
                path, method=method, expires=expires, content_type=content_type
            )
        return await self.reading_url(path, method, expires)

    @abstractmethod
    async def reading_url(self, path: str, method: SignedMethod, expires: timedelta) -> str:
        """Give the URL for `GET` or `HEAD`; as `redirect_url` does."""
