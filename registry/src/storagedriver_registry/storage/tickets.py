"""Tickets: signed words that vouch for upload sessions which hold nothing yet.

Starting an upload stores nothing. The session lives in the ticket that its Location carries until
the first bytes are durable; from then on it lives in its token, and no ticket is needed.
"""

from __future__ import annotations

import hmac
import os
import random
import secrets
import time
import uuid
from hashlib import blake2b

from storagedriver_core import AlreadyExistsError, PathNotFoundError, Storage
from storagedriver_registry.storage import paths

_MAC_BYTES = 16

# Not the one of the module: a program that gives it the same seed each time would meet the ids of
# its sessions again.
_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)

_LIFETIME_SECONDS = 7 * 24 * 3600


class Tickets:
    """Signs and checks tickets.

    Without a configured key one is made at the first need and kept in the store, so that sessions
    survive a restart and every server on one store accepts the tickets of the others.

    Args:
        storage: Where the key is kept.
        key: The configured key (`http.secret`).
    """

    def __init__(self, storage: Storage, key: bytes | None = None) -> None:
        self._storage = storage
        self._key = None if key is None else _fitted(key)

    async def issue(self, name: str, upload_id: str) -> str:
        """Give the ticket of a new session."""
        issued = f"{int(time.time()):x}"
        return f"{issued}.{await self._sign(name, upload_id, issued)}"

    async def is_valid(self, ticket: str, name: str, upload_id: str) -> bool:
        """Tell whether the ticket was issued for this session, and not too long ago."""
        issued, _, signature = ticket.partition(".")
        expected = await self._sign(name, upload_id, issued)
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            return False
        return time.time() - int(issued, 16) < _LIFETIME_SECONDS

    async def new_id(self) -> str:
        """Give the id of a new session, a UUID that nobody guesses who does not have the key."""
        seed = _random.getrandbits(8 * _MAC_BYTES).to_bytes(_MAC_BYTES)
        return str(uuid.UUID(bytes=await self._mac(seed), version=4))

    async def _sign(self, name: str, upload_id: str, issued: str) -> str:
        return (await self._mac(f"{name}\n{upload_id}\n{issued}".encode())).hex()

    async def _mac(self, message: bytes) -> bytes:
        if self._key is None:
            self._key = _fitted(await _stored_key(self._storage))
        # Neither `hmac` nor `secrets`: they let go of the interpreter's lock, which costs more
        # than all else that is done here.
        return blake2b(message, key=self._key, digest_size=_MAC_BYTES).digest()


def _fitted(key: bytes) -> bytes:
    """Give a key of the length that BLAKE2 takes."""
    return blake2b(key).digest()


async def _stored_key(storage: Storage) -> bytes:
    """Give the key that is kept in the store; make it if there is none."""
    try:
        return await storage.get_content(paths.UPLOAD_KEY)
    except PathNotFoundError:
        pass
    try:
        key = secrets.token_hex(32).encode()
        await storage.put_content(
            paths.UPLOAD_KEY, key, if_absent=storage.capabilities.put_if_absent
        )
    except AlreadyExistsError:
        pass
    # Read again: of several servers that begin at once, all take the key of the last.
    return await storage.get_content(paths.UPLOAD_KEY)
