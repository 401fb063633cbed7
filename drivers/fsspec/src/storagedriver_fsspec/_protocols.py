"""What each protocol promises: the table that raises capabilities, which all start at "no".

A row claims what the protocol's documents or fsspec's implementation promise, and no more. Those
that are `shown` pass the conformance suite on a real server; of the others only what any server of
the kind does is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from storagedriver_core import Capabilities


@dataclass(frozen=True, slots=True)
class Protocol:
    """One row.

    Attributes:
        names: fsspec's names.
        files: The adapter, as `module:Class`.
        uploads: How an upload is stored: as one file that grows, as chunks that are joined, or not.
        claims: Capabilities other than their defaults.
        defaults: Options that are given unless the configuration gives others.
        flat: Keys without directories.
        stages: A file is written under another name first, and renamed.
        threads: Calls at once at most; one where the client library is for one thread.
        shown: The conformance suite passes on a real server.
    """

    names: tuple[str, ...]
    files: str
    uploads: Literal["file", "chunks", ""] = ""
    claims: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    flat: bool = False
    stages: bool = True
    threads: int = 64
    shown: bool = False

    @property
    def capabilities(self) -> Capabilities:
        """What a driver of the protocol declares."""
        return Capabilities(**self.claims)


_PLAIN = "storagedriver_fsspec._plain:PlainFiles"
_REMOTE = "storagedriver_fsspec._remote:RemoteFiles"

# Uploads as files that grow.
_GROWING = {"upload": True, "list_uploads": True, "late_target": True, "abort_frees": True}
_GROWING |= {"independent_uploads": True}
# Uploads as chunks: a part is a file, of any size but none.
_CHUNKS: dict[str, Any] = {
    "upload": True,
    "list_uploads": True,
    "abort_frees": True,
    "independent_uploads": True,
}
_CHUNKS |= {"upload_out_of_order": True, "durable_parts": True, "min_part_size": 1}
# Listings are sorted here, one directory at a time.
_LISTS = {"ordered_walk": True, "walk_with_start_after": True}
# What everybody sees at once who looks at the same directory of the same server.
_SHARED = {"shared_between_processes": True, "list_after_write": True, "fresh_reads": True}

PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        names=("file", "local"),
        files="storagedriver_fsspec._local:LocalFiles",
        uploads="file",
        claims={
            **_GROWING,
            **_LISTS,
            **_SHARED,
            # rename(2) and link(2).
            "atomic_commit": True,
            "move": "atomic",
            "move_if_absent": True,
            "put_if_absent": True,
            "copy": True,
            "get_range": True,
            "pinned_reads": True,
            "bounded_memory": True,
            "local_path": True,
            "path_alphabet": "any",
        },
        shown=True,
    ),
    Protocol(
        names=("memory",),
        files="storagedriver_fsspec._memory:MemoryFiles",
        uploads="chunks",
        claims={
            **_CHUNKS,
            **_LISTS,
            "late_target": True,
            "atomic_commit": True,
            "list_after_write": True,
            "fresh_reads": True,
            "move": "server_copy",
            "move_if_absent": True,
            "put_if_absent": True,
            "copy": True,
            "get_range": True,
            "pinned_reads": True,
            "path_alphabet": "any",
        },
        flat=True,
        # Its methods look and act in two steps.
        threads=1,
        shown=True,
    ),
    Protocol(
        names=("sftp", "ssh"),
        files="storagedriver_fsspec._sftp:SftpFiles",
        uploads="file",
        claims={
            **_GROWING,
            **_LISTS,
            **_SHARED,
            # OpenSSH's posix-rename@openssh.com, and the draft's SSH_FXP_RENAME (section 6.5).
            "atomic_commit": True,
            "move": "atomic",
            "move_if_absent": True,
            "put_if_absent": True,
            "get_range": True,
            "pinned_reads": True,
            "bounded_memory": True,
            "path_alphabet": "any",
        },
        shown=True,
    ),
    Protocol(
        names=("webdav", "dav"),
        files="storagedriver_fsspec._webdav:WebdavFiles",
        uploads="chunks",
        claims={
            **_CHUNKS,
            **_LISTS,
            **_SHARED,
            # RFC 4918 promises no step of COPY and MOVE to be one (sections 9.8 and 9.9).
            "late_target": True,
            "move": "server_copy",
            "copy": True,
            "get_range": True,
            "get_with_conditions": True,
            "bounded_memory": True,
            "path_alphabet": "unicode",
        },
        # webdav4 repeats by itself, and httpx waits for five seconds.
        defaults={"retry": False, "timeout": 60.0},
        shown=True,
    ),
    Protocol(
        names=("ftp",),
        files=_PLAIN,
        uploads="chunks",
        claims={**_CHUNKS, **_LISTS, **_SHARED, "late_target": True, "move": "server_copy"},
        threads=1,
    ),
    Protocol(
        names=("smb",),
        files=_PLAIN,
        uploads="chunks",
        claims={
            **_CHUNKS,
            **_LISTS,
            **_SHARED,
            "late_target": True,
            "move": "server_copy",
            "case_sensitive": False,
        },
        threads=1,
    ),
    Protocol(
        names=("hdfs", "arrow_hdfs"),
        files=_PLAIN,
        uploads="chunks",
        claims={**_CHUNKS, **_LISTS, **_SHARED, "late_target": True, "move": "server_copy"},
    ),
    Protocol(
        names=("s3", "s3a"),
        files=_REMOTE,
        uploads="chunks",
        claims={
            **_CHUNKS,
            **_LISTS,
            **_SHARED,
            "atomic_commit": True,
            "durable_on_commit": True,
            "move": "server_copy",
            "copy": True,
            "get_range": True,
            "path_alphabet": "unicode",
            "file_and_directory_share_name": True,
            "max_component_bytes": 255,
            "max_path_bytes": 700,
        },
        flat=True,
        stages=False,
    ),
)

UNKNOWN = Protocol(names=(), files=_PLAIN, threads=1)
"""For a blocking filesystem that the table does not name: get, put, stat, list, move, delete."""

UNKNOWN_ASYNC = Protocol(names=(), files=_REMOTE, flat=True, stages=False)
"""The same for an asynchronous one."""

_BY_NAME = MappingProxyType({name: row for row in PROTOCOLS for name in row.names})


def protocol_of(name: str, *, is_async: bool) -> Protocol:
    """Give the row of a protocol."""
    return _BY_NAME.get(name) or (UNKNOWN_ASYNC if is_async else UNKNOWN)
