"""Credentials that a program gives. Source: docker-credential-helpers, "Development"."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress

from storagedriver_registry.client.credentials import Credentials
from storagedriver_registry.proxy.errors import UpstreamDeniedError

_SECONDS = 30.0
# Says that the secret is a refresh token, and not a password.
_TOKEN_USER = "<token>"


async def ask_program(command: Sequence[str], host: str) -> Credentials:
    """Run `command get`, which reads a host and writes credentials.

    Raises:
        UpstreamDeniedError: It gives none. The text holds nothing of what it wrote.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *(*command, "get"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise UpstreamDeniedError(f"proxy.exec.command cannot be run: {error}") from None
    try:
        async with asyncio.timeout(_SECONDS):
            _tell(process, f"{host}\n".encode())
            output, _ = await process.communicate()
    except TimeoutError:
        raise UpstreamDeniedError(f"proxy.exec.command took more than {_SECONDS:g}s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise UpstreamDeniedError(f"proxy.exec.command ended with status {process.returncode}")
    try:
        document = json.loads(output)
        username, secret = str(document["Username"]), str(document["Secret"])
        if username == _TOKEN_USER:
            return Credentials(identity_token=secret)
        return Credentials(username, secret)
    except (ValueError, LookupError, TypeError):
        raise UpstreamDeniedError("proxy.exec.command gave no credentials") from None


def _tell(process: Process, line: bytes) -> None:
    """Write a line, and the end. A program that does not wait for it may have ended by now."""
    assert process.stdin is not None
    with suppress(OSError, RuntimeError):  # uvloop's, of a closed handle
        process.stdin.write(line)
    process.stdin.close()
