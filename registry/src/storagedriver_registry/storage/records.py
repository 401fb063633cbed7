r"""What is stored of an upload session: its writer's token, or all its bytes while they are few.

```text
_uploads/<id>/token
    {"v": 1, …}         a token, which resumes the writer
    held\n<bytes>       no writer yet: these are the bytes
```

Bytes are held where uploads are made of parts: most blobs are smaller than one part, and a few
bytes would cost an upload, a part, a completion, a copy and a dozen requests more.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

from storagedriver_core import (
    AlreadyExistsError,
    ConfigurationError,
    ConflictError,
    PathNotFoundError,
    Storage,
    UploadToken,
)
from storagedriver_registry.storage import paths

logger = logging.getLogger(__name__)

MOST_HELD_BYTES = 4 * 1024 * 1024

_HELD = b"held\n"


class UnreadableRecordError(Exception):
    """The record is neither a token nor held bytes."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored of one session.

    Attributes:
        token: Resumes the session's writer; None while its bytes are held.
        held: All bytes of the session; empty with a token.
        etag: Names this version of the record, where the store can replace just this one.
    """

    token: UploadToken | None
    held: bytes = b""
    etag: str | None = None

    @property
    def offset(self) -> int:
        """Bytes of the session that are durable."""
        return len(self.held) if self.token is None else self.token.offset


class _Version(NamedTuple):
    content: bytes
    etag: str | None


class RecordStore:
    """The records of all sessions.

    A record of held bytes, and the first record of any session, is replaced by who has read it and
    by nobody else, as far as the store can see to that: of two processes at work on a session, one
    is refused. Tokens replace each other as they come, since the later one fits what is stored.

    Args:
        storage: Where they are kept.

    Attributes:
        holds_bytes: Whether a few bytes are held, rather than uploaded in a part.
    """

    def __init__(self, storage: Storage) -> None:
        declared = storage.capabilities
        self.holds_bytes = declared.keeps_ledger
        self._if_absent = declared.put_if_absent
        self._if_match = declared.put_if_match
        self._storage = storage

    async def load(self, name: str, upload_id: str) -> Record | None:
        """Give the record of a session; None if there is none.

        Raises:
            UnreadableRecordError: Something else is in its place.
        """
        try:
            version = await self._read(paths.upload_token(name, upload_id))
        except PathNotFoundError:
            return None
        if version.content.startswith(_HELD):
            return Record(None, version.content.removeprefix(_HELD), version.etag)
        try:
            return Record(UploadToken.from_json(version.content.decode()))
        except (ConfigurationError, UnicodeDecodeError):
            raise UnreadableRecordError from None

    async def save(
        self, name: str, upload_id: str, record: Record, previous: Record | None
    ) -> Record:
        """Store a record in the place of the one that was loaded; durable when it returns.

        Raises:
            ConflictError: Another process has stored one meanwhile.
        """
        content = _HELD + record.held if record.token is None else record.token.to_json().encode()
        try:
            info = await self._storage.put_content(
                paths.upload_token(name, upload_id),
                content,
                if_absent=previous is None and self._if_absent,
                if_match=previous.etag if previous is not None and self._if_match else None,
            )
        except AlreadyExistsError as error:
            raise ConflictError("another process has stored the session") from error
        return Record(record.token, record.held, info.etag if record.token is None else None)

    async def delete(self, name: str, upload_id: str, record: Record) -> None:
        """Delete what is stored of a session."""
        if record.token is None:
            # This one file, so there is no need to look for others.
            report = await self._storage.delete_many([paths.upload_token(name, upload_id)])
            for error in report.failed.values():
                raise error
        else:
            await self._storage.delete(paths.upload(name, upload_id), missing_ok=True)

    async def _read(self, path: str) -> _Version:
        if not (self.holds_bytes and self._if_match):
            return _Version(await self._storage.get_content(path), None)
        async with await self._storage.reader(path) as reader:
            content = b"".join([chunk async for chunk in reader])
            return _Version(content, reader.info.etag)
