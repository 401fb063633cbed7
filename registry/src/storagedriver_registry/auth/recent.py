"""What was found right a moment ago, so that it need not be found right again."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from time import monotonic
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Results of successful checks, for a short time.

    Neither credentials nor digests of them that could be searched for are kept: a digest is keyed
    with what only this object knows.

    Args:
        most: Entries that are kept; beyond them the oldest goes.
        seconds: For how long an entry is kept at most.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._secret = secrets.token_bytes(32)
        self._entries: OrderedDict[bytes, tuple[float, V]] = OrderedDict()

    def key(self, credentials: bytes) -> bytes:
        """Give the key that stands for credentials."""
        return hashlib.blake2b(credentials, digest_size=32, key=self._secret).digest()

    def get(self, key: bytes) -> V | None:
        """Give what was found, if that is not too long ago."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        end, value = entry
        if monotonic() >= end:
            del self._entries[key]
            return None
        return value

    def put(self, key: bytes, value: V, seconds: float | None = None) -> None:
        """Keep what was found, for `seconds` if that is less than what holds for all."""
        lifetime = self._seconds if seconds is None else min(self._seconds, seconds)
        self._entries.pop(key, None)
        self._entries[key] = (monotonic() + lifetime, value)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
