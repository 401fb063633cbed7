"""Where a repository is read: its mirrors, one after the other, and last the registry itself."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from storagedriver_registry.client.errors import (
    ConnectionFailedError,
    DigestMismatchError,
    RegistryError,
)
from storagedriver_registry.client.mirrors import PullFromMirror
from storagedriver_registry.client.transport import Transport
from storagedriver_registry.digest import Digest

T = TypeVar("T")

_logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Origin:
    """One place that a repository is read from.

    Attributes:
        transport: The registry there.
        name: The repository's name there.
        pull: Which manifests it is asked for.
        named: Whether a tag was asked for here with success: what it named may be nowhere else.
        wrong: Blobs that it gave with other content.
    """

    transport: Transport
    name: str
    pull: PullFromMirror = "all"
    named: bool = False
    wrong: set[Digest] = field(default_factory=set)


class Search:
    """Goes from one origin to the next when one fails.

    Args:
        origins: The origins, of which the last one is always asked.
    """

    def __init__(self, origins: Iterable[Origin]) -> None:
        self._left = list(origins)
        self._failures: list[RegistryError] = []
        self._leave_resting()

    @property
    def origin(self) -> Origin:
        """The one that is asked now."""
        return self._left[0]

    @property
    def is_last(self) -> bool:
        """Whether nobody is left after it."""
        return len(self._left) == 1

    def leave(self, error: RegistryError) -> None:
        """Go on to the next one.

        Args:
            error: How this one failed; raised if it is the last, with how the others did.
        """
        if self.is_last:
            error.tried = tuple(self._failures)
            raise error
        # Lies are worth to be told of, unlike what happens to every mirror.
        level = logging.WARNING if isinstance(error, DigestMismatchError) else logging.INFO
        _logger.log(level, "the mirror %s is left: %s", self.origin.transport.host, error)
        if isinstance(error, ConnectionFailedError):
            self.origin.transport.rest(error)
        self._failures.append(error)
        del self._left[0]
        self._leave_resting()

    async def first(self, ask: Callable[[Origin], Awaitable[T]]) -> T:
        """Ask one after the other until one does not fail."""
        while True:
            try:
                return await ask(self.origin)
            except RegistryError as error:
                self.leave(error)

    def _leave_resting(self) -> None:
        while not self.is_last and (error := self.origin.transport.resting()) is not None:
            self._failures.append(error)
            del self._left[0]


class Origins:
    """The origins of one repository.

    Args:
        mirrors: Its mirrors, in order.
        last: Where it is read if none of them has it.
    """

    def __init__(self, mirrors: Sequence[Origin], last: Origin) -> None:
        self.last = last
        self._all = (*mirrors, last)

    def of_tag(self) -> Search:
        """Look for the manifest of a tag."""
        return Search(one for one in self._all if one.pull != "digest-only")

    def of_manifest(self) -> Search:
        """Look for a manifest by its digest."""
        return Search(one for one in self._all if one.pull != "tag-only" or one.named)

    def of_blob(self, digest: Digest) -> Search:
        """Look for a blob. Who has nothing but manifests of tags has their blobs."""
        return Search(one for one in self._all if one is self.last or digest not in one.wrong)
