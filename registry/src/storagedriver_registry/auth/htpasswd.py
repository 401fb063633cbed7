"""The controller `htpasswd`: the users of a password file may do everything."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path

from storagedriver_core import ConfigurationError
from storagedriver_registry.auth.access import Access, Grant
from storagedriver_registry.auth.contract import AccessController, AuthRequest, ChallengeError
from storagedriver_registry.auth.headers import basic_challenge, basic_credentials
from storagedriver_registry.auth.htpasswd_file import HtpasswdFile
from storagedriver_registry.auth.htpasswd_users import create_file
from storagedriver_registry.auth.options import HtpasswdOptions

logger = logging.getLogger(__name__)

_FIRST_USER = "docker"


class HtpasswdController(AccessController):
    """Asks for a user's name and password. Without TLS both can be read on their way."""

    def __init__(self, options: HtpasswdOptions) -> None:
        self._path = Path(options.path)
        self._file = HtpasswdFile(options.path)
        self._challenge = basic_challenge(options.realm)

    async def open(self) -> None:
        """Make the file with one user, if there is none, and log that user's password.

        Raises:
            ConfigurationError: It cannot be made.
        """
        try:
            await asyncio.to_thread(_make_if_missing, self._path)
        except OSError as error:
            raise ConfigurationError(
                f"auth.htpasswd.path: {self._path}: {error.strerror}"
            ) from error

    async def aclose(self) -> None:
        """End the threads."""
        self._file.aclose()

    async def authorize(self, request: AuthRequest, accesses: Sequence[Access]) -> Grant:
        """Check user and password."""
        given = basic_credentials(request)
        if given is None:
            raise ChallengeError(self._challenge, "no user and password")
        user, password = given
        name = user.decode(errors="replace")
        if not await self._file.check(user, password):
            raise ChallengeError(self._challenge, f"wrong password, or no user {name[:100]!r}")
        return Grant(name)


def _make_if_missing(path: Path) -> None:
    if path.exists():
        return
    password = secrets.token_urlsafe(32)
    if create_file(path, _FIRST_USER, password):
        # An error, so that it is seen at every level: it is said once and nowhere else.
        logger.error(
            "%s is missing, and was made with user=%s password=%s", path, _FIRST_USER, password
        )
