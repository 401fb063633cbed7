"""What an access controller is, and how it refuses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from storagedriver_registry.auth.access import Access, Grant


class AuthRequest(Protocol):
    """What a controller sees of a request."""

    def header(self, name: bytes) -> str | None:
        """Give a header, by its name in lower case; decoded as Latin-1."""
        ...


class ChallengeError(Exception):
    """The request is not allowed as it is; the client is told what to bring.

    Attributes:
        challenge: Value of the header `WWW-Authenticate`.
        reason: Why, for the log; the client is not told. Never a secret.
        accesses: What the request needs; the guard puts it in.
    """

    def __init__(self, challenge: str, reason: str) -> None:
        super().__init__(reason)
        self.challenge = challenge
        self.reason = reason
        self.accesses: tuple[Access, ...] = ()


class AccessCheckError(Exception):
    """The controller cannot tell whether a request is allowed; the text says why, for the log.

    Attributes:
        temporary: Whether it may be able to in a while. The client is told to come again.
    """

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary


class AccessController(ABC):
    """Decides on requests. It is made of its validated options, and makes no I/O before `open`."""

    async def open(self) -> None:
        """Prepare; called once before the first request, or again after it failed.

        Raises:
            ConfigurationError: What the options name is missing or wrong.
        """

    async def aclose(self) -> None:
        """Release what is held. Idempotent; no request comes afterwards."""

    @abstractmethod
    async def authorize(self, request: AuthRequest, accesses: Sequence[Access]) -> Grant:
        """Decide whether a request may go on.

        Args:
            request: Its headers.
            accesses: What it needs; all of it, or it is refused. Empty for the base resource,
                which clients ask for to see whether their credentials are right.

        Returns:
            Who asks, and everything that is allowed to them: more may be looked up in it.

        Raises:
            ChallengeError: It may not.
            AccessCheckError: It cannot be told.
        """
