"""What granian is told of TLS, and what it cannot do.

It takes TLS from rustls, which speaks 1.2 and 1.3 with the cipher suites that distribution has by
default, and with no others.
"""

from __future__ import annotations

import logging
import ssl
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from storagedriver_registry.serving.errors import StartError
from storagedriver_registry.serving.options import TlsOptions

logger = logging.getLogger(__name__)

SslContext: TypeAlias = tuple[
    bool, str | None, str | None, str | None, str, str | None, list[str], bool
]
"""Granian's: enabled, certificate, key, the key's password, least version, authority for clients,
revocations, whether clients must have a certificate."""

_VERSIONS = ("tls1.2", "tls1.3")
# Of TLS 1.2: those of 1.3 cannot be chosen with distribution either.
_SUITES = frozenset(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
)
_IS_REQUIRED = {"require-and-verify-client-cert": True, "verify-client-cert-if-given": False}


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS, ready for granian.

    Attributes:
        context: What granian is told. It reads the files when it starts.
        files: Files that it is told of, and that are gone when nobody holds them.
    """

    context: SslContext
    files: tuple[IO[bytes], ...] = ()


NO_TLS = Tls((False, None, None, None, "tls1.3", None, [], False))
"""Connections in the clear."""


def prepare_tls(options: TlsOptions | None) -> Tls:
    """Check what is wanted.

    Raises:
        StartError: A file is missing or wrong, or what is wanted cannot be done.
    """
    if options is None:
        return NO_TLS
    _check_certificate(options)
    _warn(options)
    authority: str | None = None
    files: tuple[IO[bytes], ...] = ()
    if options.client_authorities:
        if options.client_auth not in _IS_REQUIRED:
            raise StartError(
                f"http.tls.clientauth: {options.client_auth} is not supported: certificates of "
                f"clients are verified, with {' or '.join(_IS_REQUIRED)}"
            )
        authority, files = _joined(options.client_authorities)
    return Tls(
        (
            True,
            str(options.certificate),
            str(options.key),
            None,
            options.minimum if options.minimum in _VERSIONS else _VERSIONS[0],
            authority,
            [],
            authority is not None and _IS_REQUIRED[options.client_auth],
        ),
        files,
    )


def _check_certificate(options: TlsOptions) -> None:
    """Raise unless there are a certificate and its key; rustls would only panic."""
    for name, path in (("certificate", options.certificate), ("key", options.key)):
        _read(f"http.tls.{name}", path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password here, one would be asked for on the terminal.
        context.load_cert_chain(options.certificate, options.key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise StartError(
            f"http.tls: {options.certificate} and {options.key} are no certificate and its key "
            f"without a password: {error}"
        ) from error


def _warn(options: TlsOptions) -> None:
    if options.minimum not in _VERSIONS:
        logger.warning("http.tls.minimumtls: %s: it is tls1.2 at least", options.minimum)
    if options.minimum == "tls1.3" or not options.cipher_suites:
        return
    others = sorted(_SUITES.difference(options.cipher_suites))
    if others:
        logger.warning(
            "http.tls.ciphersuites cannot be chosen: with TLS 1.2, these are taken too: %s; "
            "minimumtls: tls1.3 shuts them out",
            ", ".join(others),
        )


def _joined(paths: tuple[Path, ...]) -> tuple[str, tuple[IO[bytes], ...]]:
    """Give one file that holds what all of them do: granian takes one."""
    for path in paths:
        data = _read("http.tls.clientcas", path)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=data.decode())
        except (ssl.SSLError, ValueError) as error:
            raise StartError(f"http.tls.clientcas: {path}: {error}") from error
    if len(paths) == 1:
        return str(paths[0]), ()
    with ExitStack() as stack:
        # Without a name: nothing is left of it, however this ends.
        file = stack.enter_context(tempfile.TemporaryFile())
        for path in paths:
            file.write(path.read_bytes() + b"\n")
        file.flush()
        file.seek(0)
        stack.pop_all()
    return f"/dev/fd/{file.fileno()}", (file,)


def _read(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"{key}: {path}: {error.strerror}") from error
