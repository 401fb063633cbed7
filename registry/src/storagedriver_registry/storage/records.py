r"""What is stored of an upload session: its writer's token, or all its bytes while they are few.

```text
_uploads/<id>/token
    {"v": 1, …}             a token, which resumes the writer
    held\n<bytes>           no writer yet: these are the bytes
    turn <word>\n{"v": …}   the same, while a request has its turn at it (see `turns`)
    over\n                  the session has ended; the file goes next
```

Bytes are held where uploads are made of parts: most blobs are smaller than one part, and a few
bytes would cost an upload, a part, a completion, a copy and a dozen requests more.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
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
_TURN = b"turn "
_OVER = b"over\n"


class UnreadableRecordError(Exception):
    """The record is neither a token nor held bytes."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored of one session.

    Attributes:
        token: Resumes the session's writer; None while its bytes are held.
        held: All bytes of the session; empty with a token.
        etag: Names this version of the record, where the store can replace just this one.
        turn: A word of the request that has its turn at the session; empty if none has.
        is_over: The session has ended.
    """

    token: UploadToken | None
    held: bytes = b""
    etag: str | None = None
    turn: str = ""
    is_over: bool = False

    @property
    def offset(self) -> int:
        """Bytes of the session that are durable."""
        return len(self.held) if self.token is None else self.token.offset

    def content(self) -> bytes:
        """Give what is stored."""
        if self.is_over:
            return _OVER
        turn = _TURN + self.turn.encode() + b"\n" if self.turn else b""
        stored = _HELD + self.held if self.token is None else self.token.to_json().encode()
        return turn + stored


class _Version(NamedTuple):
    content: bytes
    etag: str | None


class RecordStore:
    """The records of all sessions.

    Where the store can compare, a record is replaced by who has read it and by nobody else: of two
    processes at work on a session, one is refused. On a local store a lock keeps them apart (see
    `locks`). Elsewhere only the first record is sure to be nobody else's, where the store has
    create-only writes.

    Args:
        storage: Where they are kept.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    # What the storage can do is asked when it is open: some drivers learn it only then.

    @cached_property
    def holds_bytes(self) -> bool:
        """Whether a few bytes are held, rather than uploaded in a part."""
        return self._storage.capabilities.keeps_ledger

    @cached_property
    def compares(self) -> bool:
        """Whether a record is replaced only by who has read it."""
        declared = self._storage.capabilities
        return declared.put_if_match and not declared.local_path

    @cached_property
    def _if_absent(self) -> bool:
        return self._storage.capabilities.put_if_absent

    async def load(self, name: str, upload_id: str) -> Record | None:
        """Give the record of a session; None if there is none.

        Raises:
            UnreadableRecordError: Something else is in its place.
        """
        try:
            content, etag = await self._read(paths.upload_token(name, upload_id))
        except PathNotFoundError:
            return None
        turn = b""
        if content.startswith(_TURN):
            turn, _, content = content.removeprefix(_TURN).partition(b"\n")
        try:
            word = turn.decode("ascii")
            if content == _OVER:
                return Record(None, etag=etag, turn=word, is_over=True)
            if content.startswith(_HELD):
                return Record(None, content.removeprefix(_HELD), etag, word)
            return Record(UploadToken.from_json(content.decode()), b"", etag, word)
        except (ConfigurationError, UnicodeDecodeError):
            raise UnreadableRecordError from None

    async def save(
        self, name: str, upload_id: str, record: Record, previous: Record | None
    ) -> Record:
        """Store a record in the place of the one that was loaded; durable when it returns.

        Raises:
            ConflictError: Another process has stored one meanwhile.
        """
        try:
            info = await self._storage.put_content(
                paths.upload_token(name, upload_id),
                record.content(),
                if_absent=previous is None and self._if_absent,
                if_match=previous.etag if previous is not None and self.compares else None,
            )
        except AlreadyExistsError as error:
            raise ConflictError("another process has stored the session") from error
        return replace(record, etag=info.etag if self.compares else None)

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
        if not self.compares:
            return _Version(await self._storage.get_content(path), None)
        async with await self._storage.reader(path) as reader:
            content = b"".join([chunk async for chunk in reader])
            return _Version(content, reader.info.etag)
