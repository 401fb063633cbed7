"""What stands before every handler where authentication is on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from storagedriver_registry.auth.access import Access, Grant
from storagedriver_registry.auth.contract import AccessController, AuthRequest, ChallengeError

logger = logging.getLogger(__name__)


class Guard:
    """Asks the access controller."""

    def __init__(self, controller: AccessController) -> None:
        self._controller = controller

    async def open(self) -> None:
        """Prepare the controller.

        Raises:
            ConfigurationError: What its options name is missing or wrong.
        """
        await self._controller.open()

    async def aclose(self) -> None:
        """Release what the controller holds."""
        await self._controller.aclose()

    async def authorize(self, request: AuthRequest, accesses: Sequence[Access]) -> Grant:
        """Give what the client may do, which is at least `accesses`.

        Raises:
            ChallengeError: It is not allowed all of them.
            AccessCheckError: The controller cannot tell.
        """
        try:
            return await self._controller.authorize(request, accesses)
        except ChallengeError as error:
            error.accesses = tuple(accesses)
            logger.info("not authorized: %s", error.reason)
            raise
