"""Buckets and objects: metadata in memory, bodies in files.

Sources: json_api/v1/objects, "Resource representations" (fields and their types: 64-bit numbers are
strings, times are RFC 3339 with milliseconds); objects, "Naming guidelines" (names of 1 to 1024
bytes of UTF-8, no CR or LF, not `.` or `..`, not below `.well-known/acme-challenge/`);
data-validation (crc32c of every object, md5Hash of every one that is not composed).
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import time
import weakref
from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import google_crc32c

from ._errors import ApiError, no_bucket, no_object

MAX_NAME_BYTES = 1024
MAX_METADATA_BYTES = 8 * 1024


class Clock:
    """The server's time, which tests can move."""

    def __init__(self) -> None:
        self.offset = 0.0

    def seconds(self) -> float:
        return time.time() + self.offset

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)


class Body:
    """The bytes of one object, in a file that goes with the last who needs it."""

    def __init__(self, path: Path, size: int, crc32c: int, md5: bytes | None) -> None:
        self.path = path
        self.size = size
        self.crc32c = crc32c
        self.md5 = md5
        weakref.finalize(self, _unlink, str(path))

    def range(self, start: int, length: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(length)


def _unlink(path: str) -> None:
    Path(path).unlink(missing_ok=True)


class BodyWriter:
    """A file that grows, with its checksums."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._file = path.open("wb", buffering=0)
        self._md5 = hashlib.md5()
        self._crc = 0

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._md5.update(data)
        self._crc = google_crc32c.extend(self._crc, data)
        self.size += len(data)

    @property
    def crc32c(self) -> int:
        return self._crc

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    def finish(self, *, composed: bool = False) -> Body:
        self._file.close()
        return Body(self.path, self.size, self.crc32c, None if composed else self.md5)

    def drop(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One generation of an object; replaced as a whole."""

    bucket: str
    name: str
    body: Body
    generation: int
    metageneration: int = 1
    created: datetime
    updated: datetime
    content_type: str | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    components: int | None = None

    @property
    def etag(self) -> str:
        return base64.b64encode(b"%d/%d" % (self.generation, self.metageneration)).decode()

    @property
    def crc32c(self) -> str:
        return base64.b64encode(self.body.crc32c.to_bytes(4, "big")).decode()

    @property
    def md5(self) -> str | None:
        return None if self.body.md5 is None else base64.b64encode(self.body.md5).decode()

    def resource(self) -> dict[str, Any]:
        """Give the object as the JSON API shows it."""
        document: dict[str, Any] = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "storageClass": "STANDARD",
            "size": str(self.body.size),
            "crc32c": self.crc32c,
            "etag": self.etag,
            "timeCreated": _rfc3339(self.created),
            "updated": _rfc3339(self.updated),
            "timeStorageClassUpdated": _rfc3339(self.created),
            **self.fixed,
        }
        optional = {
            "contentType": self.content_type,
            "md5Hash": self.md5,
            "metadata": dict(self.metadata) or None,
            "componentCount": self.components,
        }
        document.update({key: value for key, value in optional.items() if value is not None})
        return document


FIXED_KEYS = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "customTime",
)


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """What a client may set of an object."""

    content_type: str | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    md5: str | None = None
    crc32c: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Attributes:
        metadata = document.get("metadata") or {}
        if not isinstance(metadata, dict) or not all(
            isinstance(value, str) for value in metadata.values()
        ):
            raise ApiError(400, "metadata must be an object of strings")
        size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
        if size > MAX_METADATA_BYTES:
            # Source: json_api/v1/status-codes, "413": custom metadata over 8 KiB.
            raise ApiError(413, "Your metadata exceeds the maximum allowed size")
        return cls(
            content_type=document.get("contentType"),
            fixed={key: document[key] for key in FIXED_KEYS if document.get(key)},
            metadata=metadata,
            md5=document.get("md5Hash"),
            crc32c=document.get("crc32c"),
        )

    def check(self, body: BodyWriter) -> None:
        """Refuse a body that is not the one announced. Source: data-validation, "Server-side"."""
        actual = {
            "md5": base64.b64encode(body.md5).decode(),
            "crc32c": base64.b64encode(body.crc32c.to_bytes(4, "big")).decode(),
        }
        for name, wanted in (("md5", self.md5), ("crc32c", self.crc32c)):
            if wanted is not None and wanted != actual[name]:
                raise ApiError(400, f"Provided {name} hash does not match the calculated hash.")


class Bucket:
    """The live objects of one bucket, in the order of their names."""

    def __init__(self, name: str, created: datetime) -> None:
        self.name = name
        self.created = created
        self.hidden = False
        self.objects: dict[str, StoredObject] = {}
        self.names: list[str] = []  # code points sort as their UTF-8 does

    def put(self, stored: StoredObject) -> None:
        if stored.name not in self.objects:
            insort(self.names, stored.name)
        self.objects[stored.name] = stored

    def remove(self, name: str) -> None:
        del self.objects[name]
        del self.names[bisect_left(self.names, name)]

    def get(self, name: str, generation: str | None = None) -> StoredObject:
        found = self.objects.get(name)
        if found is None or (generation is not None and generation != str(found.generation)):
            raise no_object(self.name, name)
        return found


class Store:
    """Everything that the server holds."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.buckets: dict[str, Bucket] = {}
        self._directory = directory
        self._numbers = itertools.count(1)
        self._last_generation = 0
        directory.mkdir(parents=True, exist_ok=True)

    def bucket(self, name: str) -> Bucket:
        found = self.buckets.get(name)
        if found is None or found.hidden:
            raise no_bucket()
        return found

    def new_body(self) -> BodyWriter:
        return BodyWriter(self._directory / f"{os.getpid()}-{next(self._numbers)}")

    def put(
        self,
        bucket: Bucket,
        name: str,
        body: Body,
        attributes: Attributes,
        components: int | None = None,
    ) -> StoredObject:
        """Make `body` the live object. Whoever calls has checked the preconditions."""
        now = self.clock.now()
        # Source: metadata, "Generation number": it grows with each replacement.
        self._last_generation = max(self._last_generation + 1, int(now.timestamp() * 1_000_000))
        stored = StoredObject(
            bucket=bucket.name,
            name=name,
            body=body,
            generation=self._last_generation,
            created=now,
            updated=now,
            content_type=attributes.content_type,
            fixed=attributes.fixed,
            metadata=attributes.metadata,
            components=components,
        )
        bucket.put(stored)
        return stored

    def patch(self, bucket: Bucket, found: StoredObject, attributes: Attributes) -> StoredObject:
        changed = replace(
            found,
            metageneration=found.metageneration + 1,
            updated=self.clock.now(),
            content_type=attributes.content_type,
            fixed=attributes.fixed,
            metadata=attributes.metadata,
        )
        bucket.put(changed)
        return changed


def check_name(name: str) -> str:
    """Refuse what cannot be the name of an object."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise ApiError(400, "The object name is not UTF-8") from None
    if not encoded:
        raise ApiError(400, "Required parameter: name", "required")
    if (
        len(encoded) > MAX_NAME_BYTES
        or "\r" in name
        or "\n" in name
        or name in (".", "..")
        or name.startswith(".well-known/acme-challenge/")
    ):
        raise ApiError(400, f"Disallowed object name: {name!r}")
    return name


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
