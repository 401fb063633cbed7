"""The contract's operations on objects, made of a filesystem's primitives.

```text
<root>/
  a/b                         the object /a/b
  .storagedriver/
    puts/<32 hex digits>+a+b  a put or a copy, as long as the call lasts (`_names`)
    uploads/                  uploads (`_staged`, `_chunks`)
    tails/                    sidecars of the portable layer
```
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from storagedriver_core import (
    INTERNAL_COMPONENT,
    AlreadyExistsError,
    Buffer,
    Conditions,
    ConfigurationError,
    ConflictError,
    DeleteReport,
    FileInfo,
    ListOptions,
    PartialDeleteError,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    StorageDriverError,
    UnavailableError,
    is_internal,
    parent,
)
from storagedriver_fsspec._errors import RefusedError
from storagedriver_fsspec._files import Body, Files
from storagedriver_fsspec._listing import Listing
from storagedriver_fsspec._names import PUTS, UPLOADS, new_name

T = TypeVar("T")

_OWN = f"/{INTERNAL_COMPONENT}"
_KEPT = ("/", _OWN, PUTS, UPLOADS, f"{_OWN}/tails")
_TRIES = 20
"""How often a directory that others prune at the same time is made again."""
_CROWD = 32
"""Of so many files in one directory, a list of it tells sooner than a look at each."""


class Store:
    """The objects of one filesystem.

    Args:
        files: The filesystem.
        flat: It has keys and no directories: none is made, none is pruned.
        stages: A file is written under another name first.
        shares_names: `/a` and `/a/b` can both be files.
    """

    def __init__(self, files: Files, *, flat: bool, stages: bool, shares_names: bool) -> None:
        self.files = files
        self._flat = flat
        self._stages = stages
        self._shares_names = shares_names
        # Staging files of puts that failed when the store could not be reached.
        self._leftovers: list[str] = []

    async def check(self) -> None:
        """Raise unless the root directory is there.

        Raises:
            ConfigurationError: It is not.
        """
        if not await self.files.exists():
            raise ConfigurationError("the root directory does not exist")

    async def now(self) -> datetime:
        """Give the time by the store's clock: that of a file that is made for it."""
        name = f"{PUTS}/{new_name()}"
        info = await self.write(name, [b"now"])
        try:
            info = info or await self.files.info(name)
        finally:
            await self.files.remove(name)
        return info.mod_time or datetime.now(UTC)

    # Reading -----------------------------------------------------------------------------------

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        """As `StorageDriver.stat`."""
        if path == "/":
            await self.check()
            return FileInfo("/", is_dir=True)
        info = await self._found(self.files.info(path))
        if conditions is not None and not conditions.hold_for(info):
            raise ConflictError("the conditions do not hold")
        return info

    async def body(self, path: str, options: ReadOptions) -> Body:
        """As `StorageDriver.open_reader`."""
        return await self._found(self.files.body(path, options))

    async def read(self, path: str) -> bytes:
        """As `StorageDriver.get_content`."""
        return await self._found(self.files.read(path))

    async def list(self, path: str, options: ListOptions) -> Listing:
        """Look at all of the directory."""
        listing = Listing(path, options)
        await self._found(self.files.visit(path, listing.take))
        return listing

    async def _found(self, look: Awaitable[T]) -> T:
        """Tell a missing file from a missing store."""
        try:
            return await look
        except PathNotFoundError:
            await self.check()
            raise

    # Writing -----------------------------------------------------------------------------------

    async def put(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        """As `StorageDriver.put_content`."""
        if not self._stages:
            await self._require_place(path)
            return await self.write(path, [data]) or await self._applied(path, len(data))
        return await self.put_through(
            path,
            lambda staging: self.write(staging, [data]),
            size=len(data),
            replace=not options.if_absent,
        )

    async def put_through(
        self,
        path: str,
        make: Callable[[str], Awaitable[FileInfo | None]],
        *,
        size: int,
        replace: bool,
    ) -> FileInfo:
        """Make a file under another name, and give it its own; in the end nothing else is left."""
        staging = f"{PUTS}/{new_name(path)}"
        await self.sweep()
        try:
            made = await make(staging)
            await self._publish_made(staging, path, replace=replace)
        except BaseException:
            await self._clean_up(staging)
            raise
        if made is None:
            return await self._applied(path, size)
        return FileInfo(path, made.size, made.mod_time, etag=made.etag)

    async def _publish_made(self, staging: str, path: str, *, replace: bool) -> None:
        try:
            await self.publish(staging, path, replace=replace)
        except PathNotFoundError:
            raise UnavailableError("what was put under another name is gone") from None

    async def _applied(self, path: str, size: int) -> FileInfo:
        """Look at what was written. If that fails, it was written all the same."""
        try:
            return await self.files.info(path)
        except PathNotFoundError:
            # Somebody deletes or overwrites it in this moment.
            return FileInfo(path, size)
        except StorageDriverError as error:
            error.outcome = "unknown"
            raise

    async def _clean_up(self, staging: str) -> None:
        # Also where the outcome is unknown: what has got its name has lost this one.
        try:
            await self.files.remove(staging)
        except PathNotFoundError:
            pass
        except StorageDriverError:
            self._leftovers.append(staging)

    async def sweep(self) -> None:
        """Remove what could not be removed before; what still cannot be is left to the purge."""
        while self._leftovers:
            with suppress(IndexError, StorageDriverError):  # another thread sweeps as well
                await self.files.remove(self._leftovers.pop())

    async def write(self, path: str, data: Sequence[Buffer]) -> FileInfo | None:
        """Write a file, and the directories above it where they are missing."""
        return await self.within(path, lambda: self.files.write(path, data))

    async def publish(self, staging: str, path: str, *, replace: bool = True) -> None:
        """Give a file its name.

        Raises:
            PathNotFoundError: There is no file `staging`.
            AlreadyExistsError: `replace` is False, and there is an object.
            ConflictError: `path` is a directory, or lies under a file.
        """
        await self._require_place(path)
        try:
            await self.within(
                path,
                lambda: self.files.rename(staging, path, replace=replace),
                source=staging,
            )
        except AlreadyExistsError:
            if await self.files.is_directory(path):
                raise ConflictError("it is a directory", path=path) from None
            raise

    async def within(self, path: str, write: Callable[[], Awaitable[T]], *, source: str = "") -> T:
        """Do what needs the directory of `path`, which is made if that fails.

        Args:
            path: What is to be written.
            write: Writes it.
            source: What has to be there for it, too.
        """
        was_there = False
        for attempt in range(_TRIES):
            try:
                return await write()
            except (PathNotFoundError, RefusedError, ConflictError) as error:
                if self._flat or attempt == _TRIES - 1:
                    raise
                if source and isinstance(error, PathNotFoundError):
                    await self.files.is_directory(source)
                made = await self._make_directories(parent(path))
                # Others may have made it in this moment. If it was there twice, it is not that.
                if was_there and not made and not isinstance(error, PathNotFoundError):
                    raise
                was_there = not made
        raise AssertionError  # the last attempt has raised

    async def _make_directories(self, path: str) -> bool:
        """Make a directory and those above it; False if all were there."""
        if path == "/":
            await self.check()
            return False
        try:
            await self.files.make_directory(path)
        except PathNotFoundError:
            await self._make_directories(parent(path))
            with suppress(AlreadyExistsError, PathNotFoundError):
                await self.files.make_directory(path)
        except (AlreadyExistsError, ConflictError):
            await self._require_directory(path)
            return False
        return True

    async def _require_directory(self, path: str) -> None:
        with suppress(PathNotFoundError):
            if await self.files.is_directory(path):
                return
        while path != "/":
            with suppress(PathNotFoundError):
                if not await self.files.is_directory(path):
                    raise ConflictError("a part of the path is a file")
            path = parent(path)

    async def _require_place(self, path: str) -> None:
        """Where there are no directories, nobody else says that one is in the way."""
        if not self._flat or self._shares_names:
            return
        with suppress(PathNotFoundError):
            if await self.files.is_directory(path):
                raise ConflictError("it is a directory", path=path)
        await self._require_directory(parent(path))

    # Moving and deleting -----------------------------------------------------------------------

    async def move(self, source: str, target: str, *, replace: bool) -> None:
        """As `StorageDriver.move`."""
        if await self._found(self.files.is_directory(source)):
            raise PathNotFoundError("a directory is not a file", path=source)
        if self._stages:
            await self.publish(source, target, replace=replace)
        else:
            await self._copy(source, target)
            await self.files.remove(source)
        await self.prune(source)

    async def copy(self, source: str, target: str) -> None:
        """As `StorageDriver.copy`."""
        info = await self._found(self.files.info(source))
        if info.is_dir:
            raise PathNotFoundError("a directory is not a file", path=source)
        if not self._stages:
            await self._copy(source, target)
            return

        async def make(staging: str) -> None:
            await self.within(staging, lambda: self.files.copy(source, staging), source=source)

        await self.put_through(target, make, size=info.size, replace=True)

    async def _copy(self, source: str, target: str) -> None:
        with suppress(PathNotFoundError):
            if await self.files.is_directory(target):
                raise ConflictError("it is a directory", path=target)
        await self.files.copy(source, target)

    async def delete(self, path: str) -> None:
        """As `StorageDriver.delete`."""
        failures: dict[str, StorageDriverError] = {}
        is_dir = path == "/"
        if not is_dir:
            is_dir = await self._found(self.files.is_directory(path))
        if not is_dir:
            await self._found(self.files.remove(path))
        if is_dir or self._shares_names:
            await self._delete_below(path, failures, missing_ok=not is_dir)
        await self.prune(path)
        if failures:
            if len(failures) == 1 and path in failures:
                raise failures[path]
            partial = PartialDeleteError(failures=failures)
            partial.outcome = "unknown"  # by path, and each failure has its own
            raise partial

    async def _delete_below(
        self, path: str, failures: dict[str, StorageDriverError], *, missing_ok: bool = False
    ) -> None:
        try:
            found = await self._found(self.files.children(path))
        except PathNotFoundError:
            if missing_ok:
                return
            raise
        failures.update(
            await self.files.remove_many([each.path for each in found if not each.is_dir])
        )
        for each in found:
            if not each.is_dir or (path == "/" and is_internal(each.path)):
                continue
            try:
                await self._delete_below(each.path, failures, missing_ok=True)
            except StorageDriverError as error:
                failures[each.path] = error
        if not self._flat and path != "/":
            with suppress(StorageDriverError):
                await self.files.remove_emptied(path)

    async def delete_many(self, paths: Sequence[str], name: str) -> DeleteReport:
        """As `StorageDriver.delete_many`, of the driver `name`.

        A directory that many of them are in is looked at once, not once for each of them.
        """
        deleted: list[str] = []
        missing: list[str] = []
        failed: dict[str, StorageDriverError] = {}
        counts = Counter(map(parent, paths)) if not self._shares_names else Counter[str]()
        crowded = [each for each, count in counts.items() if count >= _CROWD]
        files = await self._files_of(crowded, set(paths))
        for path in paths:
            try:
                if path in files:
                    await self._found(self.files.remove(path))
                else:
                    await self.delete(path)
            except PathNotFoundError:
                missing.append(path)
            except StorageDriverError as error:
                failed[path] = error.stamp(name, "delete_many", path)
            else:
                deleted.append(path)
        for directory in crowded:
            await self.prune(f"{directory.rstrip('/')}/any")
        return DeleteReport(tuple(deleted), tuple(missing), failed)

    async def _files_of(self, directories: Sequence[str], wanted: set[str]) -> set[str]:
        """Give those of the wanted paths that are files in one of the directories."""
        files: set[str] = set()

        def take(info: FileInfo) -> None:
            if not info.is_dir and info.path in wanted:
                files.add(info.path)

        for directory in directories:
            # What is not found here is looked at by itself.
            with suppress(StorageDriverError):
                await self.files.visit(directory, take)
        return files

    async def prune(self, path: str) -> None:
        """Remove the directories above `path` that are empty, but for the driver's own."""
        if self._flat:
            return
        with suppress(StorageDriverError):
            while (path := parent(path)) not in _KEPT:
                await self.files.remove_directory(path)
