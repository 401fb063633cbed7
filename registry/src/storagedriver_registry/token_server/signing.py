"""The key of a token server: made once, published at each start, and what it signs."""

from __future__ import annotations

import datetime
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from storagedriver_core import ConfigurationError
from storagedriver_registry.auth.token_keys import (
    algorithms_of,
    libtrust_id,
    public_jwk,
    thumbprint,
)
from storagedriver_registry.files import make_file, replace_file
from storagedriver_registry.token_server.settings import SigningAlgorithm

_CERTIFICATE_LIFETIME = datetime.timedelta(days=3650)
_RSA_BITS = 2048


class Signer:
    """Signs claims, and verifies its own signatures.

    Args:
        key: The private key.
        algorithm: How it signs.
        key_id: What tokens call it: `thumbprint` or `libtrust`.
    """

    def __init__(self, key: Any, algorithm: SigningAlgorithm, key_id: str) -> None:
        self._key = key
        self._public = key.public_key()
        self.algorithm = algorithm
        self.key_id = {"thumbprint": thumbprint, "libtrust": libtrust_id}[key_id](self._public)

    def sign(self, claims: dict[str, Any]) -> str:
        """Give a token."""
        return jwt.encode(claims, self._key, self.algorithm, headers={"kid": self.key_id})

    def verify(self, token: str, *, issuer: str, audience: str) -> dict[str, Any]:
        """Give the claims of a token that was signed here and still holds.

        Raises:
            jwt.PyJWTError: It was not, or does not.
        """
        return jwt.decode(
            token,
            self._public,
            algorithms=[self.algorithm],
            issuer=issuer,
            audience=audience,
            options={"require": ["exp", "sub"]},
        )

    def jwks(self) -> dict[str, Any]:
        """Give the public key as a set of JSON Web Keys."""
        about = {"kid": self.key_id, "use": "sig", "alg": self.algorithm}
        return {"keys": [{**public_jwk(self._public), **about}]}

    def publish_jwks(self, path: Path) -> None:
        """Write the public key to a file, as a set of JSON Web Keys.

        Raises:
            ConfigurationError: It cannot be written.
        """
        _publish(path, json.dumps(self.jwks(), indent=2).encode() + b"\n")

    def publish_certificate(self, path: Path, name: str) -> None:
        """Write a certificate of the key to a file, unless there is one that still holds.

        Args:
            path: The file.
            name: Whose certificate it is.

        Raises:
            ConfigurationError: It cannot be written.
        """
        now = datetime.datetime.now(datetime.UTC)
        with suppress(OSError, ValueError):
            found = x509.load_pem_x509_certificate(path.read_bytes())
            if found.public_key() == self._public and now < found.not_valid_after_utc:
                return
        _publish(path, self._certificate(name, now).public_bytes(Encoding.PEM))

    def _certificate(self, name: str, now: datetime.datetime) -> x509.Certificate:
        # A common name has 64 characters at most. Source: RFC 5280, appendix A.
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self._public)
            .serial_number(x509.random_serial_number())
            # Clocks differ.
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + _CERTIFICATE_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, None if self.algorithm == "EdDSA" else hashes.SHA256())
        )


def load_or_make_key(path: Path, algorithm: SigningAlgorithm) -> Any:
    """Give the private key of a file; make both if there is no file.

    Raises:
        ConfigurationError: It cannot be read or made, or is no key for the algorithm.
    """
    try:
        if not path.exists():
            # Of two servers that start at once, both use the key of the first.
            make_file(path, _pem(_new_key(algorithm)))
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ConfigurationError(f"key: {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        # Not its text: it may be of the key.
        raise ConfigurationError(
            f"key: {path}: no private key in PEM without a password"
        ) from error
    if algorithm not in algorithms_of(key.public_key()):
        raise ConfigurationError(f"key: {path}: not a key for {algorithm}")
    return key


def _new_key(algorithm: SigningAlgorithm) -> Any:
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()


def _pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def _publish(path: Path, data: bytes) -> None:
    try:
        if path.exists() and path.read_bytes() == data:
            return
        # Everybody may read it, above all the registry.
        replace_file(path, data, 0o644)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
