"""One look each: at a file, a URL, an address, the storage.

Source: distribution's `health/checks` and, of the storage, `RegisterHealthChecks`.
"""

from __future__ import annotations

import asyncio
import os
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http.client import HTTPException
from typing import TypeAlias

from storagedriver_core import Storage
from storagedriver_registry.configuration.models import (
    FileCheckSettings,
    HttpCheckSettings,
    TcpCheckSettings,
)

Check: TypeAlias = Callable[[], Awaitable[None]]
"""Returns if all is well, else raises."""

# Where no timeout is configured: Go's has none, and a check that hangs says nothing.
_DEFAULT_SECONDS = 10.0


class CheckFailedError(Exception):
    """A check has failed; the text says why."""


def storage_check(storage: Storage, seconds: float = _DEFAULT_SECONDS) -> Check:
    """Look whether the storage answers, with one cheap request."""

    async def check() -> None:
        try:
            async with asyncio.timeout(seconds):
                await storage.check()
        except TimeoutError:
            raise CheckFailedError(f"no answer within {seconds:g} seconds") from None

    return check


def file_check(settings: FileCheckSettings) -> Check:
    """Look whether a file is there: whoever makes it takes the registry out of service."""
    path = settings.file

    async def check() -> None:
        try:
            await asyncio.to_thread(os.stat, path)
        except FileNotFoundError:
            return
        raise CheckFailedError("file exists")

    return check


def http_check(settings: HttpCheckSettings) -> Check:
    """Look whether a URL answers HEAD with the status that is wanted."""
    uri, seconds = settings.uri, settings.timeout or _DEFAULT_SECONDS
    headers = {
        name: ", ".join(value.get_secret_value() for value in values)
        for name, values in settings.headers.items()
    }

    async def check() -> None:
        status = await asyncio.to_thread(_head, uri, headers, seconds)
        if status != settings.statuscode:
            raise CheckFailedError(
                f"{uri}: downstream service returned unexpected status: {status}"
            )

    return check


def tcp_check(settings: TcpCheckSettings) -> Check:
    """Look whether an address takes connections."""
    addr, seconds = settings.addr, settings.timeout or _DEFAULT_SECONDS
    host, _, port = addr.rpartition(":")

    async def check() -> None:
        try:
            async with asyncio.timeout(seconds):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else error
            raise CheckFailedError(f"{addr}: connection failed: {why}") from None
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    return check


def _head(uri: str, headers: dict[str, str], seconds: float) -> int:
    request = urllib.request.Request(uri, headers=headers, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, HTTPException, ValueError) as error:
        raise CheckFailedError(f"{uri}: error while checking: {error}") from None
