"""What a driver's author gives the suite: the store of one test, and its back door."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType

from storagedriver_core import StorageDriver


class NotOfferedError(NotImplementedError):
    """The harness does not offer this; the cases that need it are reported as not shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answers in a certain case; a proxy gives it in the server's place.

    Attributes:
        pattern: Regular expression that is searched in `METHOD /path?query`, as these are sent.
        status: Status code.
        headers: Headers, without those of the length.
        body: Body.
    """

    pattern: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class ExtraRequests:
    """What writing costs by a driver's design, in requests beyond the contract's figures (Q08).

    Each number is exact where it is not 0: with fewer requests the case fails, too.

    Attributes:
        reason: Why, in words for whoever reads the harness.
        put: Of a put of a new object.
        replace: Of a put over another.
        part: Of each part of an upload.
        commit: Of an upload, once.
    """

    reason: str = ""
    put: int = 0
    replace: int = 0
    part: int = 0
    commit: int = 0

    def __post_init__(self) -> None:
        if any((self.put, self.replace, self.part, self.commit)) and not self.reason:
            raise ValueError("more requests than the contract allows need a reason")


class Harness(ABC):
    """One empty store for one test.

    A test makes a new harness, calls `start`, opens any number of drivers on the store, and calls
    `stop`. The abstract methods are enough; each of the others lets more cases run.

    What `HarnessSpec.factory` names, most often a subclass of this, is called as
    `factory(directory, parameters)`: an empty directory that the test may use, as `pathlib.Path`,
    and the driver's `parameters` from the configuration file, an empty mapping without one.

    Attributes:
        max_seconds: How long one case may take before it counts as hung; at real size ten times
            that.
        is_remote: Whether each call costs a request, so that a case takes fewer examples where
            their number is not the rule.
        keys_per_delete: Objects that one request can delete.
        extra_requests: What writing costs more requests than the contract says, and why.
        signed_put_headers: What a client has to send with every signed PUT.
        calls_that_never_wait: Functions of the driver that call the operating system on the event
            loop, by module and qualified name, each with the reason why that never waits.
    """

    max_seconds: float = 60.0
    is_remote: bool = False
    keys_per_delete: int = 1
    extra_requests: ExtraRequests = ExtraRequests()
    signed_put_headers: Mapping[str, str] = MappingProxyType({})
    calls_that_never_wait: Mapping[str, str] = MappingProxyType({})

    async def start(self) -> None:
        """Make the empty store."""

    async def stop(self) -> None:
        """Remove the store and whatever is in it."""

    @abstractmethod
    def driver(self) -> StorageDriver:
        """Give a new, unopened driver on the store: the same store at each call."""

    @abstractmethod
    async def raw_list(self) -> Sequence[str]:
        """Name everything that the store holds, looked up behind the driver's back.

        Objects, staging files, sidecars, temporary files: all but the store itself and
        directories that belong to it.
        """

    @abstractmethod
    async def raw_uploads(self) -> Sequence[str]:
        """Name every upload in progress, looked up behind the driver's back."""

    async def raw_get(self, path: str) -> bytes:
        """Give an object's bytes from behind the driver's back."""
        raise NotOfferedError

    async def raw_put(self, path: str, data: bytes) -> None:
        """Store an object from behind the driver's back."""
        raise NotOfferedError

    def missing_driver(self) -> StorageDriver:
        """Give an unopened driver on a store that does not exist (root directory, bucket)."""
        raise NotOfferedError

    def other_root_driver(self) -> StorageDriver:
        """Give an unopened driver on a second root of the same store, beside the first."""
        raise NotOfferedError

    def full_store(self) -> AbstractContextManager[None]:
        """Make the store refuse to grow while the context lasts.

        What it holds can be read and deleted; 2 MiB more do not fit.
        """
        raise NotOfferedError

    def read_only_store(self) -> AbstractContextManager[None]:
        """Make the store refuse every change, for want of permission, while the context lasts."""
        raise NotOfferedError

    def removed_store(self) -> AbstractContextManager[None]:
        """Take the whole store away while the context lasts."""
        raise NotOfferedError

    async def plant_link(self, path: str, target: str) -> None:
        """Put a symbolic link at `path` that points to the file or directory `target` outside."""
        raise NotOfferedError

    async def plant_directory(self, path: str) -> None:
        """Make what stands for an empty directory: an object `path/`, or a real directory."""
        raise NotOfferedError

    def list_requests(self) -> int:
        """Count the requests to list that the store has had so far.

        Pages of a listing, directories read, or lookups of many names: whatever grows with how
        much of the store was looked through.
        """
        raise NotOfferedError

    def undeletable(self, path: str) -> AbstractContextManager[None]:
        """Make the store refuse to delete the object at `path` while the context lasts."""
        raise NotOfferedError

    def upstream_url(self) -> str:
        """Give the base URL of the HTTP server that holds the store, as `http://127.0.0.1:8333`.

        Cases put a fault proxy in front of it.
        """
        raise NotOfferedError

    def proxied_driver(self, url: str) -> StorageDriver:
        """Give an unopened driver on the store that reaches the server at `url` alone.

        Requests and answers pass unchanged, the Host header included; in answers, the server's own
        URL is replaced by `url`.
        """
        raise NotOfferedError

    def public_driver(self, url: str) -> StorageDriver:
        """Give an unopened driver that reaches the server directly, and signs URLs for `url`."""
        raise NotOfferedError

    def rotated_driver(self) -> StorageDriver:
        """Give an unopened driver on the store with other credentials, of the same rights."""
        raise NotOfferedError

    def unauthenticated_driver(self) -> StorageDriver:
        """Give an unopened driver on the store with credentials that the server refuses."""
        raise NotOfferedError

    def commit_error_answer(self) -> Answer:
        """Give the answer of status 200 that tells the failure of a commit in its body.

        For services that have such a one, to the request that commits an upload of parts.
        """
        raise NotOfferedError

    def session_faults(self) -> Mapping[str, Answer]:
        """Give answers of the session of an upload, by name.

        `no_progress`: To a request with bytes of a part, which it acknowledges, though none of
        them was kept. Every other name, as `expired` or `cancelled`: To any request of the session,
        which is over.
        """
        raise NotOfferedError

    async def discard_parts(self, path: str, data: bytes) -> None:
        """Store an object behind the driver's back, so that it ends the uploads at its path.

        In the way that the service has: what was uploaded there and not committed is dropped.
        """
        raise NotOfferedError

    def undeletable_answer(self, path: str) -> Answer:
        """Give the refusal, for want of permission, to the request that deletes this object."""
        raise NotOfferedError

    def parameters(self) -> Mapping[str, object]:
        """Give the parameters with which a configuration opens a driver on this store.

        For drivers that a plugin registers, so that a configuration can name them. A driver whose
        store no other can open (`shared_between_processes` is not declared) opens one of its own.
        """
        raise NotOfferedError

    def bad_parameters(self) -> Sequence[tuple[dict[str, object], str]]:
        """Give parameters that must be refused, each with the key that the error has to name."""
        raise NotOfferedError

    def offers(self, method: str) -> bool:
        """Tell whether the harness has this optional method."""
        return getattr(type(self), method) is not getattr(Harness, method)
