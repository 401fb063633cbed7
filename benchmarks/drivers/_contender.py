"""What every contender does: the seven calls that are compared, and the bytes that they move."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Literal

Buffer = bytes | bytearray | memoryview
Take = Callable[[bytes], object]
Role = Literal["ours", "raw", "file API", "obstore", "OpenDAL"]

MIB = 1024 * 1024
PART_BYTES = 8 * MIB
PARTS_IN_FLIGHT = 4
PAGE = 1000
# More than the calls at a time, so that none waits for a connection.
CONNECTIONS = 32


class Source:
    """The bytes of a large object, as each contender likes them best, made before the clock runs.

    Attributes:
        whole: All of them.
    """

    def __init__(self, size: int) -> None:
        self.whole = os.urandom(size)

    def __len__(self) -> int:
        return len(self.whole)

    @cached_property
    def chunks(self) -> list[bytes]:
        """As they come from a stream."""
        return self._cut(MIB)

    @cached_property
    def parts(self) -> list[bytes]:
        """As they go in parts of an upload."""
        return self._cut(PART_BYTES)

    @cached_property
    def sha256(self) -> str:
        """The digest."""
        return hashlib.sha256(self.whole).hexdigest()

    def _cut(self, size: int) -> list[bytes]:
        return [self.whole[start : start + size] for start in range(0, len(self.whole), size)]


class Contender(ABC):
    """One way to reach one bucket, from one event loop.

    Attributes:
        role: Its column in the table.
        label: What it is, for the text.
        packages: Distributions whose versions matter.
        unable: Works that it cannot do on this server, by their names, with the reason.
    """

    role: Role
    label: str
    packages: tuple[str, ...]
    unable: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    async def open(self) -> None:
        """Make the client."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let the client go."""

    @abstractmethod
    async def put_large(self, name: str, source: Source) -> None:
        """Store a large object, in parts of `PART_BYTES` where the contender lets one choose."""

    @abstractmethod
    async def get_large(self, name: str, take: Take) -> None:
        """Read a large object, handing each chunk to `take`."""

    @abstractmethod
    async def put(self, name: str, data: bytes) -> None:
        """Store a small object."""

    @abstractmethod
    async def get(self, name: str) -> Buffer:
        """Give a small object."""

    @abstractmethod
    async def stat(self, name: str) -> int:
        """Give the size of an object."""

    @abstractmethod
    async def list(self, directory: str) -> int:
        """Count the direct children of a directory, each with size and time."""

    @abstractmethod
    async def walk(self, directory: str) -> int:
        """Count every file below a directory, each with size and time."""
