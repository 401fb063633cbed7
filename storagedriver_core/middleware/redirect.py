"""Sends clients that read to another server, by a plain URL."""

from __future__ import annotations

from datetime import timedelta

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from storagedriver_core._driver import StorageDriver
from storagedriver_core._types import SignedMethod
from storagedriver_core.middleware._urls import BaseUrl, UrlMiddleware, escape_path


class RedirectParameters(BaseModel):
    """Parameters of `redirect`. docker/distribution's spellings are accepted as well."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    base_url: BaseUrl = Field(
        validation_alias=AliasChoices("base_url", "baseurl"),
        description="What URLs begin with, as https://cdn.example/files; the path follows.",
    )


class RedirectMiddleware(UrlMiddleware):
    """Gives the path below `base_url` as the URL for `GET` and `HEAD`, for any time and anybody.

    Nothing is signed: who may read what is for the server there to say. The path is the driver's,
    without a root directory.
    """

    def __init__(self, driver: StorageDriver, parameters: RedirectParameters) -> None:
        super().__init__(driver)
        self._base_url = parameters.base_url

    async def reading_url(self, path: str, method: SignedMethod, expires: timedelta) -> str:
        return self._base_url + escape_path(path)
