"""A driver whose bugs are told from requests that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from storagedriver_core import (
    ByteStream,
    DriverMiddleware,
    FileInfo,
    ListOptions,
    ReadOptions,
    StorageDriverError,
    Upload,
    UploadInfo,
)

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class Guard(DriverMiddleware):
    """The served driver, of which every error is one of the tree.

    So whatever else is raised while a call is answered is about its arguments: these are what the
    client sent, and nothing was changed. Of a driver's own error nobody knows what it left, and its
    text may hold what is the server's alone. A result that is none is such an error, too: whoever
    looks into one does it in `driver_errors`.
    """

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        with driver_errors(operation):
            return await call()

    # What happens outside of `around`: a stream or a listing is wrapped, a plain method called.

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        with driver_errors("open_reader"):
            return await super().open_reader(path, options)

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        with driver_errors("list"):
            return super().list(path, options)

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        with driver_errors("walk"):
            return super().walk(path, options)

    def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        with driver_errors("list_uploads"):
            return super().list_uploads()

    def release_upload(self, upload: Upload) -> None:
        with driver_errors("release_upload"):
            super().release_upload(upload)


@contextmanager
def driver_errors(operation: str) -> Iterator[None]:
    """Raise for a driver's own error one that names its type, and log the rest.

    Args:
        operation: What the driver does in the block.

    Raises:
        StorageDriverError: Of unknown outcome; or the block's, if it raises one.
    """
    try:
        yield
    except StorageDriverError:
        raise
    except Exception as error:
        raise driver_failure(operation, error) from error


def driver_failure(operation: str, error: Exception) -> StorageDriverError:
    """Log a driver's own error, and give the one of the tree that stands for it."""
    _logger.error("the driver failed in %s", operation, exc_info=error)
    return StorageDriverError(f"the driver failed: {type(error).__name__}", outcome="unknown")
