"""The driver: a translation of the contract to SQL."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from storagedriver_core import (
    INTERNAL_COMPONENT,
    AlreadyExistsError,
    BlockingDriver,
    BlockingReader,
    BlockingStorageDriver,
    Buffer,
    Capabilities,
    CompleteOptions,
    Conditions,
    ConfigurationError,
    ConflictError,
    FileInfo,
    ListOptions,
    NoSpaceError,
    Part,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    StorageDriverError,
    UnavailableError,
    Upload,
    UploadCuts,
    UploadInfo,
    UploadNotFoundError,
    UploadOptions,
    UploadState,
    child_prefix,
)
from storagedriver_sqlite._config import SqliteConfig

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    path TEXT PRIMARY KEY, data BLOB, etag TEXT, changed REAL,
    content_type TEXT, metadata TEXT, upload_id TEXT, holder TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT, holder TEXT,
    content_type TEXT, metadata TEXT, begun REAL, changed REAL, cuts TEXT DEFAULT ''
);
CREATE TABLE IF NOT EXISTS parts (
    upload_id INTEGER, start INTEGER, data BLOB, PRIMARY KEY (upload_id, start)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (id INTEGER PRIMARY KEY AUTOINCREMENT);
"""

_UNIX_EPOCH_JULIAN = 2440587.5

_INFO = "path, length(data), changed, etag"


class SqliteDriver(BlockingStorageDriver):
    """Keeps objects and uploads in one SQLite file, one call at a time."""

    def __init__(self, config: SqliteConfig) -> None:
        super().__init__(_SqliteStore(config), threads=1)
        self._config = config

    def __reduce__(self) -> tuple[object, ...]:
        return (SqliteDriver, (self._config,))


