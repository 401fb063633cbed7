"""Digests: content identifiers such as `sha256:<hex>`."""

from __future__ import annotations

from storagedriver_registry.digest.digests import (
    ALGORITHMS,
    DIGEST_PATTERN,
    Digest,
    InvalidDigestError,
    as_digest,
    compute_digest,
    parse_digest,
)

__all__ = [
    "ALGORITHMS",
    "DIGEST_PATTERN",
    "Digest",
    "InvalidDigestError",
    "as_digest",
    "compute_digest",
    "parse_digest",
]
