"""A driver whose bugs are told from requests that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from storagedriver_core import DriverMiddleware, StorageDriverError, Upload

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class Guard(DriverMiddleware):
    """The served driver, of which every error is one of the tree.

    So whatever else is raised while a call is answered is about its arguments: these are what the
    client sent, and nothing was changed. Of a driver's own error nobody knows what it left, and its
    text may hold what is the server's alone.
    """

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        with driver_errors(operation):
            return await call()

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
        _logger.exception("the driver failed in %s", operation)
        raise StorageDriverError(
            f"the driver failed: {type(error).__name__}", outcome="unknown"
        ) from error
