"""Parsing, checking and computing digests.

Source: image-spec, "Digests". Two algorithms are registered there, and no other is taken: what a
registry cannot compute it cannot check.
"""

from __future__ import annotations

import hashlib
import re
import sys
from functools import lru_cache
from typing import NamedTuple

ALGORITHMS = ("sha256", "sha512")

DIGEST_PATTERN = r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})"
"""A regular expression for all of a digest."""

_DIGEST = re.compile(DIGEST_PATTERN)


class InvalidDigestError(ValueError):
    """The text is no digest of a supported algorithm."""


class Digest(NamedTuple):
    """A checked digest; `parse_digest`, `as_digest` and `compute_digest` make it.

    Attributes:
        algorithm: `sha256` or `sha512`.
        hex: The value in lower-case hex.
    """

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


# Clients ask for the same ones again and again. Each is half a kilobyte.
@lru_cache(maxsize=512)
def parse_digest(text: str) -> Digest:
    """Read a digest.

    Raises:
        InvalidDigestError: It is malformed, or of another algorithm. Nothing is guessed: upper
            case, a missing algorithm or a wrong length are malformed.
    """
    if _DIGEST.fullmatch(text) is None:
        raise InvalidDigestError("a digest is sha256: or sha512: and lower-case hex")
    algorithm, _, value = text.partition(":")
    # The name is one object for all of them.
    return Digest(sys.intern(algorithm), value)


def as_digest(value: object) -> Digest | None:
    """Give the digest that a value spells, whatever it is; None if it spells none."""
    try:
        return parse_digest(value) if isinstance(value, str) else None
    except InvalidDigestError:
        return None


def compute_digest(data: bytes, algorithm: str = "sha256") -> Digest:
    """Give the digest of `data`."""
    return Digest(algorithm, hashlib.new(algorithm, data).hexdigest())
