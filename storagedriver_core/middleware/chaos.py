"""Lets calls fail and wait by chance, for tests of what is built on a storage.

Whether the n-th call of an operation on a path fails is decided by the seed, the operation, the
path and n alone: so a run is the same again, whatever else goes on at the same time.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from storagedriver_core._driver import StorageDriver
from storagedriver_core._errors import StorageDriverError, ThrottledError, UnavailableError
from storagedriver_core._types import UploadInfo
from storagedriver_core.middleware._wrapper import DriverMiddleware

T = TypeVar("T")

Group = Literal["read", "write", "list", "delete"]
Kind = Literal["refused", "throttled", "lost"]

_GROUPS: dict[str, Group] = {
    "stat": "read",
    "open_reader": "read",
    "read": "read",
    "get_content": "read",
    "checksum": "read",
    "redirect_url": "read",
    "local_path": "read",
    "put_content": "write",
    "move": "write",
    "copy": "write",
    "open_upload": "write",
    "put_part": "write",
    "copy_part": "write",
    "sync_upload": "write",
    "upload_state": "write",
    "complete_upload": "write",
    "abort_upload": "write",
    "list": "list",
    "walk": "list",
    "list_uploads": "list",
    "delete": "delete",
    "delete_many": "delete",
}
# What these open would be lost with the answer: an upload that nobody could abort.
_NEVER_LOST = frozenset({"open_upload", "open_reader"})
_MOST_COUNTED = 100_000


class ChaosParameters(BaseModel):
    """Parameters of `chaos`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: float = Field(0.05, ge=0, le=1, description="Share of calls, chunks and pages that fail.")
    seed: int | None = Field(
        None, description="Decides which; by default another one for each instance."
    )
    groups: tuple[Group, ...] = Field(
        ("read", "write", "list", "delete"), min_length=1, description="Which calls can fail."
    )
    kinds: tuple[Kind, ...] = Field(
        ("refused", "throttled", "lost"),
        min_length=1,
        description="How they fail: not sent; told to slow down; done, and the answer lost.",
    )
    latency: float = Field(0.0, ge=0, description="Seconds that a call waits at most beforehand.")
    latency_rate: float = Field(1.0, ge=0, le=1, description="Share of calls that wait.")


class ChaosMiddleware(DriverMiddleware):
    """Fails a share of the calls with temporary errors, whose `outcome` is true.

    A reader may break at any chunk and a listing at any page; of uploads in progress only the first
    page, since nobody could go on after another. Where an answer is lost, the call was made.
    `check`, `identity` and `now` never fail. Who opens a reader again, where it broke, may find the
    object replaced: `pinned_reads` is not declared.
    """

    def __init__(self, driver: StorageDriver, parameters: ChaosParameters) -> None:
        breaks = parameters.rate > 0 and "read" in parameters.groups
        super().__init__(driver, narrow={"pinned_reads": False} if breaks else {})
        self._parameters = parameters
        seed = parameters.seed if parameters.seed is not None else secrets.randbits(64)
        self._key = str(seed).encode()
        self._calls: Counter[tuple[str, str]] = Counter()

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        given = self._parameters
        if _GROUPS.get(operation) not in given.groups:
            return await call()
        fault, kind, wait, length = self._draw(operation, path)
        if given.latency and wait < given.latency_rate:
            await asyncio.sleep(length * given.latency)
        if fault >= given.rate:
            return await call()
        chosen = given.kinds[int(kind * len(given.kinds))]
        if chosen == "lost" and operation not in _NEVER_LOST:
            await call()
            raise UnavailableError("chaos: the answer was lost", outcome=_outcome(operation))
        raise _error(chosen)

    def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        return self._breaking_first(self.driver.list_uploads())

    async def _breaking_first(
        self, pages: AsyncGenerator[Sequence[UploadInfo], None]
    ) -> AsyncGenerator[Sequence[UploadInfo], None]:
        async def first() -> Sequence[UploadInfo] | None:
            return await anext(pages, None)

        try:
            page = await self.around("list_uploads", "", first)
            while page is not None:
                yield page
                page = await anext(pages, None)
        finally:
            await pages.aclose()

    def _draw(self, operation: str, path: str) -> Sequence[float]:
        """Give four numbers from 0 to 1 for this call."""
        if len(self._calls) >= _MOST_COUNTED:
            self._calls.clear()
        self._calls[operation, path] += 1
        text = f"{operation}\0{path}\0{self._calls[operation, path]}"
        digest = hashlib.blake2b(text.encode(), key=self._key[:64], digest_size=16).digest()
        return [int.from_bytes(digest[at : at + 4]) / 2**32 for at in range(0, 16, 4)]


def _outcome(operation: str) -> Literal["none", "unknown"]:
    return "unknown" if _GROUPS[operation] in ("write", "delete") else "none"


def _error(kind: Kind) -> StorageDriverError:
    if kind == "throttled":
        return ThrottledError("chaos: slow down", retry_after=0.0)
    return UnavailableError("chaos: not sent")
