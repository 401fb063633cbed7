"""The keys that may sign tokens, and what tokens call them."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from storagedriver_core import ConfigurationError
from storagedriver_registry.auth.certificates import TrustedCertificates, UntrustedChainError

logger = logging.getLogger(__name__)

_OF_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_OF_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_OF_SECRETS = frozenset({"HS256", "HS384", "HS512"})

# Source: RFC 7638, section 3.2; RFC 8037, section 2.
_THUMBPRINT_MEMBERS = {"RSA": "e kty n", "EC": "crv kty x y", "OKP": "crv kty x"}


class UntrustedKeyError(Exception):
    """A token names no key that may sign it; the text says why, for the log."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key that verifies signatures.

    Attributes:
        key: The public key, or the secret.
        algorithms: What it may be used with. A public key is no secret: taken for one, everybody
            could sign with it.
    """

    key: Any
    algorithms: frozenset[str]


class TrustedKeys:
    """Every key that may sign tokens.

    Args:
        certificates: Those of keys, or of authorities.
        jwks: A set of JSON Web Keys.

    Raises:
        ConfigurationError: Together they have no key that could be used.
    """

    def __init__(
        self, certificates: Iterable[x509.Certificate] = (), jwks: Mapping[str, Any] | None = None
    ) -> None:
        roots = list(certificates)
        self._by_id: dict[str, TrustedKey] = {}
        self._certificates = TrustedCertificates(roots) if roots else None
        now = datetime.datetime.now(datetime.UTC)
        for root in roots:
            if root.not_valid_after_utc < now:
                # Its end counts for chains only, as in distribution: who goes over from there with
                # such a bundle would be left without tokens.
                logger.warning(
                    "rootcertbundle: the certificate of %s ended on %s; tokens that name its key "
                    "by kid or jwk are taken all the same, chains are not",
                    *(root.subject.rfc4514_string(), root.not_valid_after_utc.date()),
                )
            key = root.public_key()
            if algorithms := algorithms_of(key):
                self._add_public(TrustedKey(key, algorithms))
        for member in (jwks or {}).get("keys", []):
            self._add_member(member)
        if not roots and not self._by_id:
            raise ConfigurationError("auth.token: there is no key that could sign tokens")

    def find(self, header: Mapping[str, Any]) -> TrustedKey:
        """Give the key that a token's header names: by its chain, its key, or its key's id.

        Raises:
            UntrustedKeyError: It names none that is trusted.
        """
        if header.get("x5c"):
            return self._of_chain(header["x5c"])
        if isinstance(header.get("jwk"), Mapping):
            return self._of_jwk(header["jwk"])
        if not header.get("kid"):
            raise UntrustedKeyError("the token names no key")
        return self._of_id(header["kid"])

    def _of_id(self, key_id: Any) -> TrustedKey:
        key = self._by_id.get(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise UntrustedKeyError(f"signed by an unknown key, {str(key_id)[:200]!r}")
        return key

    def _of_chain(self, chain: Any) -> TrustedKey:
        if self._certificates is None:
            raise UntrustedKeyError("a chain of certificates, but no rootcertbundle")
        try:
            key = self._certificates.verify_chain(chain)
        except UntrustedChainError as error:
            raise UntrustedKeyError(str(error)) from error
        return TrustedKey(key, algorithms_of(key))

    def _of_jwk(self, jwk: Mapping[str, Any]) -> TrustedKey:
        """Give the trusted key that a key in a header is: what the header says does not count."""
        if jwk.get("x5c"):
            return self._of_chain(jwk["x5c"])
        try:
            return self._of_id(thumbprint(_public(jwt.PyJWK(dict(jwk)).key)))
        except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
            raise UntrustedKeyError(f"a malformed key: {error}") from error

    def _add_public(self, key: TrustedKey) -> None:
        """Make a key known by the ids that token servers give: of RFC 7638, and of libtrust."""
        self._by_id[thumbprint(key.key)] = key
        self._by_id[libtrust_id(key.key)] = key

    def _add_member(self, member: Any) -> None:
        """Make a member of a key set known, also by the id that it has there."""
        try:
            loaded = jwt.PyJWK(member)
            is_secret = member["kty"] == "oct"
            key = loaded.key if is_secret else _public(loaded.key)
            algorithms = _OF_SECRETS if is_secret else algorithms_of(key)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
            # Its text may hold the key.
            logger.warning("a key of the JWKS cannot be read: %s", type(error).__name__)
            return
        if "alg" in member:
            algorithms &= {member["alg"]}
        if not algorithms or member.get("use", "sig") != "sig":
            return
        trusted = TrustedKey(key, algorithms)
        if not is_secret:
            self._add_public(trusted)
        if isinstance(member.get("kid"), str):
            self._by_id[member["kid"]] = trusted


def algorithms_of(key: Any) -> frozenset[str]:
    """Give the algorithms that a public key can be used with; none if it is of no known kind."""
    if isinstance(key, rsa.RSAPublicKey):
        return _OF_RSA
    if isinstance(key, ec.EllipticCurvePublicKey):
        return frozenset({_OF_CURVES[key.curve.name]} if key.curve.name in _OF_CURVES else ())
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return frozenset({"EdDSA"})
    return frozenset()


def public_jwk(key: Any) -> dict[str, Any]:
    """Give a public key as a JSON Web Key, with the members that make it."""
    if isinstance(key, rsa.RSAPublicKey):
        jwk: dict[str, Any] = RSAAlgorithm.to_jwk(key, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        jwk = ECAlgorithm.to_jwk(key, as_dict=True)
    else:
        jwk = OKPAlgorithm.to_jwk(key, as_dict=True)
    return {member: jwk[member] for member in _THUMBPRINT_MEMBERS[jwk["kty"]].split()}


def thumbprint(key: Any) -> str:
    """Give a public key's id. Source: RFC 7638, section 3."""
    canonical = json.dumps(public_jwk(key), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def libtrust_id(key: Any) -> str:
    """Give a public key's id as token servers for distribution 2.8 and earlier write it.

    240 bits of the SHA-256 of its DER form, in base32, in twelve groups of four.
    """
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def load_trusted_keys(rootcertbundle: str, jwks: str) -> TrustedKeys:
    """Read the files that a configuration names.

    Raises:
        ConfigurationError: One cannot be read, or there is no key in them.
    """
    certificates: list[x509.Certificate] = []
    members: Any = None
    if rootcertbundle:
        data = _read("rootcertbundle", rootcertbundle)
        try:
            certificates = x509.load_pem_x509_certificates(data)
        except (ValueError, x509.InvalidVersion) as error:
            raise _wrong("rootcertbundle", rootcertbundle, f"no certificates: {error}") from None
    if jwks:
        data = _read("jwks", jwks)
        try:
            members = json.loads(data)
        except ValueError:
            raise _wrong("jwks", jwks, "no JSON") from None
        if not isinstance(members, dict) or not isinstance(members.get("keys"), list):
            raise _wrong("jwks", jwks, "no set of keys: it has no list 'keys'")
    return TrustedKeys(certificates, members)


def _read(option: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _wrong(option, path, str(error.strerror)) from error


def _wrong(option: str, path: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"auth.token.{option}: {path}: {what}")


def _public(key: Any) -> Any:
    """Give the public half of a key, of which a set may hold the private one too."""
    return key.public_key() if hasattr(key, "public_key") else key
