"""From the driver's own name to the target: the second half of a commit.

Every step can be repeated. The rewrite is the moment at which the object shows; before it is
repeated, the target is looked at, so that what was published and has been replaced since stays
replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storagedriver_core import (
    AlreadyExistsError,
    CompleteOptions,
    ConflictError,
    FileInfo,
    Part,
    PathNotFoundError,
    StorageDriverError,
    UploadNotFoundError,
)
from storagedriver_gcs import _objects
from storagedriver_gcs._client import Client
from storagedriver_gcs._crc32c import crc_of_parts, to_text
from storagedriver_gcs._resources import UPLOAD_KEY, file_info

Resource = Mapping[str, Any]

# More parts than this take too long to be joined on the event loop.
_PARTS_ON_LOOP = 2000


@dataclass(slots=True)
class Publication:
    """How far a commit has come.

    Attributes:
        staged: The object under the driver's own name, once the session is complete.
        is_begun: Whether the target may have been written already.
        made: The object at the target, once it was written.
    """

    staged: Resource | None = None
    is_begun: bool = False
    made: Resource | None = None

    async def refuse_existing(
        self, client: Client, target: str, upload_id: str, options: CompleteOptions
    ) -> None:
        """Refuse a create-only commit while the upload can still go on, if there is an object."""
        if not options.if_absent or self.staged is not None:
            return
        found = await _objects.find_resource(client, target)
        if found is not None and not is_of(found, upload_id):
            raise AlreadyExistsError(path=options.path)

    async def require(self, parts: Sequence[Part], size: int) -> None:
        """Prove that the object under the driver's own name is exactly `parts`.

        Raises:
            ConflictError: It is what another writer has sent.
        """
        staged = self.staged
        assert staged is not None
        try:
            if len(parts) > _PARTS_ON_LOOP:
                crc = await asyncio.to_thread(crc_of_parts, parts)
            else:
                crc = crc_of_parts(parts)
        except ValueError:
            raise ConflictError("the ledger has no checksums") from None
        if staged.get("size") != str(size) or staged.get("crc32c") != to_text(crc):
            raise ConflictError("the session holds what another writer has sent")


def is_of(resource: Resource, upload_id: str) -> bool:
    """Tell whether an object was made by an upload."""
    return bool((resource.get("metadata") or {}).get(UPLOAD_KEY) == upload_id)


async def published_info(client: Client, name: str, path: str, upload_id: str) -> FileInfo | None:
    """Tell of the object at a target if an upload has made it."""
    found = await _objects.find_resource(client, name)
    return file_info(path, found) if found is not None and is_of(found, upload_id) else None


async def publish(
    client: Client,
    publication: Publication,
    target: str,
    upload_id: str,
    options: CompleteOptions,
) -> Resource:
    """Write the target, and remove the driver's own name.

    Raises:
        AlreadyExistsError: `if_absent`, and there is an object. What is staged stays.
        UploadNotFoundError: What is staged is gone, or may have been published and replaced.
    """
    staged = publication.staged
    assert staged is not None
    if publication.made is None and publication.is_begun:
        publication.made = await _looked_up(client, target, upload_id, staged)
    if publication.made is None:
        publication.is_begun = True
        try:
            publication.made = await _written(client, staged, target, upload_id, options)
        except StorageDriverError as error:
            publication.is_begun = error.outcome != "none"
            raise
    try:
        await _objects.delete(client, staged["name"], only=staged["generation"])
    except PathNotFoundError:
        pass
    except StorageDriverError as error:
        # The object is published; a repetition removes what is left.
        error.outcome = "applied"
        raise
    return publication.made


async def _looked_up(
    client: Client, target: str, upload_id: str, staged: Resource
) -> Resource | None:
    """Give the target if an earlier attempt wrote it; None if that is sure not to be so."""
    found = await _objects.find_resource(client, target)
    if found is None:
        return None
    if is_of(found, upload_id):
        return found
    if int(found["generation"]) > int(staged["generation"]):
        # Written after the upload was complete: over ours, or in its place.
        raise UploadNotFoundError("the target was replaced meanwhile", outcome="unknown")
    return None


async def _written(
    client: Client, staged: Resource, target: str, upload_id: str, options: CompleteOptions
) -> Resource:
    try:
        return await _objects.rewrite(client, staged, target, if_absent=options.if_absent)
    except (PathNotFoundError, ConflictError) as error:
        found = await _objects.find_resource(client, target)
        if found is not None and is_of(found, upload_id):
            return found
        if isinstance(error, ConflictError) and options.if_absent and found is not None:
            raise AlreadyExistsError(path=options.path) from error
        raise UploadNotFoundError("what was completed is gone", outcome="unknown") from error
