"""Uploads: blocks that are staged under the target's own name, and one list that commits them.

An upload has a nonce. Its blocks have the id `nonce, epoch, number` in base64, where the epoch is
of the writer that staged them, so that ids have one length, no two writers share one, and the
token's ledger (part number, size, epoch) names every block without asking the service.

The first block, of number 0 and one byte, is never committed: it is the *anchor*. An upload is in
progress exactly while its anchor is among the blob's uncommitted blocks:

| event | the anchor |
|---|---|
| the upload is opened | is staged, 1 byte |
| it is aborted | is staged again, 2 bytes |
| the blob is committed, by whatever upload, or replaced by a put | is dropped with all the others |
| seven days without a block | is dropped with all the others |

Rule 1: a commit names uncommitted blocks only. What another commit has dropped, or has made part of
the blob, cannot be committed again: the service refuses the list, and nothing changes.
Rule 2: a writer that has resumed a token looks for the anchor before it commits. If it is there,
every block was staged after the last commit; if a commit comes between, rule 1 holds.
Rule 3: a writer that has opened the upload itself commits on condition that there is no blob, and
looks first only if there is one. (Not covered: its token was used elsewhere before it had staged a
part, that commit's object was moved away, and only then it stages and commits its own.)
Rule 4: nothing is ever published in order to discard blocks; the service drops them by itself.

What was published carries the nonce and the epoch in its metadata, so that a commit whose reply was
lost is found again.

Source: "Put Block", "Put Block List", "Get Block List".
"""

from __future__ import annotations

import asyncio
import secrets
import xml.etree.ElementTree as ElementTree
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from storagedriver_azure._connection import Answer, Connection, Pieces
from storagedriver_azure._objects import (
    MARKER,
    META,
    file_info,
    marker_of,
    plain_etag,
    property_headers,
    quoted,
)
from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    CompleteOptions,
    ConflictError,
    FileInfo,
    Part,
    PathNotFoundError,
    UnavailableError,
    Upload,
    UploadNotFoundError,
    UploadOptions,
    UploadState,
    undo_if_cancelled,
)

_OPENER = "opener"
_OPEN = b"o"
_ABORTED = b"ab"
_NO_EPOCH = "-" * 11
_INLINE_PARSE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Blocks:
    """The uncommitted blocks of one blob.

    Attributes:
        sizes: Bytes of each block, by its id.
        etag: Of the blob as it is committed; None if there is none.
    """

    sizes: Mapping[str, int]
    etag: str | None


def epoch_of(holder: str) -> str:
    """Give the epoch of a writer: 11 characters, so that a part costs little in a token."""
    digest = blake2b(holder.encode(), digest_size=8).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


def block_id(nonce: str, epoch: str, number: int) -> str:
    """Give the id of one block: 36 bytes and so no padding, in base64 for addresses."""
    return b64encode(f"{nonce}{epoch}{number:09}".encode()).decode()


