"""Digests."""

from __future__ import annotations

import hashlib

import pytest
from storagedriver_registry.digest import (
    Digest,
    InvalidDigestError,
    as_digest,
    compute_digest,
    parse_digest,
)

SHA256 = hashlib.sha256(b"x").hexdigest()
SHA512 = hashlib.sha512(b"x").hexdigest()


@pytest.mark.parametrize(("algorithm", "value"), [("sha256", SHA256), ("sha512", SHA512)])
def test_digest_round_trips(algorithm: str, value: str) -> None:
    digest = parse_digest(f"{algorithm}:{value}")
    assert digest == Digest(algorithm, value) == compute_digest(b"x", algorithm)
    assert str(digest) == f"{algorithm}:{value}"


def test_digests_share_the_name_of_their_algorithm() -> None:
    first, second = (parse_digest(f"sha256:{digit * 64}") for digit in "ab")
    assert first.algorithm is second.algorithm


@pytest.mark.parametrize(
    "text",
    [
        "",
        SHA256,
        f"sha256:{SHA256.upper()}",
        f"sha256:{SHA256[1:]}",
        f"sha256:{SHA256}0",
        f"sha256:{SHA256}\n",
        f" sha256:{SHA256}",
        f"sha256:{SHA512}",
        f"sha512:{SHA256}",
        f"SHA256:{SHA256}",
        f"sha384:{SHA256}",
        f"sha256+b64:{SHA256}",
        "sha256:../../../../../etc/passwd",
    ],
)
def test_malformed_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidDigestError):
        parse_digest(text)


@pytest.mark.parametrize("value", [None, 1, [], {}, "", "sha256:0", SHA256])
def test_what_spells_no_digest_is_none(value: object) -> None:
    assert as_digest(value) is None
    assert as_digest(f"sha256:{SHA256}") == Digest("sha256", SHA256)
