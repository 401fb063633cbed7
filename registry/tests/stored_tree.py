"""What a server's directory has to hold when nobody is at work."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path


def check_directory(data: Path) -> int:
    """See that a server's directory holds blobs that are whole, links, and nothing else.

    No upload is open. Gives how many blobs there are.
    """
    root = data / "docker" / "registry" / "v2"
    blobs = 0
    for path in _files(data):
        parts = path.relative_to(data).parts
        if path.is_relative_to(root / "blobs"):
            algorithm, digest = path.parts[-4], path.parts[-2]
            assert path.name == "data", path
            assert hashlib.new(algorithm, path.read_bytes()).hexdigest() == digest, path
            blobs += 1
        elif path.is_relative_to(root / "repositories"):
            assert {"_manifests", "_layers", "_referrers"} & set(parts), path
            assert "_uploads" not in parts, path
        else:
            assert path == root / "storagedriver" / "upload-key", path
    return blobs


def _files(data: Path) -> Iterator[Path]:
    return (path for path in data.rglob("*") if path.is_file())