class Uploads:
    """The upload calls of one container."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(self, name: str, path: str, holder: str, options: UploadOptions) -> Upload:
        """Stage the anchor of a new upload."""
        nonce = secrets.token_hex(8)
        anchor = block_id(nonce, _NO_EPOCH, 0)

        async def undo(_: int) -> None:
            await self._stage(name, anchor, [_ABORTED])

        await undo_if_cancelled(self._stage(name, anchor, [_OPEN]), undo)
        data = {_OPENER: epoch_of(holder)}
        return Upload(path, nonce, data=data, holder=holder, options=options)

    async def put_part(
        self, name: str, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        """Stage one part; the same number again replaces it."""
        epoch = epoch_of(upload.holder)
        size = await self._stage(name, block_id(upload.upload_id, epoch, number), data)
        return Part(number, offset, size, epoch)

    async def state(self, name: str, upload: Upload, size: int) -> UploadState:
        """Find an upload again."""
        blocks = await self._blocks(name)
        if self._is_open(upload, blocks):
            staged = sum(
                length
                for block, length in blocks.sizes.items()
                if b64decode(block).startswith(upload.upload_id.encode())
            )
            if staged - len(_OPEN) < size:
                raise UploadNotFoundError(f"blocks of {staged} bytes are there, not of {size}")
            return UploadState(size)
        answer = await self._published(name)
        if answer is None or not marker_of(answer.headers).startswith(f"{upload.upload_id}."):
            raise UploadNotFoundError(outcome="unknown")
        info = file_info(upload.path, answer.headers)
        return UploadState(info.size, info)

    async def complete(
        self, name: str, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        """Commit the list of the parts' blocks."""
        if upload.data.get(_OPENER) != epoch_of(upload.holder):
            blocks = await self._blocks(name)
            if not self._is_open(upload, blocks):
                return await self._closed(name, upload)
        commit = _Commit(self._connection, name, upload, parts, options)
        try:
            return await commit.send({"If-None-Match": "*"})
        except AlreadyExistsError:
            if options.if_absent:
                return await self._closed(name, upload, if_absent=True)
        except ConflictError:
            return await self._closed(name, upload)
        blocks = await self._blocks(name)
        if not self._is_open(upload, blocks):
            return await self._closed(name, upload)
        condition = {} if blocks.etag is None else {"If-Match": quoted(blocks.etag)}
        try:
            return await commit.send(condition)
        except ConflictError:
            return await self._closed(name, upload)

    async def abort(self, name: str, upload: Upload) -> None:
        """Mark the anchor, so that no token goes on; the blocks go by the service's own time."""
        if not self._is_open(upload, await self._blocks(name)):
            raise UploadNotFoundError
        await self._stage(name, block_id(upload.upload_id, _NO_EPOCH, 0), [_ABORTED])

    async def _stage(self, name: str, block: str, data: Sequence[Buffer]) -> int:
        body = Pieces(data)
        await self._connection.request(
            "PUT",
            name,
            query=f"comp=block&blockid={block}",
            data=body,
            expect=(201,),
            changes=True,
        )
        return body.size

    async def _blocks(self, name: str) -> Blocks:
        try:
            answer = await self._connection.request(
                "GET", name, query="comp=blocklist&blocklisttype=uncommitted"
            )
        except PathNotFoundError:
            return Blocks({}, None)
        if len(answer.body) > _INLINE_PARSE_BYTES:
            return await asyncio.to_thread(_parse_blocks, answer)
        return _parse_blocks(answer)

    @staticmethod
    def _is_open(upload: Upload, blocks: Blocks) -> bool:
        """Tell whether the anchor is there.

        Raises:
            UploadNotFoundError: The upload was aborted.
        """
        size = blocks.sizes.get(block_id(upload.upload_id, _NO_EPOCH, 0))
        if size == len(_ABORTED):
            raise UploadNotFoundError("the upload was aborted")
        return size == len(_OPEN)

    async def _published(self, name: str) -> Answer | None:
        try:
            return await self._connection.request("HEAD", name)
        except PathNotFoundError:
            return None

    async def _closed(self, name: str, upload: Upload, *, if_absent: bool = False) -> FileInfo:
        """Give what this very writer has published; otherwise say why it cannot publish."""
        answer = await self._published(name)
        if answer is None:
            raise UploadNotFoundError("the upload's blocks are gone", outcome="unknown")
        nonce, _, epoch = marker_of(answer.headers).partition(".")
        if nonce != upload.upload_id:
            if if_absent:
                raise AlreadyExistsError
            raise ConflictError("the blob was replaced meanwhile, which drops an upload's blocks")
        if epoch != epoch_of(upload.holder):
            raise ConflictError("another writer has committed the upload")
        return file_info(upload.path, answer.headers)


class _Commit:
    """One list of blocks, as it is sent."""

    def __init__(
        self,
        connection: Connection,
        name: str,
        upload: Upload,
        parts: Sequence[Part],
        options: CompleteOptions,
    ) -> None:
        self._connection = connection
        self._name = name
        self._path = options.path
        self._size = options.size
        self._options = upload.options
        self._marker = f"{upload.upload_id}.{epoch_of(upload.holder)}"
        ids = "".join(
            f"<Uncommitted>{block_id(upload.upload_id, part.etag, part.number)}</Uncommitted>"
            for part in parts
        )
        self._body = f"<?xml version='1.0' encoding='utf-8'?><BlockList>{ids}</BlockList>".encode()

    async def send(self, condition: Mapping[str, str]) -> FileInfo:
        """Send it once.

        Raises:
            AlreadyExistsError: The condition is that there is no blob, and there is one.
            ConflictError: A block is not there, or the condition does not hold.
        """
        given = self._options
        answer = await self._connection.request(
            "PUT",
            self._name,
            query="comp=blocklist",
            headers={
                **property_headers(given.content_type, given.metadata),
                f"{META}{MARKER}": self._marker,
                **condition,
            },
            data=self._body,
            expect=(201,),
            changes=True,
        )
        return file_info(
            self._path,
            answer.headers,
            size=self._size,
            content_type=given.content_type,
            metadata=given.metadata,
        )


def _parse_blocks(answer: Answer) -> Blocks:
    """Read a block list. Source: "Get Block List", "Response body"."""
    try:
        root = ElementTree.fromstring(answer.body)
        if root.tag != "BlockList":
            raise ValueError(root.tag)
        sizes = {
            block.findtext("Name") or "": int(block.findtext("Size") or "")
            for block in root.iterfind("UncommittedBlocks/Block")
        }
    except (ElementTree.ParseError, ValueError) as error:
        raise UnavailableError("an answer that is no list of blocks") from error
    etag = answer.headers.get("etag")
    return Blocks(sizes, None if etag is None else plain_etag(etag))
