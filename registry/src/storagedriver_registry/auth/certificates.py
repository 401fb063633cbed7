"""Certificates: those that are trusted, and chains that lead to them.

Source: RFC 5280, section 6; RFC 7515, "x5c". What distribution leaves open is left open: names and
purposes of certificates, which tokens have no use for.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)


class UntrustedChainError(Exception):
    """A chain is malformed, or does not lead to a trusted certificate; the text says why."""


class TrustedCertificates:
    """Certificates that are trusted: themselves, and as authorities.

    Args:
        roots: One at least.
    """

    def __init__(self, roots: Sequence[x509.Certificate]) -> None:
        self._roots = frozenset(roots)
        self._store = Store(list(roots))

    def verify_chain(self, chain: Any) -> Any:
        """Give the public key of the first certificate of a chain.

        Args:
            chain: The value of a header `x5c`: certificates in base64 of DER, each but the last
                followed by its issuer.

        Raises:
            UntrustedChainError: The chain is not to be trusted now.
        """
        leaf, *others = _parse(chain)
        now = datetime.datetime.now(datetime.UTC)
        if leaf in self._roots:
            # Most token servers have one certificate, signed by itself, which is no authority.
            if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
                raise UntrustedChainError("the certificate is not valid now")
            return leaf.public_key()
        verifier = (
            PolicyBuilder()
            .store(self._store)
            .time(now)
            .extension_policies(ca_policy=_AUTHORITY, ee_policy=ExtensionPolicy.permit_all())
            .build_client_verifier()
        )
        try:
            verifier.verify(leaf, others)
        except (VerificationError, ValueError) as error:
            raise UntrustedChainError(str(error)) from error
        return leaf.public_key()


def _parse(chain: Any) -> list[x509.Certificate]:
    if not isinstance(chain, list) or not chain:
        raise UntrustedChainError("x5c is no list of certificates")
    try:
        return [
            x509.load_der_x509_certificate(base64.b64decode(text, validate=True)) for text in chain
        ]
    except (TypeError, ValueError, x509.InvalidVersion) as error:
        raise UntrustedChainError(f"x5c has a malformed certificate: {error}") from error


def _check_signs(
    policy: Policy, certificate: x509.Certificate, extension: x509.KeyUsage | None
) -> None:
    if extension is not None and not extension.key_cert_sign:
        raise ValueError("an issuer may not sign certificates")


_AUTHORITY = (
    ExtensionPolicy.permit_all()
    # That they say yes is checked in any case.
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _check_signs)
)
