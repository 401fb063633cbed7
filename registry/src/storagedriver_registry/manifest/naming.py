"""Which content a manifest names: what has to stay stored for as long as the manifest does."""

from __future__ import annotations

from typing import Any

from storagedriver_registry.digest import Digest, as_digest
from storagedriver_registry.manifest.documents import read_stored

# Docker's schema 1 says `blobSum`.
_KEYS = ("digest", "blobSum")


def named_digests(data: bytes) -> list[Digest]:
    """Give every digest that a manifest of any type names, whatever it is there for.

    Its subject is left out: a manifest that refers to another one does not keep it.
    """
    found: dict[Digest, None] = {}
    rest: list[Any] = [value for key, value in read_stored(data).items() if key != "subject"]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, dict):
            rest.extend(value.values())
            for key in _KEYS:
                digest = as_digest(value.get(key))
                if digest is not None:
                    found[digest] = None
    return list(found)
