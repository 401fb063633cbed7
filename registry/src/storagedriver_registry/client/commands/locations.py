"""How images are named on the command line: a transport, and what it takes, as with skopeo.

```text
localhost:5000/a/b:tag         in a registry; also docker://localhost:5000/a/b:tag
oci:DIRECTORY[:NAME]           in an OCI layout; also oci:DIRECTORY@sha256:...
oci-archive:FILE[:NAME]        in an archive of one
docker-archive:FILE[:NAME:TAG] in an archive of `docker save`
storage:CONFIG:/PATH[:NAME]    in an OCI layout below a path of any configured storage
```
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from storagedriver_registry.client.errors import InvalidReferenceError
from storagedriver_registry.client.references import ImageReference, parse_reference
from storagedriver_registry.digest import Digest, InvalidDigestError, parse_digest

LayoutKind: TypeAlias = Literal["oci", "oci-archive", "docker-archive"]


@dataclass(frozen=True, slots=True)
class LocalLocation:
    """An image in a file or directory.

    Attributes:
        kind: The transport.
        path: The file or directory.
        reference: The image's name there, or its digest; None if it is not named.
    """

    kind: LayoutKind
    path: Path
    reference: str | Digest | None = None

    def __str__(self) -> str:
        return _joined(f"{self.kind}:{self.path}", self.reference)


@dataclass(frozen=True, slots=True)
class StorageLocation:
    """An image in a configured storage.

    Attributes:
        config: The configuration.
        path: Where the layout is in the storage.
        reference: The image's name there, or its digest; None if it is not named.
    """

    config: Path
    path: str
    reference: str | Digest | None = None

    def __str__(self) -> str:
        return _joined(f"storage:{self.config}:{self.path}", self.reference)


Location: TypeAlias = ImageReference | LocalLocation | StorageLocation


def parse_location(text: str) -> Location:
    """Read where an image is.

    Raises:
        InvalidReferenceError: It names nothing.
    """
    transport, colon, rest = text.partition(":")
    if transport == "docker" and rest.startswith("//"):
        return parse_reference(rest[2:])
    if colon and transport in ("oci", "oci-archive"):
        path, reference = _split(rest)
        return LocalLocation(
            "oci" if transport == "oci" else "oci-archive", _path(path, text), reference
        )
    if colon and transport == "docker-archive":
        file, _, name = rest.partition(":")
        return LocalLocation("docker-archive", _path(file, text), name or None)
    if colon and transport == "storage":
        config, _, place = rest.partition(":/")
        path, reference = _split(f"/{place}")
        return StorageLocation(_path(config, text), path, reference)
    return parse_reference(text)


def _split(text: str) -> tuple[str, str | Digest | None]:
    """Split what follows a path from it: `:NAME`, or `@DIGEST`."""
    path, at, digest = text.rpartition("@")
    if at:
        try:
            return path, parse_digest(digest)
        except InvalidDigestError:
            pass
    path, colon, name = text.rpartition(":")
    if colon and not name:
        raise InvalidReferenceError(f"{text!r}: a name is missing after the colon")
    if colon and "/" not in name:
        return path, name
    return text, None


def _path(path: str, text: str) -> Path:
    if not path:
        raise InvalidReferenceError(f"{text!r}: a path is missing")
    return Path(path)


def _joined(where: str, reference: str | Digest | None) -> str:
    if reference is None:
        return where
    return f"{where}{'@' if isinstance(reference, Digest) else ':'}{reference}"
