"""The files of a layout, wherever they are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from storagedriver_registry.client.transfer.places import Blob, Chunks

MOST_OF_A_SMALL_FILE = 16 << 20
"""Bytes of an index, a manifest, a configuration: they are read into memory."""


class Presence(Protocol):
    """Somebody who writes in a layout: meanwhile nobody removes what is there."""

    def is_alone(self) -> bool:
        """Tell whether nobody else is there, and keep others out. Ask once, at the end."""

    def close(self) -> None:
        """Leave, and let others in again."""


class LayoutFiles(Protocol):
    """Files below one root. Paths are relative, as `blobs/sha256/abc`."""

    @property
    def name(self) -> str:
        """What messages call it."""

    async def read(self, path: str) -> bytes | None:
        """Give a small file; None if there is none."""

    async def size(self, path: str) -> int | None:
        """Give the bytes of a file; None if there is none."""

    def chunks(self, path: str, offset: int) -> AsyncGenerator[bytes, None]:
        """Give a file from an offset on.

        Raises:
            NotFoundError: There is none.
        """


class WritableFiles(LayoutFiles, Protocol):
    """Files that can be written, each whole or not at all."""

    async def write(self, path: str, data: bytes) -> None:
        """Store a small file, replacing what is there."""

    async def put_blob(self, path: str, blob: Blob, chunks: Chunks) -> bool:
        """Store a blob, and go on with one that another run did not end.

        Returns:
            Whether it was stored here; False if somebody else has done so meanwhile.

        Raises:
            BusyError: Somebody else is at work on it, and does not get on.
        """

    async def change(self, path: str, make: Callable[[bytes | None], bytes]) -> None:
        """Change a small file with nobody else doing so meanwhile.

        Args:
            path: The file.
            make: Gives what it shall be, from what it is; None if there is none. It may be called
                again with what another has made of it.
        """

    async def remove(self, paths: Sequence[str]) -> None:
        """Remove files."""

    async def enter(self) -> Presence:
        """Say that somebody writes here from now on, until the presence is closed."""
