"""A harness whose drivers keep everything below a prefix of the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from storagedriver_core import StorageDriver
from storagedriver_testsuite._harness import Answer, Harness

PREFIX = "/some/where"
"""What suites put before each path, where they may choose."""

# The driver's own parameters set no prefix. And a delete of everything below one takes what it
# finds in the listing, where links are not.
_LOST = frozenset({"parameters", "plant_link"})


class PrefixedHarness(Harness):
    """Looks behind drivers whose paths are others than those of the store.

    Args:
        harness: The harness of the whole store.
        prefix: What the drivers put before each path, as `/a/b`.
        wrap: Puts the middleware that does so around a driver.
    """

    def __init__(
        self, harness: Harness, prefix: str, wrap: Callable[[StorageDriver], StorageDriver]
    ) -> None:
        self.max_seconds = harness.max_seconds
        self.is_remote = harness.is_remote
        self.keys_per_delete = harness.keys_per_delete
        self.extra_requests = harness.extra_requests
        self.calls_that_never_wait = harness.calls_that_never_wait
        self.signed_put_headers = harness.signed_put_headers
        self._harness = harness
        self._prefix = prefix
        self._wrap = wrap

    async def start(self) -> None:
        """Make the whole store."""
        await self._harness.start()

    async def stop(self) -> None:
        """Remove the whole store."""
        await self._harness.stop()

    def driver(self) -> StorageDriver:
        """Give a driver that puts the prefix before each path."""
        return self._wrap(self._harness.driver())

    async def raw_list(self) -> Sequence[str]:
        """Name everything, without the prefix where it has it."""
        return [name.removeprefix(self._prefix) for name in await self._harness.raw_list()]

    async def raw_uploads(self) -> Sequence[str]:
        """Name every upload in progress."""
        return await self._harness.raw_uploads()

    async def raw_get(self, path: str) -> bytes:
        """Give an object's bytes."""
        return await self._harness.raw_get(self._prefix + path)

    async def raw_put(self, path: str, data: bytes) -> None:
        """Store an object."""
        await self._harness.raw_put(self._prefix + path, data)

    def missing_driver(self) -> StorageDriver:
        """Give a driver on a store that does not exist."""
        return self._wrap(self._harness.missing_driver())

    def other_root_driver(self) -> StorageDriver:
        """Give a driver on a second root, with the same prefix."""
        return self._wrap(self._harness.other_root_driver())

    def full_store(self) -> AbstractContextManager[None]:
        """Make the whole store refuse to grow."""
        return self._harness.full_store()

    def read_only_store(self) -> AbstractContextManager[None]:
        """Make the whole store refuse every change."""
        return self._harness.read_only_store()

    def removed_store(self) -> AbstractContextManager[None]:
        """Take the whole store away."""
        return self._harness.removed_store()

    async def plant_directory(self, path: str) -> None:
        """Make an empty directory below the prefix."""
        await self._harness.plant_directory(self._prefix + path)

    def list_requests(self) -> int:
        """Count the requests to list."""
        return self._harness.list_requests()

    def undeletable(self, path: str) -> AbstractContextManager[None]:
        """Make the store refuse to delete an object."""
        return self._harness.undeletable(self._prefix + path)

    def upstream_url(self) -> str:
        """Give the base URL of the server."""
        return self._harness.upstream_url()

    def proxied_driver(self, url: str) -> StorageDriver:
        """Give a driver, with the prefix, that reaches the server at a URL."""
        return self._wrap(self._harness.proxied_driver(url))

    def public_driver(self, url: str) -> StorageDriver:
        """Give a driver, with the prefix, that signs for a URL."""
        return self._wrap(self._harness.public_driver(url))

    def rotated_driver(self) -> StorageDriver:
        """Give a driver, with the prefix and other credentials."""
        return self._wrap(self._harness.rotated_driver())

    def unauthenticated_driver(self) -> StorageDriver:
        """Give a driver with credentials that are refused."""
        return self._wrap(self._harness.unauthenticated_driver())

    def commit_error_answer(self) -> Answer:
        """Give the answer that tells the failure of a commit."""
        return self._harness.commit_error_answer()

    def session_faults(self) -> Mapping[str, Answer]:
        """Give answers of the session of an upload."""
        return self._harness.session_faults()

    async def discard_parts(self, path: str, data: bytes) -> None:
        """Store an object below the prefix, ending the uploads at its path."""
        await self._harness.discard_parts(self._prefix + path, data)

    def undeletable_answer(self, path: str) -> Answer:
        """Give the refusal to delete an object below the prefix."""
        return self._harness.undeletable_answer(self._prefix + path)

    def bad_parameters(self) -> Sequence[tuple[dict[str, object], str]]:
        """Give parameters of the driver that must be refused."""
        return self._harness.bad_parameters()

    def offers(self, method: str) -> bool:
        """Tell what the whole store's harness offers, as far as a prefix lets it."""
        return method not in _LOST and self._harness.offers(method)
