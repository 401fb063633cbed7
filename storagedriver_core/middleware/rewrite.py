"""Changes the URLs that the driver makes, for clients that reach the store by another name."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from storagedriver_core._driver import StorageDriver
from storagedriver_core._types import SignedMethod
from storagedriver_core.middleware._urls import escape_path
from storagedriver_core.middleware._wrapper import DriverMiddleware


class RewriteParameters(BaseModel):
    """Parameters of `rewrite`. docker/distribution's spellings are accepted as well."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    scheme: str = Field(
        "", pattern=r"^([A-Za-z][A-Za-z0-9+.-]*)?$", description="Scheme in place of the URL's."
    )
    host: str = Field(
        "", pattern=r"^[^/?#\s]*$", description="Host, and port if needed, in place of the URL's."
    )
    trim_path_prefix: str = Field(
        "",
        validation_alias=AliasChoices("trim_path_prefix", "trimpathprefix"),
        description="Taken off the beginning of the URL's path, where it is there.",
    )


class RewriteMiddleware(DriverMiddleware):
    """Changes scheme, host and path of the URL for `GET` and `HEAD` that the driver signs.

    The query stays as it is. A signature that covers what is changed does not hold any more, so
    this is for a server that asks for none, or puts back what was changed.
    """

    def __init__(self, driver: StorageDriver, parameters: RewriteParameters) -> None:
        super().__init__(driver)
        self._parameters = parameters

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        url = await super().redirect_url(
            path, method=method, expires=expires, content_type=content_type
        )
        return url if method == "PUT" else self._rewritten(url)

    def _rewritten(self, url: str) -> str:
        given, parts = self._parameters, urlsplit(url)
        place, trim = unquote(parts.path), given.trim_path_prefix
        if trim and place.startswith(trim):
            rest = place.removeprefix(trim)
            parts = parts._replace(path=escape_path(rest if rest.startswith("/") else f"/{rest}"))
        return urlunsplit(
            parts._replace(scheme=given.scheme or parts.scheme, netloc=given.host or parts.netloc)
        )
