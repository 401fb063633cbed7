"""Redirect URLs and identities: what the portable layer asks of a driver, and what it refuses."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    Capabilities,
    InvalidPathError,
    SignedMethod,
    Storage,
    StorageDriver,
    UnsupportedMethodError,
)


class Signing(InMemoryDriver):
    """Signs, and tells who it is."""

    def __init__(self, **declared: bool) -> None:
        super().__init__()
        self._declared = declared

    @property
    def capabilities(self) -> Capabilities:
        changes: dict[str, Any] = dict(self._declared)
        return dataclasses.replace(super().capabilities, **changes)

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        return f"{method} {path} {expires.total_seconds():g} {content_type}"

    async def identity(self) -> Mapping[str, str]:
        return {"credentials": "environment", "endpoint": "http://store"}


ALL = {
    "sign_get": True,
    "sign_head": True,
    "sign_put": True,
    "sign_put_with_content_type": True,
}


def on(driver: StorageDriver, work: Callable[[Storage], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Storage(driver) as storage:
            await work(storage)

    asyncio.run(run())


def test_url_is_asked_for_with_everything_that_was_given() -> None:
    async def work(storage: Storage) -> None:
        assert await storage.redirect_url("/a") == "GET /a 1200 None"
        url = await storage.redirect_url(
            "/a", method="PUT", expires=timedelta(seconds=5), content_type="text/plain"
        )
        assert url == "PUT /a 5 text/plain"

    on(Signing(**ALL), work)


@pytest.mark.parametrize("missing", sorted(ALL))
def test_url_needs_the_capability(missing: str) -> None:
    async def work(storage: Storage) -> None:
        with pytest.raises(UnsupportedMethodError) as refused:
            if missing == "sign_put_with_content_type":
                await storage.redirect_url("/a", method="PUT", content_type="text/plain")
            elif missing == "sign_put":
                await storage.redirect_url("/a", method="PUT")
            else:
                method: SignedMethod = "GET" if missing == "sign_get" else "HEAD"
                await storage.redirect_url("/a", method=method)
        assert refused.value.capability == missing

    on(Signing(**{**ALL, missing: False}), work)


def test_url_for_what_cannot_be_is_refused() -> None:
    async def work(storage: Storage) -> None:
        with pytest.raises(ValueError, match="content_type"):
            await storage.redirect_url("/a", method="GET", content_type="text/plain")
        with pytest.raises(ValueError, match="expires"):
            await storage.redirect_url("/a", expires=timedelta(0))
        with pytest.raises(ValueError, match="method"):
            await storage.redirect_url("/a", method="POST")  # type: ignore[arg-type]
        with pytest.raises(InvalidPathError):
            await storage.redirect_url("/a/../b")

    on(Signing(**ALL), work)


def test_identity_is_the_drivers_and_empty_without() -> None:
    async def work(storage: Storage) -> None:
        assert list(await storage.identity()) == ["credentials", "endpoint"]

    async def none(storage: Storage) -> None:
        assert await storage.identity() == {}

    on(Signing(), work)
    on(InMemoryDriver(), none)
