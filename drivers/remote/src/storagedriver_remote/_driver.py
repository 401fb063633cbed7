"""The driver: each call of the contract as one of the protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from storagedriver_core import (
    Buffer,
    ByteStream,
    Capabilities,
    Conditions,
    ConfigurationError,
    DeleteReport,
    FileInfo,
    ListOptions,
    PutOptions,
    ReadOptions,
    SignedMethod,
    StorageDriverError,
    UnavailableError,
)
from storagedriver_remote import _wire
from storagedriver_remote._client import Stream
from storagedriver_remote._config import RemoteConfig, capabilities_from
from storagedriver_remote._link import Link, understood
from storagedriver_remote._uploads import RemoteUploads

_PATHS_AT_ONCE = 1000

# The most that a driver can declare whose other side is not known yet.
_UNKNOWN: dict[str, Any] = {
    **{name: True for name, value in Capabilities().to_json().items() if value is False},
    "checksum_algorithms": ("md5", "sha1", "sha256", "sha384", "sha512"),
    "move": "atomic",
    "path_alphabet": "any",
    "max_path_bytes": 65_536,
    "max_component_bytes": 65_536,
    "normalizes_unicode": False,
    "file_and_directory_share_name": False,
    "equal_parts": False,
    "local_path": False,
    "any_event_loop": False,
}


class RemoteDriver(RemoteUploads):
    """A driver in another process.

    What it can do is what the other side declares, but for `local_path` (the files may be on
    another machine) and `any_event_loop`. That is known when it is open; until then, and unless
    the configuration says it, `capabilities` is the most that it can be.

    Args:
        config: Where the other side is.

    Raises:
        ConfigurationError: The configuration contradicts itself.
    """

    name: ClassVar[str] = "remote"

    def __init__(self, config: RemoteConfig) -> None:
        config.check()
        super().__init__(Link(config))
        self._config = config
        self._declared = Capabilities(**_UNKNOWN)
        if config.capabilities is not None:
            self._declared = _carried(capabilities_from(config.capabilities))

    def __reduce__(self) -> tuple[object, ...]:
        return (RemoteDriver, (self._config,))

    def __repr__(self) -> str:
        return f"<RemoteDriver {self._link.where}>"

    @property
    def capabilities(self) -> Capabilities:
        return self._declared

    # Life --------------------------------------------------------------------------------------

    async def open(self) -> None:
        said = await self._link.open()
        try:
            self._declare(said)
            self.wanted_digests = tuple(map(str, said.get("wanted_digests") or ()))
            self._begin_uploads(float(said.get("lease_seconds") or 0))
        except BaseException:
            await self._link.aclose()
            raise

    async def aclose(self) -> None:
        try:
            await self._end_uploads()
        finally:
            await self._link.aclose()

    def _declare(self, said: Mapping[str, Any]) -> None:
        try:
            declared = _carried(capabilities_from(said["capabilities"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"the server's handshake: {error}") from error
        if self._config.capabilities is not None and declared != self._declared:
            ours, theirs = self._declared.to_json(), declared.to_json()
            wrong = ", ".join(name for name in ours if ours[name] != theirs[name])
            raise ConfigurationError(f"the server declares other capabilities: {wrong}")
        self._declared = declared

    async def check(self) -> None:
        await self._link.ask("check")

    async def identity(self) -> Mapping[str, str]:
        facts = await self._link.ask("identity")
        with understood():
            known = {str(name): str(fact) for name, fact in facts.items()}
        return {**known, "server": self._link.where}

    async def now(self) -> datetime:
        said = await self._link.ask("now")
        with understood():
            return _wire.moment(said)

    # Reading -----------------------------------------------------------------------------------

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        said = await self._link.ask("stat", path=path, conditions=_wire.conditions_json(conditions))
        with understood():
            return _wire.file_from(said)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        stream = await self._link.stream("open_reader", path=path, **_wire.read_json(options))
        try:
            head = await stream.frames.head()
            with understood():
                return _RemoteStream(_wire.file_from(head), stream)
        except BaseException:
            await stream.aclose()
            raise

    async def get_content(self, path: str) -> bytes:
        stream = await self._link.stream("get_content", path=path)
        try:
            head = await stream.frames.head()
            chunks = []
            while chunk := await stream.frames.chunk():
                chunks.append(chunk)
        finally:
            await stream.aclose()
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        with understood():
            size = head["size"]
        if len(data) != size:
            raise UnavailableError(f"{len(data)} of {size} bytes came")
        return data

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        wanted = _wire.list_json(options)
        return self._link.pages("list", _wire.file_from, path=path, **wanted)

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        wanted = _wire.list_json(options)
        return self._link.pages("walk", _wire.file_from, path=path, **wanted)

    async def checksum(self, path: str, algorithm: str) -> str:
        return await self._link.ask_text("checksum", path=path, algorithm=algorithm)

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        seconds = expires.total_seconds()
        return await self._link.ask_text(
            "redirect_url", path=path, method=method, expires=seconds, content_type=content_type
        )

    async def stored_name(self, path: str) -> str:
        return await self._link.ask_text("stored_name", path=path)

    # Changing ----------------------------------------------------------------------------------

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        said = await self._link.tell("put_content", [data], path=path, **_wire.put_json(options))
        with understood("unknown"):
            return _wire.file_from(said)

    async def delete(self, path: str) -> None:
        await self._link.tell("delete", path=path)

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        deleted: list[str] = []
        missing: list[str] = []
        failed: dict[str, StorageDriverError] = {}
        for start in range(0, len(paths), _PATHS_AT_ONCE):
            batch = list(paths[start : start + _PATHS_AT_ONCE])
            said = await self._link.tell("delete_many", paths=batch)
            with understood("unknown"):
                report = _wire.report_from(said)
            deleted += report.deleted
            missing += report.missing
            failed.update(report.failed)
        for path, error in failed.items():
            error.stamp(self.name, "delete_many", path)
        return DeleteReport(tuple(deleted), tuple(missing), failed)

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self._link.tell("move", source=source, target=target, if_absent=if_absent or None)

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self._link.tell("copy", source=source, target=target, if_absent=if_absent or None)


class _RemoteStream(ByteStream):
    """The content of an answer, as it comes.

    Args:
        info: The object.
        stream: The answer.
    """

    def __init__(self, info: FileInfo, stream: Stream) -> None:
        self.info = info
        self._stream = stream

    async def next_chunk(self) -> bytes:
        return await self._stream.frames.chunk()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _carried(declared: Capabilities) -> Capabilities:
    """Narrow what the other side declares to what comes through."""
    return declared.narrow({"local_path": False, "any_event_loop": False})
