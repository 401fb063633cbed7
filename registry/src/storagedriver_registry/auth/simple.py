"""Controllers that let in everybody, or everybody who asks in some way."""

from __future__ import annotations

from collections.abc import Sequence

from storagedriver_registry.auth.access import Access, Grant
from storagedriver_registry.auth.contract import AccessController, AuthRequest, ChallengeError
from storagedriver_registry.auth.headers import quoted
from storagedriver_registry.auth.options import NoneOptions, SillyOptions


class NoneController(AccessController):
    """Everybody may do everything."""

    def __init__(self, options: NoneOptions) -> None:
        self._grant = Grant()

    async def authorize(self, request: AuthRequest, accesses: Sequence[Access]) -> Grant:
        """Allow it."""
        return self._grant


class SillyController(AccessController):
    """Whoever sends any header `Authorization` may do everything. For tests of clients."""

    def __init__(self, options: SillyOptions) -> None:
        realm, service = quoted(options.realm), quoted(options.service)
        self._challenge = f"Bearer realm={realm},service={service}"
        self._grant = Grant("silly")

    async def authorize(self, request: AuthRequest, accesses: Sequence[Access]) -> Grant:
        """Look whether there is a header."""
        if request.header(b"authorization"):
            return self._grant
        scope = f",scope={quoted(' '.join(map(str, accesses)))}" if accesses else ""
        raise ChallengeError(self._challenge + scope, "no header Authorization")