class _SqliteStore(BlockingDriver):
    name = "sqlite"
    capabilities = Capabilities(
        get_range=True,
        get_with_conditions=True,
        put_if_absent=True,
        put_if_match=True,
        put_with_metadata=True,
        copy=True,
        copy_if_absent=True,
        move_if_absent=True,
        upload=True,
        upload_out_of_order=True,
        list_uploads=True,
        walk_with_start_after=True,
        late_target=True,
        move="atomic",
        atomic_commit=True,
        list_after_write=True,
        durable_on_commit=True,
        durable_parts=True,
        ordered_walk=True,
        fresh_reads=True,
        pinned_reads=True,
        shared_between_processes=True,
        abort_frees=True,
        independent_uploads=True,
        any_event_loop=True,
        path_alphabet="any",
        file_and_directory_share_name=True,
        # SQLite's own limit for a blob. Source: sqlite.org/limits.html, SQLITE_MAX_LENGTH.
        max_object_size=1_000_000_000,
        max_metadata_bytes=8192,
    )

    def __init__(self, config: SqliteConfig) -> None:
        self._config = config
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        if not self._config.create and not self._config.file.exists():
            raise ConfigurationError(f"{self._config.file} does not exist")
        with _translated():
            self._database = sqlite3.connect(
                self._config.file, isolation_level=None, timeout=30, check_same_thread=False
            )
            # A write-ahead log lets readers and a writer of several processes go on together.
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def check(self) -> None:
        self._rows("SELECT 1")

    def now(self) -> datetime:
        # By SQLite's clock, which also stamps what is stored.
        [(days,)] = self._rows("SELECT julianday('now')")
        return _time((days - _UNIX_EPOCH_JULIAN) * 86400)

    def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        found = self._rows(
            f"SELECT {_INFO}, content_type, metadata FROM objects WHERE path = ?", path
        )
        if found:
            info = _file_info(*found[0])
        elif path == "/" or self._after(path, "", 1):
            info = FileInfo(path, is_dir=True)
        else:
            raise PathNotFoundError
        if conditions is not None and not conditions.hold_for(info):
            raise ConflictError("the conditions do not hold")
        return info

    def open_reader(self, path: str, options: ReadOptions) -> BlockingReader:
        found = self._rows(
            f"SELECT data, {_INFO}, content_type, metadata FROM objects WHERE path = ?", path
        )
        if not found:
            raise PathNotFoundError
        data, *info = found[0]
        return BlockingReader(_file_info(*info), io.BytesIO(data), options)

    def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        with self._transaction():
            old = self._etag(path)
            if options.if_absent and old is not None:
                raise AlreadyExistsError
            if options.if_match is not None and options.if_match != old:
                raise ConflictError("the etag is another")
            return self._insert(path, bytes(data), options.content_type, options.metadata)

    def list(self, path: str, options: ListOptions) -> Iterator[Sequence[FileInfo]]:
        self._require_directory(path)
        prefix = child_prefix(path)
        after = options.start_after or ""
        while rows := self._after(path, after, options.page_size):
            page = []
            for row in rows:
                child, slash, _ = row[0][len(prefix) :].partition("/")
                after = row[0]
                if not slash:
                    page.append(_file_info(*row))
                    continue
                if f"{prefix}{child}/" > (options.start_after or ""):
                    page.append(FileInfo(prefix + child, is_dir=True))
                after = f"{prefix}{child}/\U0010ffff"  # what sorts after everything below
                break
            yield page

    def walk(self, path: str, options: ListOptions) -> Iterator[Sequence[FileInfo]]:
        self._require_directory(path)
        after = options.start_after or ""
        while rows := self._after(path, after, options.page_size):
            yield [_file_info(*row) for row in rows]
            after = rows[-1][0]

    def delete(self, path: str) -> None:
        prefix = child_prefix(path)
        with self._transaction():
            # What belongs to uploads in progress stays, also when everything goes.
            gone = self._run(
                "DELETE FROM objects WHERE path = ? OR (path > ? AND path < ?"
                f" AND (? <> '/' OR path NOT LIKE '/{INTERNAL_COMPONENT}/%'))",
                *(path, prefix, prefix[:-1] + "0", path),
            )
            if not gone and path != "/":
                raise PathNotFoundError

    def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        with self._transaction():
            self._check_transfer(source, target, if_absent)
            self._run("DELETE FROM objects WHERE path = ?", target)
            self._run("UPDATE objects SET path = ? WHERE path = ?", target, source)

    def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        with self._transaction():
            self._check_transfer(source, target, if_absent)
            [(data, content_type, metadata)] = self._rows(
                "SELECT data, content_type, metadata FROM objects WHERE path = ?", source
            )
            self._insert(target, data, content_type, json.loads(metadata))

    def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        now = self.now().timestamp()
        with self._transaction():
            [(upload_id,)] = self._rows(
                "INSERT INTO uploads (path, holder, content_type, metadata, begun, changed)"
                " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
                *(path, holder, options.content_type, json.dumps(dict(options.metadata)), now, now),
            )
        return Upload(path, str(upload_id), holder=holder, options=options)

    def put_part(self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]) -> Part:
        joined = b"".join(data)
        with self._transaction():
            self._require_holder(upload)
            self._run("REPLACE INTO parts VALUES (?, ?, ?)", upload.upload_id, offset, joined)
            self._run(
                "UPDATE uploads SET changed = ? WHERE id = ?",
                self.now().timestamp(),
                upload.upload_id,
            )
        return Part(number, offset, len(joined))

    def upload_state(self, upload: Upload, size: int) -> UploadState:
        with self._transaction():
            found = self._rows("SELECT cuts FROM uploads WHERE id = ?", upload.upload_id)
            if not found:
                completed = self._published(upload, upload.path)
                return UploadState(completed.size, completed)
            if len(self._content(upload)) < size:
                raise UploadNotFoundError("the upload holds less than the token says")
            cuts = UploadCuts.from_text(found[0][0])
            cuts.require(upload.data, size)
            if self._run(
                "DELETE FROM parts WHERE upload_id = ? AND start >= ?", upload.upload_id, size
            ):
                cuts = cuts.at(size)
            self._run(
                "UPDATE uploads SET holder = ?, cuts = ? WHERE id = ?",
                *(upload.holder, cuts.to_text(), upload.upload_id),
            )
        return UploadState(size, data=cuts.data())

    def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        with self._transaction():
            if not self._rows("SELECT 1 FROM uploads WHERE id = ?", upload.upload_id):
                return self._published(upload, options.path, upload.holder)
            self._require_holder(upload)
            if options.if_absent and self._etag(options.path) is not None:
                raise AlreadyExistsError
            data = self._content(upload)[: options.size]
            kept = upload.options
            info = self._insert(options.path, data, kept.content_type, kept.metadata, upload)
            self._drop(upload)
            return info

    def abort_upload(self, upload: Upload) -> None:
        with self._transaction():
            self._drop(upload)

    def list_uploads(self) -> Iterator[Sequence[UploadInfo]]:
        rows = self._rows(
            "SELECT id, path, begun, changed,"
            " (SELECT total(length(data)) FROM parts WHERE upload_id = id) FROM uploads"
        )
        yield [
            UploadInfo(Upload(path, str(upload_id)), _time(begun), _time(changed), int(size))
            for upload_id, path, begun, changed, size in rows
        ]

    # Steps inside a transaction

    def _insert(
        self,
        path: str,
        data: bytes,
        content_type: str | None,
        metadata: Any,
        upload: Upload | None = None,
    ) -> FileInfo:
        [(etag,)] = self._rows("INSERT INTO versions DEFAULT VALUES RETURNING id")
        self._run("DELETE FROM versions WHERE id < ?", etag)
        self._run(
            "REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(path, data, str(etag), self.now().timestamp(), content_type),
            *(json.dumps(dict(metadata)), upload and upload.upload_id, upload and upload.holder),
        )
        return self.stat(path)

    def _content(self, upload: Upload) -> bytes:
        rows = self._rows(
            "SELECT data FROM parts WHERE upload_id = ? ORDER BY start", upload.upload_id
        )
        return b"".join(data for (data,) in rows)

    def _drop(self, upload: Upload) -> None:
        self._run("DELETE FROM parts WHERE upload_id = ?", upload.upload_id)
        if not self._run("DELETE FROM uploads WHERE id = ?", upload.upload_id):
            raise UploadNotFoundError

    def _published(self, upload: Upload, path: str, holder: str | None = None) -> FileInfo:
        """Give the object that the upload became, by any writer or by the one that is named."""
        made_by = self._rows("SELECT upload_id, holder FROM objects WHERE path = ?", path)
        if not made_by or made_by[0][0] != upload.upload_id:
            raise UploadNotFoundError(outcome="unknown")
        if holder is not None and made_by[0][1] != holder:
            raise ConflictError("another writer has committed the upload")
        return self.stat(path)

    def _require_holder(self, upload: Upload) -> None:
        holder = self._rows("SELECT holder FROM uploads WHERE id = ?", upload.upload_id)
        if not holder:
            raise UploadNotFoundError
        if holder != [(upload.holder,)]:
            raise ConflictError("another writer has resumed the upload")

    def _require_directory(self, path: str) -> None:
        if path != "/" and not self._after(path, "", 1):
            raise PathNotFoundError

    def _refuse_directory(self, target: str) -> None:
        if self._etag(target) is None and self._after(target, "", 1):
            raise ConflictError("the target is a directory", path=target)

    def _check_transfer(self, source: str, target: str, if_absent: bool) -> None:
        if self._etag(source) is None:
            raise PathNotFoundError(path=source)
        if if_absent and self._etag(target) is not None:
            raise AlreadyExistsError(path=target)
        self._refuse_directory(target)

    def _etag(self, path: str) -> str | None:
        found = self._rows("SELECT etag FROM objects WHERE path = ?", path)
        return str(found[0][0]) if found else None

    def _after(self, directory: str, after: str, count: int) -> Sequence[tuple[Any, ...]]:
        """Give up to `count` files below `directory` after the path `after`."""
        prefix = child_prefix(directory)
        return self._rows(
            f"SELECT {_INFO} FROM objects WHERE path > ? AND path < ? ORDER BY path LIMIT ?",
            *(max(after, prefix), prefix[:-1] + "0", count),
        )

    # SQL

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            self._run("ROLLBACK")
            raise

    def _rows(self, statement: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        assert self._database is not None
        with _translated():
            return self._database.execute(statement, values).fetchall()

    def _run(self, statement: str, *values: Any) -> int:
        """Run a statement and give how many rows it changed."""
        assert self._database is not None
        with _translated():
            return self._database.execute(statement, values).rowcount


def _file_info(
    path: str,
    size: int,
    changed: float,
    etag: str,
    content_type: str | None = None,
    metadata: str | None = None,
) -> FileInfo:
    return FileInfo(
        path,
        size,
        _time(changed),
        etag=etag,
        content_type=content_type,
        metadata=None if metadata is None else json.loads(metadata),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_ERRORS: dict[int, type[StorageDriverError]] = {
    sqlite3.SQLITE_FULL: NoSpaceError,
    sqlite3.SQLITE_BUSY: UnavailableError,
    sqlite3.SQLITE_LOCKED: UnavailableError,
    sqlite3.SQLITE_IOERR: UnavailableError,
    sqlite3.SQLITE_CANTOPEN: ConfigurationError,
    sqlite3.SQLITE_NOTADB: ConfigurationError,
    sqlite3.SQLITE_READONLY: ConfigurationError,
}


@contextmanager
def _translated() -> Iterator[None]:
    """Translate SQLite's errors, by their primary result code."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise _ERRORS.get(code, StorageDriverError)(str(error)) from error
