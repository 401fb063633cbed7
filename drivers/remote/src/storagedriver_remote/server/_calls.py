"""The calls by name: arguments read and checked, the driver called; and how its result is spelled.

A method raises `ValueError`, `TypeError` and the like for its arguments alone. Its result is the
driver's, and is spelled where what is wrong with it is told from what was wrong with the request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from storagedriver_core import (
    BytesStream,
    ByteStream,
    FileInfo,
    ReadOptions,
    SignedMethod,
    UnsupportedMethodError,
    Upload,
)
from storagedriver_remote import _wire
from storagedriver_remote.server._guard import driver_errors
from storagedriver_remote.server._service import Service

Json = Mapping[str, Any]
Data = Sequence[bytes]


class Calls:
    """The calls of one client.

    Args:
        service: What is served; open.
        session: The client's name of itself.
    """

    def __init__(self, service: Service, session: str) -> None:
        self._service = service
        self._session = session
        self._driver = service.guard
        self._checks = service.checks

    # Calls with one answer ---------------------------------------------------------------------

    async def renew(self, arguments: Json) -> Any:
        """Nothing: that it came is all."""

    async def check(self, arguments: Json) -> Any:
        await self._driver.check()

    async def identity(self, arguments: Json) -> Any:
        return await self._driver.identity()

    async def now(self, arguments: Json) -> Any:
        return await self._driver.now()

    async def stat(self, arguments: Json) -> Any:
        path = self._checks.directory(arguments["path"])
        conditions = self._checks.conditions(_wire.conditions_from(arguments.get("conditions")))
        return await self._driver.stat(path, conditions)

    async def put_content(self, arguments: Json, data: Data) -> Any:
        path = self._checks.file(arguments["path"])
        options = self._checks.put(_wire.put_from(arguments))
        whole = data[0] if len(data) == 1 else b"".join(data)
        return await self._driver.put_content(path, whole, options)

    async def delete(self, arguments: Json) -> Any:
        await self._driver.delete(self._checks.directory(arguments["path"]))

    async def delete_many(self, arguments: Json) -> Any:
        paths = [self._checks.file(path) for path in arguments["paths"]]
        return await self._driver.delete_many(paths)

    async def move(self, arguments: Json) -> Any:
        source, target, if_absent = self._transfer(arguments)
        self._checks.needs(move_if_absent=if_absent)
        await self._driver.move(source, target, if_absent=if_absent)

    async def copy(self, arguments: Json) -> Any:
        source, target, if_absent = self._transfer(arguments)
        self._checks.needs(copy=True, copy_if_absent=if_absent)
        await self._driver.copy(source, target, if_absent=if_absent)

    async def checksum(self, arguments: Json) -> Any:
        path, algorithm = self._checks.file(arguments["path"]), arguments["algorithm"]
        if algorithm not in self._service.capabilities.checksum_algorithms:
            raise UnsupportedMethodError(capability="checksum_algorithms")
        return await self._driver.checksum(path, algorithm)

    async def redirect_url(self, arguments: Json) -> Any:
        path, method = self._checks.file(arguments["path"]), arguments["method"]
        content_type = arguments.get("content_type")
        if method not in ("GET", "HEAD", "PUT"):
            raise ValueError("method is GET, HEAD or PUT")
        self._checks.needs(
            **{f"sign_{method.lower()}": True}, sign_put_with_content_type=content_type
        )
        return await self._driver.redirect_url(
            path,
            method=cast(SignedMethod, method),
            expires=timedelta(seconds=float(arguments["expires"])),
            content_type=content_type,
        )

    async def stored_name(self, arguments: Json) -> Any:
        return await self._driver.stored_name(self._checks.file(arguments["path"]))

    # Uploads -----------------------------------------------------------------------------------

    async def open_upload(self, arguments: Json) -> Any:
        self._checks.needs(upload=True)
        path, holder = self._checks.file(arguments["path"]), str(arguments["holder"])
        options = _wire.upload_options_from(arguments.get("options") or {})
        self._checks.needs(put_with_metadata=options.content_type is not None or options.metadata)
        upload = await self._driver.open_upload(path, holder, options)
        with driver_errors("open_upload"):
            self._service.sessions.hold(self._session, upload)
        return upload

    async def put_part(self, arguments: Json, data: Data) -> Any:
        number, offset = _wire.count(arguments["number"]), _wire.count(arguments["offset"])
        upload = self._upload(arguments)
        return await self._driver.put_part(upload, number, offset, data)

    async def copy_part(self, arguments: Json) -> Any:
        self._checks.needs(copy_part=True)
        return await self._driver.copy_part(
            self._upload(arguments),
            _wire.count(arguments["number"]),
            _wire.count(arguments["offset"]),
            self._checks.file(arguments["source"]),
            _wire.count(arguments["source_offset"]),
            _wire.count(arguments["size"]),
        )

    async def sync_upload(self, arguments: Json) -> Any:
        await self._driver.sync_upload(self._upload(arguments))

    async def release_upload(self, arguments: Json) -> Any:
        upload = self._upload(arguments)
        self._service.sessions.forget(self._session, upload)
        self._driver.release_upload(upload)

    async def upload_state(self, arguments: Json) -> Any:
        upload = self._upload(arguments)
        state = await self._driver.upload_state(upload, _wire.count(arguments["size"]))
        self._service.sessions.hold(self._session, upload)
        return state

    async def complete_upload(self, arguments: Json) -> Any:
        upload = self._upload(arguments)
        options = _wire.complete_from(arguments["options"])
        self._checks.file(options.path)
        self._checks.needs(put_if_absent=options.if_absent, late_target=options.path != upload.path)
        parts = [_wire.part_from(part) for part in arguments["parts"]]
        return await self._driver.complete_upload(upload, parts, options)

    async def abort_upload(self, arguments: Json) -> Any:
        upload = self._upload(arguments)
        await self._driver.abort_upload(upload)
        self._service.sessions.forget(self._session, upload)

    # Calls with an answer in pieces ------------------------------------------------------------

    async def open_reader(self, arguments: Json) -> ByteStream:
        path = self._checks.file(arguments["path"])
        options = self._checks.read(_wire.read_from(arguments))
        return await self._driver.open_reader(path, options)

    async def get_content(self, arguments: Json) -> ByteStream:
        path = self._checks.file(arguments["path"])
        data = await self._driver.get_content(path)
        with driver_errors("get_content"):
            return BytesStream(FileInfo(path, size=len(data)), data, ReadOptions())

    def list(self, arguments: Json) -> AsyncGenerator[Any, None]:
        path = self._checks.directory(arguments["path"])
        options = self._checks.list(_wire.list_from(arguments))
        return self._driver.list(path, options)

    def walk(self, arguments: Json) -> AsyncGenerator[Any, None]:
        path = self._checks.directory(arguments["path"])
        options = self._checks.list(_wire.list_from(arguments))
        return self._driver.walk(path, options)

    def list_uploads(self, arguments: Json) -> AsyncGenerator[Any, None]:
        self._checks.needs(list_uploads=True)
        self._service.sessions.let_lost_go()
        return self._driver.list_uploads()

    def _upload(self, arguments: Json) -> Upload:
        self._checks.needs(upload=True)
        upload = _wire.upload_from(arguments["upload"])
        self._checks.file(upload.path)
        return upload

    def _transfer(self, arguments: Json) -> tuple[str, str, bool]:
        source, target = arguments["source"], arguments["target"]
        if_absent = bool(arguments.get("if_absent", False))
        return self._checks.file(source), self._checks.file(target), if_absent


def _nothing(_: Any) -> None:
    """Spell what says no more than that it is done."""


Spell = Callable[[Any], Any]
Plain = Callable[[Calls, Json], Awaitable[Any]]
Carrying = Callable[[Calls, Json, Data], Awaitable[Any]]
Reading = Callable[[Calls, Json], Awaitable[ByteStream]]
Listing = Callable[[Calls, Json], AsyncGenerator[Any, None]]

PLAIN: Mapping[str, tuple[Plain, Spell]] = {
    "renew": (Calls.renew, _nothing),
    "check": (Calls.check, _nothing),
    "identity": (Calls.identity, _wire.strings),
    "now": (Calls.now, _wire.moment_json),
    "stat": (Calls.stat, _wire.file_json),
    "delete": (Calls.delete, _nothing),
    "delete_many": (Calls.delete_many, _wire.report_json),
    "move": (Calls.move, _nothing),
    "copy": (Calls.copy, _nothing),
    "checksum": (Calls.checksum, _wire.text),
    "redirect_url": (Calls.redirect_url, _wire.text),
    "stored_name": (Calls.stored_name, _wire.text),
    "open_upload": (Calls.open_upload, _wire.upload_json),
    "copy_part": (Calls.copy_part, _wire.part_json),
    "sync_upload": (Calls.sync_upload, _nothing),
    "release_upload": (Calls.release_upload, _nothing),
    "upload_state": (Calls.upload_state, _wire.state_json),
    "complete_upload": (Calls.complete_upload, _wire.file_json),
    "abort_upload": (Calls.abort_upload, _nothing),
}
"""Calls that take JSON and give JSON, and how their results are spelled."""

CARRYING: Mapping[str, tuple[Carrying, Spell]] = {
    "put_content": (Calls.put_content, _wire.file_json),
    "put_part": (Calls.put_part, _wire.part_json),
}
"""Calls that take content, too."""

READING: Mapping[str, tuple[Reading, Callable[[FileInfo], Any]]] = {
    "open_reader": (Calls.open_reader, _wire.file_json),
    "get_content": (Calls.get_content, lambda info: {"size": info.size}),
}
"""Calls that give content, and how what is known of it is spelled."""

LISTING: Mapping[str, tuple[Listing, Spell]] = {
    "list": (Calls.list, _wire.file_json),
    "walk": (Calls.walk, _wire.file_json),
    "list_uploads": (Calls.list_uploads, _wire.upload_info_json),
}
"""Calls that give pages, and how each entry is spelled."""
