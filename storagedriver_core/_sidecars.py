"""Objects beside an upload: the bytes that are in none of its parts.

```text
/.storagedriver/tails/<hash of the upload id>/
    <offset>-<holder>   bytes of no part, up to the offset; of every suspension until the end,
                        since nobody knows which token its owner has kept
    whole               all of it, while a commit reads it back
```

The holder keeps two writers apart that resumed one token: the one that was dispossessed must not
replace the tail of the other.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress

from storagedriver_core._context import Context
from storagedriver_core._errors import (
    ConfigurationError,
    PathNotFoundError,
    StorageDriverError,
    UploadNotFoundError,
)
from storagedriver_core._paths import INTERNAL_COMPONENT
from storagedriver_core._token import UploadToken
from storagedriver_core._types import PutOptions, Upload

logger = logging.getLogger(__name__)

TAILS = f"/{INTERNAL_COMPONENT}/tails"


def tail_directory(upload_id: str) -> str:
    """Give the directory of an upload's sidecars."""
    name = hashlib.sha256(upload_id.encode()).hexdigest()[:32]
    return f"{TAILS}/{name}"


async def put_tail(context: Context, upload: Upload, offset: int, tail: bytes) -> str:
    """Store the bytes that are in no part, which end at `offset`; give the path, "" for none."""
    if not tail:
        return ""
    path = f"{tail_directory(upload.upload_id)}/{offset}-{upload.holder}"
    await context.driver.put_content(path, tail, PutOptions())
    return path


async def read_tail(context: Context, token: UploadToken, size: int) -> bytes:
    """Give the bytes that are in no part.

    Raises:
        UploadNotFoundError: They are gone.
        ConfigurationError: The token does not name its own sidecar.
    """
    # A forged token must not read what lies elsewhere.
    if not token.tail.startswith(f"{tail_directory(token.upload.upload_id)}/"):
        raise ConfigurationError("not an upload token")
    try:
        tail = await context.driver.get_content(token.tail)
    except PathNotFoundError:
        raise UploadNotFoundError("the upload's tail is gone") from None
    if len(tail) != size:
        raise UploadNotFoundError("the upload's tail is not the token's")
    return tail


async def delete_sidecars(context: Context, upload: Upload) -> None:
    """Delete the sidecars of an upload that is over; what cannot be is left to the purge."""
    try:
        with suppress(PathNotFoundError):
            await context.driver.delete(tail_directory(upload.upload_id))
    except StorageDriverError as error:
        # The upload itself is over, as was asked.
        logger.warning("sidecars of %s are left to the purge: %s", upload.path, error)
